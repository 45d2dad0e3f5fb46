"""Hume fails in every way it has: the calls and their local readings do not notice, and the timeline says it once."""

from __future__ import annotations

import gc
from collections.abc import Callable
from math import inf

import pytest
import trio
from trio.testing import MockClock

from agent.calls.call import Call
from agent.core.emotion import EmotionReading, Outcome
from agent.engines.streamed.allowance import REFUSED_S
from agent.engines.streamed.framing import BACKLOG, REMEMBERED, Frame
from agent.engines.streamed.session import WAITING, StreamedSession

from ..calls.stage import SETTINGS
from .table import ROUNDING_S, living
from .vendor import (
    FAILURES,
    RETURNS_AT_S,
    TALK_S,
    Engine,
    Failing,
    Scene,
    scene,
    two_calls,
)

ENGINES: tuple[Engine, ...] = ("hume", "hybrid")
BY_ENGINE = pytest.mark.parametrize("engine", ENGINES)


def check_unhurt(scene: Scene, *, stalled: bool = False) -> None:
    """What holds whatever Hume does. One that has stalled does not notice that we have left."""
    for call in scene.calls:
        assert scene.stage.outcome(call) == "hangup"
        assert "audio.gap" not in scene.stage.names(call)
        assert call.mailbox.dropped == 0
        assert scene.stage.lines[call.call_sid].max_lag_s < ROUNDING_S
    assert scene.engine.allowance.open == 0
    assert stalled or (scene.hume.open == 0 and scene.hume.most_open <= len(scene.calls))
    scene.network.cut()


def check_local_path(scene: Scene) -> None:
    """In hybrid our own engine judges every window of speech in time, and the assistant is told."""
    for call in scene.calls:
        ends = scene.local(call)
        assert len(ends) > TALK_S
        assert ends == scene.local(scene.calls[0])
        at_once = [
            seen["t"] - seen["endMs"] for seen in scene.stage.events(call, "audio.chunk") if seen["source"] == "local"
        ]
        assert max(at_once) <= 1, "a reading of ours has waited"


@BY_ENGINE
@pytest.mark.parametrize("failing", FAILURES, ids=str)
async def test_whatever_hume_does_the_calls_do_not_notice_and_it_is_said_once(
    failing: Failing, engine: Engine, monkeypatch: pytest.MonkeyPatch, autojump_clock: MockClock
) -> None:
    tasks = living()
    async with scene(engine, monkeypatch) as staged:
        tasks_open = living()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(failing.happens, staged)
            await two_calls(staged)
        check_unhurt(staged, stalled=failing.fault == "stall")
        await trio.sleep(1)
        if engine == "hybrid":
            check_local_path(staged)
        for call in staged.calls:
            degraded, recovered = staged.said(call, "analyzer.degraded"), staged.said(call, "analyzer.recovered")
            if failing.degraded_within_s == inf:
                assert not degraded + recovered
                assert staged.hume_said(call)
                continue
            assert 0 <= degraded[0] - failing.breaks_at_s <= failing.degraded_within_s
            assert bool([at for at in recovered if at > RETURNS_AT_S]) == failing.recovers
            if failing.recovers:
                assert recovered[-1] - RETURNS_AT_S <= failing.recovered_within_s
                assert any(at >= RETURNS_AT_S for at in staged.hume_said(call))
            assert len(degraded) - len(recovered) == (not failing.recovers)
        assert living() == tasks_open
    assert living() == tasks
    assert staged.network.dialled <= 30


@BY_ENGINE
async def test_a_call_whose_share_is_spent_goes_on_without_hume_and_its_neighbour_has_its_own(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, autojump_clock: MockClock
) -> None:
    async with scene(engine, monkeypatch, seconds=5.0) as staged:
        await two_calls(staged, 30)
        check_unhurt(staged)
        assert staged.hume.audio_s == pytest.approx(2 * 5.0)
        for call in staged.calls:
            assert len(staged.said(call, "analyzer.degraded")) == 1
            assert "hume_seconds_per_call" in staged.stage.events(call, "analyzer.degraded")[0]["reason"]
            assert len(staged.hume_said(call)) == 1


