"""A block of 200 ms as sums, so that whatever stretch of a call is judged, its numbers come from adding blocks up."""

from typing import Final

import numpy as np

from .spectrum import BANDS, CENTRES_HZ, ROWS, Floats, Spectra, times
from .voice import Voices

CEPSTRA: Final = 12
VALUES: Final = (
    *(f"cepstrum{order}" for order in range(1, CEPSTRA + 1)),  # the shape of the spectrum
    "open",  # semitones, centre of the power below 1 kHz: how open the mouth is
    "front",  # semitones, centre of the power from 1 to 2.6 kHz
    "upper",  # dB, share of the power above 1 kHz: vocal effort
    "periodicity",
    "pitch",  # semitones above 150 Hz; 0 where there is no voice
    "level",  # dB below full scale
)
"""Of a row. Summed, and their squares, over voiced rows and over rows of speech."""
CHANGES: Final = (*(f"change{order}" for order in range(1, CEPSTRA + 1)), "flux", "swing", "glide")
"""From the row before, without sign: of the cepstra, of all bands together, of the level, of the pitch."""
COUNTS: Final = ("voiced", "speech", "onsets", "peaks", "pitch_level", "upper_level", "loudest", "highest", "lowest")

_V, _C = len(VALUES), len(CHANGES)
_OF_ONE: Final = 2 * _V + _C
SIZE: Final = 2 * _OF_ONE + len(COUNTS)
VOICED: Final = slice(0, _OF_ONE)
SPEECH: Final = slice(_OF_ONE, 2 * _OF_ONE)
COUNT: Final = {name: 2 * _OF_ONE + at for at, name in enumerate(COUNTS)}
BEFORE: Final = BANDS + CEPSTRA + 1
"""What the next block needs of a block's last row: its bands, cepstra and level."""

_PITCH, _LEVEL, _UPPER = VALUES.index("pitch"), VALUES.index("level"), VALUES.index("upper")
_FAINTEST_DB: Final = np.float32(-45)
_DB: Final = np.float32(10)
_SEMITONES: Final = np.float32(12)
_PITCH_150: Final = np.float32(np.log2(150))


def _cosines() -> Floats:
    at = (np.arange(BANDS) + 0.5) / BANDS
    turns = np.pi * np.outer(at, np.arange(1, CEPSTRA + 1))
    return np.asarray(np.cos(turns) / np.sqrt(BANDS / 2), dtype=np.float32)


def _regions() -> Floats:
    """Bands to: power below 1 kHz, from 1 to 2.6 kHz, above 1 kHz, all of it; the first two again times semitones."""
    low, front = CENTRES_HZ < 1000, (CENTRES_HZ >= 1000) & (CENTRES_HZ < 2600)
    semitones = 12 * np.log2(CENTRES_HZ / 1000)
    columns = (low, front, ~low, np.ones(BANDS), low * semitones, front * semitones)
    return np.stack([np.asarray(column, dtype=np.float32) for column in columns], axis=1)


_COSINES: Final = _cosines()
_REGIONS: Final = _regions()
_EXTREMES: Final = {"loudest": -100.0, "highest": -50.0, "lowest": 50.0}
"""Of no voice at all."""
NO_SPEECH: Final[Floats] = np.zeros(SIZE, dtype=np.float32)
"""The sums of a block in which nobody speaks."""
NO_SPEECH[[COUNT[name] for name in _EXTREMES]] = list(_EXTREMES.values())


