"""What a second engine says moves what ours says, for a while. Pure: the caller says what time it is.

Our own engine hears everything and decides alone; another one is asked only where ours is in doubt. Both say how likely
anger is, and evidence adds up in log-odds: the second opinion shifts our own by what it says itself, bounded so that no
single answer decides, and wearing off while nothing new is heard from it.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

from .emotion import ANGER, Emotion, EmotionReading

LASTS_S = 8.0
"""How long an opinion counts; at the end of it, nothing is left of it."""
MOST = 2.0
"""Log-odds an opinion may shift our own by: from 0.6 to 0.92, or to 0.17."""
_EDGE = 0.02


@dataclass(frozen=True, slots=True)
class Band:
    """The scores of anger between which a second engine is asked; 0 to 1, both included."""

    low: float
    high: float

    def holds(self, reading: EmotionReading) -> bool:
        return reading.abstained is None and self.low <= reading.anger <= self.high


class Opinions:
    """One call's. At most one opinion counts: the newest."""

    def __init__(self) -> None:
        self._shift = 0.0
        self._at = -math.inf

    def take(self, reading: EmotionReading, now: float) -> None:
        """A second engine has said this."""
        self._shift = max(-MOST, min(MOST, _log_odds(anger_in(reading))))
        self._at = now

    def moved(self, reading: EmotionReading, now: float) -> EmotionReading:
        """Our own reading as the second opinion leaves it; the same one when there is none."""
        weight = 1.0 - (now - self._at) / LASTS_S
        if weight <= 0.0 or reading.abstained is not None:
            return reading
        anger = _probability(_log_odds(reading.anger) + weight * self._shift)
        emotion, scores = _strongest(reading, anger), _rescaled(reading.scores, anger)
        return replace(reading, emotion=emotion, scores=scores, own=reading.emotion)


def anger_in(reading: EmotionReading) -> float:
    """How likely anger is, of an engine whose labels do not exclude each other: the surer of its two names."""
    return max(
        reading.emotion.score if reading.emotion.label in ANGER else 0.0,
        *(reading.scores.get(label, 0.0) for label in ANGER),
    )


def _strongest(reading: EmotionReading, anger: float) -> Emotion:
    """The label most believed in when anger is this likely and the others share the rest as before."""
    scores = reading.scores
    named = reading.emotion.label if reading.emotion.label in ANGER else _larger(scores)
    rest = 1.0 - reading.anger
    others = {label: score for label, score in scores.items() if label not in ANGER}
    if reading.emotion.label not in ANGER:
        others[reading.emotion.label] = reading.emotion.score
    label = max(others, key=lambda name: others[name], default="neutral")
    other = min(1.0, others.get(label, rest) * (1.0 - anger) / max(rest, _EDGE))
    return Emotion(named, anger) if anger >= other else Emotion(label, other)


def _rescaled(scores: Mapping[str, float], anger: float) -> dict[str, float]:
    """The same shares within anger and within the rest, with anger as likely as this."""
    angry = sum(p for label, p in scores.items() if label in ANGER)
    rest = sum(scores.values()) - angry
    return {
        label: p * (anger / max(angry, _EDGE) if label in ANGER else (1.0 - anger) / max(rest, _EDGE))
        for label, p in scores.items()
    }


def _larger(scores: Mapping[str, float]) -> str:
    return max(sorted(ANGER), key=lambda label: scores.get(label, 0.0))


def _log_odds(p: float) -> float:
    p = min(1.0 - _EDGE, max(_EDGE, p))
    return math.log(p / (1.0 - p))


def _probability(log_odds: float) -> float:
    return 1.0 / (1.0 + math.exp(-log_odds))
