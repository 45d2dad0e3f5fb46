"""What may come a little late comes with the rounds."""

import pytest
import trio
from trio.testing import MockClock

from agent.rounds import BLOCK_S, rest, round_after


@pytest.mark.parametrize(("moment", "rounds"), [(0.0, 0), (0.001, 1), (BLOCK_S, 1), (0.3, 2), (1000.0, 5_000)])
def test_the_next_round_for_what_can_wait_is_at_a_multiple_and_never_before(moment: float, rounds: int) -> None:
    assert round_after(moment) == pytest.approx(rounds * BLOCK_S)


async def test_all_that_rest_wake_at_once_and_none_of_them_early(autojump_clock: MockClock) -> None:
    woken: list[tuple[float, float]] = []

    async def sleeper(begins: float, seconds: float) -> None:
        await trio.sleep(begins)
        due = trio.current_time() + seconds
        await rest(seconds)
        woken.append((due, trio.current_time()))

    async with trio.open_nursery() as nursery:
        for number in range(10):
            nursery.start_soon(sleeper, number * BLOCK_S / 11 + 0.001, 5.0)
    assert len({now for _, now in woken}) == 1
    assert all(due <= now <= due + BLOCK_S for due, now in woken)
