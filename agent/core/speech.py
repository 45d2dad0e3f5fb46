"""How much of the sound is speech: a gate for the telephone band, cheap enough to run on every call.

Sounds come in, of any length; blocks of 200 ms are judged, as `voicing.py` says; spans of speech come out. Gates of
many calls are judged at once, which makes no difference to what each of them says.
"""

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from .audio import Gap, PcmChunk
from .frames import BLOCK_MS, BLOCK_SAMPLES, FRAME_MS, FRAMES_PER_BLOCK, BlockCutter, Heard, Skipped
from .pitch import KEPT, PitchTracker, levels, periods, powers
from .voicing import NO_SPEECH, SpeechJudge, is_voice

Span = tuple[int, int]
"""Start and end in milliseconds since the first sound."""

MOST: Final = 64
"""Blocks judged in one go: two or three milliseconds."""
_NO_VOICE: Final = (None, ())


@dataclass(frozen=True, slots=True)
class Speech:
    """What one sound has added to our knowledge of where speech is."""

    until_ms: int
    """Judged up to here, in milliseconds since the first sound."""
    spans: tuple[Span, ...] = ()
    """Where there is speech, oldest first, in whole frames of 10 ms."""


class SpeechGate:
    """One call's gate: sounds in, speech spans out. Judges 200 ms at a time."""

    def __init__(self) -> None:
        self.pending: deque[Heard | Skipped] = deque()
        """What has been heard and not been judged."""
        self._cutter = BlockCutter()
        self._tracker = PitchTracker()
        self._judge = SpeechJudge()
        self._until_ms = 0
        self._spans: list[Span] = []

    def forget(self) -> None:
        """Overwrite what is kept of the sound."""
        self._cutter.forget()
        self._tracker.forget()
        for block in self.pending:
            if isinstance(block, Heard):
                block.samples[:] = 0
        self.pending.clear()
        self._spans.clear()
        self._judge = SpeechJudge()

    def push(self, sound: PcmChunk | Gap) -> Speech:
        """Hear a sound and judge it at once."""
        self.hear(sound)
        while self.pending:
            judge((self,))
        return self.speech()

    def hear(self, sound: PcmChunk | Gap) -> None:
        """Take the next sound, of any length, to be judged with those of other calls."""
        self.pending.extend(self._cutter.push(sound))

    @property
    def begun_ms(self) -> int:
        """How much there is of the next block."""
        return self._cutter.begun_ms

    def speech(self) -> Speech:
        """What has been found since this was asked last."""
        found, self._spans = tuple(self._spans), []
        return Speech(self._until_ms, found)

    def next(self) -> NDArray[np.float32] | None:
        """The next block of sound to be judged; holes in front of it are passed over."""
        while self.pending:
            block = self.pending[0]
            if isinstance(block, Heard):
                return block.samples
            self.pending.popleft()
            self._until_ms += block.blocks * BLOCK_MS
            self._tracker.forget()
            self._judge.pause()
        return None

    def audible_db(self, quietest_db: float) -> float:
        return self._judge.audible_db(quietest_db)

    @property
    def before(self) -> NDArray[np.float32]:
        """The end of the block before the next one."""
        return self._tracker.before

    def take(self, voiced: Sequence[bool] | None, hz: Sequence[float]) -> None:
        """The frames of the next block as they were found; None: there is no voice in any. It is done with then."""
        block = self.pending.popleft()
        if isinstance(block, Heard):
            self._tracker.passed(block.samples)
            block.samples.fill(0)
        speech = self._judge.silence() if voiced is None else self._judge.speech(voiced, hz)
        if speech is not NO_SPEECH:
            self._spans += _spans(speech, self._until_ms)
        self._until_ms += BLOCK_MS


def judge(gates: Sequence[SpeechGate]) -> None:
    """The next block of each of these, at most MOST: a few milliseconds. Gates that wait for nothing are passed over.

    Only blocks that stand out from their line are looked at for a voice: half of a call is silence.
    """
    ready: list[SpeechGate] = []
    pieces: list[NDArray[np.float32]] = []
    for gate in gates:
        if (block := gate.next()) is not None:
            ready.append(gate)
            pieces += (gate.before, block)
    if not ready:
        return
    sounds = np.concatenate(pieces).reshape(len(ready), KEPT + BLOCK_SAMPLES)
    power = powers(sounds)
    sounds.fill(0)
    level_db = levels(power).reshape(len(ready), FRAMES_PER_BLOCK)
    quietest = np.minimum.reduce(level_db, axis=1).tolist()
    audible_db = [gate.audible_db(level) for gate, level in zip(ready, quietest, strict=True)]
    audible = level_db > np.array(audible_db, dtype=np.float32)[:, np.newaxis]
    lively = np.logical_or.reduce(audible, axis=1)
    which = lively.nonzero()[0]
    found: dict[int, tuple[list[bool], list[float]]] = {}
    if len(which):
        if len(which) < len(ready):
            power = power.reshape(*level_db.shape, -1).take(which, axis=0).reshape(-1, power.shape[1])
            audible = audible[which]
        periodicity, hz = periods(power)
        voiced = is_voice(periodicity, hz).reshape(-1, FRAMES_PER_BLOCK) & audible
        with_voice = np.logical_or.reduce(voiced, axis=1).nonzero()[0]
        rows = zip(voiced[with_voice].tolist(), hz.reshape(-1, FRAMES_PER_BLOCK)[with_voice].tolist(), strict=True)
        found = dict(zip(which[with_voice].tolist(), rows, strict=True))
    for at, gate in enumerate(ready):
        gate.take(*found.get(at, _NO_VOICE))


def _spans(flags: list[bool], start_ms: int) -> Iterator[Span]:
    """Runs of set flags, in milliseconds."""
    row, end = bytes(flags), 0
    while (start := row.find(1, end)) >= 0:
        end = row.find(0, start)
        if end < 0:
            end = len(row)
        yield start_ms + start * FRAME_MS, start_ms + end * FRAME_MS
