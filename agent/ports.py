"""What the actors need of the outside world, each as thin as the thing it stands for.

Opening returns an async context manager, so that a connection lives and dies with a block. Nobody waits longer than
its caller's patience: functions take no timeout argument, callers write `trio.move_on_after`.
"""

from contextlib import AbstractAsyncContextManager
from typing import Protocol

from .core.audio import Gap, PcmChunk, Window
from .core.context import ContextUpdate
from .core.emotion import EmotionReading


class EngineSession(Protocol):
    """One call's ear."""

    def hear(self, sound: PcmChunk | Gap) -> None:
        """Take the next sound: every chunk and gap in order, silence included. Never waits."""

    async def read(self, window: Window) -> EmotionReading:
        """The newest belief, no older than the window. Raises EngineUnavailable or EngineRefused."""


class Engine(Protocol):
    """What judges windows; one, shared by many calls."""

    name: str

    def open(self, call_sid: str) -> AbstractAsyncContextManager[EngineSession]: ...


class AssistantSession(Protocol):
    """One call's way to the assistant. Both return once its platform has accepted what was said.

    Both raise AssistantUnavailable (try again), AssistantRefused (do not), CallGone (stop telling).
    """

    async def tell(self, update: ContextUpdate) -> None:
        """Put the note before the model, silently."""

    async def cut_off(self, sentence: str) -> None:
        """Stop the assistant's present speech and have it say this instead."""


class Assistant(Protocol):
    """The platform speaking with the caller."""

    name: str

    def open(self, call_sid: str) -> AbstractAsyncContextManager[AssistantSession]: ...


class Transfers(Protocol):
    """Handing a caller over to a human, the way the attach mode allows."""

    async def transfer(self, call_sid: str, destination: str) -> None:
        """Connect the caller to a number (E.164) or SIP address. Returns once the platform has accepted; it tells later
        if nobody answers there. Raises as an assistant's session does."""


class Timeline(Protocol):
    """What happened in one call, in order, as it happens."""

    def record(self, event: str, **fields: object) -> None:
        """Note one event (names and fields: the public interface). Never waits, never fails."""


class Line(Protocol):
    """The socket on which a call's audio arrives, as seen from the call."""

    def hang_up(self, code: int, reason: str) -> None:
        """Have it closed with this WebSocket code, soon. Never waits; harmless when it is closed already."""


class Ledger(Protocol):
    """What we keep of calls: never audio, and no words unless a setting says so."""

    def append(self, call_sid: str, line: bytes) -> None:
        """Keep one line of the timeline (JSON, no newline). Never waits: a slow disk costs lines, counted, not time."""

    async def flush(self) -> None:
        """Everything appended so far survives this process when this returns. Raises LedgerUnavailable."""

    async def timeline(self, call_sid: str) -> list[bytes]:
        """The lines of one call, oldest first; empty when it is unknown."""

    async def milestones(self) -> list[bytes]:
        """The first and last line of every call kept (`call.started`, `call.ended`), oldest first."""
