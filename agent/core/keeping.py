"""Readings and decisions as steps keep them, and back again."""

from collections.abc import Mapping

from .emotion import LABELS, Emotion, EmotionReading
from .rules import Decision
from .steps import Felt, Fired, Made, Reading


def kept(reading: EmotionReading) -> Reading:
    """A reading as a step keeps it."""
    return Reading(
        _pair(reading.emotion),
        reading.source,
        reading.start_ms,
        reading.end_ms,
        reading.heard_at,
        _compact(reading.scores),
        reading.quality,
        reading.speech_ms,
        reading.timestamp,
        None if reading.own is None else _pair(reading.own),
        reading.abstained,
        reading.baseline,
    )


def again(kept: Reading) -> EmotionReading:
    """The reading that was kept."""
    scores = kept.scores if isinstance(kept.scores, dict) else dict(zip(LABELS, kept.scores, strict=False))
    return EmotionReading(
        Emotion(*kept.emotion),
        kept.source,
        kept.start_ms,
        kept.end_ms,
        kept.heard_at,
        scores,
        kept.quality,
        kept.speech_ms,
        kept.timestamp,
        None if kept.own is None else Emotion(*kept.own),
        kept.abstained,
        kept.baseline,
    )


def made(decision: Decision | None) -> Made | None:
    """A decision as a step keeps it."""
    if decision is None:
        return None
    mood, update = decision.mood, decision.update
    return Made(
        Felt(mood.emotion.label, mood.emotion.score, mood.trend.value, mood.samples, mood.heard_at, mood.quality),
        tuple(Fired(each.rule, each.held_s, each.did) for each in decision.fired),
        None if update is None else update.note,
        None if update is None else update.say,
        decision.transfer,
        decision.unheard,
        decision.over_budget,
    )


def _pair(emotion: Emotion) -> tuple[str, float]:
    return emotion.label, emotion.score


def _compact(scores: Mapping[str, float]) -> tuple[float, ...] | dict[str, float]:
    return tuple(scores.values()) if tuple(scores) == LABELS else dict(scores)
