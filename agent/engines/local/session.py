"""One call's ear: hears every sound once, judges every 200 ms, and remembers the last few judgements.

Evidence is accumulated in `hear`, not in `read`: whether a reading was asked for, late or skipped makes no difference
to what is believed afterwards.
"""

from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

import numpy as np

from ...core.audio import Gap, PcmChunk, Window
from ...core.emotion import LABELS, NEUTRAL, Emotion, EmotionReading, Gated
from ...core.frames import BLOCK_MS, FRAME_MS, BlockCutter, Skipped
from ...core.speech import PitchTracker, SpeechJudge
from .belief import Belief
from .features import ENOUGH_SPEECH_MS, Floats, Heard, Listener
from .model import Vector

CALIBRATION_MS: Final = 1000
"""Speech heard in the call before anything is said about it."""
UNUSABLE: Final = 0.15
"""Quality below which a line is too poor to judge."""
_REMEMBERED: Final = 25
_CLIPPED: Final = 0.95
"""Of full scale; mu-law's loudest code is 0.98."""


@dataclass(frozen=True, slots=True)
class Judgement:
    """What is believed at the end of a hop."""

    end_ms: int
    """Since the first sound."""
    scores: Vector
    """Of the window alone, over LABELS."""
    emotion: Emotion
    quality: float
    calibrated: bool


class LocalSession:
    def __init__(self) -> None:
        self._origin_ms: int | None = None
        self._now_ms = 0
        self._speech_ms = 0
        self._clipped = 0.0
        self._quality = 0.0
        self._cutter = BlockCutter()
        self._tracker = PitchTracker()
        self._gate = SpeechJudge()
        self._listener = Listener()
        self._belief = Belief()
        self._judgements = deque([self._judgement()], maxlen=_REMEMBERED)

    def hear(self, sound: PcmChunk | Gap) -> None:
        """Take the next sound. Chunks and gaps may be of any length; the result does not depend on it."""
        if self._origin_ms is None:
            self._origin_ms = sound.start_ms
        for block in self._cutter.push(sound):
            if isinstance(block, Skipped):
                self._skip(block.blocks * BLOCK_MS)
            else:
                self._listen(block.samples)

    async def read(self, window: Window) -> EmotionReading:
        """The belief at the window's end, or the newest where that is not to be had."""
        end_ms = window.end_ms - (self._origin_ms or 0)
        judgement = next((known for known in self._judgements if known.end_ms >= end_ms), self._judgements[-1])
        quality = judgement.quality * (1.0 - window.missing_ms / max(1, window.end_ms - window.start_ms))
        abstained = _abstained(judgement, quality)
        return EmotionReading(
            emotion=judgement.emotion if abstained is None else NEUTRAL,
            source="local",
            start_ms=window.start_ms,
            end_ms=window.end_ms,
            heard_at=window.heard_at,
            scores=dict(zip(LABELS, judgement.scores.tolist(), strict=True)),
            quality=quality,
            speech_ms=window.speech_ms,
            abstained=abstained,
        )

    def _skip(self, ms: int) -> None:
        self._now_ms += ms
        self._tracker.forget()
        self._gate.pause()
        self._listener.forget()
        self._belief.fade(ms)
        self._judgements.append(self._judgement())

    def _listen(self, samples: Floats) -> None:
        pitch = self._tracker.track(samples)
        judged = self._gate.judge(pitch)
        self._listener.hear(samples, pitch, judged)
        self._now_ms += BLOCK_MS
        new_ms = int(np.count_nonzero(judged.speech)) * FRAME_MS
        self._speech_ms += new_ms
        if new_ms:
            self._clipped += 0.2 * (float(np.count_nonzero(np.abs(samples) > _CLIPPED)) / len(samples) - self._clipped)
        self._judge(new_ms)

    def _judge(self, new_ms: int) -> None:
        heard = self._listener.recall() if new_ms else None
        if heard is None or heard.speech_ms < ENOUGH_SPEECH_MS:
            self._belief.fade(BLOCK_MS)
        else:
            self._belief.follow(heard, new_ms)
            self._quality = self._judge_quality(heard)
        self._judgements.append(self._judgement())

    def _judgement(self) -> Judgement:
        belief = self._belief
        calibrated = self._speech_ms >= CALIBRATION_MS
        return Judgement(self._now_ms, belief.scores, belief.emotion, self._quality, calibrated)

    def _judge_quality(self, heard: Heard) -> float:
        """0 unusable to 1 clean: how far the voice stands out, how much of it is clipped, how much there is."""
        stands_out = (heard.level_db - self._gate.floor_db) / 25.0
        unclipped = 1.0 - 8.0 * self._clipped
        enough = 0.4 + heard.speech_ms / 1000.0
        return _share(stands_out) * _share(unclipped) * _share(enough)


class LocalEngine:
    """The engine on this machine: no network, no model file, nothing shared between calls."""

    def __init__(self, name: str = "local") -> None:
        self.name = name

    @asynccontextmanager
    async def open(self, call_sid: str) -> AsyncIterator[LocalSession]:
        """A session for one call. It holds a second and a half of features, and less than that of sound."""
        yield LocalSession()


def _abstained(judgement: Judgement, quality: float) -> Gated | None:
    if not judgement.calibrated:
        return Gated.CALIBRATING
    return Gated.POOR_LINE if quality < UNUSABLE else None


def _share(value: float) -> float:
    return min(1.0, max(0.0, value))
