"""What is said to the assistant."""

from dataclasses import dataclass, replace

from .emotion import Mood


@dataclass(frozen=True, slots=True)
class ContextUpdate:
    """One statement about the mood, meant for the assistant."""

    mood: Mood
    note: str
    """The text for the model. It replaces earlier notes by saying so: notes only ever stack up in a model's history."""
    say: str | None = None
    """Set when the assistant is to be cut off: the short sentence it says instead of going on."""

    @property
    def barge_in(self) -> bool:
        return self.say is not None

    def replacing(self, older: "ContextUpdate") -> "ContextUpdate":
        """This update in the place of one that was never sent. A pending interruption is not forgotten."""
        return self if self.say is not None else replace(self, say=older.say)
