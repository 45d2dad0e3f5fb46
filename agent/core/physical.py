"""What can be said of a voice without saying how its owner feels: how loud it is, and how quick.

Loudness is the level of the caller's own voice: the mean power of the 10 ms frames that belong to speech, in decibels
below full scale. The rate is in syllables per second of speech. Syllables are counted as peaks of the envelope, after
de Jong & Wempe ("Praat script to detect syllable nuclei and measure speech rate automatically", Behavior Research
Methods 41, 2009): a peak is a syllable's nucleus where it is voiced, no more than 25 dB below the loudest, and parted
from the peaks beside it by a dip of at least 2 dB.
"""

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from .audio import Gap, PcmChunk
from .frames import BLOCK_MS, FRAME_MS, FRAME_SAMPLES, FRAMES_PER_BLOCK, BlockCutter, Skipped
from .pitch import PitchTracker
from .voicing import SpeechJudge

_DIP_DB: Final = 2.0
_RANGE_DB: Final = 25.0
_SMOOTHING: Final = np.hanning(7)[1:-1] / np.hanning(7).sum()
"""50 ms: syllables are longer, and single periods of a voice are not."""
_NUCLEUS: Final = 2
"""Frames on either side of a peak in which its voice may be."""
_SPARE_MS: Final = 1000
"""Kept beyond a window, for whoever asks a little late."""
_LONGEST_S: Final = 30.0
_CLIPPED: Final = 0.95
_STANDS_OUT_DB: Final = 25.0
_QUIETEST: Final = 1e-10

_LEVEL, _POWER, _CLIPPING, _VOICED, _SPEECH = range(5)


@dataclass(frozen=True, slots=True)
class Measured:
    """One window of a caller's voice."""

    start_ms: int
    """Media time, counted from the first sound."""
    end_ms: int
    loudness_db: float
    """Level of the speech in it, dB relative to full scale: never above 0."""
    rate: float
    """Syllables per second of speech."""
    quality: float
    """0 unusable to 1 clean: how far the voice stands out from the line, and how little of it is clipped."""
    speech: tuple[tuple[int, int], ...]
    """Where there is speech, in milliseconds of media time, oldest first."""

    @property
    def speech_ms(self) -> int:
        return sum(end - start for start, end in self.speech)


class Meter:
    """One call's. Keeps a row of five numbers for each 10 ms of the last window, and less than 200 ms of sound."""

    def __init__(self, window_s: float = 3.0) -> None:
        self._window_ms = round(1000 * min(window_s, _LONGEST_S)) // FRAME_MS * FRAME_MS
        self._rows = np.zeros(((self._window_ms + _SPARE_MS) // FRAME_MS, _SPEECH + 1), dtype=np.float32)
        self._now_ms = 0
        self._cutter, self._tracker, self._judge = BlockCutter(), PitchTracker(), SpeechJudge()

    def hear(self, sound: PcmChunk | Gap) -> None:
        """Take the next sound, of any length; every chunk and gap in order."""
        for block in self._cutter.push(sound):
            if isinstance(block, Skipped):
                self._tracker.forget()
                self._judge.pause()
                self._append(np.zeros((min(block.blocks * FRAMES_PER_BLOCK, len(self._rows)), _SPEECH + 1), np.float32))
                self._now_ms += block.blocks * BLOCK_MS
                continue
            pitch = self._tracker.track(block.samples)
            judged = self._judge.judge(pitch)
            frames = block.samples.reshape(FRAMES_PER_BLOCK, FRAME_SAMPLES)
            rows = np.empty((FRAMES_PER_BLOCK, _SPEECH + 1), dtype=np.float32)
            rows[:, _LEVEL] = pitch.level_db
            rows[:, _POWER] = np.square(frames).mean(axis=1)
            rows[:, _CLIPPING] = (np.abs(frames) > _CLIPPED).mean(axis=1)
            rows[:, _VOICED], rows[:, _SPEECH] = judged.voiced, judged.speech
            self._append(rows)
            self._now_ms += BLOCK_MS

    def measure(self, end_ms: int) -> Measured | None:
        """The window that ends there, or at the newest sound; None where there is no speech in it."""
        end_ms = min(end_ms, self._now_ms)
        start_ms = max(0, end_ms - self._window_ms)
        late = (self._now_ms - end_ms) // FRAME_MS
        count = min((end_ms - start_ms) // FRAME_MS, len(self._rows) - late)
        rows = self._rows[len(self._rows) - late - count : len(self._rows) - late]
        speech = rows[:, _SPEECH] > 0
        if not speech.any():
            return None
        power = float(rows[speech, _POWER].mean())
        level_db = float(rows[speech, _LEVEL].max())
        clipped = float(rows[speech, _CLIPPING].mean())
        quality = _share((level_db - self._judge.floor_db) / _STANDS_OUT_DB) * _share(1.0 - 8.0 * clipped)
        first_ms = end_ms - count * FRAME_MS
        return Measured(
            start_ms=first_ms,
            end_ms=end_ms,
            loudness_db=min(0.0, 10 * math.log10(max(power, _QUIETEST))),
            rate=nuclei(rows[:, _LEVEL], rows[:, _VOICED] > 0, speech) / (float(speech.sum()) * FRAME_MS / 1000),
            quality=quality,
            speech=_spans(speech, first_ms),
        )

    def forget(self) -> None:
        """Overwrite everything that is kept of the caller."""
        self._rows[:] = 0
        self._cutter.forget()
        self._tracker.forget()
        self._judge = SpeechJudge()

    def _append(self, rows: NDArray[np.float32]) -> None:
        count = len(rows)
        self._rows[: len(self._rows) - count] = self._rows[count:]
        self._rows[len(self._rows) - count :] = rows


def nuclei(level_db: NDArray[np.float32], voiced: NDArray[np.bool_], speech: NDArray[np.bool_]) -> int:
    """Syllables in an envelope. All of shape (n,), a row each 10 ms; `level_db` in dB."""
    smooth = np.convolve(level_db, _SMOOTHING, mode="same")
    ceiling = float(smooth[speech].max(initial=-math.inf))
    count, peak, valley = 0, -1, -1
    for now, (level, is_speech) in enumerate(zip(smooth.tolist(), speech.tolist(), strict=True)):
        if not is_speech:
            level = -math.inf  # noqa: PLW2901 - what is no speech is a dip, however loud
        if peak < 0:  # going down, and waiting for the next rise
            if valley < 0 or level < smooth[valley] or not speech[valley]:
                valley = now
            if is_speech and (not speech[valley] or level >= smooth[valley] + _DIP_DB):
                peak = now
        elif level > smooth[peak]:
            peak = now
        elif level <= smooth[peak] - _DIP_DB:
            near = slice(max(0, peak - _NUCLEUS), peak + _NUCLEUS + 1)
            count += bool(smooth[peak] >= ceiling - _RANGE_DB and voiced[near].any())
            peak, valley = -1, now
    return count


def _spans(flags: NDArray[np.bool_], start_ms: int) -> tuple[tuple[int, int], ...]:
    edges = np.flatnonzero(np.diff(flags, prepend=False, append=False))
    times = (start_ms + edges * FRAME_MS).tolist()
    return tuple(zip(times[::2], times[1::2], strict=True))


def _share(value: float) -> float:
    return min(1.0, max(0.0, value))
