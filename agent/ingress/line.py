"""One line of one call: from the first message of its socket to the last, whoever reads it.

Until `start` has come, and after the fast lane has ended, the line's own task reads; in between the sweep does, and the
task is parked. What a message does, it does at once and without waiting, in whichever task: the token is redeemed, the
mailbox hears a frame, the relay learns of a mark.
"""

from math import ceil

import trio

from ..calls.call import Call
from ..calls.mailbox import SUPERSEDED
from ..core.audio import MediaFrame
from ..errors import BadMessage
from ..ports import Relay
from ..rounds import ROUND_S, ROUNDS_A_BLOCK
from ..telephony.twilio import KeyPressed, LineEnded, LineStarted, MarkPlayed, MediaStream
from .faults import Faults
from .socket import NORMAL, Closing, LineGone, Socket
from .sweep import Sweep

START_S = 5.0
"""How long `start`, which carries the token, is waited for."""

BAD_TOKEN: Closing = (1008, "Invalid token")
NOT_READING: Closing = (1008, "Not taking data")
UNREADABLE: Closing = (1008, "Too many unreadable messages")


class SocketLine:
    """One socket of one call (`ports.Line`)."""

    def __init__(self, socket: Socket, call: Call, sweep: Sweep) -> None:
        self._socket, self._call, self._sweep = socket, call, sweep
        self._messages = MediaStream()
        self._faults = Faults(call.call_sid)
        self._stream_sid: str | None = None  # None until it is let in
        self._reading = trio.CancelScope()
        self._closing: Closing | None = None  # how to close, once it is over

    def hang_up(self, code: int, reason: str) -> None:
        if (code, reason) == SUPERSEDED:  # what has come by now is still this line's
            self._sweep.look(self)
        self._closing = (code, reason)
        self._reading.cancel()

    async def read(self) -> Closing:
        """Take the call over, and pass on what comes until either side ends it; says how to close."""
        with self._reading:
            with trio.move_on_after(START_S):
                while self._stream_sid is None and self._goes_on:
                    await self._receive()
            if self._stream_sid is None:
                return self._closing or BAD_TOKEN
            await self._talk(self._stream_sid)
        return self._closing or NORMAL

    async def _talk(self, stream_sid: str) -> None:
        relay = self._call.relay
        if relay is None:
            await self._listen(urgent=False)
            return
        try:
            async with trio.open_nursery() as talking:
                talking.start_soon(self._play, relay, stream_sid)
                await self._listen(urgent=True)
                talking.cancel_scope.cancel()
        except* LineGone:
            pass

    async def _play(self, relay: Relay, stream_sid: str) -> None:
        """Let the caller hear the assistant; the line ends when it takes nothing any more."""
        await relay.play(stream_sid, self._socket.say)
        self.hang_up(*NOT_READING)

    # --- what comes ---

    async def _listen(self, *, urgent: bool) -> None:
        """In the fast lane for as long as that goes on, and then the ordinary way."""
        if self._goes_on and not self._socket.lane.ended:
            await self._sweep.listen(self._socket.fileno(), self, urgent=urgent)
        while self._goes_on:
            await self._receive()
            if not urgent:
                await self._call.mailbox.catch_up()

    @property
    def _goes_on(self) -> bool:
        return self._closing is None and not self._socket.over

    async def _receive(self) -> None:
        messages = await self._socket.receive()
        now = trio.current_time()
        for message in messages:
            if self._closing is None:
                self._take(message, now)

    def hear(self, data: bytes, now: float) -> int:
        """What the sweep has read (`sweep.Swept`)."""
        if not data:
            self._socket.over = True
            return 0
        lane, mailbox = self._socket.lane, self._call.mailbox
        messages = lane.feed(data)
        frames = self._messages.run_of_frames(messages, now) if self._closing is None else ()
        if frames:
            mailbox.hear(self, *frames)
            self._faults.made_up_for(len(frames))
        for message in messages[len(frames) :]:
            self._take(message, now)
            if self._closing is not None:
                return 0
        return 0 if lane.ended else _rounds(mailbox.idle_s(now))

    def keeps_up(self) -> bool:
        return self._call.mailbox.keeps_up

    def _take(self, message: str | bytes, now: float) -> None:
        """What one message says, done. One that cannot be read is skipped and counted."""
        try:
            event = self._messages.feed(message, now)
        except BadMessage as error:
            self._skip(str(error))
            return
        if isinstance(event, MediaFrame):
            self._call.mailbox.hear(self, event)
        elif isinstance(event, LineStarted):
            self._join(event)
        elif isinstance(event, MarkPlayed) and self._call.relay is not None:
            self._call.relay.played(event.name)
        elif isinstance(event, KeyPressed):
            self._call.key_pressed(event.digit)
        elif isinstance(event, LineEnded):
            self._closing = NORMAL

    def _join(self, started: LineStarted) -> None:
        """Take the call over, if the token is good for it."""
        serial = self._call.redeem(started.token or "") if started.call_sid == self._call.call_sid else None
        if serial is None:
            self._closing = BAD_TOKEN
        elif not self._call.mailbox.connect(self, serial):
            self._closing = SUPERSEDED
        else:
            self._stream_sid = self._call.stream_sid = started.stream_sid

    def _skip(self, reason: str) -> None:
        self._faults.add(reason)
        if self._faults.too_many:
            self._closing = BAD_TOKEN if self._stream_sid is None else UNREADABLE


def _rounds(idle_s: float) -> int:
    """After how many a line is asked again that may wait for so long. One that waits for sound alone is asked once a
    block: a key or an end is noticed within 200 ms."""
    return max(1, min(ROUNDS_A_BLOCK, ceil(idle_s / ROUND_S)))
