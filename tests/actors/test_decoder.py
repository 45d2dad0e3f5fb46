"""frames -> windows, with real channels."""

from collections.abc import Sequence
from contextlib import ExitStack

import pytest
import trio
from trio.testing import MockClock

from agent.actors import gathering
from agent.actors.analyzer import Ear
from agent.actors.channels import WhenFull, open_channel
from agent.actors.decoder import Decoder
from agent.actors.gathering import FEW, Gathering
from agent.core.audio import Block, MediaFrame, Window
from agent.core.speech import SpeechGate


class Notes:
    """A timeline that remembers."""

    def __init__(self) -> None:
        self.events: list[tuple[str, dict[str, object]]] = []

    def record(self, event: str, **fields: object) -> None:
        self.events.append((event, fields))


def blocks(count: int) -> list[Block]:
    """So many blocks of 100 ms of silence, in order."""
    frames = [MediaFrame(2 + n, 20 * n, b"\xff" * 160, 0.02 * n) for n in range(5 * count)]
    return [Block(tuple(frames[5 * n : 5 * n + 5])) for n in range(count)]


async def test_what_we_could_not_keep_up_with_is_said_as_dropped_and_keeps_its_place(autojump_clock: MockClock) -> None:
    frames_out, frames = open_channel(Block, 10, WhenFull.DROP_OLDEST)
    windows_out, _windows = open_channel(Window, 2, WhenFull.DROP_OLDEST)
    timeline, heard = Notes(), []
    ear = Ear()
    ear.hear = heard.append  # type: ignore[method-assign, assignment]
    one, *many = blocks(26)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(lambda: Decoder(ear, timeline).run(frames, windows_out, dropped=lambda: frames_out.dropped))
        frames_out.offer(one)
        await trio.sleep(1)
        for block in many:
            frames_out.offer(block)
        frames_out.close()
    assert timeline.events == [("audio.gap", {"ms": 1400, "cause": "dropped"})]
    assert [(sound.start_ms, sound.end_ms) for sound in heard][:3] == [(0, 100), (100, 200), (200, 1600)]
    assert heard[-1].end_ms == 2600


async def test_only_a_whole_block_tells_that_cuts_lie_badly(autojump_clock: MockClock) -> None:
    """A short one is the end of a line that gave way, or the beginning of one that took over."""
    frames_out, frames = open_channel(Block, 10, WhenFull.DROP_OLDEST)
    windows_out, _windows = open_channel(Window, 2, WhenFull.DROP_OLDEST)
    [short] = blocks(1)
    whole = Block(tuple(MediaFrame(7 + n, 100 + 20 * n + 20 * (n > 3), b"\xff" * 160, 0.0) for n in range(9)))
    moved: list[int] = []
    async with trio.open_nursery() as nursery:
        decoder = Decoder(Ear(), Notes())
        nursery.start_soon(lambda: decoder.run(frames, windows_out, dropped=lambda: 0, cut_later=moved.append))
        frames_out.offer(short)
        await trio.sleep(1)
        assert not moved
        frames_out.offer(whole)
        frames_out.close()
    assert moved == [200 - 80], "100 ms and 180 ms of sound: 80 ms are left over"


@pytest.mark.parametrize("another_line", [False, True], ids=["the call ends", "another line takes over"])
async def test_what_was_dropped_last_is_said_though_no_hole_shows_it(
    autojump_clock: MockClock, another_line: bool
) -> None:
    notes, dropped = Notes(), 0
    frames_out, frames = open_channel(Block, 10, WhenFull.DROP_OLDEST)
    windows_out, _ = open_channel(Window, 2, WhenFull.DROP_OLDEST)
    heard, later, lost = blocks(3)[0], blocks(1)[0], blocks(9)[8]
    async with trio.open_nursery() as nursery:
        decoder = Decoder(Ear(), notes)
        nursery.start_soon(lambda: decoder.run(frames, windows_out, dropped=lambda: dropped))
        frames_out.offer(heard)
        await trio.sleep(1)
        dropped = 4
        if another_line:
            frames_out.offer(Block(later.frames, line=1))
            await trio.sleep(1)
            frames_out.offer(Block(lost.frames, line=1))
        frames_out.close()
    said = [("audio.gap", {"ms": 800, "cause": "dropped"})]
    if another_line:  # and what is lost on the way then is not taken for ours
        said.append(("audio.gap", {"ms": 700, "cause": "lost"}))
    assert notes.events == said


async def test_of_a_burst_one_block_is_judged_after_the_other_and_each_window_can_be_taken(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gathering, "judge", all_speech)
    hall = Gathering()
    frames_out, frames = open_channel(Block, 10, WhenFull.DROP_OLDEST)
    windows_out, windows = open_channel(Window, 2, WhenFull.DROP_OLDEST)
    decoder = Decoder(Ear(), Notes(), gathering=hall)
    with ExitStack() as others:
        for _ in range(FEW):
            others.enter_context(hall.seat(SpeechGate(), lambda _: None))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(hall.run)
            nursery.start_soon(lambda: decoder.run(frames, windows_out, dropped=lambda: 0))
            await trio.sleep(0.001)
            for block in blocks(10):
                frames_out.offer(block)
            frames_out.close()
            ends = [window.end_ms async for window in windows]
            nursery.cancel_scope.cancel()
    assert ends == [200, 400, 600, 800, 1000]
    assert windows_out.dropped == 0


def all_speech(gates: Sequence[SpeechGate]) -> None:
    for gate in gates:
        if gate.next() is not None:
            gate.take([True] * 20, [150 * 1.03 ** (n % 6) for n in range(20)])
