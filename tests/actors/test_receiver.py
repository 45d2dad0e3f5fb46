"""The line is watched: that it comes, that it does not go quiet, and that its end is the end."""

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from agent.actors.receiver import receive
from agent.calls.mailbox import BLOCKS_A_SECOND, Mailbox
from agent.core.audio import MediaFrame
from agent.core.emotion import Outcome
from agent.rounds import BLOCK_S


class Socket:
    """A line as its call sees it."""

    def hang_up(self, code: int, reason: str) -> None: ...


class Scene:
    """A receiver beside the mailbox that its line fills."""

    def __init__(self, *, listening: bool = True, awaited: bool = True) -> None:
        self.mailbox, self.line = Mailbox(listening=lambda: listening), Socket()
        self.awaited = awaited
        self.outcomes: list[tuple[Outcome, float]] = []
        self.ended_at = -1.0

    def end(self, outcome: Outcome) -> None:
        """As the call does."""
        self.outcomes.append((outcome, trio.current_time()))
        self.mailbox.close()

    async def run(self) -> None:
        await receive(
            connected=self.mailbox.connected,
            over=self.mailbox.over,
            connect_within_s=60.0,
            line_quiet_s=10.0,
            ended=self.end,
            heard_at=lambda: self.mailbox.heard_at,
            awaited=lambda: self.awaited,
        )
        self.ended_at = trio.current_time()

    def connect(self) -> None:
        self.mailbox.connect(self.line, 1)

    def hear(self, sequence: int) -> None:
        """A block at once, in one frame."""
        frame = MediaFrame(sequence, 200 * sequence, b"\xff" * 1600, trio.current_time())
        self.mailbox.hear(self.line, frame)

    def passed_on(self) -> list[int]:
        """Sequence numbers waiting for the decoder, when no more will come."""
        found = []
        while True:
            try:
                found.append(self.mailbox.blocks.receive_nowait().frames[0].sequence)
            except trio.EndOfChannel:
                return found


async def test_a_line_that_never_comes_is_an_expired_call(autojump_clock: MockClock) -> None:
    scene = Scene()
    await scene.run()
    assert scene.outcomes == [(Outcome.EXPIRED, 60.0)]
    assert scene.passed_on() == []


async def test_a_line_that_goes_quiet_has_ended(autojump_clock: MockClock) -> None:
    scene = Scene()
    scene.connect()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(scene.run)
        for number in range(3):
            await trio.sleep(9.5)
            scene.hear(number)
    assert scene.outcomes == [(Outcome.QUIET, pytest.approx(38.5, abs=BLOCK_S))]
    assert scene.passed_on() == [0, 1, 2]


async def test_a_line_that_connects_and_says_nothing_has_ended(autojump_clock: MockClock) -> None:
    scene = Scene()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(scene.run)
        await trio.sleep(20)
        scene.connect()
    assert scene.outcomes == [(Outcome.QUIET, 30.0)]


async def test_a_line_to_which_nobody_listens_is_not_quiet(autojump_clock: MockClock) -> None:
    scene = Scene(listening=False)
    scene.connect()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(scene.run)
        for number in range(5):
            await trio.sleep(9.5)
            scene.hear(number)
    assert scene.outcomes == [(Outcome.QUIET, pytest.approx(57.5, abs=BLOCK_S))]
    assert scene.passed_on() == []


async def test_after_the_machine_stood_still_what_came_meanwhile_is_heard_before_a_line_is_quiet(
    mock_clock: MockClock,
) -> None:
    scene = Scene()
    scene.connect()
    with trio.fail_after(1000):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(scene.run)
            await wait_all_tasks_blocked()
            mock_clock.jump(60)
            await wait_all_tasks_blocked()
            assert not scene.outcomes, "its socket has not been read yet"
            scene.hear(0)
            mock_clock.jump(9)
            await wait_all_tasks_blocked()
            mock_clock.jump(0.9)
            await wait_all_tasks_blocked()
            assert not scene.outcomes
            mock_clock.jump(1)
    assert scene.outcomes == [(Outcome.QUIET, 70.9)]


async def test_where_no_audio_is_awaited_neither_absence_nor_silence_is_an_end(autojump_clock: MockClock) -> None:
    scene = Scene(awaited=False)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(scene.run)
        await trio.sleep(100)
        scene.connect()
        await trio.sleep(45)
        scene.mailbox.close()
    assert (scene.outcomes, scene.ended_at) == ([], 145.0)


async def test_the_end_of_the_line_is_the_end_and_no_outcome_of_its_own(autojump_clock: MockClock) -> None:
    scene = Scene()
    scene.connect()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(scene.run)
        await trio.sleep(1)
        scene.hear(7)
        scene.mailbox.disconnect(scene.line)
    assert (scene.outcomes, scene.ended_at, scene.passed_on()) == ([], 1.0, [7])


async def test_a_line_that_comes_in_the_last_moment_is_served(autojump_clock: MockClock) -> None:
    scene = Scene()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(scene.run)
        await trio.sleep(59.9)
        scene.connect()
        await trio.sleep(9.9)
        scene.hear(1)
        scene.mailbox.close()
    assert (scene.outcomes, scene.passed_on()) == ([], [1])


async def test_a_call_that_ends_before_its_line_came_is_not_waited_for(autojump_clock: MockClock) -> None:
    scene = Scene()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(scene.run)
        await trio.sleep(5)
        scene.mailbox.close()
    assert (scene.outcomes, scene.ended_at) == ([], 5.0)


async def test_a_decoder_that_stands_still_costs_the_oldest_blocks_and_no_time(autojump_clock: MockClock) -> None:
    scene = Scene()
    scene.connect()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(scene.run)
        for number in range(100):
            scene.hear(number)
            await trio.sleep(0.1)
        scene.mailbox.close()
    assert scene.ended_at < 10.01
    assert scene.passed_on() == list(range(100 - BLOCKS_A_SECOND, 100))
    assert scene.mailbox.dropped == 100 - BLOCKS_A_SECOND
