"""A recording read as a call would have been, faster than it was spoken: the same core and engine, no sockets.

The clock is the recording's own: a reading arrives at the end of its window.
"""

from collections.abc import AsyncIterator
from dataclasses import dataclass

from .core import mulaw
from .core.audio import SAMPLES_PER_MS, PcmChunk
from .core.context import ContextUpdate
from .core.emotion import EmotionReading, Gated, Mood
from .core.misread import misread, poor
from .core.rules import Decision
from .core.speech import SpeechGate
from .core.steps import Setup
from .core.windowing import Windower
from .ports import Engine
from .rulefile import shipped

CHUNK_MS = 100


@dataclass(frozen=True, slots=True)
class Folded:
    """One reading and what it changed."""

    reading: EmotionReading
    refused: Gated | None
    mood: Mood
    decision: Decision | None
    """What the rules would have had done."""

    @property
    def update(self) -> ContextUpdate | None:
        """The note that would have gone to the assistant."""
        return None if self.decision is None else self.decision.update


class Follower:
    """What a call would have made of its readings, by the packaged rules; of audio that is misread, a poor line."""

    def __init__(self, payload: bytes, setup: Setup) -> None:
        self._roar = misread(payload) is not None
        self._tracker, self._rules = setup.tracker(), setup.rules(shipped(setup.act_at))

    def take(self, reading: EmotionReading) -> Folded:
        """The next reading; it arrives at the end of its window."""
        reading, now = poor(reading) if self._roar else reading, reading.end_ms / 1000
        refused = self._tracker.take(reading, now)
        mood = self._tracker.mood(now)
        return Folded(reading, refused, mood, self._rules.decide(mood, now, assistant_speaking=False))


async def read_recording(payload: bytes, engine: Engine, setup: Setup) -> AsyncIterator[Folded]:
    """The readings of a recording (mu-law, 8 kHz, one channel), in order."""
    gate, windower, follower = SpeechGate(), Windower(), Follower(payload, setup)
    step = CHUNK_MS * SAMPLES_PER_MS
    async with engine.open("recording") as session:
        for start in range(0, len(payload), step):
            samples = mulaw.decode(payload[start : start + step])
            chunk = PcmChunk(samples, start // SAMPLES_PER_MS, (start + len(samples)) / SAMPLES_PER_MS / 1000)
            session.hear(chunk)
            for window in windower.push(chunk, gate.push(chunk)):
                reading = await session.read(window) if window.speech_ms else None
                if reading is not None:
                    yield follower.take(reading)
