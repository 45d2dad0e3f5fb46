"""The relay: one call's audio, both ways, between the carrier's line and the assistant's socket (attach mode `bridge`).

It lies outside the call's crash circle. Lines bring frames by the call's mailbox and take the assistant's voice by
`play`; the assistant's socket is served by `carry`. Either may go and another come. Each frame of the caller's is one
binary message, sent at once and as it is, silence included; half a minute of them may wait. What cannot be passed on
for seconds ends the relay: of neither voice is anything left out, but for what an interruption drops.
"""

from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Literal, Protocol

import msgspec
import trio

from ..actors.receiver import goes_quiet
from ..calls.call import Call
from ..core.audio import MediaFrame
from ..core.context import CutOff
from .voice import TAKES_S, Voice, unheard

FRAMES_WAITING = 1500
BYTES_WAITING = 160 * FRAMES_WAITING
TEXT_LIMIT = 64 * 1024
"""Characters of a text message of the assistant's that is read; a longer one says nothing we need."""

How = Literal["caller left", "caller never came", "line quiet", "assistant ended", "assistant lost", "told to"]


@dataclass(frozen=True, slots=True)
class Parting:
    """Why the two are no longer connected."""

    how: How
    reason: str = ""
    code: int = 1000
    """With which, and the reason, the line is to be closed."""


class Socket(Protocol):
    """The assistant's, as trio-websocket has it. What its methods raise is for the caller to know."""

    async def send_message(self, message: str | bytes) -> None: ...
    async def get_message(self) -> str | bytes: ...
    async def ping(self, payload: bytes | None = None) -> None: ...


class _Words(msgspec.Struct):
    """What we use of a text message of the assistant's."""

    type: str = ""
    role: str = ""
    status: str = ""


_words = msgspec.json.Decoder(_Words)


class Relay:
    """One call's (`ports.Relay`). Made before its line comes; `parted` says that it has ended, and `parting` why."""

    def __init__(self, call: Call) -> None:
        self.call = call
        self._frames, self._frames_out = trio.open_memory_channel[bytes](FRAMES_WAITING)
        self._waiting = 0
        self._voice = Voice(lambda speaking: call.assistant_turn(started=speaking))
        self._heard_at = trio.current_time()
        self.line_came, self.line_gone = trio.Event(), trio.Event()
        self.assistant_over, self.parted = trio.Event(), trio.Event()
        self.parting: Parting | None = None
        call.relay, call.mailbox.sink = self, self.hear

    def part(self, how: How, reason: str = "", code: int = 1000) -> None:
        """End it. What ended it first counts."""
        if self.parting is None:
            self.parting = Parting(how, reason, code)
            self.parted.set()

    def end(self, code: int, reason: str) -> None:
        self.part("told to", reason, code)

    # --- its line ---

    def hear(self, frame: MediaFrame) -> None:
        """Take a frame of the caller's."""
        self._heard_at = frame.heard_at
        self._voice.settle()
        self._waiting += len(frame.payload)
        try:
            if self._waiting > BYTES_WAITING:  # frames may be far longer than they should be
                raise trio.WouldBlock
            self._frames.send_nowait(frame.payload)
        except trio.WouldBlock:
            self.part("assistant lost", "Vapi's socket does not take the caller's voice")

    def line_ended(self) -> None:
        self.line_gone.set()
        self._voice.stop()
        self.part("caller left")

    async def play(self, stream_sid: str, send: Callable[[str], Awaitable[None]]) -> None:
        self._heard_at = trio.current_time()
        self.line_came.set()
        await self._voice.play(stream_sid, send)

    def played(self, mark: str) -> None:
        self._voice.played(mark)

    async def wait_quiet(self, line_quiet_s: float) -> None:
        """Returns when no frame has come for so long: carriers send them through silence too."""
        await goes_quiet(lambda: self._heard_at, line_quiet_s, self.parted)

    # --- the assistant's socket ---

    async def carry(self, socket: Socket, *, ping_every_s: float) -> None:
        """Serve the assistant's socket until cancelled. Raises what its methods raise, in a group."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._pass_frames_on, socket)
            nursery.start_soon(self._ping, socket, ping_every_s)
            while True:
                message = await socket.get_message()
                if isinstance(message, bytes):
                    await self._voice.put(message)
                elif len(message) <= TEXT_LIMIT:
                    self._read(message)

    async def _pass_frames_on(self, socket: Socket) -> None:
        async for payload in self._frames_out:
            self._waiting -= len(payload)
            with trio.move_on_after(TAKES_S) as patience:
                await socket.send_message(payload)
            if patience.cancelled_caught:
                self.part("assistant lost", "Vapi's socket takes nothing any more")
                return

    async def _ping(self, socket: Socket, every_s: float) -> None:
        while True:
            await trio.sleep(every_s)
            with trio.move_on_after(TAKES_S) as patience:
                await socket.ping()
            if patience.cancelled_caught:
                self.part("assistant lost", "Vapi's socket answers no ping")
                return

    def _read(self, text: str) -> None:
        """A text message. Some say what the assistant does, in the order of its sound; anything else is passed over."""
        with suppress(msgspec.DecodeError, UnicodeEncodeError, RecursionError):
            words = _words.decode(text)
            if words.type == "speech-update" and words.role == "assistant" and words.status in ("started", "stopped"):
                self.turn(started=words.status == "started")
            elif words.type == "hangup" or (words.type == "status-update" and words.status == "ended"):
                self.assistant_ended()

    def assistant_ended(self) -> None:
        self.assistant_over.set()

    async def wait_heard(self) -> None:
        """Returns when the caller has heard everything the assistant has said."""
        await self._voice.wait_heard()

    # --- turns ---

    @property
    def speaking(self) -> bool:
        return self._voice.speaking

    def heard_ms(self) -> int | None:
        return self._voice.heard_ms()

    def turn(self, *, started: bool) -> None:
        self._voice.turn(started=started)

    def flush(self) -> CutOff | None:
        """Silence the assistant at once; what was cut off. None, and nothing is done, while nothing is to be heard."""
        text = self.call.turn_text
        cut = self._voice.flush()
        if cut is None:
            return None
        return CutOff(cut.heard_ms, unheard(text, cut) if text else None)

    async def wait_flushed(self) -> None:
        """Returns when the carrier has been told."""
        await self._voice.wait_cleared()
