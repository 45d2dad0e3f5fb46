"""From frames to sound: chunks and gaps tile the media clock, whatever the frames and blocks were."""

from collections.abc import Iterable, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.core import mulaw
from agent.core.assembly import MAX_GAP_MS, Assembler
from agent.core.audio import Block, Gap, MediaFrame, PcmChunk
from agent.core.frames import BLOCK_MS

Sound = PcmChunk | Gap
FRAME_MS = 20


def frame(sequence: int, media_ms: int, *, fill: int = 0xFF, heard_at: float | None = None) -> MediaFrame:
    at = media_ms / 1000 if heard_at is None else heard_at
    return MediaFrame(sequence, media_ms, bytes([fill]) * (FRAME_MS * 8), at)


def in_blocks(frames: Sequence[MediaFrame], sizes: Iterable[int], line: int = 1) -> list[Block]:
    blocks, left = [], list(frames)
    for size in sizes:
        blocks.append(Block(tuple(left[:size]), line))
        left = left[size:]
    return [block for block in [*blocks, Block(tuple(left), line)] if block.frames]


def assembled(blocks: Iterable[Block], *, dropped: int = 0) -> list[Sound]:
    assembler = Assembler()
    return [sound for block in blocks for sound in assembler.push(block, dropped=dropped)]


def gaps(sounds: Iterable[Sound]) -> list[tuple[int, int, str]]:
    return [(sound.start_ms, sound.ms, sound.cause) for sound in sounds if isinstance(sound, Gap)]


def assert_tiled(sounds: Sequence[Sound]) -> None:
    """One sound begins where the one before it ended, from 0 on."""
    end_ms = 0
    for sound in sounds:
        assert sound.start_ms == end_ms
        assert sound.end_ms > end_ms
        end_ms = sound.end_ms


skips = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3), st.integers(0, 1)), min_size=1, max_size=60)
"""Before each frame: messages with audio lost, frames of pause, marks or key presses in between."""

sizes = st.lists(st.integers(1, 9), max_size=30)


def frames_after(skips: Sequence[tuple[int, int, int]]) -> list[MediaFrame]:
    sequence, media_ms, frames = 1, 0, []
    for lost, paused, marks in skips:
        sequence += lost + marks + 1
        media_ms += FRAME_MS * (lost + paused)
        frames.append(frame(sequence, media_ms))
        media_ms += FRAME_MS
    return frames


@given(skips, sizes)
def test_chunks_and_gaps_tile_the_clocks_span_whatever_the_blocks(
    skips: list[tuple[int, int, int]], sizes: list[int]
) -> None:
    frames = frames_after(skips)
    sounds = assembled(in_blocks(frames, sizes))
    assert_tiled(sounds)
    span_ms = frames[-1].end_ms - frames[0].media_ms
    assert span_ms - 60 <= sounds[-1].end_ms <= span_ms
    assert gaps(sounds) == gaps(assembled(in_blocks(frames, [])))


@given(st.lists(st.integers(0, 3), min_size=1, max_size=60), sizes)
def test_lost_frames_are_accounted_for_to_the_millisecond(losses: list[int], sizes: list[int]) -> None:
    frames = frames_after([(lost, 0, 0) for lost in losses])
    sounds = assembled(in_blocks(frames, sizes))
    assert sounds[-1].end_ms == frames[-1].end_ms - frames[0].media_ms
    assert sum(ms for _, ms, _ in gaps(sounds)) == FRAME_MS * sum(losses[1:])
    assert {cause for _, _, cause in gaps(sounds)} <= {"lost"}


jumpy = st.lists(
    st.builds(
        frame,
        st.integers(0, 10**6),
        st.integers(-(10**6), 10**9),
        fill=st.integers(0, 255),
        heard_at=st.floats(0, 10**6),
    ),
    min_size=1,
    max_size=20,
)


@given(jumpy, sizes, st.integers(0, 100))
def test_no_clock_and_no_numbering_can_make_it_overlap_lose_sound_or_account_for_hours(
    frames: list[MediaFrame], sizes: list[int], dropped: int
) -> None:
    sounds = assembled(in_blocks(frames, sizes), dropped=dropped)
    assert_tiled(sounds)
    assert all(ms <= MAX_GAP_MS + dropped * BLOCK_MS for _, ms, _ in gaps(sounds))
    heard = b"".join(mulaw.encode(sound.samples) for sound in sounds if isinstance(sound, PcmChunk))
    expected = b"".join(mulaw.encode(mulaw.decode(frame.payload)) for frame in frames)
    assert heard == expected


