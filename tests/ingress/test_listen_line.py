"""A line that we dial: what it carries arrives, in pieces of any length and with a fault now and then."""

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import numpy as np
import pytest
import trio
from trio.testing import MockClock

from agent.assistants.vapi_listen import ListenShape
from agent.calls.mailbox import Mailbox
from agent.core.assembly import Assembler
from agent.core.audio import Gap
from agent.ingress import listen
from agent.ingress.faults import LIMIT
from agent.ingress.listen import ListenLine

Says = Callable[[], Iterator[tuple[float, str | bytes]]]
"""After so many seconds this."""


class Call:
    """A call as its line sees it."""

    call_sid = "CA1"

    def __init__(self) -> None:
        self.mailbox, self.over = Mailbox(), trio.Event()
        self.ended: list[float] = []

    def issue_token(self) -> str:
        return "good"

    def redeem(self, token: str) -> int:
        return self.mailbox.serial + 1

    def line_ended(self, line: object) -> None:
        self.ended.append(trio.current_time())


class Socket:
    def __init__(self, says: Says) -> None:
        self._messages = says()

    async def get_message(self) -> str | bytes:
        wait_s, message = next(self._messages)
        await trio.sleep(wait_s)
        return message

    async def ping(self) -> None:
        await trio.lowlevel.checkpoint()


def sound(ms: int) -> bytes:
    """Two channels of 16 kHz, both of them noise."""
    return np.random.default_rng(1).normal(0, 2000, (16 * ms, 2)).astype("<i2").tobytes()


async def heard(says: Says, seconds: float, monkeypatch: pytest.MonkeyPatch) -> tuple[Call, int, int]:
    """The call after so long, the milliseconds that were read of it, and those that were missing."""

    @asynccontextmanager
    async def dialled(*_: object, **__: object) -> AsyncIterator[Socket]:
        yield Socket(says)

    kind: Callable[..., AbstractAsyncContextManager[Socket]] = dialled
    monkeypatch.setattr(listen, "dialled", kind)
    call, read_ms, missing_ms = Call(), 0, 0
    line = ListenLine(call, "wss://vapi.test", ListenShape())  # type: ignore[arg-type]

    async def decode() -> None:
        nonlocal read_ms, missing_ms
        assembler = Assembler()
        async for block in call.mailbox.blocks:
            for piece in assembler.push(block):
                if isinstance(piece, Gap):
                    missing_ms += piece.ms
                else:
                    read_ms += len(piece.samples) // 8

    async with trio.open_nursery() as nursery:
        nursery.start_soon(decode)
        nursery.start_soon(lambda: line.run(engine="local"))
        await trio.sleep(seconds)
        nursery.cancel_scope.cancel()
    return call, read_ms, missing_ms


@pytest.mark.parametrize("ms", [100, 1000, 1900])
async def test_nothing_is_lost_of_long_messages(
    ms: int, monkeypatch: pytest.MonkeyPatch, autojump_clock: MockClock
) -> None:
    def says() -> Iterator[tuple[float, str | bytes]]:
        while True:
            yield ms / 1000, sound(ms)

    call, read_ms, missing_ms = await heard(says, 30, monkeypatch)
    assert (missing_ms, call.mailbox.dropped) == (0, 0)
    assert read_ms > 25_000


async def test_a_fault_a_minute_is_none(monkeypatch: pytest.MonkeyPatch, autojump_clock: MockClock) -> None:
    def says() -> Iterator[tuple[float, str | bytes]]:
        while True:
            yield from 60 * [(1.0, sound(100))]
            yield 0.0, "no JSON"

    call, _, _ = await heard(says, 60 * (LIMIT + 10), monkeypatch)
    assert not call.ended


async def test_who_sends_what_nobody_can_read_is_given_up(
    monkeypatch: pytest.MonkeyPatch, autojump_clock: MockClock
) -> None:
    def says() -> Iterator[tuple[float, str | bytes]]:
        yield 0.0, sound(1000)
        while True:
            yield 1.0, "no JSON"

    call, _, _ = await heard(says, 2 * LIMIT, monkeypatch)
    [ended] = call.ended
    assert ended < LIMIT + 10
