"""What any engine must keep to, checked: run it against yours.

    async def test_mine_keeps_to_the_contract() -> None:
        await check_engine(MyEngine(…), speech)

The engine may take as long as it likes to say something; it may not make the call wait, mix up two calls, or hold on to
anything after its block. Audio is given in real time, so this takes some seconds.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np
import trio
from numpy.typing import NDArray

from ..core.audio import SAMPLES_PER_MS, Gap, PcmChunk, Window
from ..core.emotion import LABELS, EmotionReading
from ..ports import Engine, EngineSession

CHUNK_MS: Final = 100
HOP_MS: Final = 200
WINDOW_MS: Final = 1500
OPENS_IN_S: Final = 0.5
"""Our patience with opening, reading and closing (`analyzer_patience_s`)."""
HEARS_IN_S: Final = 0.05
ANSWERS_IN_S: Final = 12.0
"""Of speech, by when even a slow vendor has said something."""


class BrokenPromise(AssertionError):
    """The engine does not keep to its side."""


async def check_engine(engine: Engine, speech: NDArray[np.int16]) -> list[EmotionReading]:
    """Every promise, with this speech (8 kHz, one channel, some seconds of it; it is repeated). The readings it gave.

    Raises BrokenPromise with one sentence saying which.
    """
    require(bool(engine.name) and engine.name == engine.name.lower(), "its name is not a lower-case word")
    await _hears_anything(engine)
    await _lets_go(engine)
    readings = await _reads(engine, speech)
    for reading in readings:
        _is_sound(reading)
    return readings


def require(kept: bool, broken: str) -> None:
    if not kept:
        raise BrokenPromise(broken)


async def _hears_anything(engine: Engine) -> None:
    """Sound of any length, silence, holes of any length: none of it is waited for or objected to."""
    sounds: list[NDArray[np.int16]] = [np.zeros(size, dtype=np.int16) for size in (0, 1, 7, 160, 8000)]
    extremes = np.full(800, 32767, dtype=np.int16), np.full(800, -32768, dtype=np.int16)
    async with engine.open("CA-anything") as session:
        now_ms = 1234  # media time need not begin at zero
        for samples in (*sounds, *extremes):
            _hear(session, PcmChunk(samples, now_ms, trio.current_time()))
            now_ms += len(samples) // SAMPLES_PER_MS
        for ms in (1, 20, 999, 100_000):
            _hear(session, Gap(now_ms, ms, "lost", trio.current_time()))
            now_ms += ms


def _hear(session: EngineSession, sound: PcmChunk | Gap) -> None:
    began = trio.current_time()
    session.hear(sound)
    require(trio.current_time() - began < HEARS_IN_S, "hearing a sound takes too long: the call waits for it")


async def _lets_go(engine: Engine) -> None:
    """Opening and closing are quick, a read may be given up at any time, and what comes late does no harm."""
    with trio.move_on_after(OPENS_IN_S) as patience:
        async with engine.open("CA-lets-go") as session:
            patience.deadline = float("inf")
            with trio.move_on_after(0):
                await session.read(_window(WINDOW_MS))
            patience.deadline = trio.current_time() + 2 * OPENS_IN_S
    require(not patience.cancelled_caught, "it does not open or close in time")
    session.hear(PcmChunk(np.zeros(800, dtype=np.int16), 0, trio.current_time()))


async def _reads(engine: Engine, speech: NDArray[np.int16]) -> list[EmotionReading]:
    """Two calls at once: one speaks, one is silent. What is said of the one is not said of the other."""
    chunks = _chunks(speech)
    spoken: list[EmotionReading] = []
    async with engine.open("CA-speaks") as speaks, engine.open("CA-silent") as silent:
        began = trio.current_time()
        for number in range(round(1000 * ANSWERS_IN_S / CHUNK_MS)):
            end_ms = (number + 1) * CHUNK_MS
            await trio.sleep_until(began + end_ms / 1000)
            now = trio.current_time()
            _hear(speaks, PcmChunk(chunks[number % len(chunks)], end_ms - CHUNK_MS, now))
            _hear(silent, PcmChunk(np.zeros_like(chunks[0]), end_ms - CHUNK_MS, now))
            if end_ms % HOP_MS == 0 and end_ms >= WINDOW_MS:
                reading = await _read(speaks, _window(end_ms))
                spoken += [reading] if reading is not None else []
            if len(spoken) >= 3 and end_ms >= 2 * WINDOW_MS:
                break
        of_silence = await _read(silent, _window(end_ms, speech_ms=0))
    require(bool(spoken), f"it said nothing about {ANSWERS_IN_S:g} s of speech")
    if of_silence is not None:
        angry = of_silence.emotion.label in ("angry", "frustrated") and of_silence.abstained is None
        require(not angry, "it hears anger in silence")
    return spoken


async def _read(session: EngineSession, window: Window) -> EmotionReading | None:
    with trio.move_on_after(OPENS_IN_S):
        return await session.read(window)
    raise BrokenPromise("a read takes longer than our patience")


def _is_sound(reading: EmotionReading) -> None:
    require(0.0 <= reading.emotion.score <= 1.0, "a score is not between 0 and 1")
    require(reading.emotion.label in LABELS, f"{reading.emotion.label!r} is not one of our labels")
    require(set(reading.scores) <= set(LABELS), "it scores labels that are not ours")
    require(all(0.0 <= p <= 1.0 for p in reading.scores.values()), "a probability is not between 0 and 1")
    require(0 <= reading.start_ms < reading.end_ms, "a reading does not say which stretch of the call it is about")
    require(reading.heard_at <= trio.current_time(), "a reading speaks of what has not been heard yet")


def _chunks(speech: NDArray[np.int16]) -> Sequence[NDArray[np.int16]]:
    size = CHUNK_MS * SAMPLES_PER_MS
    return [speech[start : start + size] for start in range(0, len(speech) - size + 1, size)]


def _window(end_ms: int, speech_ms: int = 1400) -> Window:
    return Window(max(0, end_ms - WINDOW_MS), end_ms, speech_ms, 0, trio.current_time())
