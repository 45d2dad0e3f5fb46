"""What the actors need of the outside world, each as thin as the thing it stands for.

Opening returns an async context manager, so that a connection lives and dies with a block. Nobody waits longer than
its caller's patience: functions take no timeout argument, callers write `trio.move_on_after`.
"""

from collections.abc import Awaitable, Callable, Collection
from contextlib import AbstractAsyncContextManager
from typing import Protocol, runtime_checkable

from .core.audio import Gap, PcmChunk, Window
from .core.context import ContextUpdate, CutOff
from .core.emotion import EmotionReading


class EngineSession(Protocol):
    """One call's ear."""

    def hear(self, sound: PcmChunk | Gap) -> None:
        """Take the next sound: every chunk and gap in order, silence included. Never waits."""

    async def read(self, window: Window) -> EmotionReading | None:
        """The newest belief, no older than the window; None while an engine that answers in its own time has nothing
        new to say. Raises EngineUnavailable or EngineRefused."""


@runtime_checkable
class Forgetful(Protocol):
    """What holds something of the caller's, and can be told to throw it away: a session of an engine, where it can."""

    def forget(self) -> None:
        """Overwrite it. Never waits, never fails; nothing more will be asked of it."""


@runtime_checkable
class Prompt(Protocol):
    """A session that mostly has its answer at hand."""

    def read_at_once(self, window: Window) -> EmotionReading | None:
        """What `read` returns, where it need not wait for that; else None. Never waits, raises as `read` does."""


class Engine(Protocol):
    """What judges windows; one, shared by many calls."""

    name: str

    def open(self, call_sid: str) -> AbstractAsyncContextManager[EngineSession]: ...


class AssistantSession(Protocol):
    """One call's way to the assistant. Both return once its platform has accepted what was said.

    Both raise AssistantUnavailable (try again), AssistantRefused (do not), CallGone (stop telling).
    """

    async def tell(self, update: ContextUpdate) -> None:
        """Put the update's text before the model, silently."""

    async def cut_off(self, sentence: str) -> CutOff | None:
        """Stop the assistant's present speech and have it say this instead. What the caller has heard of it, where the
        session knows."""


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


class Relay(Protocol):
    """Carries a call's audio both ways between its line and the assistant, where we are the media path. It outlives the
    call's tree; nothing here but `play` waits."""

    @property
    def speaking(self) -> bool:
        """There is something of the assistant's that the caller has yet to hear."""

    def heard_ms(self) -> int | None:
        """How much of the assistant's present turn the caller has heard; None while there is none."""

    def turn(self, *, started: bool) -> None:
        """The assistant's platform says that a turn of its speech began or ended."""

    def assistant_ended(self) -> None:
        """The assistant's platform says that the call is over there."""

    async def play(self, stream_sid: str, send: Callable[[str], Awaitable[None]]) -> None:
        """Give a line the assistant's voice, as messages of the carrier's, until cancelled."""

    def played(self, mark: str) -> None:
        """The line says that everything sent before this mark has been heard."""

    def line_ended(self) -> None:
        """The line that counted is gone, and no other is on its way."""

    def end(self, code: int, reason: str) -> None:
        """Have line and relay closed, soon."""


class Ledger(Protocol):
    """What we keep of calls: never audio, no full number, and no words unless a setting says so. An id that is used
    again names the latest of its calls. What never waits may lose its oldest to a slow disk: lost steps and lines are
    counted, and their call is marked incomplete."""

    def begin(self, call_sid: str, *, caller: str, model: str = "") -> None:
        """A new call of this id. Of the caller's number the last two digits are kept, and a keyed hash by which its
        calls can be found; `model` says who judges. Never waits."""

    def append(self, call_sid: str, line: bytes) -> None:
        """Keep one line of the timeline (JSON, no newline). Never waits."""

    def keep(self, call_sid: str, step: bytes) -> None:
        """Keep one step of what decided, opaque, in order. Never waits."""

    def know(self, call_sid: str, kind: str, text: str) -> str:
        """Keep a text (`rules`) that this call needs, once for all calls, and until the last of them has gone; its
        SHA-256 in hexadecimal. Never waits."""

    async def flush(self) -> None:
        """Everything given so far survives this process when this returns. Raises LedgerUnavailable."""

    async def timeline(self, call_sid: str) -> list[bytes]:
        """The lines of one call, oldest first; empty when it is unknown. Raises LedgerUnavailable, as all below."""

    async def call(self, call_sid: str) -> bytes | None:
        """The entry (JSON, as in `GET /calls`) of a call that has ended."""

    async def calls(self, limit: int, before: tuple[str, str] | None = None) -> list[bytes]:
        """The entries of calls that have ended, the newest beginning first: at most `limit`, of those that began before
        this instant (ISO 8601, UTC, milliseconds), or at it with an id that sorts before this one."""

    async def unfinished(self, limit: int) -> list[str]:
        """The ids of calls without an end, the newest first: they live, or their process was killed."""

    async def newest(self, call_sids: Collection[str]) -> dict[str, bytes]:
        """The newest line of each of these calls that has one."""

    async def known(self, call_sids: Collection[str]) -> set[str]:
        """Which of these have not been forgotten since, by this process or another."""

    async def forget(self, call_sid: str) -> bool:
        """Remove every call of this id, so that nothing of it is left on the disk; whether there was one."""
