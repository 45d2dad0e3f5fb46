"""What a call knows of its own insides: how its actors do, what its channels hold, and how long its steps took."""

from typing import Any

import pytest
import trio
from trio.testing import MockClock

from agent.calls.workings import Workings
from agent.core.emotion import Emotion
from agent.testing import Fault, ScriptedEngine

from .stage import CALM, Stage, open_stage


class Measured:
    """Who measures."""

    def __init__(self) -> None:
        self.ages_s: list[float] = []
        self.wrapped_up_s: list[float] = []
        self.dropped: list[dict[str, int]] = []

    def decided(self, age_s: float) -> None:
        self.ages_s.append(age_s)

    def freed(self, wrapped_up_s: float, workings: Workings) -> None:
        self.wrapped_up_s.append(wrapped_up_s)
        self.dropped.append(dict(workings.dropped()))


def measured(stage: Stage) -> Measured:
    stage.directory.measures = here = Measured()
    return here


async def test_a_note_says_how_long_its_decision_and_its_way_took(autojump_clock: MockClock) -> None:
    async with open_stage() as stage:
        here, call = measured(stage), stage.ring()
        stage.assistant.fault = Fault("delay", seconds=0.3)
        await stage.talk(call, 15)
        await stage.gone(call)
        notes = stage.events(call, "context.updated")
    assert notes
    assert [note["acceptedMs"] for note in notes] == [300.0] * len(notes)
    for note in notes:  # it is sent the moment it is decided, and what is sent rests on what was heard before
        assert 0 <= note["decisionMs"] <= note["latencyMs"] < note["decisionMs"] + 100
    assert [round(1000 * age_s, 1) for age_s in here.ages_s[: len(notes)]] == [note["decisionMs"] for note in notes]


async def test_every_actor_runs_while_the_call_does_and_has_ended_when_it_has(autojump_clock: MockClock) -> None:
    async with open_stage() as stage:
        call = stage.ring()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(stage.talk, call, 5.0)
            await trio.sleep(2)
            states = {name: actor.state for name, actor in call.workings.actors.items()}
        await stage.gone(call)
    expected = {"heartbeat", "receiver", "decoder", "analyzer", "aggregator", "publisher", "escalator"}
    assert states == dict.fromkeys(expected, "running")
    assert {actor.state for actor in call.workings.actors.values()} == {"ended"}


@pytest.mark.parametrize(
    ("fault", "how", "state", "degraded_later"),
    [
        (Fault("stall", times=8), "slow", "running", False),
        (Fault("unavailable"), "unavailable", "restarting", True),
        (Fault("refused"), "refused", "refused", True),
    ],
    ids=["stalls", "unavailable", "refused"],
)
async def test_an_engine_that_fails_is_seen_as_degraded_and_counted(
    fault: Fault, how: str, state: str, degraded_later: bool, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agent.actors.supervision.random.random", lambda: 0.0)  # or it may run when we look in
    async with open_stage() as stage:
        call = stage.ring()
        stage.engine.fault = fault
        async with trio.open_nursery() as nursery:
            nursery.start_soon(stage.talk, call, 18.0)
            await trio.sleep(2.6)
            engine = call.workings.engines["scripted"]
            assert engine.degraded
            await trio.sleep(13)
            analyzer = call.workings.actors["analyzer"]
            found = (analyzer.state, analyzer.degraded, set(analyzer.failures))
        await stage.gone(call)
    assert engine is analyzer
    assert found == (state, degraded_later, {how})
    assert engine.failures[how] == (8 if how == "slow" else 1 if how == "refused" else engine.restarts + 1)
    assert (engine.restarts > 3) == (how == "unavailable")


async def test_what_wrapping_up_took_is_measured_once_and_with_what_was_lost(autojump_clock: MockClock) -> None:
    async with open_stage() as stage:
        here, call = measured(stage), stage.ring()
        stage.assistant.fault = Fault("stall")
        await stage.talk(call, 12)  # a note is under way when the caller hangs up, and never accepted
        call.workings.channels["frames"].dropped = 3
        await stage.gone(call)
    assert here.wrapped_up_s == [pytest.approx(1.0)]
    assert here.dropped[0]["frames"] == 3


async def test_a_call_without_a_decision_has_never_decided(autojump_clock: MockClock) -> None:
    async with open_stage(ScriptedEngine({0: CALM, 4000: Emotion("sad", 0.95)})) as stage:
        here, call = measured(stage), stage.ring(attached=False)
        await stage.talk(call, 12)  # there is something to tell, and nobody to be told
        await stage.gone(call)
        failed: list[dict[str, Any]] = stage.events(call, "context.failed")
    assert failed
    assert call.workings.decided_at is None
    assert here.ages_s == []
