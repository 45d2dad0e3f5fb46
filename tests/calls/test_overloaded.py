"""Whole calls on a machine whose engine has become too slow: frames keep coming, and analysis gives way."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import pairwise

import pytest
import trio
from trio.testing import MockClock

from agent.actors import overload
from agent.actors.overload import QUARTERS, WORST
from agent.calls.call import Call
from agent.core.audio import Gap, PcmChunk
from agent.core.emotion import Outcome
from agent.ports import EngineSession
from agent.testing import ScriptedEngine, ScriptedLine

from .stage import CALM, VOICE, open_stage

CALLS = 12


async def talk(call: Call) -> None:
    """For a minute."""
    if await ScriptedLine((4 * VOICE)[: 60 * 8000]).play(call.mailbox):
        call.end(Outcome.HANGUP)


class Slow:
    """A session that hears as its engine's does, in time that nobody else has then."""

    def __init__(self, session: EngineSession, engine: "Slowed") -> None:
        self._session, self._engine, self.read = session, engine, session.read

    def hear(self, sound: PcmChunk | Gap) -> None:
        self._session.hear(sound)
        if self._engine.slow_s:
            self._engine.clock.jump(self._engine.slow_s)


class Slowed:
    """An engine that works on the loop, and can become slow."""

    name = "scripted"

    def __init__(self, clock: MockClock) -> None:
        self._engine, self.clock, self.slow_s = ScriptedEngine({0: CALM}), clock, 0.0

    @asynccontextmanager
    async def open(self, call_sid: str) -> AsyncIterator[Slow]:
        async with self._engine.open(call_sid) as session:
            yield Slow(session, self)


async def test_an_engine_that_is_too_slow_gets_less_to_do_until_it_keeps_up(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(overload, "RELAPSE_S", 0.0)  # or it may take more than these calls last until all is well again
    engine = Slowed(autojump_clock)
    async with open_stage(engine) as stage, trio.open_nursery() as nursery:  # type: ignore[arg-type]
        load, calls = stage.directory.load, []
        for number in range(CALLS):
            calls.append(stage.ring(f"CA{number}"))
            nursery.start_soon(talk, calls[-1])
            await trio.sleep(0.2)
        await trio.sleep(2)
        assert load.level == 0
        engine.slow_s = 0.02  # twelve calls' blocks of 200 ms take 240
        await trio.sleep(15)
        assert 0 < load.level < WORST
        assert load.episodes == 1
        engine.slow_s = 0.0
        await trio.sleep(25)
        assert load.level == 0
        for call in calls:
            await stage.gone(call)
    for call in calls:
        degraded, recovered = stage.events(call, "analyzer.degraded"), stage.events(call, "analyzer.recovered")
        assert [event["reason"] for event in degraded] == ["overloaded"]
        assert len(recovered) == 1
        assert stage.outcome(call) == "hangup"
    unheard = [sum(event["ms"] for event in stage.events(call, "audio.gap")) for call in calls]
    quarters = [unheard[at : at + CALLS // QUARTERS] for at in range(0, CALLS, CALLS // QUARTERS)]
    assert min(quarters[0]) > 10_000, "and what was left out counts, however long it was"
    assert all(min(older) >= max(newer) for older, newer in pairwise(quarters)), "the oldest are left out first"
    assert min(quarters[0]) > max(quarters[-1])
