"""What a call costs behind its socket, measured on a small scale."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from agent.audiofile import bundled_voice
from agent.bench.pipeline import measure
from agent.ledger.memory import MemoryLedger

VOICE = bundled_voice()


@asynccontextmanager
async def forgetful() -> AsyncIterator[MemoryLedger]:
    yield MemoryLedger()


def test_every_stage_of_many_calls_costs_something_and_they_are_judged_together() -> None:
    split = measure(VOICE, calls=20, seconds=1.0, ledger=forgetful)
    stages = ("speech", "features", "model", "batching", "timeline", "tree")
    assert all(split.stages[stage] > 0 for stage in stages)
    assert split.gathered > 2
    assert split.batch > 2
    assert split.events > 0
