"""The whole way from a folder of recordings to a model file and the card that says what it is made of."""

from collections import defaultdict
from collections.abc import Callable, Container, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from ..engines.local.model import save
from ..errors import ConfigError
from . import fitting
from .card import card
from .corpora import FOR_TESTING_ONLY, Clip, clips
from .dataset import frequencies, usual
from .extraction import extract, restricted
from .figures import Figures, figures


def make(
    data: Path,
    out: Path,
    seed: int,
    cache: Path,
    tell: Callable[[str], None],
    only: Container[str] | None = None,
) -> tuple[str, list[Figures]]:
    """Writes the model, its checksum and its card; returns the checksum and what held-out speakers showed. `only`: the
    names of the recordings it may be made of, where that is not all of them.

    Raises ConfigError when the folder does not hold what a model needs.
    """
    chosen = [clip for clip in clips(data) if clip.corpus not in FOR_TESTING_ONLY]
    heard = extract(chosen, cache, seed, tell)
    if only is not None:
        chosen, heard = restricted(chosen, heard, only)
    if not len(heard.clip):
        raise ConfigError(f"No recording in {data} holds speech that can be heard over a telephone: use others.")
    baselines = usual(chosen, heard)
    everything = np.arange(len(heard.clip))
    often = frequencies(chosen, heard, everything)
    held = fitting.hold_out(chosen, heard, baselines, seed, tell)
    temperature, evidence = fitting.calibrate(chosen, heard, held, often)
    tell("fitting the model to all speakers")
    model = fitting.ensemble(chosen, heard, baselines, everything, fitting.FINAL, seed)
    model = replace(model, temperature=temperature, evidence=evidence)
    found, error = figures(chosen, heard, held, model, often)
    checksum = save(model, out, {"seed": seed, "recordings": _counted(chosen), "numpy": np.__version__})
    text = card(out.name, checksum, seed, chosen, model, found, error)
    out.with_name("MODEL_CARD.md").write_text(text, encoding="utf-8")
    return checksum, found


def _counted(chosen: Sequence[Clip]) -> dict[str, int]:
    counts: dict[str, int] = defaultdict(int)
    for clip in chosen:
        counts[clip.corpus] += 1
    return dict(sorted(counts.items()))
