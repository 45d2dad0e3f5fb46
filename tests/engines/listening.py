"""What the tests of the engine share: recordings as a telephone carries them, and whole calls read in one go."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
import soxr
import trio
from numpy.typing import NDArray

from agent.core import mulaw
from agent.core.audio import SAMPLE_RATE, SAMPLES_PER_MS, Gap, PcmChunk
from agent.core.emotion import ANGER, EmotionReading
from agent.core.speech import SpeechGate
from agent.core.tracking import MoodTracker
from agent.core.windowing import Windower
from agent.engines.local import LocalEngine

Samples = NDArray[np.int16]

DEMO = Path(__file__).parents[2] / "agent/demo"


def telephone(audio: NDArray[np.float64]) -> Samples:
    """Mu-law there and back. Full scale is 1.0."""
    return mulaw.decode(mulaw.encode(np.clip(audio * 32768, -32768, 32767).astype(np.int16)))


def recording(path: Path) -> Samples:
    audio, rate = soundfile.read(path, dtype="float64", always_2d=True)
    mono = audio.mean(axis=1)
    return telephone(mono if rate == SAMPLE_RATE else soxr.resample(mono, rate, SAMPLE_RATE))


def chunks(samples: Samples, chunk_ms: int = 100) -> list[PcmChunk | Gap]:
    step = chunk_ms * SAMPLES_PER_MS
    return [
        PcmChunk(samples[at : at + step], at // SAMPLES_PER_MS, at / SAMPLE_RATE) for at in range(0, len(samples), step)
    ]


def readings(sounds: Iterable[PcmChunk | Gap]) -> list[EmotionReading]:
    """What the local engine says about every window with speech in it."""

    async def listen() -> list[EmotionReading]:
        gate, windower, said = SpeechGate(), Windower(), []
        async with LocalEngine().open("CA0") as session:
            for sound in sounds:
                session.hear(sound)
                for window in windower.push(sound, gate.push(sound)):
                    if window.speech_ms:
                        said.append(await session.read(window))
        return said

    return trio.run(listen)


@dataclass(frozen=True)
class Alarm:
    at_ms: int
    score: float


def alarms(said: Iterable[EmotionReading], at_least: float = 0.7) -> list[Alarm]:
    """Where the mood, as the aggregator sees it, is anger or frustration believed at least so much."""
    tracker, found = MoodTracker(), []
    for reading in said:
        now = reading.end_ms / 1000
        tracker.take(reading, now)
        mood = tracker.mood(now)
        if mood.emotion.label in ANGER and mood.emotion.score >= at_least:
            found.append(Alarm(reading.end_ms, mood.emotion.score))
    return found
