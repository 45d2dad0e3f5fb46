"""What is heard in the last second and a half of a caller's voice, as a dozen numbers.

Every 20 ms leaves one row behind: pitch, how periodic, and the power in five bands of the telephone's 300 to 3400 Hz.
A hop reads the rows of the last 1.5 s. The numbers are the ones vocal effort and arousal show themselves in (Banse &
Scherer 1996; Eyben et al., GeMAPS, 2016), as far as a telephone lets them through: the balance of the bands instead of
a full spectrum, and pitch taken from the harmonics.
"""

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ...core.audio import SAMPLE_RATE
from ...core.frames import BLOCK_SAMPLES, FRAME_SAMPLES
from ...core.speech import Judged, Pitch

Floats = NDArray[np.float32]

FEATURES: Final = (
    "loudness",  # dB, mean power of voiced rows
    "dynamics",  # dB, standard deviation of voiced rows
    "pitch",  # semitones above 100 Hz, median
    "pitch_range",  # semitones between the quartiles
    "low",  # dB, each band's share of the power of voiced rows: 250-600 Hz
    "first_formant",  # 600-1000 Hz
    "mid",  # 1000-1700 Hz
    "high",  # 1700-2500 Hz
    "top",  # 2500-3400 Hz
    "modulation",  # dB per 20 ms, mean change of level in speech: how quickly syllables follow each other
    "periodicity",  # 0 to 1, mean of voiced rows
    "voiced",  # share of speech that is voiced
)

ROW_MS: Final = 20
ROWS: Final = 1500 // ROW_MS
ENOUGH_VOICED_ROWS: Final = 10
"""Fewer than 200 ms of voice say nothing about it."""
ENOUGH_SPEECH_MS: Final = 400

_STEP: Final = 2 * FRAME_SAMPLES
_FRAME: Final = 256
_HALF: Final = _FRAME // 2
_EDGES_HZ: Final = (250, 600, 1000, 1700, 2500, 3400)
_QUIET: Final = np.float32(1e-8)
# Columns of a row: what only counts where there is voice is zero elsewhere, so that a sum over rows is all it takes.
_VOICED, _LEVEL, _SQUARE, _PERIODIC, _PITCH, _SPEECH, _CHANGE, _BANDS = range(8)
_COLUMNS: Final = _BANDS + len(_EDGES_HZ) - 1


_BINS_HZ: Final = np.arange(_EDGES_HZ[0], _EDGES_HZ[-1], SAMPLE_RATE / _FRAME)


def _transforms() -> tuple[Floats, Floats]:
    """Folded frame to the cosine and the sine parts of the bins, tapered (as in `agent.core.speech`)."""
    turns = 2 * np.pi * np.outer((np.arange(_HALF) + 0.5 - _HALF) / SAMPLE_RATE, _BINS_HZ)
    window = np.hanning(_FRAME)
    taper = (window[:_HALF] * math.sqrt(2 / (np.sum(window**2) * _FRAME)))[:, np.newaxis]
    return (np.cos(turns) * taper).astype(np.float32), (np.sin(turns) * taper).astype(np.float32)


def _bands() -> Floats:
    """Power in the bins to power in the five bands."""
    return np.array([(low <= _BINS_HZ) & (high > _BINS_HZ) for low, high in pairwise(_EDGES_HZ)], dtype=np.float32).T


_COSINES, _SINES = _transforms()
_TO_BANDS: Final = _bands()


@dataclass(frozen=True, slots=True)
class Heard:
    """What a hop's rows say."""

    values: NDArray[np.float64]
    """In the order of FEATURES."""
    speech_ms: int
    level_db: float
    """Mean level of the voice, dB below full scale."""


class Listener:
    """Keeps the rows of the last 1.5 s."""

    def __init__(self) -> None:
        self._sound = np.zeros(_FRAME - _STEP + BLOCK_SAMPLES, dtype=np.float32)
        self._frames = np.lib.stride_tricks.sliding_window_view(self._sound, _FRAME)[::_STEP]
        self._rows = np.zeros((ROWS, _COLUMNS), dtype=np.float32)
        self._levels = np.zeros(len(self._frames) + 1, dtype=np.float32)

    def forget(self) -> None:
        """After a hole: nothing heard before it is judged together with what comes after."""
        self._sound[:] = 0
        self._rows[:] = 0

    def hear(self, samples: Floats, pitch: Pitch, judged: Judged) -> None:
        """One block: its samples, and what the gate found in its frames."""
        kept = _FRAME - _STEP
        self._sound[:kept] = self._sound[-kept:]
        self._sound[kept:] = samples
        first, last = self._frames[:, :_HALF], self._frames[:, : _HALF - 1 : -1]
        bands = (np.square((first + last) @ _COSINES) + np.square((first - last) @ _SINES)) @ _TO_BANDS
        self._levels[0] = self._levels[-1]
        self._levels[1:] = 10 * np.log10(bands.sum(axis=1) + _QUIET)
        levels = self._levels[1:]
        count = len(levels)
        self._rows[:-count] = self._rows[count:]
        new = self._rows[-count:]
        new[:, _VOICED] = judged.voiced[1::2]
        new[:, _LEVEL] = levels
        new[:, _SQUARE] = levels * levels
        new[:, _PERIODIC] = pitch.periodicity[1::2]
        new[:, _PITCH] = pitch.hz[1::2]
        new[:, _SPEECH] = judged.speech[1::2]
        new[:, _CHANGE] = np.abs(levels - self._levels[:-1]) * new[:, _SPEECH]
        new[:, _BANDS:] = bands
        voiced = new[:, _VOICED : _VOICED + 1]
        new[:, _LEVEL : _PITCH + 1] *= voiced
        new[:, _BANDS:] *= voiced

    def recall(self) -> Heard | None:
        """The features of the last 1.5 s; None where there was too little voice."""
        sums = self._rows.sum(axis=0).astype(np.float64)
        voiced, speech = sums[_VOICED], max(1.0, sums[_SPEECH])
        if voiced < ENOUGH_VOICED_ROWS:
            return None
        sums[_LEVEL : _PERIODIC + 1] /= voiced
        power = sums[_BANDS:] / voiced + 1e-8
        loudness = 10 * math.log10(power.sum())
        values = np.empty(len(FEATURES))
        values[0] = loudness
        values[1] = math.sqrt(max(0.0, sums[_SQUARE] - sums[_LEVEL] ** 2))
        values[2:4] = self._pitch(int(voiced))
        values[4:9] = 10 * np.log10(power) - loudness
        values[9] = sums[_CHANGE] / speech
        values[10] = sums[_PERIODIC]
        values[11] = voiced / speech
        return Heard(values, round(speech) * ROW_MS, loudness)

    def _pitch(self, voiced: int) -> tuple[float, float]:
        """Median in semitones above 100 Hz, and semitones between the quartiles."""
        hz = np.sort(self._rows[:, _PITCH])[-voiced:]
        low, middle, high = hz[voiced // 4], hz[voiced // 2], hz[voiced * 3 // 4]
        return 12 * math.log2(middle / 100), 12 * math.log2(high / low)
