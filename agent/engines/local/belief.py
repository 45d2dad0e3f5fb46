"""Evidence accumulated over a call.

What one stretch of speech says is weak, and overlaps what the last one said. The log-odds of anger against all else
start low, follow the evidence as new speech comes, and sink back while nobody speaks: so several stretches must agree
before an alarm, the sooner the clearer they are. What lasts for seconds is believed more than a burst: a slow trace of
the same evidence adds to it, where it speaks for anger. Beside them go the log-shares of the labels, for what is said
when it is not anger, and for which kind of anger it is.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np

from ...core.emotion import ANGER, LABELS
from .model import Evidence, labelled
from .spectrum import Floats

_IN_ANGER: Final = [at for at, label in enumerate(LABELS) if label in ANGER]
_NOT_IN_ANGER: Final = [at for at, label in enumerate(LABELS) if label not in ANGER]
_AT_REST: Final = np.float32(-4.0)
_SHARES_AT_REST: Final = np.array([2.0 if label == "neutral" else 0.0 for label in LABELS], dtype=np.float32)
_MOST: Final = np.float32(6.0)
"""Log-odds one stretch can bring: no single one decides."""
_LEAST_SHARE: Final = np.float32(1e-3)
_KNOWN_WELL: Final = np.float32(0.5)
"""A baseline trusted so far needs no allowance for strangers any more."""
_LASTING_MS: Final = np.float32(3000)
LASTING: Final = 0.5
"""What the slow trace counts beside the quick one."""
_MOSTLY_NEUTRAL: Final = np.array([2.75 if label == "neutral" else 0.0 for label in LABELS], dtype=np.float32)
"""Callers are neutral far more often than those acted recordings by which the model knows what to expect."""
SIZE: Final = 2 + len(LABELS)
"""Of one call's belief: the log-odds of anger, their slow trace, then the log-shares of LABELS."""
AT_REST: Final[Floats] = np.array([_AT_REST, 0.0, *_SHARES_AT_REST], dtype=np.float32)


def said(log_probabilities: Floats, known: Floats, evidence: Evidence) -> Floats:
    """What stretches say, shape (n, SIZE), from log-probabilities over CLASSES and how far the caller's calm voice is
    known, shape (n,)."""
    return said_of(labelled(log_probabilities), known, evidence)


def said_of(shares: Floats, known: Floats, evidence: Evidence) -> Floats:
    """The same from probabilities over LABELS, shape (n, 6)."""
    ours = np.maximum(shares, _LEAST_SHARE)
    anger = _sum(ours, _IN_ANGER)
    stranger = 1 - np.minimum(known / _KNOWN_WELL, 1)
    bias = evidence.anger_bias + stranger * np.float32(evidence.stranger_bias - evidence.anger_bias)
    odds = np.log(anger / np.maximum(1 - anger, _LEAST_SHARE)) + bias.astype(np.float32)
    gain = np.float32(evidence.gain)
    anger_odds = np.minimum(np.maximum(odds * gain, -_MOST), _MOST)[:, np.newaxis]
    return np.concatenate((anger_odds, anger_odds, gain * np.log(ours) + _MOSTLY_NEUTRAL), axis=1)


def followed(belief: Floats, new: Floats, new_ms: Floats, evidence: Evidence) -> Floats:
    """Belief after so much new speech, shape (n,), said this."""
    share = np.empty((len(new_ms), SIZE), dtype=np.float32)
    share[:] = -np.expm1(-new_ms / np.float32(evidence.follows_ms))[:, np.newaxis]
    share[:, 1] = -np.expm1(-new_ms / _LASTING_MS)
    return np.asarray(belief + (new - belief) * share)


def anger_odds(belief: Floats) -> Floats:
    """Log-odds of anger, shape (n,), the slow trace included."""
    return np.asarray(belief[:, 0] + np.float32(LASTING) * np.maximum(belief[:, 1], 0))


def faded(belief: Floats, ms: float, evidence: Evidence) -> Floats:
    """Belief after so long without a voice."""
    return np.asarray(AT_REST + (belief - AT_REST) * np.float32(np.exp(-ms / evidence.fades_ms)))


def shares(belief: Floats) -> Floats:
    """Probabilities over LABELS, shape (n, 6)."""
    anger = 1 / (1 + np.exp(-anger_odds(belief)))
    logs = belief[:, 2:]
    grown = np.exp(logs - np.maximum.reduce(logs, axis=1, keepdims=True)) + np.float32(1e-9)
    for labels, share in ((_IN_ANGER, anger), (_NOT_IN_ANGER, 1 - anger)):
        factor = share / _sum(grown, labels)
        for label in labels:
            grown[:, label] *= factor
    return np.asarray(grown)


def anger_of(shares: Floats) -> Floats:
    """Probability of anger, shape (n,), from those over LABELS."""
    return _sum(shares, _IN_ANGER)


def _sum(shares: Floats, labels: Sequence[int]) -> Floats:
    """Of some columns, added one by one: quicker than numpy's sums, and in one order however many rows there are."""
    total: Floats = shares[:, labels[0]] + shares[:, labels[1]]
    for label in labels[2:]:
        total += shares[:, label]
    return total
