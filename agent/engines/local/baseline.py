"""How this caller sounds when calm, as far as we can know.

Speech becomes part of what is usual only some seconds after it was heard, or a caller would always be compared with
the very words that are judged, and not at all where it was taken for anger. How far the baseline is trusted grows with
the speech behind it: half way after four seconds, as the model has learnt it; a short one trusted wholly does harm.
"""

from typing import Final

import numpy as np

from .memory import Memory
from .spectrum import Floats

TRUSTED_S: Final = 4.0
"""Seconds of calm speech after which the baseline counts half."""
_LATER_S: Final = 2.0
"""Speech waits for at least this much newer speech."""
_MEMORY_S: Final = 60.0
"""Calm speech older than this fades: lines and handsets change."""
_CALM: Final = 0.5
"""Anger believed to this degree, and more, is never usual."""


def known(memory: Memory) -> Floats:
    """How far each call's baseline is to be trusted, 0 to 1."""
    seconds = memory["usual_s"]
    return np.asarray(seconds / (seconds + np.float32(TRUSTED_S)))


def learn(memory: Memory, features: Floats, new_s: Floats, anger: Floats) -> None:
    """Take in stretches that brought so much new speech each, believed angry to this degree."""
    calm = np.where(anger < _CALM, 1 - anger, 0).astype(np.float32)
    weight = new_s * calm
    memory["lately"][:, 0] += features * weight[:, np.newaxis]
    memory["lately_s"][:, 0] += weight
    # Anger shows late: what was said just before it is not to be trusted either.
    angry = (anger >= _CALM).nonzero()[0]
    if len(angry):
        memory["lately"][angry] *= np.float32(0)
        memory["lately_s"][angry] *= np.float32(0)
    full = np.flatnonzero(memory["lately_s"][:, 0] >= _LATER_S)
    if len(full):
        _commit(memory, full)


def _commit(memory: Memory, full: np.ndarray[tuple[int], np.dtype[np.intp]]) -> None:
    """The older half becomes usual, the newer half the older one."""
    seconds = memory["lately_s"][full, 1]
    before = np.minimum(memory["usual_s"][full], np.float32(_MEMORY_S) - seconds)
    total = np.maximum(before + seconds, np.float32(1e-6))
    usual = memory["usual"][full] * before[:, np.newaxis] + memory["lately"][full, 1]
    memory["usual"][full] = usual / total[:, np.newaxis]
    memory["usual_s"][full] = before + seconds
    memory["lately"][full, 1] = memory["lately"][full, 0]
    memory["lately_s"][full, 1] = memory["lately_s"][full, 0]
    memory["lately"][full, 0] = 0
    memory["lately_s"][full, 0] = 0
