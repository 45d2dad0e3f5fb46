"""One call's ear. Hearing only keeps the sound; whoever reads first has everything pending judged, many calls at once.

Evidence is accumulated hop by hop in the order of the sound: whether a reading was asked for, late or skipped makes no
difference to what is believed afterwards.
"""

from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

import numpy as np
import trio

from ...core.audio import Gap, PcmChunk, Window
from ...core.emotion import LABELS, NEUTRAL, Emotion, EmotionReading, Gated
from ...core.frames import BLOCK_MS, BlockCutter, Skipped
from . import baseline
from .batch import MOST, Beliefs, hop, skip
from .memory import CALIBRATION_MS, blank, remember_nothing
from .model import SHIPPED, Model, load, strongest
from .spectrum import Floats

UNUSABLE: Final = 0.15
"""Quality below which a line is too poor to judge."""
_REMEMBERED: Final = 25
_BACKLOG: Final = 5
"""Blocks, a second of sound, that wait for a reader; a call that nobody reads is judged as it is heard."""


@dataclass(frozen=True, slots=True)
class Judgement:
    """What is believed at the end of a hop."""

    end_ms: int
    """Since the first sound."""
    scores: tuple[float, ...]
    """Of the last stretch alone, over LABELS."""
    emotion: Emotion
    quality: float
    calibrated: bool


_NOTHING_YET: Final = (1.0, *(0.0 for _ in LABELS[1:]))


class LocalSession:
    def __init__(self, engine: "LocalEngine | None" = None) -> None:
        self._engine = engine or LocalEngine()
        self._origin_ms: int | None = None
        self._now_ms = 0
        self._cutter = BlockCutter()
        self.memory = blank(1)
        self.pending: deque[Floats | int] = deque()
        """Blocks of sound not yet judged, and milliseconds that never came."""
        self._judgements = deque([Judgement(0, _NOTHING_YET, NEUTRAL, 0.0, False)], maxlen=_REMEMBERED)

    def hear(self, sound: PcmChunk | Gap) -> None:
        """Take the next sound. Chunks and gaps may be of any length; the result does not depend on it."""
        if self._origin_ms is None:
            self._origin_ms = sound.start_ms
        for block in self._cutter.push(sound):
            self.pending.append(block.blocks * BLOCK_MS if isinstance(block, Skipped) else block.samples)
            while len(self.pending) > _BACKLOG:
                self._engine.judge([self])
        self._engine.expect(self)

    async def read(self, window: Window) -> EmotionReading:
        """The belief at the window's end, or the newest where that is not to be had."""
        await self._engine.catch_up(self)
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
            scores=dict(zip(LABELS, judgement.scores, strict=True)),
            quality=quality,
            speech_ms=window.speech_ms,
            abstained=abstained,
            baseline=float(baseline.known(self.memory)[0]),
        )

    def forget(self) -> None:
        """Overwrite everything heard and believed, at once. The session then begins anew."""
        self.pending, waiting = deque(), self.pending
        for block in waiting:
            if not isinstance(block, int):
                block[:] = 0
        self._cutter.forget()
        remember_nothing(self.memory)
        self._judgements.clear()
        self._judgements.append(Judgement(self._now_ms, _NOTHING_YET, NEUTRAL, 0.0, False))

    def note(self, beliefs: Beliefs, at: int, ms: int) -> None:
        """What is believed after the next so many milliseconds; `at` is this call's place in the batch."""
        self._now_ms += ms
        emotion = strongest(beliefs.shares[at].tolist())
        calibrated = int(beliefs.speech_ms[at]) >= CALIBRATION_MS
        scores, quality = tuple(beliefs.scores[at].tolist()), float(beliefs.quality[at])
        self._judgements.append(Judgement(self._now_ms, scores, emotion, quality, calibrated))


class LocalEngine:
    """The engine on this machine: no network; calls share the model, and nothing else.

    Raises ConfigError when the model's file is missing, or is not what its checksum says.
    """

    def __init__(self, name: str = "local", model: Model | Path | None = None) -> None:
        self.name = name
        self._model = model if isinstance(model, Model) else load(model) if model else shipped()
        self._waiting: dict[LocalSession, None] = {}
        """Sessions with something pending, oldest first."""

    @property
    def model(self) -> Model:
        return self._model

    @asynccontextmanager
    async def open(self, call_sid: str) -> AsyncIterator[LocalSession]:
        """A session for one call; what it heard is overwritten when it closes."""
        session = LocalSession(self)
        try:
            yield session
        finally:
            session.forget()
            self._waiting.pop(session, None)

    def expect(self, session: LocalSession) -> None:
        """The session has something to be judged, some time."""
        if session.pending:
            self._waiting.setdefault(session)

    async def catch_up(self, session: LocalSession) -> None:
        """Judge all that this session has heard, and what others have waiting along with it."""
        while session.pending:
            others = [other for other in self._waiting if other is not session]
            self.judge([session, *others[: MOST - 1]])
            if session.pending:
                await trio.lowlevel.checkpoint()

    def judge(self, sessions: list[LocalSession]) -> None:
        """Judge what never came, and one block of sound, of each of these."""
        for session in sessions:
            while session.pending and isinstance(missing := session.pending[0], int):
                session.note(skip(self._model, session.memory, missing), 0, missing)
                session.pending.popleft()
        ready = [session for session in sessions if session.pending]
        if ready:
            memory = np.concatenate([session.memory for session in ready])
            beliefs = hop(self._model, memory, np.stack([session.pending[0] for session in ready]))
            for at, session in enumerate(ready):
                session.memory[:] = memory[at : at + 1]
                session.note(beliefs, at, BLOCK_MS)
                heard = session.pending.popleft()
                if not isinstance(heard, int):
                    heard[:] = 0
        for session in sessions:
            if not session.pending:
                self._waiting.pop(session, None)


@cache
def shipped() -> Model:
    """The model that comes with Callmood, read once."""
    return load(SHIPPED)


def _abstained(judgement: Judgement, quality: float) -> Gated | None:
    if not judgement.calibrated:
        return Gated.CALIBRATING
    return Gated.POOR_LINE if quality < UNUSABLE else None
