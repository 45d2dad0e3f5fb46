"""What the tests of evaluation share: small recordings, readings and manifests made on the spot."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray

from agent.core.audio import Window
from agent.core.emotion import ANGER, LABELS, Emotion, EmotionReading, Gated
from agent.evaluation.clips import Clip
from agent.evaluation.listening import Hearing
from agent.evaluation.manifest import Row
from agent.testing import ScriptedEngine
from agent.testing.engines import reading

HEAD = "file,label,speaker,corpus"


def voice(seconds: float, hz: float = 140.0, seed: int = 0) -> NDArray[np.float64]:
    """Something the gate takes for speech: harmonics that glide, in syllables. 8 kHz, full scale 1.0."""
    t = np.arange(round(8000 * seconds)) / 8000
    phase = 2 * np.pi * np.cumsum(hz * (1 + 0.12 * np.sin(2 * np.pi * 1.3 * t + seed))) / 8000
    harmonics = np.sum([np.sin(k * phase) / k for k in range(1, 16)], axis=0)
    return 0.15 * harmonics * (0.55 + 0.45 * np.sin(2 * np.pi * 4 * t))


def write(path: Path, audio: NDArray[np.float64], rate: int = 8000, **how: str) -> Path:
    soundfile.write(path, audio, rate, **how)
    return path


def row(label: str = "angry", name: str = "a.wav", *, speaker: str = "s", corpus: str = "c", **more: object) -> Row:
    return Row(name, Path(name), label, speaker, corpus, **more)  # type: ignore[arg-type]


def clip(label: str, anger: float, *, said: str = "angry", alarms_ms: Sequence[int] = (), **more: object) -> Clip:
    """A clip whose scores give anger so much, and what is said the rest."""
    scores = {name: 0.0 for name in LABELS} | {"angry": anger}
    other = said if said not in ("angry", "frustrated") else "neutral"
    scores[other] += 1 - anger
    return Clip(
        row=row(label, **more),  # type: ignore[arg-type]
        scores=tuple(scores.values()),
        label_out=said,
        score_out=anger if said in ANGER else scores[said],
        gated=None,
        alarms_ms=tuple(alarms_ms),
        escalations_ms=(),
        duration_ms=10_000,
        cpu_s=0.01,
        belief=anger,
    )


def readings(*said: tuple[str, float] | Gated, from_ms: int = 1500) -> tuple[EmotionReading, ...]:
    """One every 200 ms, each a second of speech."""
    found = []
    for at, what in enumerate(said):
        window = Window(from_ms + 200 * at - 1500, from_ms + 200 * at, 1000, 0, 0.0)
        label, score = ("neutral", 0.0) if isinstance(what, Gated) else what
        made = reading(Emotion(label, score), window)
        abstained = what if isinstance(what, Gated) else None
        found.append(
            EmotionReading(
                made.emotion, "local", window.start_ms, window.end_ms, 0.0, made.scores, 1.0, 1000, abstained=abstained
            )
        )
    return tuple(found)


def hearing(said: tuple[EmotionReading, ...], duration_ms: int = 10_000) -> Hearing:
    return Hearing(said, tuple(200 * (at + 1) for at in range(len(said))), duration_ms, 0.01)


def angry_engine() -> ScriptedEngine:
    """Made in whichever process: sure of anger from two seconds on."""
    return ScriptedEngine({0: Emotion("neutral", 0.9), 2000: Emotion("angry", 0.95)})
