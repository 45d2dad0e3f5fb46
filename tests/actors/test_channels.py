"""Each channel says who pays when it is full, and nothing is dropped without a number going up."""

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st
from trio.testing import MockClock

from agent.actors.channels import Inbox, Outbox, WhenFull, open_channel


async def taken(inbox: Inbox[int]) -> list[int]:
    with trio.fail_after(5):
        return [item async for item in inbox]


def drained(inbox: Inbox[int]) -> list[int]:
    items = []
    while True:
        try:
            items.append(inbox.receive_nowait())
        except (trio.WouldBlock, trio.EndOfChannel):
            return items


@given(st.integers(1, 5), st.integers(0, 20))
def test_where_the_oldest_pays_the_newest_are_left_and_the_others_counted(depth: int, offered: int) -> None:
    outbox, inbox = open_channel(int, depth, WhenFull.DROP_OLDEST)
    for item in range(offered):
        outbox.offer(item)
    assert outbox.waiting == min(depth, offered)
    assert outbox.dropped == max(0, offered - depth)
    assert drained(inbox) == list(range(offered))[-depth:]


def test_where_only_the_present_matters_the_new_item_takes_the_old_ones_place() -> None:
    outbox, inbox = open_channel(int, 1, WhenFull.REPLACE)
    for item in (1, 2, 3):
        outbox.offer(item)
    assert (drained(inbox), outbox.dropped) == ([3], 0)


def test_a_replacement_may_keep_something_of_everything_it_replaced() -> None:
    outbox, inbox = open_channel(list[int], 1, WhenFull.REPLACE, merge=lambda new, old: old + new)
    for item in (1, 2, 3):
        outbox.offer([item])
    assert inbox.receive_nowait() == [1, 2, 3]
    outbox.offer([4])
    assert inbox.receive_nowait() == [4], "what has been taken is not merged again"


async def test_where_the_sender_pays_it_waits_and_nothing_is_lost(autojump_clock: MockClock) -> None:
    outbox, inbox = open_channel(int, 2, WhenFull.WAIT)

    async def send() -> None:
        with outbox:
            for item in range(5):
                await outbox.send(item)
        assert trio.current_time() == 3

    async with trio.open_nursery() as nursery:
        nursery.start_soon(send)
        items = []
        for _ in range(5):
            await trio.sleep(1)
            items.append(await inbox.receive())
    assert (items, outbox.dropped) == ([0, 1, 2, 3, 4], 0)


async def test_a_channel_is_used_as_its_policy_says_or_not_at_all() -> None:
    waiting, _ = open_channel(int, 1, WhenFull.WAIT)
    with pytest.raises(RuntimeError, match="sent to, not offered to"):
        waiting.offer(1)
    for policy in (WhenFull.DROP_OLDEST, WhenFull.REPLACE):
        offered, _ = open_channel(int, 1, policy)
        with pytest.raises(RuntimeError, match="offered to, not sent to"):
            await offered.send(1)


@pytest.mark.parametrize("policy", list(WhenFull))
async def test_closing_is_the_message_and_comes_after_what_was_handed_on(policy: WhenFull) -> None:
    outbox, inbox = open_channel(int, 3, policy)
    with outbox:
        for item in (1, 2):
            await hand_on(outbox, item, policy)
    assert await taken(inbox) == [1, 2]
    with pytest.raises(trio.ClosedResourceError):
        await hand_on(outbox, 3, policy)


async def hand_on(outbox: Outbox[int], item: int, policy: WhenFull) -> None:
    if policy is WhenFull.WAIT:
        await outbox.send(item)
    else:
        outbox.offer(item)


async def test_a_channel_ends_when_the_last_of_its_sending_ends_is_closed() -> None:
    outbox, inbox = open_channel(int, 3, WhenFull.DROP_OLDEST)
    with outbox.clone() as other:
        outbox.offer(1)
        outbox.close()
        other.offer(2)
        assert drained(inbox) == [1, 2]
        with pytest.raises(trio.WouldBlock):
            inbox.receive_nowait()
    assert await taken(inbox) == []


async def test_a_sending_end_lets_go_of_its_channel_even_when_its_owner_fails() -> None:
    outbox, inbox = open_channel(int, 3, WhenFull.REPLACE)
    with pytest.raises(ValueError, match="a bug"), outbox:
        raise ValueError("a bug")
    assert await taken(inbox) == []


async def test_a_sender_that_waits_for_room_learns_that_its_channel_was_closed(autojump_clock: MockClock) -> None:
    outbox, _inbox = open_channel(int, 1, WhenFull.WAIT)
    await outbox.send(1)
    async with trio.open_nursery() as nursery:

        @nursery.start_soon
        async def close() -> None:
            await trio.sleep(1)
            outbox.close()

        with trio.fail_after(2), pytest.raises(trio.ClosedResourceError):
            await outbox.send(2)
