"""Vapi's listen socket of one call: whoever may listen hears caller and assistant on channels of their own.

One way only: a listener that says anything has misunderstood, and what it said is kept for a test to see. Each end of a
socket that networks know can be had: a close, a reset, silence, and a listener that is no longer heard.
"""

from collections import deque

import numpy as np
import trio
from numpy.typing import NDArray
from wsproto.events import BytesMessage, CloseConnection, TextMessage

from ..core import mulaw
from .pace import FRAME_BYTES, FRAME_MS, frames_of
from .sockets import ClientSocket

START = '{"type":"start","encoding":"linear16","container":"raw","sampleRate":%d,"channels":%d}'


class ListenSocket:
    """What a test does to those who listen to one call."""

    def __init__(self) -> None:
        self.sample_rate, self.channels = 16_000, 2
        """Hz, a multiple of 8000; 1 channel is a mixture of both voices."""
        self.announces = False
        """Whether a JSON text says so first."""
        self.deaf = False
        """Half-open: connections are kept, and nothing is read or answered on them, not even a ping."""
        self.opened = 0
        """Connections so far."""
        self.said: deque[str | bytes] = deque(maxlen=100)
        """What listeners sent, which they never should."""
        self._listeners: set[ClientSocket] = set()
        self._arrived = trio.Event()

    @property
    def listening(self) -> int:
        """Listeners now."""
        return len(self._listeners)

    async def serve(self, socket: ClientSocket) -> None:
        """One listener, until it goes."""
        self.opened += 1
        self._listeners.add(socket)
        try:
            if self.announces:
                await socket.send(TextMessage(START % (self.sample_rate, self.channels)))
            self._arrived.set()
            self._arrived = trio.Event()
            if self.deaf:
                await trio.sleep_forever()
            async for message in socket.messages():
                self.said.append(message)
        finally:
            self._listeners.discard(socket)

    async def wait_listened(self) -> None:
        """Returns when somebody listens."""
        while not self._listeners:
            await self._arrived.wait()

    async def play(self, caller: bytes, assistant: bytes = b"", *, speed: float = 1.0) -> None:
        """Both voices, mu-law at 8 kHz, on schedule in messages of 20 ms; the shorter one is filled up with silence."""
        length = max(len(caller), len(assistant))
        silence = bytes([mulaw.SILENCE])
        began, pairs = (
            trio.current_time(),
            zip(frames_of(caller.ljust(length, silence)), frames_of(assistant.ljust(length, silence)), strict=True),
        )
        for number, (one, other) in enumerate(pairs, 1):
            await self.send(self._encoded(mulaw.decode(one), mulaw.decode(other)))
            await trio.sleep_until(began + number * FRAME_MS / 1000 / speed)

    def _encoded(self, caller: NDArray[np.int16], assistant: NDArray[np.int16]) -> bytes:
        """One frame of each as the socket carries them; the higher rate by holding each sample."""
        times = self.sample_rate // 8_000
        if self.channels == 1:
            mixed = (caller.astype(np.int32) + assistant).clip(-32768, 32767).astype("<i2")
            return np.repeat(mixed, times).tobytes()
        voices = np.zeros((FRAME_BYTES, self.channels), dtype="<i2")
        voices[:, 0], voices[:, 1] = caller, assistant
        return np.repeat(voices, times, axis=0).tobytes()

    async def send(self, message: str | bytes) -> None:
        """Any message at all, to everybody who listens."""
        event = TextMessage(message) if isinstance(message, str) else BytesMessage(message)
        for socket in list(self._listeners):
            await socket.send(event)

    async def send_raw(self, data: bytes) -> None:
        """Bytes that need not be WebSocket."""
        for socket in list(self._listeners):
            await socket.send_raw(data)

    async def close(self, code: int = 1000) -> None:
        for socket in list(self._listeners):
            await socket.send(CloseConnection(code))

    async def reset(self) -> None:
        """RST, without a word."""
        for socket in list(self._listeners):
            self._listeners.discard(socket)
            await socket.reset()
