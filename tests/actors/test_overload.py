"""A machine that cannot keep up: fewer windows, then fewer calls, said once, and all of it back when there is time."""

from itertools import pairwise

import trio
from trio.testing import MockClock

from agent.actors.overload import CALM_S, FOR_S, HOPS, LATE_S, MOST_CALM_S, WORST, Load, Share
from agent.core.audio import Window

WINDOW = Window(0, 200, 200, 0, 0.0)


class Notes:
    """A timeline that remembers."""

    def __init__(self) -> None:
        self.events: list[tuple[str, object]] = []

    def record(self, event: str, **fields: object) -> None:
        self.events.append((event, fields["reason"]))


async def ticks(load: Load, seconds: float, late_s: float) -> None:
    for _ in range(round(seconds / 0.04)):
        await trio.sleep(0.04)
        load.tick(late_s)


def taken(share: Share, windows: int = 16) -> int:
    return sum(share.takes(WINDOW) for _ in range(windows))


async def test_one_step_that_takes_long_is_no_overload(autojump_clock: MockClock) -> None:
    load = Load()
    for _ in range(20):
        await ticks(load, 0.4, 0.0)
        await ticks(load, FOR_S / 2, 2 * LATE_S)
    assert (load.level, load.episodes) == (0, 0)


async def test_windows_become_fewer_step_by_step_and_all_come_back(autojump_clock: MockClock) -> None:
    load, notes = Load(), Notes()
    with Share(load, "local", notes) as share:
        counts = [taken(share)]
        for _ in HOPS[1:]:
            await ticks(load, FOR_S + 0.1, 2 * LATE_S)
            counts.append(taken(share))
        assert counts == [16, 8, 4]
        assert share.takes_block()
        await ticks(load, len(HOPS) * (CALM_S + 0.1), 0.0)
        assert load.level == 0
        taken(share)
        assert taken(share) == 16
    assert notes.events == [
        ("analyzer.degraded", "overloaded"),
        ("analyzer.recovered", "there is time for it again"),
    ]


async def test_sound_that_waits_unheard_on_many_lines_is_overload_though_the_ticks_are_in_time(
    autojump_clock: MockClock,
) -> None:
    load = Load()
    load.lines_behind(100, 300)
    await ticks(load, FOR_S + 0.1, 0.0)
    assert load.level == 1
    load.lines_behind(10, 300)
    await ticks(load, CALM_S + 0.1, 0.0)
    assert load.level == 0


async def test_a_few_lines_in_a_hurry_are_no_overload(autojump_clock: MockClock) -> None:
    load = Load()
    for behind, lines in ((8, 8), (20, 300)):
        load.lines_behind(behind, lines)
        await ticks(load, 5 * FOR_S, 0.0)
        assert load.level == 0


async def test_calls_are_left_out_a_quarter_at_a_time_the_oldest_first(autojump_clock: MockClock) -> None:
    load, notes = Load(), [Notes() for _ in range(8)]
    shares = [Share(load, "local", each).__enter__() for each in notes]
    heard = []
    for _ in range(WORST + 2):
        await ticks(load, FOR_S + 0.1, 2 * LATE_S)
        heard.append([share.takes_block() for share in shares])
    assert heard[1] == [True] * 8
    assert heard[2] == [False] * 2 + [True] * 6
    assert heard[3] == [False] * 4 + [True] * 4
    assert heard[-1] == [False] * 8
    await ticks(load, WORST * (CALM_S + 0.1), 0.0)
    assert (load.level, load.episodes) == (0, 1)
    assert all(share.takes_block() for share in shares)


async def test_a_machine_that_is_a_little_too_small_comes_back_less_and_less_often(autojump_clock: MockClock) -> None:
    load, whole, began = Load(), list[float](), trio.current_time()
    while trio.current_time() - began < 600:
        before = load.level
        await ticks(load, 0.04, 0.0 if load.level else 2 * LATE_S)  # with a window out of two there is time enough
        if before and not load.level:
            whole.append(trio.current_time() - began)
    waits = [after - before for before, after in pairwise(whole)]
    assert all(later >= earlier - 0.1 for earlier, later in pairwise(waits))
    assert waits[0] < 3 * CALM_S
    assert MOST_CALM_S <= waits[-1] < MOST_CALM_S + 3 * FOR_S
    await ticks(load, 3 * MOST_CALM_S, 0.0)
    await ticks(load, FOR_S + 0.1, 2 * LATE_S)
    assert load.level == 1
    await ticks(load, CALM_S + 0.1, 0.0)
    assert load.level == 0, "what was long ago is forgotten"


async def test_an_episode_is_said_once_and_the_next_one_again(autojump_clock: MockClock) -> None:
    load, notes = Load(), Notes()
    with Share(load, "local", notes) as share:
        for _ in range(2):
            for _ in range(5):
                await ticks(load, FOR_S + 0.1, 2 * LATE_S)
                taken(share)
                share.takes_block()
            await ticks(load, WORST * (CALM_S + 0.1) + MOST_CALM_S, 0.0)
            taken(share)
    assert [event for event, _ in notes.events] == ["analyzer.degraded", "analyzer.recovered"] * 2
    assert load.episodes == 2


async def test_who_comes_while_it_lasts_shares_it_and_who_comes_to_an_idle_machine_does_not(
    autojump_clock: MockClock,
) -> None:
    load = Load()
    with Share(load, "local", Notes()):
        await ticks(load, (WORST + 1) * (FOR_S + 0.1), 2 * LATE_S)
        with Share(load, "local", Notes()) as new:
            assert not new.takes_block()
    with Share(load, "local", Notes()) as next_one:
        assert next_one.takes_block()
        assert taken(next_one) == 16


async def test_it_comes_back_where_only_calls_are_left_that_nobody_listens_to(autojump_clock: MockClock) -> None:
    """They make nothing late, and nobody else is there to say that time goes on."""
    load = Load()
    with Share(load, "local", Notes()) as one, Share(load, "local", Notes()) as another:
        await ticks(load, (WORST + 1) * FOR_S, 2 * LATE_S)
        assert load.level == WORST
        for _ in range(round((WORST + 1) * (CALM_S + FOR_S) / 0.2)):
            await trio.sleep(0.2)
            one.takes_block()
            another.takes_block()
        assert one.heard
        assert another.heard
        await ticks(load, len(HOPS) * (CALM_S + 0.1), 0.0)  # their sound is judged again, and that tells
        assert load.level == 0
