"""Which rows are a voice: the judgement of `agent.core.speech`, for rows of 20 ms and many calls at once.

It is a little more generous than the gate in front of the engine: sounds that are no speech are a thing the model has
learnt, and a row that is missed is evidence lost.
"""

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from .spectrum import ROWS, Floats, Spectra

FLOOR_CEILING_DB: Final = -40.0
"""Until a pause has shown what else is on the line."""
FLOOR_BLOCKS: Final = 15
HELD_ROWS: Final = 12
HANGOVER: Final = 8
"""Rows after the last good one that count as speech."""
NO_VOICE: Final = np.float32(-100)
"""The pitch of a row without a voice, in octaves."""

_QUIETEST_DB: Final = -66.0
_PERIODIC: Final = 0.45
_STANDS_OUT_DB: Final = 6.0
_HIGHEST_HZ: Final = 560.0
_GLIDE: Final = 0.3
"""Octaves a voice moves within 20 ms at most."""
_HELD: Final = 0.045
"""Octaves: what stays within them for a quarter of a second is a tone, or held."""

Flags = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Voices:
    """Shape (n, rows) each."""

    voiced: Flags
    speech: Flags
    octaves: Floats
    """Pitch above 1 Hz; NO_VOICE where there is none. One row more, in front: the last of the block before."""
    floor_db: Floats
    """Shape (n,): level of what is on the line besides the caller."""


def floors_of(level_db: Floats) -> Floats:
    """Shape (n,): the quietest row of each block, of whose rows these are the levels, (n, 10)."""
    return np.asarray(np.maximum(level_db.min(axis=1), np.float32(_QUIETEST_DB)))


def audible_db(floor_db: Floats) -> Floats:
    """What a row must be louder than to be a voice."""
    return np.asarray(np.maximum(floor_db + np.float32(_STANDS_OUT_DB), np.float32(_QUIETEST_DB + 2)))


def judge(spectra: Spectra, floor_db: Floats, octaves: Floats, good: Flags) -> Voices:
    """Which rows are voice and speech.

    `floor_db`: shape (n, rows), or (n, 1). `octaves` (n, 12) and `good` (n, 8) are what each call remembers of the rows
    before; they are brought up to date in place.
    """
    periodic = spectra.periodicity > _PERIODIC
    periodic &= spectra.level_db > audible_db(floor_db)
    periodic &= spectra.hz < _HIGHEST_HZ
    pitch = np.concatenate((octaves, np.where(periodic, np.log2(spectra.hz), NO_VOICE)), axis=1)
    now, then = pitch[:, HELD_ROWS:], pitch[:, HELD_ROWS - 1 : -1]
    new = np.abs(now - then) < _GLIDE
    new &= now > 0
    new &= over(np.maximum, pitch, HELD_ROWS + 1) - over(np.minimum, pitch, HELD_ROWS + 1) >= _HELD
    goods = np.concatenate((good, new), axis=1)
    voiced = new.copy()
    voiced[:, :-1] |= new[:, 1:] & periodic[:, :-1]
    speech = over(np.logical_or, goods, HANGOVER + 1) | voiced
    octaves[:] = pitch[:, -HELD_ROWS:]
    good[:] = goods[:, -HANGOVER:]
    return Voices(voiced, speech, pitch[:, HELD_ROWS - 1 :], floor_db[:, -1])


def over(most: np.ufunc, values: NDArray[Any], length: int) -> NDArray[Any]:
    """The most, in the sense of this function, of every so many values in a row: shape (n, m) to (n, m - length + 1).

    Of two neighbours, then of four, of eight: a few short steps, since it does not matter how often a value is seen.
    """
    known = 1
    while known < length:
        step = min(known, length - known)
        values = most(values[:, :-step], values[:, step:])
        known += step
    return values


def new_octaves(n: int) -> Floats:
    return np.full((n, HELD_ROWS), NO_VOICE, dtype=np.float32)


def new_good(n: int) -> Flags:
    return np.zeros((n, HANGOVER), dtype=np.bool_)


__all__ = [
    "FLOOR_BLOCKS",
    "FLOOR_CEILING_DB",
    "ROWS",
    "Voices",
    "audible_db",
    "floors_of",
    "judge",
    "new_good",
    "new_octaves",
]
