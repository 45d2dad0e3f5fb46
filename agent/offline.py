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
from .core.rules import Decision, Rules
from .core.speech import SpeechGate
from .core.tracking import MoodTracker
from .core.windowing import Windower
from .ports import Engine
from .rulefile import shipped

CHUNK_MS = 100


@dataclass(frozen=True, slots=True)
class Step:
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


async def read_recording(payload: bytes, engine: Engine, tracker: MoodTracker, act_at: float) -> AsyncIterator[Step]:
    """The readings of a recording (mu-law, 8 kHz, one channel), in order; one that is misread is a poor line."""
    roar = misread(payload) is not None
    gate, windower, rules = SpeechGate(), Windower(), Rules(shipped(act_at))
    step = CHUNK_MS * SAMPLES_PER_MS
    async with engine.open("recording") as session:
        for start in range(0, len(payload), step):
            samples = mulaw.decode(payload[start : start + step])
            chunk = PcmChunk(samples, start // SAMPLES_PER_MS, (start + len(samples)) / SAMPLES_PER_MS / 1000)
            session.hear(chunk)
            for window in windower.push(chunk, gate.push(chunk)):
                reading = await session.read(window) if window.speech_ms else None
                if reading is not None:
                    reading = poor(reading) if roar else reading
                    now = window.end_ms / 1000
                    refused = tracker.take(reading, now)
                    mood = tracker.mood(now)
                    decision = rules.decide(mood, now, assistant_speaking=False)
                    yield Step(reading, refused, mood, decision)
