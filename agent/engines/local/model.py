"""From features to beliefs: a linear model small enough to read.

Every feature is compared with a reference (see `baseline`) and divided by its ordinary spread; each label then adds up
its evidence. Labels compete with neutral, whose own evidence is zero: an ordinary voice, whoever's it is, differs from
its reference by less than the bias it takes to be anything else.

The numbers are set by hand. Signs and proportions follow what acted anger, fear, joy and sadness do to a telephone
voice; sizes are rounded so that no single feature can raise an alarm: each is cut off at `_MOST` spreads, and loudness
is measured in the caller's own, so a loud talker, or one who moves closer to the telephone, is not an angry one.
"""

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ...core.emotion import ANGER, LABELS, Emotion
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
        "bias": -3.1,
        "loudness": 0.7,
        "shouting": 0.55,
        "pitch": 1.0,
        "shrill": 0.15,
        "pitch_range": -0.35,
        "low": -0.25,
        "first_formant": 0.45,
        "mid": 0.5,
        "high": 0.15,
        "top": 0.7,
        "periodicity": -0.4,
    },
    # Irritation short of anger: the hard voice, without the height.
    "frustrated": {
        "bias": -3.1,
        "loudness": 0.85,
        "shouting": 0.3,
        "pitch": 0.35,
        "shrill": -0.55,
        "pitch_range": -0.2,
        "low": -0.2,
        "first_formant": 0.35,
        "mid": 0.35,
        "top": 0.7,
        "periodicity": -0.3,
    },
    # High arousal without the hard voice: as loud and higher still, brighter.
    "happy": {"bias": -2.9, "loudness": 0.9, "shouting": 0.4, "pitch": 1.0, "shrill": 0.4, "mid": 0.15, "high": 0.3},
    # Higher yet, at little more than one's own loudness, monotonous, breathy, nothing added in the upper bands.
    "fearful": {
        "bias": -3.3,
        "loudness": 0.3,
        "shouting": 0.45,
        "pitch": 1.25,
        "shrill": 0.7,
        "pitch_range": -0.55,
        "first_formant": -0.2,
        "top": -0.2,
        "periodicity": -0.4,
    },
    # Dull and level: little energy from the first formant up, little melody, softer.
    "sad": {
        "bias": -3.2,
        "loudness": -0.15,
        "shrill": 0.4,
        "pitch_range": -0.4,
        "first_formant": -0.5,
        "high": -0.35,
    },
}

_MOST: Final = 3.0
"""Spreads at which a feature has said all it can say."""
_SHRILL: Final = 1.5
_SHOUTING: Final = 2.0
"""Spreads of pitch and loudness beyond which the rest counts by itself: anger need not be higher, fear and joy are."""
_LOUDNESS, _PITCH = FEATURES.index("loudness"), FEATURES.index("pitch")
_ANGRY, _FRUSTRATED = LABELS.index("angry"), LABELS.index("frustrated")


def _table(names: Sequence[str]) -> Vector:
    return np.array([[_EVIDENCE.get(label, {}).get(name, 0.0) for name in names] for label in LABELS])


CENTRE: Final = np.array([ORDINARY[feature][0] for feature in FEATURES])
SPREAD: Final = np.array([ORDINARY[feature][1] for feature in FEATURES])
SPREAD_OF_ONE: Final = np.array([ORDINARY[feature][2] for feature in FEATURES])
_WEIGHTS: Final = _table(FEATURES)
_SHRILL_WEIGHTS: Final = _table(("shrill",))[:, 0]
_SHOUTING_WEIGHTS: Final = _table(("shouting",))[:, 0]
_BIAS: Final = _table(("bias",))[:, 0]


def evidence(values: Vector, centre: Vector, spread: Vector) -> Vector:
    """Log-odds against neutral of each label, for one window."""
    far = (values - centre) / spread
    unusual = np.minimum(np.maximum(far, -_MOST), _MOST)
    pitch, loudness = float(far[_PITCH]), float(far[_LOUDNESS])
    unusual[_PITCH] = max(-_MOST, min(pitch, _SHRILL))
    unusual[_LOUDNESS] = max(-_MOST, min(loudness, _SHOUTING))
    shrill, shouting = min(max(0.0, pitch - _SHRILL), _MOST), min(max(0.0, loudness - _SHOUTING), _MOST)
    return np.asarray(_WEIGHTS @ unusual + shrill * _SHRILL_WEIGHTS + shouting * _SHOUTING_WEIGHTS + _BIAS)


def probabilities(log_odds: Vector) -> Vector:
    """Over LABELS, summing to 1."""
    grown = np.exp(log_odds - log_odds.max())
    return np.asarray(grown / grown.sum())


def strongest(belief: Vector) -> Emotion:
    """The label most believed in, anger and frustration counting together."""
    shares = belief.tolist()
    angry, frustrated = shares[_ANGRY], shares[_FRUSTRATED]
    anger_label = "angry" if angry >= frustrated else "frustrated"
    others = [Emotion(label, share) for label, share in zip(LABELS, shares, strict=True) if label not in ANGER]
    return max(*others, Emotion(anger_label, min(1.0, angry + frustrated)), key=lambda emotion: emotion.score)
