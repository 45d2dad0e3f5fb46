"""The slow pulse of a call: a ledger that fails or stands still is said, and never felt."""

from itertools import pairwise

import pytest
import structlog
import trio
from trio.testing import MockClock

from agent.actors.heartbeat import beat, checkpoint
from agent.errors import LedgerUnavailable
from agent.ledger.memory import MemoryLedger


class Disk(MemoryLedger):
    """Takes `seconds` to flush, or raises."""

    def __init__(self, seconds: float = 0.0, fault: Exception | None = None) -> None:
        super().__init__()
        self.seconds, self.fault = seconds, fault
        self.flushed_at: list[float] = []

    async def flush(self) -> None:
        self.flushed_at.append(trio.current_time())
        await trio.sleep(self.seconds)
        if self.fault is not None:
            raise self.fault


async def beat_for(seconds: float, disk: Disk, drops: list[int]) -> list[dict[str, object]]:
    """The log of so many seconds of beats; each beat takes the next number of drops, the last one for ever."""
    with structlog.testing.capture_logs() as logged, trio.move_on_after(seconds) as scope:
        await beat(disk, drops=lambda: drops.pop(0) if len(drops) > 1 else drops[0], every_s=5.0)
    assert scope.cancelled_caught
    return [{key: value for key, value in entry.items() if key != "log_level"} for entry in logged]


async def test_every_beat_brings_the_ledger_to_disk(autojump_clock: MockClock) -> None:
    disk = Disk()
    assert await beat_for(21, disk, [0]) == []
    assert disk.flushed_at == [5, 10, 15, 20]


async def test_drops_are_said_once_each(autojump_clock: MockClock) -> None:
    logged = await beat_for(26, Disk(), [0, 3, 3, 7])
    assert logged == [{"event": "call.dropping", "blocks": 3}, {"event": "call.dropping", "blocks": 4}]


async def test_a_ledger_that_cannot_be_written_is_said_and_tried_again_at_the_next_beat(
    autojump_clock: MockClock,
) -> None:
    disk = Disk(fault=LedgerUnavailable("the disk is full"))
    logged = await beat_for(11, disk, [0])
    assert disk.flushed_at == [5, 10]
    assert logged == [{"event": "ledger.unavailable", "reason": "the disk is full"}] * 2


async def test_a_ledger_that_stands_still_is_given_up_until_the_next_beat(autojump_clock: MockClock) -> None:
    disk = Disk(seconds=float("inf"))
    logged = await beat_for(31, disk, [0])
    assert [later - earlier for earlier, later in pairwise(disk.flushed_at)] == [10, 10]
    assert {entry["event"] for entry in logged} == {"ledger.slow"}


@pytest.mark.parametrize("disk", [Disk(), Disk(100.0), Disk(fault=LedgerUnavailable("gone")), Disk(0.5)])
async def test_a_last_save_takes_no_longer_than_its_patience_and_never_raises(
    autojump_clock: MockClock, disk: Disk
) -> None:
    await checkpoint(disk, patience_s=1.0)
    assert trio.current_time() <= 1.0
