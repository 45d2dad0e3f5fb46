"""Which frames of 10 ms belong to speech.

Speech is told from other sound by its voice. Voiced speech repeats itself every 2 to 14 ms (70 to 560 Hz), moves in
pitch from moment to moment, and stands out from whatever else is on the line. Keys and knocks do not repeat; hum, tones
and held notes repeat but never move; dogs and babies repeat too fast. Consonants between and after voiced frames are
counted by a short hangover.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from .frames import FRAMES_PER_BLOCK
from .pitch import Pitch

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
NO_SPEECH: Final = [False] * FRAMES_PER_BLOCK


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
        self._quietest.append(quietest_db if quietest_db > _QUIETEST_DB else _QUIETEST_DB)
        return min(self._quietest) + _STANDS_OUT_DB

    def silence(self) -> list[bool]:
        """Which frames of a block without any voice belong to speech."""
        self._run = 0
        left = max(0, _HANGOVER - self._since_voice)
        if not left:
            return NO_SPEECH
        self._since_voice += FRAMES_PER_BLOCK
        return [True] * left + [False] * (FRAMES_PER_BLOCK - left)

    def speech(self, voiced: Sequence[bool], hz: Sequence[float]) -> list[bool]:
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


def is_voice(periodicity: NDArray[np.float32], hz: NDArray[np.float32]) -> NDArray[np.bool_]:
    return (periodicity > _PERIODIC) & (hz < _HIGHEST_HZ)
