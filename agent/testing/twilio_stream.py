"""The socket of one media stream, seen from Twilio's side."""

from base64 import b64decode
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from secrets import token_hex

import trio
from wsproto.events import BytesMessage, TextMessage

from ..telephony.twiml import StreamPlan
from . import twilio_messages as messages
from .pace import Pace, Schedule, SendLog, frames_of
from .playback import Playback
from .sockets import ClientSocket, Closed

CLOSE_PATIENCE_S = 5.0
"""How long the server's answer to a closing handshake is waited for."""
KEEP_AUDIO = 16 * 1024 * 1024
KEEP_ARRIVALS = 200_000
KEEP_RECEIVED = 1_000
"""How many of the server's messages are kept: the newest."""


@dataclass(frozen=True, slots=True)
class Received:
    """One message from the server."""

    at: float
    """Loop time."""
    message: Mapping[str, object]
    """Empty when it was not a JSON object."""
    error: int | None
    """The number under which Twilio would have logged it, where it objects."""

    @property
    def event(self) -> str:
        return str(self.message.get("event", ""))


class CallerStream:
    """One open stream: what can be done to the server through it, and what came back."""

    def __init__(self, socket: ClientSocket, who: messages.Identity, plan: StreamPlan, pace: Pace) -> None:
        self.stream_sid = "MZ" + token_hex(16)
        self.received: deque[Received] = deque(maxlen=KEEP_RECEIVED)
        self.audio = bytearray()
        """What the server gave to be played, without what it took back again by `clear` before it had been; the first
        16 MB."""
        self.arrivals: deque[tuple[float, int]] = deque(maxlen=KEEP_ARRIVALS)
        """Loop time and length of each piece of it."""
        self.frames_sent = 0
        self.frames_lost = 0
        self.max_lag_s = 0.0
        """Loop seconds by which the latest frame missed its schedule: how well this caller kept time."""
        self.started_at: float | None = None
        """Loop time of the first sample."""
        self.sent_last_at: float | None = None
        """Loop time of the latest message that was not lost."""
        self._socket = socket
        self._who = who
        self._plan = plan
        self._schedule = Schedule(pace)
        self.log = SendLog()
        self._playback = Playback(pace.speed)
        self._sequence = 0
        self._chunk = 0
        self._stopped = False
        self._silent = False
        self._ended = trio.Event()
        self._arrived = trio.Event()
        self._marks_due = trio.CancelScope()
        self._listening = trio.CancelScope()

    @property
    def closed(self) -> Closed | None:
        """How the socket ended; None while it is open."""
        return self._socket.closed

    def sent_at(self, media_ms: int) -> float:
        """Loop time at which the audio up to `media_ms` was out (see SendLog)."""
        return self.log.sent_at(media_ms)

    async def wait_closed(self) -> Closed:
        """Returns when the server has closed the socket."""
        await self._ended.wait()
        return self._socket.closed or Closed(1006, "", "caller")

    async def wait_for(self, predicate: Callable[[Received], bool]) -> Received:
        """The first message of the server's, past or to come, for which it holds."""
        while True:
            arrived = self._arrived
            for received in self.received:
                if predicate(received):
                    return received
            await arrived.wait()

    # What a Twilio does by itself.

    async def greet(self) -> None:
        """`connected` and `start`."""
        await self.send_raw(messages.CONNECTED)
        await self.send_start()

    async def play(self, mulaw: bytes) -> bool:
        """Send this audio, on schedule; False when the stream ended before it did. After the first time it goes on
        where the schedule stands, so that nothing drifts."""
        if self.started_at is None:
            self.started_at = trio.current_time()
        for payload in frames_of(mulaw):
            slot = self._schedule.next()
            due = self.started_at + slot.at_s
            await trio.sleep_until(due)
            if self._silent or self.closed is not None:
                return False
            self._sequence += 1
            self._chunk += 1
            if slot.lost:
                self.frames_lost += 1
                continue
            now = trio.current_time()
            text = messages.media(self.stream_sid, self._sequence, self._chunk, slot.media_ms, payload)
            if not await self.send_raw(text):
                return False
            self.log.note(slot.index, now)
            self.frames_sent += 1
            self.max_lag_s = max(self.max_lag_s, now - due)
        return True

    async def pause(self, ms: int) -> None:
        """Send nothing for this long while the media clock runs on."""
        if self.started_at is None:
            self.started_at = trio.current_time()
        await trio.sleep_until(self.started_at + self._schedule.pause(ms))

    async def press(self, digit: str) -> None:
        self._sequence += 1
        await self.send_raw(messages.dtmf(self.stream_sid, self._sequence, digit))

    async def hang_up(self, *, stop: bool = True) -> None:
        """End the stream as Twilio does: `stop`, then the closing handshake. Does nothing the second time."""
        if self._silent or self._stopped or self.closed is not None:
            return
        self._stopped = True
        if stop:
            self._sequence += 1
            await self.send_raw(messages.stop(self._who, self.stream_sid, self._sequence))
        if await self._socket.close():
            with trio.move_on_after(CLOSE_PATIENCE_S):
                await self._ended.wait()

    # What a Twilio should not do, and networks do.

    async def send_start(self) -> None:
        """A `start`; the second one on a socket is a fault."""
        self._sequence += 1
        await self.send_raw(messages.start(self._who, self._plan, self.stream_sid, self._sequence))

    async def send_raw(self, message: str | bytes) -> bool:
        """Any message at all; False when the stream has ended."""
        if self._silent:
            return False
        self.sent_last_at = trio.current_time()
        return await self._socket.send(TextMessage(message) if isinstance(message, str) else BytesMessage(message))

    async def reset(self) -> None:
        """Break off: no `stop`, no closing handshake, RST."""
        self._silent = True
        await self._socket.reset()

    def fall_silent(self) -> None:
        """Go half-open, as behind a tunnel: the connection stays up until the block ends, but nothing is sent, read or
        answered any more, not even a ping."""
        self._silent = True
        self.leave()

    # What goes on behind it.

    async def run(self) -> None:
        """Take in what the server says, and return its marks, until the socket ends or `leave` is called."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._return_marks)
            with self._listening:
                await self._listen()
            self._ended.set()
            nursery.cancel_scope.cancel(reason="the stream has ended")

    def leave(self) -> None:
        """Read nothing more."""
        self._listening.cancel(reason="the caller has left")

    async def _listen(self) -> None:
        async for text in self._socket.messages():
            said, error = messages.read(text, self._plan, self.stream_sid)
            self.received.append(received := Received(trio.current_time(), said, error))
            if error is None:
                self._hear(said, received.at)
                self._playback.take(said, received.at)
                self._marks_due.deadline = self._playback.next_at
            self._arrived.set()
            self._arrived = trio.Event()

    def _hear(self, said: Mapping[str, object], now: float) -> None:
        match said:
            case {"event": "media", "media": {"payload": str(payload)}}:
                with suppress(ValueError):  # not base64: nothing that could be played
                    self._play(b64decode(payload, validate=True), now)
            case {"event": "clear"}:
                if unplayed := self._playback.unplayed_bytes(now):
                    del self.audio[-unplayed:]

    def _play(self, sound: bytes, now: float) -> None:
        self.arrivals.append((now, len(sound)))
        if len(self.audio) < KEEP_AUDIO:
            self.audio += sound

    async def _return_marks(self) -> None:
        """Send each mark back when it is due."""
        while True:
            with trio.CancelScope(deadline=self._playback.next_at) as self._marks_due:
                await trio.sleep_forever()
            for name in self._playback.due(trio.current_time()):
                self._sequence += 1
                await self.send_raw(messages.mark(self.stream_sid, self._sequence, name))
