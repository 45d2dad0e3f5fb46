"""What is said to the assistant, and what came of cutting it off."""

from dataclasses import dataclass, field, replace
from typing import Literal

from .emotion import Mood

WORDS_KEPT = 5
"""Of an operator's texts that could not be told yet, the newest so many are."""


@dataclass(frozen=True, slots=True)
class ContextUpdate:
    """One statement about the mood, or an operator's own, meant for the assistant."""

    mood: Mood
    note: str
    """The text for the model. It replaces earlier notes by saying so: notes only ever stack up in a model's history.
    Empty: nothing is to be said of the mood."""
    say: str | None = None
    """Set when the assistant is to be cut off: the short sentence it says instead of going on."""
    words: tuple[str, ...] = field(default=(), repr=False)
    """What an operator wants the model to know. It goes out with the note, and no newer note takes its place."""
    reason: Literal["emotion_escalation", "operator"] = "emotion_escalation"
    """Why the assistant is cut off."""
    decided_at: float | None = None
    """Loop time of the decision that it comes of, where that is known."""
    why: str = field(default="", compare=False)
    """Why it was decided, in plain words, for whoever looks on."""
    cut_why: str = field(default="", compare=False)
    """Why the assistant is cut off, where that was decided earlier."""

    @property
    def barge_in(self) -> bool:
        return self.say is not None

    @property
    def text(self) -> str:
        """Everything the model is to be told, in one message; empty: nothing."""
        return "\n\n".join(part for part in (self.note, *self.words) if part)

    def replacing(self, older: "ContextUpdate") -> "ContextUpdate":
        """This update in the place of one that was never sent. A pending interruption is not forgotten, nor are an
        operator's words; and where this one says nothing of the mood, what the older one said still holds."""
        words = (*older.words, *self.words)[-WORDS_KEPT:]
        why = older.why if older.note and not self.note else self.why
        newer = replace(self, note=self.note or older.note, words=words, why=why)
        if self.say is not None or older.say is None:
            return newer
        return replace(newer, say=older.say, reason=older.reason, cut_why=older.cut_why or older.why)

    def without_interruption(self) -> "ContextUpdate":
        return replace(self, say=None, reason="emotion_escalation", cut_why="")


@dataclass(frozen=True, slots=True)
class CutOff:
    """How far the assistant got in the turn that was cut off, where the way in knows that better than the clock."""

    heard_ms: int | None = None
    """Milliseconds of the turn that the caller has really heard."""
    unheard: str | None = field(default=None, repr=False)
    """The words of the turn that the caller has not heard."""
