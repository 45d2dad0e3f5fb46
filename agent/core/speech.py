"""How much of the sound is speech: a gate for the telephone band, cheap enough to run on every call.

Speech is told from other sound by its voice. Voiced speech repeats itself every 2 to 14 ms (70 to 560 Hz), moves in
pitch from moment to moment, and stands out from whatever else is on the line. Keys and knocks do not repeat; hum, tones
and held notes repeat but never move; dogs and babies repeat too fast. Consonants between and after voiced frames are
counted by a short hangover.

The pitch is taken from the harmonics between 200 and 1800 Hz, since the network's 300 Hz high-pass removes most
fundamentals. It is the highest peak of a generalised autocorrelation: that of the spectrum's power to the 0.6, which
keeps a strong formant from posing as a period (Tolonen & Karjalainen, "A computationally efficient multipitch analysis
model", 2000), divided by the window's own (Boersma, "Accurate short-term analysis of the fundamental frequency", 1993).
"""

from collections import deque
from dataclasses import dataclass
from itertools import groupby
from typing import Final

import numpy as np
from numpy.typing import NDArray

from .audio import SAMPLE_RATE, SAMPLES_PER_MS, Gap, PcmChunk
from .frames import BLOCK_MS, BLOCK_SAMPLES, FRAME_MS, FRAME_SAMPLES, FRAMES_PER_BLOCK, BlockCutter, Skipped

Span = tuple[int, int]
"""Start and end in milliseconds since the first sound."""

Floats = NDArray[np.float32]

_FRAME: Final = 40 * SAMPLES_PER_MS
"""Three periods of the lowest voice."""
_HALF: Final = _FRAME // 2
_SHORTEST, _LONGEST = 8, SAMPLE_RATE // 70
"""Lags looked at, in samples at 8 kHz: 1000 Hz to 70 Hz. The shortest lags are there to expose barks and whistles."""


_BINS_HZ: Final = np.arange(207, 1800, 18)
"""The harmonics listened to. Bins this close keep the autocorrelation clear of itself up to the longest lag."""
_COMPRESSION: Final = np.float32(0.6)
_SHORTER: Final = 0.0022
"""Preference for the shorter of two equally good periods, per sample of lag."""


def _transforms() -> tuple[Floats, Floats]:
    """Folded frame to the cosine and the sine parts of the bins, tapered: so few bins that a matrix beats an FFT.

    Seen from its middle, a frame's even half holds the cosines and its odd half the sines: half the work for each.
    """
    turns = 2 * np.pi * np.outer((np.arange(_HALF) + 0.5 - _HALF) / SAMPLE_RATE, _BINS_HZ)
    window = np.hanning(_FRAME)
    taper = (window[:_HALF] * 2 / window.sum())[:, np.newaxis]
    return (np.cos(turns) * taper).astype(np.float32), (np.sin(turns) * taper).astype(np.float32)


def _likeness() -> Floats:
    """Compressed power in the bins to autocorrelation at lag 0 and at each lag of a voice, the taper undone."""
    spectrum = np.abs(np.fft.rfft(np.hanning(_FRAME), 4 * _FRAME)) ** 2
    taper = np.fft.irfft(spectrum ** float(_COMPRESSION))
    lags = np.concatenate(([0], np.arange(_SHORTEST - 1, _LONGEST + 2)))
    weights = taper[0] / taper[lags] * (1 - _SHORTER * lags)
    cosines: NDArray[np.float64] = np.cos(2 * np.pi * np.outer(_BINS_HZ, lags) / SAMPLE_RATE)
    weighted: Floats = (cosines * weights).astype(np.float32)
    return weighted


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
_NO_SPEECH: Final = np.zeros(FRAMES_PER_BLOCK, dtype=np.bool_)

_COSINES, _SINES = _transforms()
_LIKENESS: Final = _likeness()
_ROWS: Final = np.arange(FRAMES_PER_BLOCK)
_SILENCE: Final = np.float32(1e-10)


@dataclass(frozen=True, slots=True)
class Pitch:
    """Voice in the frames of a block; each array has shape (20,)."""

    level_db: Floats
    """Level between 200 and 1800 Hz, dB below full scale."""
    periodicity: Floats
    """Height of the autocorrelation's best peak, 0 to about 1."""
    hz: Floats
    """Frequency of that peak, whether or not it is a voice."""


