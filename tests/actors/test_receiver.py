"""line -> frames: passes on at once, notices a quiet line, and ends when the line does."""

import trio
from trio.testing import MockClock

from agent.actors.channels import Inbox, Outbox, WhenFull, open_channel
from agent.actors.receiver import receive
from agent.core.audio import Block, MediaFrame
from agent.core.emotion import Outcome


class Scene:
    """A receiver between its two channels."""

    def __init__(self) -> None:
        self.line, self._blocks = open_channel(Block, 10, WhenFull.DROP_OLDEST)
        self._frames: Outbox[Block]
        self.frames: Inbox[Block]
        self._frames, self.frames = open_channel(Block, 10, WhenFull.DROP_OLDEST)
        self.connected = trio.Event()
        self.outcomes: list[tuple[Outcome, float]] = []
        self.ended_at = -1.0

    async def run(self) -> None:
        await receive(
            self._blocks,
            self._frames,
            connected=self.connected,
            connect_within_s=60.0,
            line_quiet_s=10.0,
            ended=lambda outcome: self.outcomes.append((outcome, trio.current_time())),
        )
        self.ended_at = trio.current_time()

    def passed_on(self) -> list[int]:
        """Sequence numbers waiting in `frames`, whose sending end has to be closed by now."""
        found = []
        while True:
            try:
                found.append(self.frames.receive_nowait().frames[0].sequence)
            except trio.EndOfChannel:
                return found


def block(sequence: int) -> Block:
    return Block((MediaFrame(sequence, 20 * sequence, b"\xff" * 160, 0.0),))


async def test_a_line_that_never_comes_is_an_expired_call(autojump_clock: MockClock) -> None:
    scene = Scene()
    await scene.run()
    assert scene.outcomes == [(Outcome.EXPIRED, 60.0)]
    assert scene.passed_on() == []


async def test_a_line_that_goes_quiet_has_ended(autojump_clock: MockClock) -> None:
    scene = Scene()
    scene.connected.set()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(scene.run)
        for number in range(3):
            await trio.sleep(9.5)
            scene.line.offer(block(number))
    assert scene.outcomes == [(Outcome.QUIET, 38.5)]
    assert scene.passed_on() == [0, 1, 2]


async def test_the_end_of_the_line_is_the_end_and_no_outcome_of_its_own(autojump_clock: MockClock) -> None:
    scene = Scene()
    scene.connected.set()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(scene.run)
        await trio.sleep(1)
        scene.line.offer(block(7))
        scene.line.close()
    assert (scene.outcomes, scene.ended_at, scene.passed_on()) == ([], 1.0, [7])


async def test_a_line_that_comes_in_the_last_moment_is_served(autojump_clock: MockClock) -> None:
    scene = Scene()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(scene.run)
        await trio.sleep(59.9)
        scene.connected.set()
        await trio.sleep(9.9)
        scene.line.offer(block(1))
        scene.line.close()
    assert (scene.outcomes, scene.passed_on()) == ([], [1])


async def test_a_call_that_ends_before_its_line_came_is_not_waited_for(autojump_clock: MockClock) -> None:
    scene = Scene()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(scene.run)
        await trio.sleep(5)
        scene.line.close()
        scene.connected.set()
    assert (scene.outcomes, scene.ended_at) == ([], 5.0)


async def test_a_decoder_that_stands_still_costs_the_oldest_blocks_and_no_time(autojump_clock: MockClock) -> None:
    scene = Scene()
    scene.connected.set()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(scene.run)
        for number in range(100):
            scene.line.offer(block(number))
            await trio.sleep(0.1)
        scene.line.close()
    assert scene.ended_at < 10.01
    assert scene.passed_on() == list(range(90, 100))
    assert scene._frames.dropped == 90
