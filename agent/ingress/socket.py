"""A media stream's WebSocket after its handshake: the ordinary way to read it, what we say on it, how it is closed.

It is read in the fast lane (`lane`) for as long as that has not ended, by whoever reads the connection, and from then
on by `receive` alone; `receive` serves the fast lane as well, where there is no hurry. What we say goes out frame by
frame; one that was broken off in the middle is the last thing ever said.
"""

from collections.abc import Callable
from contextlib import suppress
from functools import cached_property

import trio
from wsproto.utilities import LocalProtocolError

from ..errors import CallmoodError
from .frames import Frames
from .protocol import MESSAGE_LIMIT, Protocol

Closing = tuple[int, str]
"""Code and reason of a close frame."""
NORMAL: Closing = (1000, "")

PIECE = 4096
"""Bytes read at a time: the worst of them, empty fragments, take milliseconds."""
PAUSE_S = 0.01
"""After a whole piece: who sends without end gets a share of the loop and no more."""
UNSAID_LIMIT = 3 * MESSAGE_LIMIT
"""Bytes on the wire without a whole message: empty fragments and pings weigh nothing in a message's size."""
LINGER_S = 0.5
"""How long the peer is given to close first, where it has said that it is done."""
CLOSE_S = 1.0

_BROKEN = (trio.BrokenResourceError, trio.ClosedResourceError)


class LineGone(CallmoodError):
    """Nothing can be said on this socket any more."""


class Socket:
    """One. A single task reads it; any may `say`."""

    def __init__(self, stream: trio.SocketStream, rest: bytes = b"") -> None:
        """`rest`: what came behind the request."""
        self.lane = Frames()
        self.over = False
        """Nothing more will be read: the peer has closed, broken the protocol, or is gone."""
        self._stream, self._rest = stream, rest
        self._saying = trio.Lock()
        self._torn = False
        self._pausing = False
        self._unsaid = 0

    @cached_property
    def _protocol(self) -> Protocol:
        """Made when it is needed: most sockets have nothing for it until they are closed."""
        return Protocol()

    def fileno(self) -> int:
        """The connection's; it does not block."""
        return self._stream.socket.fileno()

    # --- what is read ---

    async def receive(self) -> list[str | bytes]:
        """The messages of the next piece, which may be none; none once it is `over`. Can be cancelled without loss."""
        piece = await self._piece()
        if not piece:
            self.over = True
            return []
        messages: list[str | bytes] = []
        if self.lane.ended:
            messages += self._protocol.feed(piece)
            await self._answer()
        else:
            messages += self.lane.feed(piece)
        self._unsaid = 0 if messages else self._unsaid + len(piece)
        if self._unsaid > UNSAID_LIMIT:
            self.over = self._torn = True  # cut off without a word
        return messages

    async def _piece(self) -> bytes:
        """What is to be read next, what had been read before it first; nothing at the end."""
        if self._pausing:
            await trio.sleep(PAUSE_S)
            self._pausing = False
        if self.lane.ended and self.lane.rest:
            self._rest, self.lane.rest = self.lane.rest + self._rest, b""
        try:
            if self._rest:
                await trio.lowlevel.checkpoint()
                piece, self._rest = self._rest[:PIECE], self._rest[PIECE:]
            else:
                piece = bytes(await self._stream.receive_some(PIECE))
        except _BROKEN:
            return b""
        self._pausing = len(piece) == PIECE
        return piece

    async def _answer(self) -> None:
        """Send what the protocol has to say of itself: pongs, and a close frame at the end."""
        ended = self._protocol.ended
        self.over = ended is not None
        with suppress(LineGone):
            if self._protocol.answers or ended is not None:
                await self._send(self._protocol.take_answers)

    # --- what is said ---

    async def say(self, text: str) -> None:
        """A text message. Raises LineGone. Cancelled before all of it is out, it is the last one."""
        await self._send(lambda: self._protocol.say(text))

    async def _send(self, framed: Callable[[], bytes]) -> None:
        async with self._saying:
            if self._torn:
                raise LineGone("a frame was broken off")
            try:
                data = framed()
            except LocalProtocolError:
                raise LineGone("the socket is being closed") from None
            self._torn = True
            try:
                await self._stream.send_all(data)
            except _BROKEN:
                raise LineGone("the peer is gone") from None
            self._torn = False

    # --- how it ends ---

    async def part(self, code: int, reason: str) -> None:
        """Close it, and give the peer a moment to answer. What still comes in it is read and forgotten."""
        with trio.move_on_after(LINGER_S + CLOSE_S):
            if (code, reason) == NORMAL:  # closing at the same moment as the peer does can lose both closing frames
                with trio.move_on_after(LINGER_S):
                    await self._read_out()
            if not self.over:
                with suppress(LineGone):
                    await self._send(lambda: self._protocol.close(code, reason))
                    await self._read_out()
            elif self._protocol.ended is not None and not self._protocol.ended.by_peer:
                await self._swallow()

    async def _read_out(self) -> None:
        while not self.over:
            await self.receive()

    async def _swallow(self) -> None:
        """The peer broke the protocol, and is perhaps sending still: cut off now, it might never read why."""
        with suppress(*_BROKEN):
            while await self._stream.receive_some(PIECE):  # noqa: ASYNC110 - and slowly, for nobody needs it
                await trio.sleep(PAUSE_S)
