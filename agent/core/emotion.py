"""What is believed about the caller: one reading of one window, and the mood that readings add up to."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal

LABELS = ("neutral", "happy", "sad", "fearful", "angry", "frustrated")
"""What our own engines say. From outside, any lower-case word may come."""

ANGER = frozenset({"angry", "frustrated"})
"""Frustrated is irritation short of anger; what matters to an escalation is their sum."""

Source = Literal["local", "hume", "oruk", "webhook", "fallback"]


class Gated(StrEnum):
    """Why a reading was refused."""

    CALIBRATING = "calibrating"
    POOR_LINE = "poor_line"
    TOO_SHORT = "too_short"
    LOW_CONFIDENCE = "low_confidence"
    IGNORED_LABEL = "ignored_label"
    NO_NOTICE = "no_notice"
    """The caller has not been told yet that the call is analysed."""
    STOPPED = "stopped"
    """The caller has withdrawn their consent, or the call went to a human."""


class Trend(StrEnum):
    RISING = "rising"
    FALLING = "falling"
    STEADY = "steady"


class Outcome(StrEnum):
    """How a call ended."""

    HANGUP = "hangup"
    QUIET = "quiet"
    EXPIRED = "expired"
    CRASHED = "crashed"
    DRAINED = "drained"
    LIMIT = "limit"
    """It had lasted as long as its platform lets it."""


@dataclass(frozen=True, slots=True)
class Emotion:
    label: str
    score: float
    """0 to 1. For the local engine: accumulated belief; for anger P(angry) + P(frustrated)."""


NEUTRAL = Emotion("neutral", 0.0)
FAILED = Emotion("neutral", 0.5)
"""What a reading says that the engine could not make. It never passes the gate."""


@dataclass(frozen=True, slots=True)
class EmotionReading:
    """What an engine says about one window."""

    emotion: Emotion
    source: Source
    start_ms: int
    """Media time; for a reading from outside, milliseconds since the call began."""
    end_ms: int
    heard_at: float
    """Loop time at which the last sample of the window was heard; for a reading from outside, when it arrived."""
    scores: Mapping[str, float] = field(default_factory=dict)
    """Label to probability, summing to 1, where the engine gives them."""
    quality: float | None = None
    """0 unusable to 1 clean: level, clipping, noise, share of speech."""
    speech_ms: int | None = None
    """Speech in the window, where the source knows."""
    timestamp: float | None = None
    """For a reading from outside: milliseconds since the epoch, as its sender says. Recorded, and used for nothing."""
    own: Emotion | None = None
    """What its engine said by itself, where a second opinion has moved it."""
    abstained: Gated | None = None
    """Set when the engine would rather not say: it is calibrating, or the line is too poor."""
    baseline: float | None = None
    """How far it was judged against the caller's own calm voice, 0 to 1, where the engine learns that."""

    @property
    def anger(self) -> float:
        """P(angry) + P(frustrated), as well as the source lets us know it."""
        if self.emotion.label in ANGER:
            return self.emotion.score
        return min(1.0, sum([self.scores.get(label, 0.0) for label in ANGER]))


@dataclass(frozen=True, slots=True)
class Mood:
    """Our smoothed belief about the caller now."""

    emotion: Emotion
    trend: Trend
    samples: int
    """Accepted readings inside the rolling window."""
    heard_at: float
    """`heard_at` of the newest reading in it."""
    support: Mapping[str, float] = field(default_factory=dict)
    """Label to sum of weight x score: what the dominant emotion won by."""
    quality: float | None = None
    """Of the newest reading in it that knows its own; None: none does."""
