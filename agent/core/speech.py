"""How much of the sound is speech: a gate for the telephone band, cheap enough to run on every call.

Speech is told from other sound by its voice. Voiced speech repeats itself every 2 to 14 ms (70 to 560 Hz), moves in
pitch from moment to moment, and stands out from whatever else is on the line. Keys and knocks do not repeat; hum, tones
and held notes repeat but never move; dogs and babies repeat too fast. Consonants between and after voiced frames are
counted by a short hangover.

Gates of many calls are judged at once, which makes no difference to what each of them says.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Final

import numpy as np
from numpy.typing import NDArray

from .audio import Gap, PcmChunk
from .frames import BLOCK_MS, BLOCK_SAMPLES, FRAME_MS, FRAMES_PER_BLOCK, BlockCutter, Heard, Skipped
from .pitch import KEPT, Pitch, PitchTracker, levels, periods, powers

Span = tuple[int, int]
"""Start and end in milliseconds since the first sound."""

_PERIODIC: Final = 0.5
_STANDS_OUT_DB: Final = 8.0
_QUIETEST_DB: Final = -66.0
"""A little above mu-law's own quantisation noise; nothing below it can be told apart."""
_FLOOR_CEILING_DB: Final = -40.0
"""Until a pause has shown the floor it is taken to be this at most, or a call that begins in mid-word stays unheard."""
_FLOOR_BLOCKS: Final = 15
"""Three seconds: nobody speaks longer without a pause."""
_HIGHEST_HZ: Final = 560.0
"""Of a shouting woman. What repeats faster, up to the 1000 Hz looked at, is not a human voice."""
_GLIDE: Final = 1.12
"""Between frames 10 ms apart a voice's pitch changes by less than two semitones."""
_VOICE_RUN: Final = 4
_MOVES: Final = 1.015
_HELD: Final = 25
"""A pitch that stays within a quarter of a semitone for 250 ms is a tone or a held note."""
_HANGOVER: Final = 15
"""Frames after the last voiced one that count as speech: consonants and the short closures between them."""
_NO_SPEECH: Final = [False] * FRAMES_PER_BLOCK

MOST: Final = 64
"""Blocks judged in one go: two or three milliseconds."""


@dataclass(frozen=True, slots=True)
class Speech:
    """What one sound has added to our knowledge of where speech is."""

    until_ms: int
    """Judged up to here, in milliseconds since the first sound."""
    spans: tuple[Span, ...] = ()
    """Where there is speech, oldest first, in whole frames of 10 ms."""


@dataclass(frozen=True, slots=True)
class Judged:
    """The frames of a block; each array has shape (20,)."""

    voiced: NDArray[np.bool_]
    """There is a voice in this very frame."""
    speech: NDArray[np.bool_]
    """The frame belongs to speech."""


