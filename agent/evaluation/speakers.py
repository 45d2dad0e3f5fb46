"""How sure a figure is: a bootstrap over speakers.

Clips of one speaker are alike, so it is speakers that are drawn, with replacement, and all their clips with them
(Efron & Tibshirani, "An Introduction to the Bootstrap", 1993, ch. 8: resample the units that are independent).
"""

import math
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

Interval = tuple[float, float]

DRAWS = 300
ENOUGH_SPEAKERS = 3
"""With fewer, an interval would be a pretence."""


def drawn_weights(speakers: Sequence[str], draws: int = DRAWS, seed: int = 0) -> NDArray[np.float64]:
    """Shape (draws, clips): how often each clip's speaker was drawn."""
    names, place = np.unique(np.asarray(speakers, dtype=str), return_inverse=True)
    rng = np.random.default_rng(seed)
    times = rng.multinomial(len(names), np.full(len(names), 1 / len(names)), size=draws)
    return times[:, place].astype(np.float64)


def interval(
    figure: Callable[[NDArray[np.float64]], float],
    speakers: Sequence[str],
    *,
    confidence: float = 0.95,
    draws: int = DRAWS,
) -> Interval | None:
    """Percentile bounds of `figure(weights of the clips)`; None with too few speakers to tell."""
    if len(set(speakers)) < ENOUGH_SPEAKERS:
        return None
    values = [value for value in map(figure, drawn_weights(speakers, draws)) if not math.isnan(value)]
    if len(values) < draws // 2:
        return None
    low, high = np.quantile(values, [(1 - confidence) / 2, (1 + confidence) / 2])
    return float(low), float(high)
