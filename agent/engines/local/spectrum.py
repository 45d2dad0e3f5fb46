"""What a frame sounds like: its level, the shape of its spectrum over the telephone's band, and the pitch of a voice.

A frame is 40 ms; every 20 ms make a row, and nothing is looked ahead. Pitch is taken from the harmonics as in
`agent.core.pitch`, which says why. Everything here works on the blocks of many calls at once.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ...core.audio import SAMPLES_PER_MS
from ...core.matrix import Floats, times
from ...core.pitch import COMPRESSION, FRAME, LIKENESS, VOICE_HZ, best_periods, framed_powers, transforms

ROW_MS: Final = 20
ROWS: Final = 10
"""In a block of 200 ms."""
BANDS: Final = 20
STEP: Final = ROW_MS * SAMPLES_PER_MS
KEPT: Final = FRAME - STEP
"""Samples of the block before that a block's first frame reaches back to."""

_HZ: Final = np.concatenate((VOICE_HZ, np.arange(1820, 3460, 40).astype(np.float64)))
_VOICE: Final = len(VOICE_HZ)
_BAND_HZ: Final = (250.0, 3400.0)


def _mel(hz: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(2595 * np.log10(1 + hz / 700))


_LOWEST, _HIGHEST = _mel(np.array(_BAND_HZ)).tolist()
_EDGES: Final = np.linspace(_LOWEST, _HIGHEST, BANDS + 2)
CENTRES_HZ: Final = 700 * (10 ** (_EDGES[1:-1] / 2595) - 1)
"""Of the bands."""


def _to_bands() -> Floats:
    """Power at the frequencies to power in the bands: triangles, equally wide on the mel scale."""
    at = _mel(_HZ)[:, np.newaxis]
    rising = (at - _EDGES[:-2]) / (_EDGES[1:-1] - _EDGES[:-2])
    falling = (_EDGES[2:] - at) / (_EDGES[2:] - _EDGES[1:-1])
    width = np.gradient(_HZ)[:, np.newaxis] / 18.0
    return np.asarray(np.clip(np.minimum(rising, falling), 0, None) * width, dtype=np.float32)


_COSINES, _SINES = transforms(_HZ)
_TO_BANDS: Final = _to_bands()


@dataclass(frozen=True, slots=True)
class Spectra:
    """The rows of n blocks, ten each."""

    bands: Floats
    """Shape (n, 10, 20): power in each band."""
    level_db: Floats
    """Shape (n, 10): level between 200 and 1800 Hz, dB below full scale."""
    periodicity: Floats
    """Shape (n, 10): height of the autocorrelation's best peak, 0 to about 1."""
    hz: Floats
    """Shape (n, 10): frequency of that peak, whether or not it is a voice."""


def look(sounds: Floats) -> Spectra:
    """The rows of n blocks, shape (n, KEPT + 1600): each with the end of the block before it."""
    power = powers(sounds)
    return spectra(power, levels(power))


def powers(sounds: Floats) -> Floats:
    """Power at the frequencies in the rows of such blocks, shape (n, 10, frequencies)."""
    return framed_powers(sounds, STEP, _COSINES, _SINES)


def levels(power: Floats) -> Floats:
    """Shape (n, 10), dB below full scale between 200 and 1800 Hz."""
    total: Floats = np.add.reduce(power[:, :, :_VOICE], axis=2)
    np.log10(total, out=total)
    total *= 10
    return total


def bands(power: Floats) -> Floats:
    """Shape (n, 10, 20): power in each band."""
    return times(power.reshape(-1, len(_HZ)), _TO_BANDS).reshape(len(power), ROWS, BANDS)


def spectra(power: Floats, level_db: Floats) -> Spectra:
    """All that is made of n blocks."""
    n = len(power)
    compressed = np.log(power[:, :, :_VOICE])
    compressed *= COMPRESSION
    np.exp(compressed, out=compressed)
    periodicity, hz = best_periods(times(compressed.reshape(n * ROWS, _VOICE), LIKENESS))
    return Spectra(
        bands=bands(power),
        level_db=level_db,
        periodicity=periodicity.reshape(n, ROWS),
        hz=hz.reshape(n, ROWS),
    )


__all__ = ["BANDS", "CENTRES_HZ", "KEPT", "ROWS", "ROW_MS", "Floats", "Spectra", "look", "times"]