def summarise(spectra: Spectra, voices: Voices, before: Floats | None) -> Floats:
    """The sums of n blocks, shape (n, SIZE).

    `before`, shape (n, BEFORE), is each call's last row, and is brought up to date in place. None: the blocks are one
    call's, in order.
    """
    n = len(spectra.bands)
    regions, now = _shapes(spectra.bands)
    level = now[:, :, -1]
    has_pitch = voices.octaves > 0
    pitch = np.where(has_pitch[:, 1:], _SEMITONES * (voices.octaves[:, 1:] - _PITCH_150), np.float32(0))
    upper = _DB * np.log10(np.maximum(regions[:, :, 2] / regions[:, :, 3], np.float32(1e-4)))

    rows = np.empty((n, ROWS, _OF_ONE), dtype=np.float32)
    rows[:, :, :CEPSTRA] = now[:, :, BANDS:-1]
    rows[:, :, CEPSTRA : CEPSTRA + 2] = regions[:, :, 4:] / regions[:, :, :2]
    rows[:, :, _UPPER] = upper
    rows[:, :, _UPPER + 1] = spectra.periodicity
    rows[:, :, _PITCH] = pitch
    rows[:, :, _LEVEL] = level
    np.square(rows[:, :, :_V], out=rows[:, :, _V : 2 * _V])

    if before is None:  # each block follows the one in front of it
        first = np.concatenate((now[:1, 0], now[:-1, -1]))
    else:
        first = np.where(before[:, -1:] == 0, now[:, 0], before)  # zeros: nothing was heard before
        before[:] = now[:, -1]
    steps = np.empty_like(now)
    np.subtract(now[:, 0], first, out=steps[:, 0])
    np.subtract(now[:, 1:], now[:, :-1], out=steps[:, 1:])
    changes = np.abs(steps)
    rows[:, :, 2 * _V : 2 * _V + CEPSTRA] = changes[:, :, BANDS:-1]
    rows[:, :, -3] = np.add.reduce(changes[:, :, :BANDS], axis=2) / np.float32(BANDS)
    rows[:, :, -2] = changes[:, :, -1]
    glides = np.abs(voices.octaves[:, 1:] - voices.octaves[:, :-1])
    rows[:, :, -1] = np.where(has_pitch[:, 1:] & has_pitch[:, :-1], _SEMITONES * np.minimum(glides, 0.3), 0)

    masks = np.empty((n, 2, ROWS), dtype=np.float32)
    masks[:, 0], masks[:, 1] = voices.voiced, voices.speech
    sums = np.empty((n, SIZE), dtype=np.float32)
    np.matmul(masks, rows, out=sums[:, : 2 * _OF_ONE].reshape(n, 2, _OF_ONE))
    _count(voices, masks, pitch, level, upper, steps[:, :, -1], sums[:, 2 * _OF_ONE :].T)
    return sums


def last_row(bands: Floats) -> Floats:
    """What the next blocks need of these, shape (n, 10, BANDS): shape (n, BEFORE)."""
    return np.asarray(_shapes(bands)[1][:, -1])


def _shapes(bands: Floats) -> tuple[Floats, Floats]:
    """Of rows, shape (n, 10, BANDS): power by region; and the level of each band, the cepstra and the level of the row
    in one."""
    n = len(bands)
    now = np.empty((n, ROWS, BEFORE), dtype=np.float32)
    bands_db, cepstra, level = now[:, :, :BANDS], now[:, :, BANDS:-1], now[:, :, -1:]
    np.multiply(np.log10(bands), _DB, out=bands_db)
    regions = times(bands.reshape(n * ROWS, BANDS), _REGIONS).reshape(n, ROWS, 6)
    np.multiply(np.log10(regions[:, :, 3:4]), _DB, out=level)
    shape = np.maximum(bands_db - level, _FAINTEST_DB)
    cepstra[:] = times(shape.reshape(n * ROWS, BANDS), _COSINES).reshape(n, ROWS, CEPSTRA)
    return regions, now


def _count(
    voices: Voices, masks: Floats, pitch: Floats, level: Floats, upper: Floats, rises: Floats, out: Floats
) -> None:
    """Into `out`, shape (len(COUNTS), n), in their order."""
    voiced = voices.voiced
    with_voice = masks[:, 0]
    starts = voiced.copy()
    starts[:, 0] &= voices.octaves[:, 0] <= 0
    starts[:, 1:] &= ~voiced[:, :-1]
    tops = (rises[:, :-1] > 0) & (rises[:, 1:] <= 0) & voices.speech[:, :-1]
    np.add.reduce(masks, axis=2, out=out[:2].T)  # of whole numbers: exact in any order
    np.add.reduce(starts, axis=1, dtype=np.float32, out=out[2])
    np.add.reduce(tops, axis=1, dtype=np.float32, out=out[3])
    np.add.reduce(with_voice * pitch * level, axis=1, out=out[4])
    np.add.reduce(with_voice * upper * level, axis=1, out=out[5])
    np.maximum.reduce(np.where(voiced, level, np.float32(_EXTREMES["loudest"])), axis=1, out=out[6])
    np.maximum.reduce(np.where(voiced, pitch, np.float32(_EXTREMES["highest"])), axis=1, out=out[7])
    np.minimum.reduce(np.where(voiced, pitch, np.float32(_EXTREMES["lowest"])), axis=1, out=out[8])
