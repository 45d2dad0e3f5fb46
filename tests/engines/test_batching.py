"""Many calls judged at once: nobody notices who else is there, nothing of a call outlives it."""

import numpy as np
import pytest
from listening import DEMO, chunks, recording

from agent.core.audio import Gap, PcmChunk, Window
from agent.core.emotion import EmotionReading, Gated
from agent.engines.local import LocalEngine, LocalSession

VOICE = DEMO / "voices/adam_calm_then_angry.wav"
NOISE = np.random.default_rng(5)


def window(end_ms: int) -> Window:
    return Window(max(0, end_ms - 1500), end_ms, 900, 0, end_ms / 1000)


def essence(reading: EmotionReading) -> tuple[object, ...]:
    return reading.emotion, dict(reading.scores), reading.quality, reading.abstained


@pytest.fixture(scope="module")
def voice():
    return recording(VOICE)[11 * 8000 : 15 * 8000]


async def hear_and_read(engine: LocalEngine, samples, others) -> list[tuple[object, ...]]:
    """One call's readings, while the others speak along and are read or not."""
    said = []
    async with engine.open("CA0") as session:
        for at in range(0, len(samples), 1600):
            session.hear(PcmChunk(samples[at : at + 1600], at // 8, at / 8000))
            for number, (other, sound) in enumerate(others):
                other.hear(PcmChunk(sound[at : at + 1600], at // 8, at / 8000))
                if number % 2:
                    await other.read(window((at + 1600) // 8))
            said.append(essence(await session.read(window((at + 1600) // 8))))
    return said


@pytest.mark.parametrize("beside", [1, 2, 5, 20])
async def test_a_reading_does_not_depend_on_who_else_is_in_the_batch(voice, beside):
    engine = LocalEngine()
    alone = await hear_and_read(engine, voice, [])
    sounds = [NOISE.integers(-9000, 9000, len(voice)).astype(np.int16) for _ in range(beside - 1)]
    others = [(LocalSession(engine), sound) for sound in [np.roll(voice, 4000), *sounds]]
    assert await hear_and_read(engine, voice, others) == alone


async def test_many_calls_are_judged_by_whoever_reads_first(voice):
    engine = LocalEngine()
    sessions = [LocalSession(engine) for _ in range(10)]
    for session in sessions:
        session.hear(PcmChunk(voice[:1600], 0, 0.0))
    assert all(session.pending for session in sessions)
    await sessions[3].read(window(200))
    assert not any(session.pending for session in sessions)


async def test_a_call_that_nobody_reads_is_judged_as_it_is_heard(voice):
    engine = LocalEngine()
    async with engine.open("CA0") as unread, engine.open("CA1") as other:
        for chunk in chunks(voice):
            unread.hear(chunk)
            assert len(unread.pending) <= 5
            other.hear(chunk)
            if chunk.end_ms % 200 == 0:
                await other.read(window(chunk.end_ms))
        assert essence(await unread.read(window(4000))) == essence(await other.read(window(4000)))


async def test_nothing_of_a_call_is_left_when_it_closes(voice):
    async with LocalEngine().open("CA0") as session:
        for chunk in chunks(voice):
            session.hear(chunk)
        waiting = [block for block in session.pending if not isinstance(block, int)]
        assert waiting
        assert session.memory["sound"].any()
        assert session.ring._blocks.any()
    assert not any(block.any() for block in waiting)
    assert not session.pending
    assert not session.ring._blocks.any()
    for name in ("sound", "counts", "usual", "lately", "speech_ms"):
        assert not session.memory[name].any()


async def test_a_session_that_forgets_begins_anew(voice):
    async with LocalEngine().open("CA0") as session:
        for chunk in chunks(voice):
            session.hear(chunk)
        await session.read(window(4000))
        believed = list(session._judgements)
        assert all(judgement.shares.any() for judgement in believed[-10:])
        session.forget()
        assert not session.memory["sound"].any()
        assert not any(judgement.shares.any() or judgement.scores.any() for judgement in believed)
        reading = await session.read(window(4000))
    assert reading.abstained is Gated.CALIBRATING
    assert dict(reading.scores) == {"neutral": 1.0, "happy": 0, "sad": 0, "fearful": 0, "angry": 0, "frustrated": 0}


async def test_a_closed_call_is_not_judged_with_others(voice):
    engine = LocalEngine()
    async with engine.open("CA0") as gone:
        gone.hear(PcmChunk(voice[:1600], 0, 0.0))
    async with engine.open("CA1") as other:
        other.hear(PcmChunk(voice[:1600], 0, 0.0))
        await other.read(window(200))
    assert not gone.memory["sound"].any()


async def test_a_gap_between_blocks_keeps_its_place(voice):
    async with LocalEngine().open("CA0") as session:
        session.hear(PcmChunk(voice[:8000], 0, 1.0))
        session.hear(Gap(1000, 1000, "lost", 2.0))
        session.hear(PcmChunk(voice[8000:16000], 2000, 3.0))
        await session.read(window(3000))
        assert not session.pending
        assert session.memory["speech_ms"][0] > 0
