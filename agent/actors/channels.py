"""What the actors speak through: Trio's memory channels, each of which says what it does when it is full.

A bounded channel is a promise in two parts: how much may wait, and who pays when more comes. Where the sender must
never wait, the oldest item pays and is counted; where nothing may be lost, the sender waits; where only the present
matters, the new item takes the old one's place. Nothing is unbounded, and nothing is dropped without a number going up.
"""

from collections.abc import Callable
from contextlib import suppress
from enum import Enum
from types import TracebackType
from typing import Generic, TypeVar

import trio

T = TypeVar("T")


class WhenFull(Enum):
    """Who pays."""

    WAIT = "the sender"
    DROP_OLDEST = "the oldest item, counted"
    REPLACE = "the item it takes the place of"


class Outbox(Generic[T]):
    """The sending end. Close it with `with`: closing is the message that nothing more will come."""

    def __init__(
        self,
        send: trio.MemorySendChannel[T],
        receive: trio.MemoryReceiveChannel[T],
        when_full: WhenFull,
        merge: Callable[[T, T], T] | None,
    ) -> None:
        self._send, self._receive, self._when_full, self._merge = send, receive, when_full, merge
        self.dropped = 0
        """Items that paid for newer ones."""

    async def send(self, item: T) -> None:
        """Hand one on, waiting for room if need be. Only for channels whose sender pays. Where there is
        room nobody else gets a turn: who sends in a loop receives in it as well."""
        if self._when_full is not WhenFull.WAIT:
            raise RuntimeError(f"a channel where {self._when_full.value} pays is offered to, not sent to")
        try:
            self._send.send_nowait(item)
        except trio.WouldBlock:
            await self._send.send(item)

    def offer(self, item: T) -> None:
        """Hand one on without ever waiting. Only for channels whose sender does not pay."""
        if self._when_full is WhenFull.WAIT:
            raise RuntimeError("a channel whose sender pays is sent to, not offered to")
        try:
            self._send.send_nowait(item)
        except trio.WouldBlock:
            oldest = self._receive.receive_nowait()
            if self._when_full is WhenFull.DROP_OLDEST:
                self.dropped += 1
            elif self._merge is not None:
                item = self._merge(item, oldest)
            self._send.send_nowait(item)

    def discard(self) -> None:
        """Throw away what waits: it is not to be known any more. None of it counts as dropped."""
        with suppress(trio.WouldBlock, trio.EndOfChannel, trio.ClosedResourceError):
            while True:
                self._receive.receive_nowait()

    @property
    def waiting(self) -> int:
        """Items handed on and not yet taken."""
        return self._send.statistics().current_buffer_used

    @property
    def depth(self) -> int:
        """Items that may wait."""
        return int(self._send.statistics().max_buffer_size)

    @property
    def when_full(self) -> WhenFull:
        return self._when_full

    def clone(self) -> "Outbox[T]":
        """Another sending end of the same channel, which ends when all of them are closed."""
        return Outbox(self._send.clone(), self._receive.clone(), self._when_full, self._merge)

    def close(self) -> None:
        self._send.close()
        self._receive.close()

    def __enter__(self) -> "Outbox[T]":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


Inbox = trio.MemoryReceiveChannel
"""The receiving end: `async for item in inbox` ends when every outbox is closed."""


def open_channel(
    kind: type[T], depth: int, when_full: WhenFull, *, merge: Callable[[T, T], T] | None = None
) -> tuple[Outbox[T], "Inbox[T]"]:
    """A channel for `kind`, at most `depth` deep. `merge(new, old)`: what a replacement keeps of what it replaces."""
    send, receive = trio.open_memory_channel[T](depth)
    return Outbox(send, receive.clone(), when_full, merge), receive
