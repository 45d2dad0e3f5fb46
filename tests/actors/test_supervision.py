"""Other people's outages are lived through, with a budget; our own bugs pass."""

from collections.abc import Callable
from itertools import pairwise

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st
from trio.testing import MockClock

from agent.actors.supervision import RestartPolicy, Restarts, keep_running
from agent.errors import EngineRefused, EngineUnavailable, LedgerUnavailable

STEADY = RestartPolicy(jitter=0.0)


class Work:
    """Fails as its script says, attempt by attempt, and then ends. Takes from no inbox: `ended` stands for it."""

    def __init__(self, *script: Exception | None) -> None:
        self.script = list(script)
        self.attempts: list[float] = []
        self.noted: list[str] = []
        self.ended = trio.Event()

    async def attempt(self) -> None:
        self.attempts.append(trio.current_time())
        fault = self.script.pop(0) if self.script else None
        if fault is not None:
            raise fault

    async def meanwhile(self) -> None:
        await self.ended.wait()

    async def run(self, policy: RestartPolicy = STEADY) -> None:
        await keep_running(
            self.attempt,
            self.meanwhile,
            outages=(EngineUnavailable,),
            final=(EngineRefused,),
            note=lambda outage: self.noted.append(str(outage)),
            policy=policy,
        )


def outage(text: str = "out") -> EngineUnavailable:
    return EngineUnavailable(text)


async def test_work_that_ends_is_not_begun_again(autojump_clock: MockClock) -> None:
    work = Work()
    await work.run()
    assert (work.attempts, work.noted) == ([0.0], [])


async def test_restarts_back_off_by_doubling_up_to_the_longest(autojump_clock: MockClock) -> None:
    work = Work(*[outage() for _ in range(7)])
    await work.run(RestartPolicy(first_s=1.0, longest_s=8.0, budget=100, jitter=0.0))
    assert [later - earlier for earlier, later in pairwise(work.attempts)] == [1, 2, 4, 8, 8, 8, 8]
    assert len(work.noted) == 7


async def test_beyond_the_budget_there_is_only_a_probe_now_and_then(autojump_clock: MockClock) -> None:
    work = Work(*[outage() for _ in range(5)])
    await work.run(RestartPolicy(first_s=1.0, budget=3, within_s=600.0, probe_s=30.0, jitter=0.0))
    assert [later - earlier for earlier, later in pairwise(work.attempts)] == [1, 2, 4, 30, 30]


async def test_an_outage_long_after_the_last_one_begins_with_a_short_delay_again() -> None:
    restarts = Restarts(STEADY)
    assert [restarts.delay(now) for now in (0.0, 1.0, 2.0, 100.0)] == [0.25, 0.5, 1.0, 0.25]


@given(st.lists(st.floats(0, 30), min_size=1, max_size=80))
def test_however_the_outages_come_the_budget_holds_in_any_stretch_of_time(lasted: list[float]) -> None:
    policy = RestartPolicy()
    restarts, now, begun = Restarts(policy), 0.0, []
    for seconds in lasted:
        delay = restarts.delay(now)
        assert policy.first_s * (1 - policy.jitter) <= delay <= policy.probe_s
        begun.append(now + delay)
        now += delay + seconds
    probes = policy.within_s / (policy.probe_s * (1 - policy.jitter)) + 1
    for start in begun:
        assert sum(start <= at < start + policy.within_s for at in begun) <= policy.budget + probes


def test_calls_hit_by_one_outage_do_not_come_back_as_one() -> None:
    delays = {Restarts(RestartPolicy()).delay(0.0) for _ in range(50)}
    assert len(delays) > 40
    assert all(0.1875 <= delay <= 0.25 for delay in delays)


async def test_after_a_final_error_there_is_no_other_attempt_and_the_inbox_is_still_taken_from(
    autojump_clock: MockClock,
) -> None:
    work = Work(EngineRefused("no quota"))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(work.run)
        await trio.sleep(3600)
        work.ended.set()
    assert (work.attempts, work.noted, trio.current_time()) == ([0.0], ["no quota"], 3600)


async def test_the_end_of_the_inbox_ends_a_backoff_at_once(autojump_clock: MockClock) -> None:
    work = Work(outage(), outage())
    async with trio.open_nursery() as nursery:
        nursery.start_soon(work.run)
        await trio.sleep(0.5)
        work.ended.set()
    assert work.attempts == [0.0, 0.25]
    assert trio.current_time() == 0.5


@pytest.mark.parametrize("bug", [RuntimeError("a bug"), LedgerUnavailable("not promised by this port"), KeyError("k")])
async def test_what_the_port_did_not_promise_is_our_bug_and_passes_through(bug: Exception) -> None:
    work = Work(bug)
    with pytest.raises(type(bug)):
        await work.run()
    assert work.noted == []


@pytest.mark.parametrize(
    "wrapped",
    [
        lambda fault: ExceptionGroup("nursery", [fault]),
        lambda fault: ExceptionGroup("outer", [ExceptionGroup("inner", [fault])]),
    ],
)
async def test_an_outage_inside_the_groups_that_nurseries_make_is_still_an_outage(
    autojump_clock: MockClock, wrapped: Callable[[Exception], Exception]
) -> None:
    work = Work(wrapped(outage("in a group")))
    await work.run()
    assert (work.noted, work.attempts) == (["in a group"], [0.0, 0.25])


async def test_an_outage_beside_a_bug_is_a_bug() -> None:
    work = Work(ExceptionGroup("nursery", [outage(), RuntimeError("a bug")]))
    with pytest.RaisesGroup(EngineUnavailable, RuntimeError):
        await work.run()


async def test_cancelling_is_neither_an_outage_nor_delayed(autojump_clock: MockClock) -> None:
    work = Work(outage())
    with trio.move_on_after(0.1) as scope:
        await work.run()
    assert scope.cancelled_caught
    assert trio.current_time() == 0.1