class SpeechJudge:
    """Pitch per 10 ms in, speech or not per 10 ms out."""

    def __init__(self) -> None:
        self._quietest = deque([_FLOOR_CEILING_DB], maxlen=_FLOOR_BLOCKS)
        self._last_hz = 0.0
        self._anchor_hz = 0.0
        self._held = 0
        self._run = 0
        self._since_voice = _HANGOVER

    @property
    def floor_db(self) -> float:
        """Level of what is on the line besides the caller, dB below full scale."""
        return min(self._quietest)

    def pause(self) -> None:
        """After a hole: no voice runs across it. What the line sounds like is still known."""
        self._run = self._held = 0
        self._since_voice = _HANGOVER

    def judge(self, pitch: Pitch) -> Judged:
        audible_db = self.audible_db(float(pitch.level_db.min()))
        voiced = is_voice(pitch.periodicity, pitch.hz) & (pitch.level_db > audible_db)
        speech = self.speech(voiced.tolist(), pitch.hz.tolist()) if voiced.any() else self.silence()
        return Judged(voiced, np.array(speech))

    def audible_db(self, quietest_db: float) -> float:
        """What a voice must be louder than in the next block, whose quietest frame has this level."""
        self._quietest.append(max(_QUIETEST_DB, quietest_db))
        return max(self.floor_db + _STANDS_OUT_DB, _QUIETEST_DB)

    def silence(self) -> list[bool]:
        """Which frames of a block without any voice belong to speech."""
        self._run = 0
        left = max(0, _HANGOVER - self._since_voice)
        if not left:
            return _NO_SPEECH
        self._since_voice += FRAMES_PER_BLOCK
        return [True] * left + [False] * (FRAMES_PER_BLOCK - left)

    def speech(self, voiced: list[bool], hz: list[float]) -> list[bool]:
        """Which frames of a block belong to speech."""
        run, held, since = self._run, self._held, self._since_voice
        last, anchor = self._last_hz, self._anchor_hz
        flags = []
        for is_voiced, now in zip(voiced, hz, strict=True):
            if is_voiced:
                run = run + 1 if last / _GLIDE < now < last * _GLIDE else 1
                if anchor / _MOVES < now < anchor * _MOVES:
                    held += 1
                else:
                    held, anchor = 0, now
                last = now
                since = 0 if run >= _VOICE_RUN and held < _HELD else since + 1
            else:
                run = 0
                since += 1
            flags.append(since <= _HANGOVER)
        self._run, self._held, self._since_voice = run, held, since
        self._last_hz, self._anchor_hz = last, anchor
        return flags


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

    def continued(self, samples: NDArray[np.float32], out: NDArray[np.float32]) -> None:
        self._tracker.continued(samples, out)

    def take(self, voiced: list[bool] | None, hz: list[float]) -> None:
        """The frames of the next block as they were found; None: there is no voice in any. It is done with then."""
        block = self.pending.popleft()
        if isinstance(block, Heard):
            self._tracker.passed(block.samples)
            block.samples[:] = 0
        speech = self._judge.silence() if voiced is None else self._judge.speech(voiced, hz)
        self._spans += _spans(speech, self._until_ms)
        self._until_ms += BLOCK_MS


def judge(gates: Sequence[SpeechGate]) -> None:
    """The next block of each of these, at most MOST: a few milliseconds. Gates that wait for nothing are passed over.

    Only blocks that stand out from their line are looked at for a voice: half of a call is silence.
    """
    ready = [(gate, block) for gate in gates if (block := gate.next()) is not None]
    if not ready:
        return
    sounds = np.empty((len(ready), KEPT + BLOCK_SAMPLES), dtype=np.float32)
    for (gate, block), sound in zip(ready, sounds, strict=True):
        gate.continued(block, sound)
    power = powers(sounds)
    sounds[:] = 0
    level_db = levels(power).reshape(len(ready), FRAMES_PER_BLOCK)
    quietest = level_db.min(axis=1).tolist()
    audible_db = [gate.audible_db(level) for (gate, _), level in zip(ready, quietest, strict=True)]
    audible = level_db > np.array(audible_db, dtype=np.float32)[:, np.newaxis]
    lively = np.flatnonzero(audible.any(axis=1))
    for at in np.flatnonzero(~audible.any(axis=1)).tolist():
        ready[at][0].take(None, [])
    if len(lively):
        periodicity, hz = periods(power.reshape(*level_db.shape, -1)[lively].reshape(-1, power.shape[1]))
        voiced = is_voice(periodicity, hz).reshape(-1, FRAMES_PER_BLOCK) & audible[lively]
        which: list[int] = lively.tolist()
        flags: list[list[bool]] = voiced.tolist()
        rows = [row.tolist() for row in hz.reshape(-1, FRAMES_PER_BLOCK)]
        for at, has_voice, row in zip(which, flags, rows, strict=True):
            ready[at][0].take(has_voice if any(has_voice) else None, row)


def is_voice(periodicity: NDArray[np.float32], hz: NDArray[np.float32]) -> NDArray[np.bool_]:
    return (periodicity > _PERIODIC) & (hz < _HIGHEST_HZ)


def _spans(flags: list[bool], start_ms: int) -> list[Span]:
    """Runs of set flags, in milliseconds."""
    if flags is _NO_SPEECH:
        return []
    spans: list[Span] = []
    at_ms = start_ms
    for is_speech, run in groupby(flags):
        until_ms = at_ms + FRAME_MS * sum(1 for _ in run)
        if is_speech:
            spans.append((at_ms, until_ms))
        at_ms = until_ms
    return spans
