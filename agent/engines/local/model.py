"""From features to beliefs: a linear model small enough to read.

Every feature is compared with a reference (see `baseline`) and divided by its ordinary spread; each label then adds up
its evidence. Labels compete with neutral, whose own evidence is zero: an ordinary voice, whoever's it is, differs from
its reference by less than the bias it takes to be anything else.

The numbers are set by hand. Signs and proportions follow what acted anger, fear, joy and sadness do to a telephone
voice; sizes are rounded so that no single feature can raise an alarm: loudness counts for at most `_MOST` spreads, and
so a loud talker, or one who moves closer to the telephone, is not an angry one.
"""

from collections.abc import Mapping
from typing import Final

import numpy as np
from numpy.typing import NDArray

from agent.core.emotion import LABELS, Emotion

from .features import FEATURES

Vector = NDArray[np.float64]

ORDINARY: Final = {  # mean; spread among callers; spread of one caller from moment to moment
    "loudness": (-27.8, 4.5, 2.9),
    "dynamics": (7.7, 2.1, 1.75),
    "pitch": (9.8, 5.2, 2.9),
    "pitch_range": (6.3, 5.1, 4.3),
    "low": (-2.3, 1.8, 1.25),
    "first_formant": (-8.4, 4.0, 3.2),
    "mid": (-11.8, 4.4, 3.4),
    "high": (-17.1, 4.7, 3.2),
    "top": (-20.8, 5.5, 3.4),
    "modulation": (4.6, 1.1, 0.95),
    "periodicity": (0.71, 0.05, 0.03),
    "voiced": (0.71, 0.12, 0.11),
}
"""1.5 s of ordinary telephone speech: commands, prompts, service calls."""

_EVIDENCE: Final[Mapping[str, Mapping[str, float]]] = {
    # Vocal effort: louder and higher than oneself, energy moving up from the lowest band (an open jaw raises the first
    # formant, a hard glottal closure fills the upper bands), a voice less clear.
    "angry": {
        "bias": -4.0,
        "loudness": 0.55,
        "pitch": 0.5,
        "pitch_range": -0.2,
        "first_formant": 0.35,
        "mid": 0.25,
        "high": 0.1,
        "top": 0.4,
        "periodicity": -0.3,
    },
    # The same signs at half the strength: irritation short of anger.
    "frustrated": {
        "bias": -3.4,
        "loudness": 0.35,
        "pitch": 0.25,
        "pitch_range": -0.1,
        "first_formant": 0.25,
        "mid": 0.2,
        "top": 0.25,
        "periodicity": -0.15,
    },
    # High arousal without the hard voice: higher, brighter, only moderately louder, more melody.
    "happy": {"bias": -3.3, "loudness": 0.4, "pitch": 0.4, "pitch_range": 0.1, "mid": 0.15, "high": 0.2},
    # Pitch well up while the lower bands stay; little melody, breathy.
    "fearful": {"bias": -3.8, "loudness": 0.2, "pitch": 0.8, "pitch_range": -0.4, "periodicity": -0.4},
    # Dull and level: little energy from the first formant up, little melody, softer.
    "sad": {"bias": -3.5, "loudness": -0.1, "pitch_range": -0.3, "dynamics": -0.2, "first_formant": -0.4, "high": -0.3},
}

_MOST: Final = 3.0
_ANGRY, _FRUSTRATED = LABELS.index("angry"), LABELS.index("frustrated")


def _matrix() -> tuple[Vector, Vector]:
    weights = np.array([[_EVIDENCE.get(label, {}).get(feature, 0.0) for feature in FEATURES] for label in LABELS])
    return weights, np.array([_EVIDENCE.get(label, {}).get("bias", 0.0) for label in LABELS])


CENTRE: Final = np.array([ORDINARY[feature][0] for feature in FEATURES])
SPREAD: Final = np.array([ORDINARY[feature][1] for feature in FEATURES])
SPREAD_OF_ONE: Final = np.array([ORDINARY[feature][2] for feature in FEATURES])
_WEIGHTS, _BIAS = _matrix()


def evidence(values: Vector, centre: Vector, spread: Vector) -> Vector:
    """Log-odds against neutral of each label, for one window."""
    unusual = np.minimum(np.maximum((values - centre) / spread, -_MOST), _MOST)
    return np.asarray(_WEIGHTS @ unusual + _BIAS)


def probabilities(log_odds: Vector) -> Vector:
    """Over LABELS, summing to 1."""
    grown = np.exp(log_odds - log_odds.max())
    return np.asarray(grown / grown.sum())


def anger(belief: Vector) -> float:
    return float(belief[_ANGRY] + belief[_FRUSTRATED])


def strongest(belief: Vector) -> Emotion:
    """The label most believed in, anger and frustration counting together."""
    together = belief.copy()
    together[_ANGRY], together[_FRUSTRATED] = anger(belief), 0.0
    best = int(together.argmax())
    score = min(1.0, float(together[best]))
    if best == _ANGRY and belief[_FRUSTRATED] > belief[_ANGRY]:
        best = _FRUSTRATED
    return Emotion(LABELS[best], score)
