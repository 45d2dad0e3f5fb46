"""Engines and control addresses that stall for ever, recover, raise and answer late, while a call runs.

Whatever they do: the receiver is never late, the call beside it notices nothing, and the call ends within its wrap-up.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

import pytest
import trio
from trio.testing import MockClock

from agent.calls.call import Call
from agent.testing import Fault, RecordingAssistant, ScriptedEngine

from .stage import ANGRY, CALM, Stage, open_stage

TALK_S = 15.0
WRAP_UP_S = 1.0

ENGINE_FAULTS = [
    Fault("stall"),
    Fault("stall", times=3),
    Fault("delay", seconds=0.4),
    Fault("delay", seconds=0.7),
    Fault("delay", seconds=30),
    Fault("unavailable"),
    Fault("unavailable", times=2),
    Fault("refused"),
    Fault("crash"),
    Fault("crash", times=1),
    Fault("refuse_open"),
    Fault("refuse_open", times=2),
]
ASSISTANT_FAULTS = [
    Fault("stall"),
    Fault("stall", times=1),
    Fault("delay", seconds=1.0),
    Fault("delay", seconds=30),
    Fault("unavailable"),
    Fault("unavailable", times=2),
    Fault("unavailable", times=1, retry_after=3),
    Fault("refused"),
    Fault("gone"),
    Fault("crash"),
    Fault("refuse_open", times=2),
]


def named(fault: Fault) -> str:
    detail = fault.seconds if fault.kind == "delay" else fault.retry_after or ""
    return f"{fault.kind}{detail}{'' if fault.times is None else f'-{fault.times}x'}"


@dataclass
class Split:
    """Two of a kind in one: the first call gets the faulty one, every other call the sound one."""

    faulty: ScriptedEngine | RecordingAssistant
    sound: ScriptedEngine | RecordingAssistant
    name: str = field(default="split")

    def open(self, call_sid: str):  # type: ignore[no-untyped-def]
        return (self.faulty if call_sid == "CA1" else self.sound).open(call_sid)


async def two_calls(stage: Stage) -> tuple[Call, Call, float]:
    """Both talk for `TALK_S`; the seconds from the first one's hang-up until it was freed."""
    first, beside = stage.ring("CA1"), stage.ring("CA2")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(stage.talk, beside, TALK_S)
        await stage.talk(first, TALK_S)
        hung_up_at = trio.current_time()
        await stage.gone(first)
        freed_after = trio.current_time() - hung_up_at
    await stage.gone(beside)
    return first, beside, freed_after


def readings(stage: Stage, call: Call) -> list[tuple[int, str]]:
    return [(event["endMs"], event["source"]) for event in stage.events(call, "audio.chunk")]


def assert_unhurt(stage: Stage, first: Call, beside: Call, freed_after: float) -> None:
    """What holds whatever was broken."""
    assert freed_after <= WRAP_UP_S + 0.05
    assert stage.outcome(first) == stage.outcome(beside) == "hangup"
    for call in (first, beside):
        assert stage.lines[call.call_sid].max_lag_s == 0
        assert call.mailbox.dropped == 0
        assert not stage.events(call, "audio.gap")
    assert stage.events(beside, "context.updated")[0]["dominantEmotion"] == "angry"
    assert {source for _, source in readings(stage, beside)} == {"local"}
    assert not {"context.failed", "analyzer.degraded"} & set(stage.names(beside))


@pytest.mark.parametrize("fault", ENGINE_FAULTS, ids=named)
async def test_an_engine_that_fails_hurts_no_call(fault: Fault, autojump_clock: MockClock) -> None:
    script = {0: CALM, 8000: ANGRY}
    faulty, sound = ScriptedEngine(script), ScriptedEngine(script)
    faulty.fault = fault
    with trio.fail_after(120):
        async with open_stage(Split(faulty, sound)) as stage:  # type: ignore[arg-type]
            first, beside, freed_after = await two_calls(stage)
            assert_unhurt(stage, first, beside, freed_after)
            assert_said(stage, first, fault)


def assert_said(stage: Stage, call: Call, fault: Fault) -> None:
    """A degraded analysis is visible, and so is its recovery; windows it failed on are said to have failed."""
    sources = {source for _, source in readings(stage, call)}
    names = stage.names(call)
    if fault.kind == "delay" and fault.seconds < 0.5:
        assert sources == {"local"}
        assert "analyzer.degraded" not in names
        return
    assert names.count("analyzer.degraded") == 1
    assert "fallback" in sources
    recovers = fault.times is not None
    assert names.count("analyzer.recovered") == recovers
    assert ("local" in sources) == recovers
    assert ("context.updated" in names) == recovers