def test_a_jump_in_the_numbers_is_a_loss_or_what_we_dropped_ourselves() -> None:
    assembler = Assembler()
    list(assembler.push(Block((frame(2, 0),), 1)))
    assert gaps(assembler.push(Block((frame(5, 60),), 1))) == [(20, 40, "lost")]
    assert gaps(assembler.push(Block((frame(10, 160),), 1), dropped=2)) == [(80, 80, "dropped")]


def test_what_we_dropped_ourselves_is_believed_however_long_it_is() -> None:
    assembler = Assembler()
    list(assembler.push(Block((frame(2, 0),), 1)))
    blocks = 15_000 // BLOCK_MS
    assert gaps(assembler.push(Block((frame(752, 15_000),), 1), dropped=blocks)) == [(20, 14_980, "dropped")]
    [chunk] = assembler.push(Block((frame(753, 15_020),), 1))
    assert isinstance(chunk, PcmChunk)
    assert chunk.start_ms == 15_020, "our clock is still the line's"


def test_only_the_first_gap_after_a_drop_is_ours() -> None:
    assembler = Assembler()
    list(assembler.push(Block((frame(2, 0),), 1)))
    found = gaps(assembler.push(Block((frame(4, 40), frame(6, 80)), 1), dropped=2))
    assert found == [(20, 20, "dropped"), (60, 20, "lost")]


def test_a_clock_that_runs_on_without_a_missing_message_is_a_pause() -> None:
    assert gaps(assembled([Block((frame(2, 0), frame(3, 220)), 1)])) == [(20, 200, "pause")]


@pytest.mark.parametrize("messages", [1, 2, 7])
def test_marks_and_key_presses_in_between_are_no_gap(messages: int) -> None:
    sounds = assembled([Block((frame(2, 0), frame(3 + messages, 20)), 1)])
    assert gaps(sounds) == []
    assert sounds[-1].end_ms == 40


@pytest.mark.parametrize("wobble_ms", [-60, -20, 1, 20, 60])
def test_a_wobble_of_the_clock_without_a_missing_message_is_joined(wobble_ms: int) -> None:
    wobbly = [frame(number, FRAME_MS * number + (wobble_ms if number % 2 else 0)) for number in range(20)]
    assert gaps(assembled([Block(tuple(wobbly), 1)])) == []


def test_a_clock_that_leaps_is_believed_up_to_a_bound_and_followed_from_there() -> None:
    day_ms = 86_400_000
    frames = (frame(2, 0), frame(3, day_ms), frame(4, day_ms + 20), frame(6, day_ms + 60))
    assert gaps(assembled([Block(frames, 1)])) == [(20, MAX_GAP_MS, "pause"), (MAX_GAP_MS + 60, 20, "lost")]


def test_a_clock_that_falls_back_is_followed_from_there() -> None:
    frames = (frame(2, 10_000), frame(3, 0), frame(4, 20), frame(6, 60))
    assert gaps(assembled([Block(frames, 1)])) == [(60, 20, "lost")]


@pytest.mark.parametrize(("number", "media_ms"), [(2, 0), (900, 80_000)])
def test_a_new_line_begins_its_clock_anew_and_ours_goes_on(number: int, media_ms: int) -> None:
    newer = (frame(number, media_ms), frame(number + 1, media_ms + 20))
    sounds = assembled([Block((frame(90, 5_000),), 1), Block(newer, 2)])
    assert_tiled(sounds)
    assert gaps(sounds) == []
    assert sounds[-1].end_ms == 60


def test_losses_on_a_new_line_are_counted_from_its_own_first_frame() -> None:
    sounds = assembled([Block((frame(900, 80_000),), 1), Block((frame(7, 400), frame(9, 440)), 2)])
    assert gaps(sounds) == [(40, 20, "lost")]


def test_each_chunk_was_heard_when_its_own_last_frame_was() -> None:
    frames = (frame(2, 0, heard_at=1.0), frame(3, 20, heard_at=1.02), frame(9, 5_000, heard_at=6.0))
    first, gap, last = assembled([Block(frames, 1)])
    assert (first.heard_at, gap.heard_at, last.heard_at) == (1.02, 6.0, 6.0)
