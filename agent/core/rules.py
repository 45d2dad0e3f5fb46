"""Which moods earn a word to the assistant, and which an interruption. Pure: the caller says what time it is.

A note goes out when the state changes, not with every reading, because notes stack up in a model's history. It is held
back by spacing (`update_every_s`) and by hysteresis (the new label must clearly lead the announced one); when spacing
delayed it, it is decided anew on the mood of that later moment, and may have become unnecessary.
"""

import math
from dataclasses import dataclass

from .context import ContextUpdate
from .emotion import ANGER, Mood

LEAD = 1.1
"""A new label must be supported by this many times the announced label's support before it is announced."""

AWAIT_READING_S = 0.25
"""An update that spacing held back is decided by the first reading after it became due. Only when none comes for this
long, the clock decides: on what was heard last, and so older than need be."""

_ADVICE = {
    "angry": "Acknowledge it in one short sentence, apologise once, then help.",
    "frustrated": "Acknowledge it in one short sentence, then get to the point.",
    "sad": "Be gentle and unhurried.",
    "fearful": "Be calm and reassuring, and say what happens next.",
    "happy": "Match the good mood briefly, then carry on.",
    "neutral": "Carry on as usual.",
}


@dataclass(frozen=True, slots=True)
class InterruptRule:
    """The built-in rule: an angry caller is not talked over."""

    name: str = "angry-interrupt"
    emotions: frozenset[str] = ANGER
    at_least: float = 0.85
    cooldown_s: float = 15.0
    """Long enough that the assistant's own apology is never the next thing cut off."""
    say: str = "I'm sorry. Please go on, I'm listening."


def note_for(mood: Mood) -> str:
    """The text for the model: compact, and saying itself that it replaces what was said before."""
    advice = _ADVICE.get(mood.emotion.label, "Take it into account.")
    return (
        f"Caller state: {mood.emotion.label} ({mood.emotion.score:.2f}, {mood.trend}). {advice} "
        "Replaces earlier caller-state notes."
    )


class Rules:
    """One call's memory of what was decided."""

    def __init__(self, rule: InterruptRule | None = None, *, update_every_s: float = 0.5) -> None:
        self._rule = rule or InterruptRule()
        self._update_every_s = update_every_s
        self._announced = "neutral"
        self._updated_at = -math.inf
        self._interrupted_at = -math.inf
        self.recheck_at = math.inf
        """When to ask again without a new reading, because spacing held an update back."""

    def decide(self, mood: Mood, now: float, *, assistant_speaking: bool) -> ContextUpdate | None:
        """The update this mood earns now, if any. It counts as made: tell the assistant."""
        interrupt = assistant_speaking and self._earns_interruption(mood, now)
        self.recheck_at = math.inf
        if not interrupt and not self._is_news(mood):
            return None
        due_at = self._updated_at + self._update_every_s
        if now < due_at:
            self.recheck_at = due_at + AWAIT_READING_S
            return None
        self._announced, self._updated_at = mood.emotion.label, now
        if interrupt:
            self._interrupted_at = now
        return ContextUpdate(mood, note_for(mood), say=self._rule.say if interrupt else None)

    def forget(self) -> None:
        """The last update reached nobody: decide as if nothing had been announced."""
        self._announced = "neutral"
        self._updated_at = self._interrupted_at = -math.inf

    def _is_news(self, mood: Mood) -> bool:
        label = mood.emotion.label
        if label not in mood.support or label == self._announced:
            return False
        if label in ANGER and self._announced not in ANGER:
            return True  # anger is told as soon as it dominates; only going back takes a clear lead
        return mood.support[label] >= LEAD * mood.support.get(self._announced, 0.0)

    def _earns_interruption(self, mood: Mood, now: float) -> bool:
        return (
            mood.emotion.label in self._rule.emotions
            and mood.emotion.score >= self._rule.at_least
            and now - self._interrupted_at >= self._rule.cooldown_s
        )