@BY_ENGINE
async def test_where_all_sessions_are_in_use_a_call_waits_for_one_and_the_others_keep_theirs(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, autojump_clock: MockClock
) -> None:
    async with scene(engine, monkeypatch, sessions=2) as staged, trio.open_nursery() as nursery:

        async def occupy() -> None:
            async with staged.engine.open("CA0"):
                await trio.sleep(RETURNS_AT_S)

        nursery.start_soon(occupy)
        await two_calls(staged)
        check_unhurt(staged)
        degraded = [staged.said(call, "analyzer.degraded") for call in staged.calls]
        assert sorted(map(len, degraded)) == [0, 1]
        [waited] = [call for call in staged.calls if staged.said(call, "analyzer.degraded")]
        [recovered] = staged.said(waited, "analyzer.recovered")
        assert RETURNS_AT_S < recovered < RETURNS_AT_S + 36
        assert staged.hume.most_open <= 2


async def test_a_key_that_has_become_right_serves_the_next_call(
    monkeypatch: pytest.MonkeyPatch, autojump_clock: MockClock
) -> None:
    async with scene("hume", monkeypatch) as staged:
        staged.hume.fault = "unauthorized"
        await two_calls(staged, 10)
        check_unhurt(staged)
        assert staged.hume.handshakes <= len(staged.calls), "a refusal is not asked about again"
        staged.hume.fault = None
        await trio.sleep(REFUSED_S)
        first = len(staged.calls)
        await two_calls(staged, 10)
        for call in staged.calls[first:]:
            assert staged.hume_said(call)


def hang_up(call: Call) -> None:
    call.end(Outcome.HANGUP)


def opt_out(call: Call) -> None:
    call.withdraw_consent("key")


@BY_ENGINE
@pytest.mark.parametrize("leave", [hang_up, opt_out])
async def test_a_caller_may_leave_while_a_hume_that_has_failed_is_being_left(
    leave: Callable[[Call], None], engine: Engine, monkeypatch: pytest.MonkeyPatch, autojump_clock: MockClock
) -> None:
    """It is given up after five seconds, and then has half a second for its closing handshake: some of these moments
    fall into that."""
    for quarters in range(20, 29):
        async with scene(engine, monkeypatch) as staged, trio.open_nursery() as nursery:
            staged.hume.fault = "stall"
            nursery.start_soon(two_calls, staged, 8.0)
            await trio.sleep(quarters / 4)
            for call in staged.calls:
                leave(call)
        assert [staged.stage.outcome(call) for call in staged.calls] == ["hangup", "hangup"]


@BY_ENGINE
@pytest.mark.parametrize("fault", ["stall", "flap", "rate_limit"])
async def test_an_outage_that_lasts_costs_no_more_memory_than_one_that_begins(
    fault: str, engine: Engine, monkeypatch: pytest.MonkeyPatch, autojump_clock: MockClock
) -> None:
    peaks: list[int] = []

    async def weigh() -> None:
        for _ in range(3):
            await trio.sleep(30)
            gc.collect()
            peaks.append(count(Frame) + count(EmotionReading) + count(StreamedSession))

    async with scene(engine, monkeypatch) as staged, trio.open_nursery() as nursery:
        staged.hume.fault = fault  # type: ignore[assignment]
        nursery.start_soon(weigh)
        await two_calls(staged, 95)
        check_unhurt(staged, stalled=fault == "stall")
    per_call = BACKLOG + REMEMBERED + WAITING + SETTINGS.buffer_cap + 20
    assert max(peaks) <= len(staged.calls) * per_call


def count(kind: type) -> int:
    return sum(1 for thing in gc.get_objects() if isinstance(thing, kind))
