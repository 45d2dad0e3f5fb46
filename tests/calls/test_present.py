"""What is believed of the caller at this moment, and the reading that is under way."""

from collections.abc import Awaitable, Callable
from functools import partial

import trio
import trio.testing
from trio.testing import MockClock

from agent.actors.analyzer import Analyzer, Ear
from agent.actors.channels import WhenFull, open_channel
from agent.actors.incoming import Heard
from agent.calls.present import HOLDS_S, Present
from agent.core.audio import Window
from agent.core.emotion import NEUTRAL, Emotion, Mood, Trend
from agent.testing import Fault, ScriptedEngine

from .stage import ANGRY, open_stage

UNKNOWN = Mood(NEUTRAL, Trend.STEADY, 1, 0.0)


def mood(label: str) -> Mood:
    return Mood(Emotion(label, 0.9), Trend.STEADY, 3, 0.0, {label: 2.0})


class Timeline:
    def record(self, event: str, **fields: object) -> None: ...


async def test_at_first_nothing_is_believed(autojump_clock: MockClock) -> None:
    present = Present()
    assert present.mood() is None
    present.believe(UNKNOWN)
    assert present.mood() is None


async def test_a_caller_who_listens_has_not_calmed_down(autojump_clock: MockClock) -> None:
    present = Present()
    present.believe(mood("angry"))
    await trio.sleep(HOLDS_S - 1)
    present.believe(UNKNOWN)
    assert present.mood() == mood("angry")


async def test_after_a_while_nobody_speaks_of_it_as_if_it_were_now(autojump_clock: MockClock) -> None:
    present = Present()
    present.believe(mood("angry"))
    await trio.sleep(HOLDS_S + 0.1)
    assert present.mood() is None


async def test_the_newest_belief_counts(autojump_clock: MockClock) -> None:
    present = Present()
    present.believe(mood("angry"))
    present.believe(mood("neutral"))
    assert present.mood() == mood("neutral")


async def test_what_is_forgotten_is_not_believed(autojump_clock: MockClock) -> None:
    present = Present()
    present.believe(mood("angry"))
    present.told = "angry"
    present.forget()
    assert present.mood() is None
    assert present.told is None


async def waited(until: Callable[[], Awaitable[None]]) -> float:
    began = trio.current_time()
    with trio.move_on_after(1):
        await until()
    return trio.current_time() - began


async def test_nobody_waits_where_no_reading_is_under_way(autojump_clock: MockClock) -> None:
    assert await waited(Present().reading_made) == 0


async def test_whoever_waits_waits_for_the_reading_that_is_under_way(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    present = Present()
    present.reading_begins()

    async def make() -> None:
        await trio.sleep(0.03)
        present.reading_ends()

    nursery.start_soon(make)
    assert abs(await waited(present.reading_made) - 0.03) < 0.001
    assert await waited(present.reading_made) == 0


async def test_a_reading_that_is_given_up_keeps_nobody_waiting_when_the_next_begins(autojump_clock: MockClock) -> None:
    present = Present()
    present.reading_begins()
    with trio.move_on_after(1) as scope:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(present.reading_made)
            await trio.testing.wait_all_tasks_blocked()
            present.reading_begins()
    assert not scope.cancelled_caught
    assert await waited(present.reading_made) == 1


async def test_a_reading_is_under_way_until_it_has_been_folded_in(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    present, engine = Present(), ScriptedEngine()
    engine.fault = Fault("delay", seconds=0.02)
    windows_out, windows = open_channel(Window, 2, WhenFull.DROP_OLDEST)
    readings_out, readings = open_channel(Heard, 8, WhenFull.WAIT)
    analyzer = Analyzer(engine, "CA1", Ear(), Timeline(), patience_s=0.5, under_way=present)
    nursery.start_soon(partial(analyzer.run, windows, readings_out))
    windows_out.offer(Window(0, 1500, 1500, 0, trio.current_time()))
    await trio.testing.wait_all_tasks_blocked()
    assert present.mood() is None
    heard: list[Heard] = []

    async def fold() -> None:
        heard.append(await readings.receive())
        await trio.sleep(0.01)
        assert heard[0].answer is not None
        heard[0].answer(None)  # type: ignore[arg-type]

    nursery.start_soon(fold)
    assert abs(await waited(present.reading_made) - 0.03) < 0.001
    windows_out.close()


async def test_in_a_whole_call_what_is_being_judged_is_under_way_until_it_is_believed(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    engine = ScriptedEngine({0: ANGRY})
    async with open_stage(engine) as stage:
        call = stage.ring()
        nursery.start_soon(stage.talk, call)
        await trio.sleep(6)
        engine.fault = Fault("delay", seconds=0.03)
        longest = 0.0
        for _ in range(300):
            longest = max(longest, await waited(call.present.reading_made))
            await trio.sleep(0.01)
        assert 0.01 < longest <= 0.031
        now = call.present.mood()
        assert now is not None
        assert now.emotion.label == "angry"
        call.withdraw_consent("tool")
        assert call.present.mood() is None
        await stage.gone(call)