@pytest.mark.parametrize("fault", ASSISTANT_FAULTS, ids=named)
async def test_a_control_address_that_fails_hurts_no_call(fault: Fault, autojump_clock: MockClock) -> None:
    faulty, sound = RecordingAssistant(), RecordingAssistant()
    faulty.fault = fault
    with trio.fail_after(120):
        async with open_stage() as stage:
            stage.directory._assistant = Split(faulty, sound)  # type: ignore[assignment]
            first, beside, freed_after = await two_calls(stage)
            assert_unhurt(stage, first, beside, freed_after)
            assert {source for _, source in readings(stage, first)} == {"local"}
            late = fault == Fault("delay", seconds=1.0)
            assert bool(stage.events(first, "context.updated")) == (late or fault.times is not None)
            assert bool(stage.events(first, "context.failed")) != late


async def test_a_stall_that_ends_is_over_with_the_next_window(autojump_clock: MockClock) -> None:
    async with open_stage() as stage, trio.open_nursery() as nursery:
        call = stage.ring()
        nursery.start_soon(stage.talk, call)
        await trio.sleep(2)
        stage.engine.fault = Fault("stall", until=trio.current_time() + 5)
        await trio.sleep(6)
        (degraded,) = stage.events(call, "analyzer.degraded")
        (recovered,) = stage.events(call, "analyzer.recovered")
        assert degraded["t"] <= 2000 + 200 + 500
        assert recovered["t"] <= 7000 + 500 + 200
        await stage.gone(call)


async def test_a_stalled_analyzer_never_delays_the_receiver(autojump_clock: MockClock) -> None:
    async with open_stage(analyzer_patience_s=1000) as stage:
        call = stage.ring()
        stage.engine.fault = Fault("stall")
        await stage.talk(call, 20)
        assert stage.lines["CA1"].max_lag_s == 0
        assert call.mailbox.dropped == 0
        hung_up_at = trio.current_time()
        await stage.gone(call)
        assert trio.current_time() - hung_up_at == pytest.approx(WRAP_UP_S, abs=0.02)


def break_hearing(stage: Stage) -> None:
    def crash(*_: object) -> None:
        raise RuntimeError("a bug in an engine's ear")

    stage.engine.sessions[-1].hear = crash  # type: ignore[method-assign]


async def test_an_engine_whose_ear_crashes_is_restarted_and_the_call_goes_on(autojump_clock: MockClock) -> None:
    async with open_stage() as stage, trio.open_nursery() as nursery:
        call = stage.ring()
        nursery.start_soon(stage.talk, call)
        await trio.sleep(3)
        break_hearing(stage)
        await stage.gone(call)
        assert stage.outcome(call) == "hangup"
        assert len(stage.engine.sessions) == 2
        assert {"analyzer.degraded", "analyzer.recovered", "context.updated"} <= set(stage.names(call))


def a_bug(*_: object, **__: object) -> None:
    raise RuntimeError("a bug of ours")


def bug_in_decoder(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agent.core.assembly.Assembler.push", a_bug)


def bug_in_aggregator(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agent.core.rules.Rules.decide", a_bug)


@pytest.mark.parametrize("bug", [bug_in_decoder, bug_in_aggregator], ids=["decoder", "aggregator"])
async def test_a_bug_of_ours_ends_its_call_with_1011_and_no_other(
    bug: Callable[[Call, pytest.MonkeyPatch], None], autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_stage() as stage, trio.open_nursery() as nursery:
        crashing = stage.ring("CA1")
        nursery.start_soon(lambda: stage.talk(crashing, 20, hold=True))
        await trio.sleep(2)
        with monkeypatch.context() as patch:
            bug(crashing, patch)
            await stage.gone(crashing)
        assert stage.outcome(crashing) == "crashed"
        assert stage.lines["CA1"].hung_up == (1011, "Internal error")
        after = stage.ring("CA2")
        await stage.talk(after, 10)
        await stage.gone(after)
        assert stage.outcome(after) == "hangup"
        assert stage.events(after, "context.updated")
