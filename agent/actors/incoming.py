"""What comes into a call's `readings`, and what it shares with whoever takes it out."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal, NamedTuple, Protocol

from ..core.emotion import EmotionReading, Gated, Mood


class Incoming:
    """What comes in: a reading, or an order."""

    __slots__ = ()


class Verdict(NamedTuple):
    """What became of a reading."""

    refused: Gated | None
    mood: Mood
    buffer_size: int


@dataclass(slots=True)  # not frozen: that would take three times as long to make, five times a second
class Heard(Incoming):
    """A reading on its way in."""

    reading: EmotionReading
    answer: Callable[[Verdict], None] | None = None
    """Told at once what became of it, where somebody waits to know."""


@dataclass(frozen=True, slots=True)
class Order(Incoming):
    """What an operator wants done. A transfer has been claimed by then."""

    action: Literal["interrupt", "context", "transfer"]
    text: str = field(default="", repr=False)
    """For the model, in the operator's own words; or the destination of a transfer, empty for the one that is set."""


class CallState(Protocol):
    """What the aggregator shares with the rest of its call."""

    @property
    def assistant_attached(self) -> bool:
        """There is somebody to tell."""

    @property
    def assistant_speaking(self) -> bool: ...

    @property
    def handed_over(self) -> bool:
        """The caller speaks with a human: there is nothing more to decide."""

    @property
    def may_transfer(self) -> bool:
        """No rule has asked for a human yet."""

    def claim_transfer(self, rule: str) -> bool:
        """Ask for a human in a rule's name. False: somebody else has."""

    def believe(self, verdict: Verdict) -> None:
        """Take note of the newest belief."""
