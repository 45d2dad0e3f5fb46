"""One call's ear. Hearing only keeps the sound; whoever reads first has everything pending judged, many calls at once.

Evidence is accumulated hop by hop in the order of the sound: whether a reading was asked for, late or skipped makes no
difference to what is believed afterwards.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import cache
from itertools import islice
from pathlib import Path
from typing import Final

import trio

from ...core.audio import Gap, PcmChunk, Window
from ...core.emotion import LABELS, NEUTRAL, EmotionReading, Gated
from ...core.frames import BLOCK_MS, BlockCutter, Skipped
from . import baseline
from .batch import MOST, Beliefs, Call, hop, skip
from .judgement import Judgement, nothing
from .memory import CALIBRATION_MS, Ring, blank, caller_of, line_of, remember_nothing
from .model import SHIPPED, Model, load, strongest
from .spectrum import Floats

UNUSABLE: Final = 0.15
"""Quality below which a line is too poor to judge."""
_REMEMBERED: Final = 25
_BACKLOG: Final = 5
"""Blocks, a second of sound, that wait for a reader; a call that nobody reads is judged as it is heard."""


class LocalSession:
    def __init__(self, engine: "LocalEngine | None" = None) -> None:
        self._engine = engine or LocalEngine()
        self._origin_ms: int | None = None
        self._now_ms = 0
        self._cutter = BlockCutter()
        self.memory, self.ring = blank(1), Ring()
        self.call = Call(self.memory["sound"][0], line_of(self.memory), caller_of(self.memory), self.ring)
        self.pending: list[Floats | int] = []
        """Blocks of sound not yet judged, and milliseconds that never came."""
        self._judgements = [nothing(0)]

    def hear(self, sound: PcmChunk | Gap) -> None:
        """Take the next sound. Chunks and gaps may be of any length; the result does not depend on it."""
        if self._origin_ms is None:
            self._origin_ms = sound.start_ms
        for block in self._cutter.push(sound):
            self.pending.append(block.blocks * BLOCK_MS if isinstance(block, Skipped) else block.samples)
            self._engine.expect(self)
            while len(self.pending) > _BACKLOG:
                self._engine.judge_with_others(self)

    async def read(self, window: Window) -> EmotionReading:
        """The belief at the window's end, or the newest where that is not to be had."""
        await self._engine.catch_up(self)
        return self._reading(window)

    def read_at_once(self, window: Window) -> EmotionReading | None:
        """The same (`ports.Prompt`): mostly there is one block to be judged, or somebody else has had it judged."""
        if self.pending:
            self._engine.judge_with_others(self)
        return None if self.pending else self._reading(window)

    def _reading(self, window: Window) -> EmotionReading:
        end_ms = window.end_ms - (self._origin_ms or 0)
        judgement = self._judged_by(end_ms)
        quality = judgement.quality * (1.0 - window.missing_ms / max(1, window.end_ms - window.start_ms))
        abstained = _abstained(judgement, quality)
        return EmotionReading(
            emotion=strongest(judgement.shares.tolist()) if abstained is None else NEUTRAL,
            source="local",
            start_ms=window.start_ms,
            end_ms=window.end_ms,
            heard_at=window.heard_at,
            scores=dict(zip(LABELS, judgement.scores.tolist(), strict=True)),
            quality=quality,
            speech_ms=window.speech_ms,
            abstained=abstained,
            baseline=float(baseline.known(self.memory)[0]),
        )

    def _judged_by(self, end_ms: int) -> Judgement:
        """The first judgement of all the sound up to there; mostly it is the newest."""
        found = self._judgements[-1]
        for known in reversed(self._judgements):
            if known.end_ms < end_ms:
                break
            found = known
        return found

    def forget(self) -> None:
        """Overwrite everything heard and believed, at once. The session then begins anew."""
        self.pending, waiting = [], self.pending
        for block in waiting:
            if not isinstance(block, int):
                block[:] = 0
        self._cutter.forget()
        remember_nothing(self.memory)
        self.ring.forget()
        for judgement in self._judgements:
            judgement.shares[:] = judgement.scores[:] = 0
        self._judgements.clear()
        self._judgements.append(nothing(self._now_ms))

    def note(self, ms: int, found: Beliefs, at: int) -> None:
        """What is believed after the next so many milliseconds."""
        self._now_ms += ms
        self._judgements.append(Judgement(self._now_ms, found, at))
        if len(self._judgements) > _REMEMBERED:
            del self._judgements[0]


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
            self.judge_with_others(session)
            if session.pending:
                await trio.lowlevel.checkpoint()

    def judge_with_others(self, session: LocalSession) -> None:
        """The next block of this session, and of those who wait the longest: it costs little more."""
        others = islice((other for other in self._waiting if other is not session), MOST - 1)
        self.judge([session, *others])

    def judge(self, sessions: list[LocalSession]) -> None:
        """Judge what never came, and one block of sound, of each of these."""
        for session in sessions:
            while session.pending and isinstance(missing := session.pending[0], int):
                session.note(missing, skip(self._model, session.memory, session.ring, missing), 0)
                del session.pending[0]
        ready = [session for session in sessions if session.pending]
        if ready:
            self._hop(ready)
        for session in sessions:
            if not session.pending:
                self._waiting.pop(session, None)

    def _hop(self, sessions: list[LocalSession]) -> None:
        """The next block of sound of each."""
        blocks = [block for session in sessions if not isinstance(block := session.pending.pop(0), int)]
        found = hop(self._model, [session.call for session in sessions], blocks)
        for at, session in enumerate(sessions):
            session.note(BLOCK_MS, found, at)
        for block in blocks:
            block.fill(0)


@cache
def shipped() -> Model:
    """The model that comes with Callmood, read once."""
    return load(SHIPPED)


def _abstained(judgement: Judgement, quality: float) -> Gated | None:
    if judgement.speech_ms < CALIBRATION_MS:
        return Gated.CALIBRATING
    return Gated.POOR_LINE if quality < UNUSABLE else None
