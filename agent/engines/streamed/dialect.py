"""What differs between vendors: where they are, and what their messages mean."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from ...core.emotion import Source
from ...errors import EngineRefused, EngineUnavailable
from ..expressions import Expressions

_CODE_WORD = re.compile(r"[a-z]+(_[a-z]+){0,7}", re.ASCII)


def code_word(value: object) -> str:
    """A vendor's code for what is wrong, as it may be logged and shown; what is none could hold anything, our own key
    included."""
    return value if isinstance(value, str) and len(value) <= 64 and _CODE_WORD.fullmatch(value) else "unknown"


@dataclass(frozen=True, slots=True)
class Send:
    """Answer with this message."""

    text: str


@dataclass(frozen=True, slots=True)
class Ready:
    """It knows us and is configured: audio may flow."""


@dataclass(frozen=True, slots=True)
class Alive:
    """It said something that shows it hears."""


@dataclass(frozen=True, slots=True)
class Measured:
    """What it heard in a stretch of the audio it has accepted."""

    start_ms: int
    """Of accepted audio on this connection, as is the end."""
    end_ms: int
    scores: Mapping[str, float]
    """Over our labels, 0 to 1; they need not sum to 1."""


@dataclass(frozen=True, slots=True)
class FrameRefused:
    """It did not take the last frame; `too_fast`: and wants a pause."""

    too_fast: bool = False


@dataclass(frozen=True, slots=True)
class Over:
    """There is nothing more to come on this connection."""

    error: EngineUnavailable | EngineRefused


Fact = Send | Ready | Alive | Measured | FrameRefused | Over


class Dialect(Protocol):
    """One connection's side of the conversation. No I/O, no clock."""

    def feed(self, message: str | bytes) -> Iterable[Fact]:
        """What a message means. What cannot be read means nothing: it is never an exception."""

    def closed(self, code: int) -> EngineUnavailable | EngineRefused:
        """What the end of the connection means, by its close code (1006: without a word)."""


class Vendor(Protocol):
    """One vendor, for all connections."""

    name: str
    """As in CALLMOOD_ENGINE."""
    source: Source
    """As readings say it."""
    title: str
    """As people say it."""
    url: str
    subprotocols: Sequence[str]
    ping_s: float
    quiet_ms: int
    """Speech sent, and nothing said about it, after which the vendor is stalled."""
    goodbye: str
    """What is sent before leaving."""
    expressions: Expressions
    """How its names become our labels."""

    @property
    def headers(self) -> Sequence[tuple[str, str]]:
        """Credentials among them."""

    def dialect(self) -> Dialect:
        """For a new connection."""

    def refused(self, status: int) -> EngineUnavailable | EngineRefused:
        """What another status than 101 means for the handshake."""
