"""Vapi's websocket transport of one call: the socket on which caller and assistant speak with one another.

Raw mu-law at 8 kHz in binary messages, both ways; texts are for control. One connection a call: a second one is refused
with 1008. Each end of a socket that networks know can be had: a close, a reset, and a reader that reads no more.
"""

from collections import deque
from contextlib import aclosing

import trio
from wsproto.events import BytesMessage, CloseConnection, TextMessage

from ..core.audio import SAMPLES_PER_MS
from .pace import FRAME_BYTES
from .sockets import ClientSocket, Closed

KEEP_BYTES = 16 * 1024 * 1024
KEEP_ARRIVALS = 200_000


class Transport:
    """What a test does at Vapi's end of it."""

    def __init__(self) -> None:
        self.heard = bytearray()
        """What the caller said, as it came; the first 16 MB."""
        self.arrivals: deque[tuple[float, int]] = deque(maxlen=KEEP_ARRIVALS)
        """Loop time and length of each message of the caller's."""
        self.sent: deque[tuple[float, int]] = deque(maxlen=KEEP_ARRIVALS)
        """The same of each message of sound of the assistant's."""
        self.texts: deque[str] = deque(maxlen=100)
        """What nobody here has a use for."""
        self.deaf = False
        """Half-open: the connection is kept, and nothing is read or answered on it, not even a ping."""
        self.opened = 0
        self.connected, self.ended = trio.Event(), trio.Event()
        self._socket: ClientSocket | None = None
        self._speaking = trio.CancelScope()
        self._changed = trio.Event()

    @property
    def closed(self) -> Closed | None:
        """How the socket ended; by `caller` is by this end, by `server` by the other."""
        return None if self._socket is None else self._socket.closed

    async def serve(self, socket: ClientSocket) -> None:
        """Whoever dials, until it goes."""
        self.opened += 1
        if self._socket is not None:
            await socket.send(CloseConnection(1008, "already connected"))
            return
        self._socket = socket
        self.connected.set()
        try:
            async with aclosing(socket.messages()) as messages:
                async for message in messages:
                    if isinstance(message, bytes):
                        self._hear(message)
                    else:
                        self.texts.append(message)
                    if self.deaf:
                        await trio.sleep_forever()
        finally:
            self._speaking.cancel()
            self.ended.set()
            self._note()

    def _hear(self, message: bytes) -> None:
        self.arrivals.append((trio.current_time(), len(message)))
        if len(self.heard) < KEEP_BYTES:
            self.heard += message
        self._note()

    def _note(self) -> None:
        self._changed.set()
        self._changed = trio.Event()

    async def wait_heard(self, count: int) -> bytes:
        """Everything heard, once it is so many bytes, or the socket has ended."""
        while len(self.heard) < count and not self.ended.is_set():
            await self._changed.wait()
        return bytes(self.heard)

    async def say(self, mulaw: bytes, *, speed: float = 1.0, piece: int = FRAME_BYTES) -> bool:
        """The assistant says this, in pieces of so many bytes, on schedule. False: it was cut off, or nobody hears."""
        await self.connected.wait()
        began, sent = trio.current_time(), 0
        with trio.CancelScope() as self._speaking:
            while sent < len(mulaw):
                if not await self.send(mulaw[sent : sent + piece]):
                    return False
                sent += piece
                await trio.sleep_until(began + sent / SAMPLES_PER_MS / 1000 / speed)
        return not self._speaking.cancelled_caught

    def hush(self) -> None:
        """It says no more of what it is saying."""
        self._speaking.cancel(reason="the assistant was interrupted")

    async def send(self, message: bytes | str) -> bool:
        """Any message at all; False: nobody is there."""
        if self._socket is None:
            return False
        if isinstance(message, bytes):
            self.sent.append((trio.current_time(), len(message)))
        return await self._socket.send(TextMessage(message) if isinstance(message, str) else BytesMessage(message))

    async def close(self, code: int = 1000) -> None:
        """Hang up."""
        if self._socket is not None:
            await self._socket.close(code)

    async def reset(self) -> None:
        """Break off: no closing handshake, RST."""
        if self._socket is not None:
            await self._socket.reset()
