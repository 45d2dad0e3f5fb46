"""What nurseries wrap comes out of its groups, whatever was cancelled beside it."""

import pytest
import trio
from trio.testing import MockClock

from agent.groups import alone, ungrouped


@pytest.mark.parametrize("error", [ValueError("one"), KeyboardInterrupt()])
def test_what_is_alone_in_its_groups_is_taken_out_of_them(error: BaseException) -> None:
    assert alone(error) is error
    assert alone(BaseExceptionGroup("outer", [BaseExceptionGroup("inner", [error])])) is error


def test_of_several_nothing_is_lost() -> None:
    several = (ValueError("one"), KeyError("other"))
    group = alone(ExceptionGroup("two", several))
    assert isinstance(group, ExceptionGroup)
    assert group.exceptions == several


async def test_an_exception_beside_a_cancellation_is_caught_by_its_name_and_the_cancellation_comes_again(
    autojump_clock: MockClock,
) -> None:
    async def takes_leave() -> None:
        try:
            await trio.sleep_forever()
        finally:
            with trio.CancelScope(shield=True):
                await trio.sleep(2)

    caught = False
    with trio.move_on_after(1) as patience:
        try:
            with ungrouped():
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(takes_leave)
                    await trio.lowlevel.checkpoint()
                    raise ValueError("an outage")
        except ValueError:
            caught = True
        await trio.sleep_forever()
    assert caught
    assert patience.cancelled_caught
    assert trio.current_time() == 2


async def test_where_there_is_nothing_but_cancellation_it_passes(autojump_clock: MockClock) -> None:
    with trio.move_on_after(1) as patience, ungrouped():
        async with trio.open_nursery() as nursery:
            nursery.start_soon(trio.sleep_forever)
            nursery.start_soon(trio.sleep_forever)
    assert patience.cancelled_caught