class PitchTracker:
    """Blocks of 1600 samples in, pitch per 10 ms out. Frames end where their 10 ms end: nothing is looked ahead."""

    def __init__(self) -> None:
        self._sound = np.zeros(_FRAME - FRAME_SAMPLES + BLOCK_SAMPLES, dtype=np.float32)
        self._frames = np.lib.stride_tricks.sliding_window_view(self._sound, _FRAME)[::FRAME_SAMPLES]

    def forget(self) -> None:
        """After a hole longer than a frame."""
        self._sound[:] = 0

    def track(self, samples: Floats) -> Pitch:
        kept = _FRAME - FRAME_SAMPLES
        self._sound[:kept] = self._sound[-kept:]
        self._sound[kept:] = samples
        first, last = self._frames[:, :_HALF], self._frames[:, : _HALF - 1 : -1]
        power = np.square((first + last) @ _COSINES) + np.square((first - last) @ _SINES) + _SILENCE
        likeness = np.power(power, _COMPRESSION) @ _LIKENESS
        peaks = likeness[:, 1:]
        best = peaks[:, 1:-1].argmax(axis=1)
        before, top, after = peaks[_ROWS, best], peaks[_ROWS, best + 1], peaks[_ROWS, best + 2]
        bend = np.minimum(before - 2 * top + after, -_SILENCE)
        shift = np.minimum(np.maximum(0.5 * (before - after) / bend, -0.5), 0.5)
        return Pitch(
            level_db=10 * np.log10(power.sum(axis=1)),
            periodicity=top / likeness[:, 0],
            hz=SAMPLE_RATE / (best + _SHORTEST + shift).astype(np.float32),
        )


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
        self._quietest.append(max(_QUIETEST_DB, float(pitch.level_db.min())))
        audible_db = max(self.floor_db + _STANDS_OUT_DB, _QUIETEST_DB)
        voiced = (pitch.periodicity > _PERIODIC) & (pitch.level_db > audible_db) & (pitch.hz < _HIGHEST_HZ)
        if self._since_voice >= _HANGOVER and not voiced.any():
            self._run = 0
            return Judged(voiced, _NO_SPEECH)
        frames = zip(voiced.tolist(), pitch.hz.tolist(), strict=True)
        return Judged(voiced, np.array([self._frame(is_voiced, hz) for is_voiced, hz in frames]))

    def _frame(self, voiced: bool, hz: float) -> bool:
        if not voiced:
            self._run = 0
            self._since_voice += 1
            return self._since_voice <= _HANGOVER
        glides = self._last_hz / _GLIDE < hz < self._last_hz * _GLIDE
        self._run = self._run + 1 if glides else 1
        still = self._anchor_hz / _MOVES < hz < self._anchor_hz * _MOVES
        self._held = self._held + 1 if still else 0
        if not still:
            self._anchor_hz = hz
        self._last_hz = hz
        if self._run >= _VOICE_RUN and self._held < _HELD:
            self._since_voice = 0
        else:
            self._since_voice += 1
        return self._since_voice <= _HANGOVER


class SpeechGate:
    """One call's gate: sounds in, speech spans out. Judges 200 ms at a time."""

    def __init__(self) -> None:
        self._cutter = BlockCutter()
        self._tracker = PitchTracker()
        self._judge = SpeechJudge()
        self._until_ms = 0

    def forget(self) -> None:
        """Overwrite what is kept of the sound."""
        self._cutter.forget()
        self._tracker.forget()
        self._judge = SpeechJudge()

    def push(self, sound: PcmChunk | Gap) -> Speech:
        spans: list[Span] = []
        for block in self._cutter.push(sound):
            if isinstance(block, Skipped):
                self._until_ms += block.blocks * BLOCK_MS
                self._tracker.forget()
                self._judge.pause()
                continue
            judged = self._judge.judge(self._tracker.track(block.samples))
            spans += _spans(judged.speech, self._until_ms)
            self._until_ms += BLOCK_MS
        return Speech(self._until_ms, tuple(spans))


def _spans(flags: NDArray[np.bool_], start_ms: int) -> list[Span]:
    """Runs of set flags, in milliseconds."""
    spans: list[Span] = []
    at_ms = start_ms
    for is_speech, run in groupby(flags.tolist()):
        until_ms = at_ms + FRAME_MS * sum(1 for _ in run)
        if is_speech:
            spans.append((at_ms, until_ms))
        at_ms = until_ms
    return spans
