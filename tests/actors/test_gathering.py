"""Speech looked for in many calls at once: nobody waits long, nobody waits in vain, one call's bug is its own."""

from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager

import numpy as np
import pytest
import trio
import trio.testing
from trio.testing import MockClock

from agent.actors import gathering
from agent.actors.gathering import FEW, Gathering
from agent.core import speech
from agent.core.audio import PcmChunk
from agent.core.speech import Speech, SpeechGate
from agent.rounds import ROUND_S

HUM = np.random.default_rng(3).integers(-3000, 3000, 1600).astype(np.int16)
MANY = 3 * FEW


def heard() -> SpeechGate:
    """A gate with one block to be judged."""
    gate = SpeechGate()
    gate.hear(PcmChunk(HUM, 0, 0.0))
    return gate


@asynccontextmanager
async def running(hall: Gathering, calls: int) -> AsyncIterator[trio.Nursery]:
    """The hall at work, with so many calls."""
    with ExitStack() as attending:
        for _ in range(calls):
            attending.enter_context(hall.seat(SpeechGate(), lambda _: None))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(hall.run)
            await trio.sleep(0.003)
            yield nursery
            nursery.cancel_scope.cancel()


async def speech_of(hall: Gathering, gate: SpeechGate) -> Speech:
    """What one more call is told of its sound."""
    told: list[Speech] = []
    with hall.seat(gate, told.append) as seat:
        seat.heard()
        await seat.judged()
    (found,) = told
    return found


async def ask(calls: int, apart_s: float = 0.0, *, beside: int = MANY) -> dict[int, tuple[float, float]]:
    """So many calls ask, beside others that say nothing; when each asked and was answered."""
    hall, times = Gathering(), {}

    async def one(number: int) -> None:
        await trio.sleep(number * apart_s)
        asked_at = trio.current_time()
        assert await speech_of(hall, heard()) == Speech(200)
        times[number] = asked_at, trio.current_time()

    async with running(hall, beside), trio.open_nursery() as askers:
        for number in range(calls):
            askers.start_soon(one, number)
    return times


@pytest.fixture
def together(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many gates were judged together, each time."""
    counts: list[int] = []

    def counted(gates: list[SpeechGate]) -> None:
        counts.append(len(gates))
        speech.judge(gates)

    monkeypatch.setattr(gathering, "judge", counted)
    return counts


async def test_few_calls_do_not_wait_for_each_other(autojump_clock: MockClock) -> None:
    times = await ask(FEW, apart_s=0.007, beside=FEW - 1)
    assert all(answered == asked for asked, answered in times.values())


async def test_many_calls_are_judged_together_and_nobody_waits_longer_than_a_tick(
    autojump_clock: MockClock, together: list[int]
) -> None:
    times = await ask(MANY, apart_s=0.004)
    assert len(times) == MANY
    assert all(answered - asked <= ROUND_S + 1e-9 for asked, answered in times.values())
    assert len(together) <= 1 + MANY * 0.004 / ROUND_S + 1
    assert sum(together) == MANY


async def test_more_than_can_be_judged_in_one_go_are_judged_in_turns(autojump_clock: MockClock) -> None:
    times = await ask(3 * speech.MOST)
    assert len(times) == 3 * speech.MOST


async def test_a_call_that_goes_while_it_waits_is_missed_by_nobody(autojump_clock: MockClock) -> None:
    hall = Gathering()
    async with running(hall, MANY):
        with trio.move_on_after(0.001) as gone:
            await speech_of(hall, heard())
        assert gone.cancelled_caught
        assert await speech_of(hall, heard()) == Speech(200)


async def test_one_call_s_bug_is_raised_there_and_nowhere_else(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    bad = heard()

    def broken(gates: tuple[SpeechGate, ...]) -> None:
        if bad in gates:
            raise ZeroDivisionError
        speech.judge(gates)

    monkeypatch.setattr(gathering, "judge", broken)
    hall, answers = Gathering(), []

    async def fine() -> None:
        answers.append(await speech_of(hall, heard()))

    async with running(hall, MANY) as nursery:
        nursery.start_soon(fine)
        nursery.start_soon(fine)
        with pytest.raises(ZeroDivisionError):
            await speech_of(hall, bad)
        await trio.testing.wait_all_tasks_blocked()
        assert answers == [Speech(200), Speech(200)]


async def test_without_its_task_everybody_is_judged_at_once(autojump_clock: MockClock) -> None:
    hall = Gathering()
    with ExitStack() as attending:
        for _ in range(MANY):
            attending.enter_context(hall.seat(SpeechGate(), lambda _: None))
        assert await speech_of(hall, heard()) == Speech(200)
    assert trio.current_time() == 0.0


async def test_behind_a_round_nobody_waits_for_the_clock(autojump_clock: MockClock, together: list[int]) -> None:
    hall, told = Gathering(), []
    async with running(hall, MANY), trio.open_nursery() as askers:
        began = trio.current_time()

        async def one() -> None:
            await speech_of(hall, heard())
            told.append(trio.current_time() - began)

        for _ in range(MANY):
            askers.start_soon(one)
        await trio.sleep(0.001)  # everybody whom the round has woken has had their turn
        assert not told
        hall.round_over(0.0)
    assert told == [pytest.approx(0.001)] * MANY
    assert together == [MANY]


async def test_a_round_is_late_for_many_calls_and_means_nothing_to_few(autojump_clock: MockClock) -> None:
    late: list[float] = []
    hall = Gathering(late=late.append)
    async with running(hall, FEW):
        hall.round_over(0.5)
        assert late == []
        assert await speech_of(hall, heard()) == Speech(200)  # the ninth: now they are many
        hall.round_over(0.5)
    async with running(hall, MANY):
        hall.round_over(0.5)
    assert late[-1] == 0.5


async def test_without_rounds_the_clock_says_how_late_everybody_is(autojump_clock: MockClock) -> None:
    late: list[float] = []
    hall = Gathering(late=late.append)
    async with running(hall, MANY) as nursery:
        nursery.start_soon(speech_of, hall, heard())
        await trio.sleep(0.001)
        autojump_clock.jump(ROUND_S + 0.2)
        await trio.testing.wait_all_tasks_blocked()
    assert late == [pytest.approx(0.2 + 0.004, abs=1e-6)]


async def test_who_has_left_is_told_nothing(autojump_clock: MockClock) -> None:
    hall, told = Gathering(), list[Speech]()
    async with running(hall, MANY):
        with hall.seat(heard(), told.append) as seat:
            seat.heard()
        assert await speech_of(hall, heard()) == Speech(200)
    assert told == []


async def test_what_goes_wrong_with_what_was_found_is_its_own_call_s_as_well(autojump_clock: MockClock) -> None:
    def broken(_: Speech) -> None:
        raise ZeroDivisionError

    hall = Gathering()
    async with running(hall, MANY) as nursery:
        nursery.start_soon(speech_of, hall, heard())
        with hall.seat(heard(), broken) as seat:
            seat.heard()
            with pytest.raises(ZeroDivisionError):
                await seat.judged()
        assert await speech_of(hall, heard()) == Speech(200)


async def test_when_its_task_is_gone_nobody_is_left_waiting(autojump_clock: MockClock) -> None:
    hall, answers = Gathering(), []

    async def one() -> None:
        answers.append(await speech_of(hall, heard()))

    async with trio.open_nursery() as askers, running(hall, MANY):
        askers.start_soon(one)
        await trio.sleep(0.001)
    assert answers == [Speech(200)]
