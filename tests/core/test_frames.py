import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from agent.core.audio import Gap, PcmChunk
from agent.core.frames import BLOCK_MS, BLOCK_SAMPLES, BlockCutter, Heard, Skipped


@given(st.lists(st.integers(0, 5000), min_size=1, max_size=12))
def test_blocks_are_the_same_however_the_sound_was_cut(cuts):
    samples = np.random.default_rng(1).integers(-32768, 32767, sum(cuts)).astype(np.int16)
    cutter, blocks, at = BlockCutter(), [], 0
    for length in cuts:
        blocks += list(cutter.push(PcmChunk(samples[at : at + length], at // 8, 0.0)))
        at += length
    assert len(blocks) == len(samples) // BLOCK_SAMPLES
    if blocks:
        heard = np.concatenate([block.samples for block in blocks if isinstance(block, Heard)])
        assert np.array_equal(heard * 32768, samples[: len(heard)])


@given(st.lists(st.tuples(st.integers(0, 2000), st.booleans()), max_size=12))
def test_blocks_and_skips_cover_all_media_time(lengths):
    cutter, covered_ms, total_ms = BlockCutter(), 0, 0
    for ms, missing in lengths:
        sound = Gap(total_ms, ms, "lost", 0.0) if missing else PcmChunk(np.zeros(ms * 8, np.int16), total_ms, 0.0)
        total_ms += ms
        for block in cutter.push(sound):
            covered_ms += BLOCK_MS * (block.blocks if isinstance(block, Skipped) else 1)
    assert covered_ms == total_ms // BLOCK_MS * BLOCK_MS


def test_a_gap_counts_as_zeros_and_is_remembered_as_missing():
    cutter = BlockCutter()
    assert not list(cutter.push(PcmChunk(np.ones(BLOCK_SAMPLES - 480, np.int16), 0, 0.0)))
    (block,) = cutter.push(Gap(BLOCK_MS - 60, 60, "lost", 0.0))
    assert isinstance(block, Heard)
    assert block.missing_ms == 60
    assert not block.samples[-480:].any()
    assert block.samples[:-480].all()


def test_an_hour_that_never_came_is_skipped_in_one_step():
    assert list(BlockCutter().push(Gap(0, 3_600_000, "pause", 0.0))) == [Skipped(3_600_000 // BLOCK_MS)]
