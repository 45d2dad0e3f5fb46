"""One recording through the ear, as a live call goes: gate, windows, engine.

The engine is asked once. What it said is kept, so that other thresholds and rules can be tried on it afterwards.
"""

import time
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..core.audio import SAMPLES_PER_MS, PcmChunk
from ..core.emotion import EmotionReading
from ..core.speech import SpeechGate
from ..core.windowing import Windower
from ..ports import Engine

CHUNK_MS = 100
AFTER_MS = 200
"""Silence after the end: a call goes on, and the last words of a clip are judged with the hop they fall in."""


@dataclass(frozen=True, slots=True)
class Hearing:
    """What the engine said about one recording."""

    readings: tuple[EmotionReading, ...]
    """One for each window with speech in it; `end_ms` counts from the beginning."""
    spoken_ms: tuple[int, ...]
    """For each reading, how much speech the gate had found until then."""
    duration_ms: int
    cpu_s: float
    """Of gate, windows and engine."""


async def listen(samples: NDArray[np.int16], engine: Engine) -> Hearing:
    """Feed 8 kHz samples, shape (n,), as a call would. Raises what the engine raises."""
    gate, windower = SpeechGate(), Windower()
    said: list[EmotionReading] = []
    spoken: list[int] = []
    heard_ms = 0
    step = CHUNK_MS * SAMPLES_PER_MS
    padded = np.concatenate((samples, np.zeros(AFTER_MS * SAMPLES_PER_MS, np.int16)))
    before = time.process_time()
    async with engine.open("recording") as session:
        for start in range(0, len(padded), step):
            part = padded[start : start + step]
            chunk = PcmChunk(part, start // SAMPLES_PER_MS, (start + len(part)) / SAMPLES_PER_MS / 1000)
            session.hear(chunk)
            speech = gate.push(chunk)
            heard_ms += sum(end - begin for begin, end in speech.spans)
            for window in windower.push(chunk, speech):
                reading = await session.read(window) if window.speech_ms else None
                if reading is not None:
                    said.append(reading)
                    spoken.append(heard_ms)
    spent = time.process_time() - before
    return Hearing(tuple(said), tuple(spoken), len(samples) // SAMPLES_PER_MS, spent)
