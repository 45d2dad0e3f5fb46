"""What is remembered of a call: about 12 kB, the same however long it lasts, and at most 20 ms of it sound.

Most of it are the sums of the last four seconds, which lie in a ring of their own: a hop writes one row of it, and only
a judgement reads it. The rest is one record in two parts, of which one is needed only where the caller speaks: so that
those of many calls are gathered and put back in one piece each.
"""

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ...core.emotion import LABELS
from . import belief, pooling, spectrum, summary, voice
from .spectrum import Floats

Memory = NDArray[np.void]
"""Records of n calls; `MEMORY` says what is in one."""

CALIBRATION_MS: Final = 1000
"""Speech heard in the call before anything is said about it."""
_D: Final = len(pooling.FEATURES)

_LINE: Final[list[Any]] = [
    ("sound", np.float32, (spectrum.KEPT,)),  # the end of the last block
    ("floors", np.float32, (voice.FLOOR_BLOCKS,)),  # dB, quietest row of the last blocks
    ("octaves", np.float32, (voice.HELD_ROWS,)),  # pitch of the last rows
    ("good", np.bool_, (voice.HANGOVER,)),  # which of them sounded like a voice
    ("before", np.float32, (summary.BEFORE,)),  # the last row's spectrum
    ("counts", np.float32, (2, pooling.BLOCKS)),  # rows of speech, and of voice, in the blocks of the ring
    ("belief", np.float32, (belief.SIZE,)),
    ("scores", np.float32, (len(LABELS),)),  # what the last stretch says by itself
    ("speech_ms", np.int64),  # heard in the call
    ("clipped", np.float32),  # share of samples at full scale, lately
    ("quality", np.float32),
]
_CALLER: Final[list[Any]] = [
    ("usual", np.float32, (_D,)),  # the caller's features when calm
    ("usual_s", np.float32),  # seconds of speech behind them
    ("lately", np.float32, (2, _D)),  # what may become usual: sums of features, newer and older
    ("lately_s", np.float32, (2,)),  # seconds of speech in each
]
LINE: Final = np.dtype(_LINE)
"""What every hop needs of a call."""
CALLER: Final = np.dtype(_CALLER)
"""What only a hop needs in which the caller speaks."""
MEMORY: Final = np.dtype([*_LINE, *_CALLER])
"""Both, one behind the other."""
Bytes = NDArray[np.uint8]


def line_of(memory: Memory) -> Bytes:
    """The part of one call's record that is its `LINE`, to be read and written: plain bytes, since numpy copies these
    several times faster than records."""
    return memory.view(np.uint8)[: LINE.itemsize]


def caller_of(memory: Memory) -> Bytes:
    """Likewise its `CALLER`."""
    return memory.view(np.uint8)[LINE.itemsize :]


def together(parts: Sequence[Bytes], kind: np.dtype[np.void]) -> Memory:
    """Copies of the same part of many records as one array."""
    return np.concatenate(parts).view(kind)


def put_back(parts: Sequence[Bytes], memory: Memory) -> None:
    """What `together` has gathered, to where it came from."""
    for part, row in zip(parts, memory.view(np.uint8).reshape(len(parts), -1), strict=True):
        part[:] = row


class Ring:
    """The sums of a call's last blocks."""

    def __init__(self) -> None:
        self._blocks = np.zeros((pooling.BLOCKS, summary.SIZE), dtype=np.float32)
        self._oldest = 0

    def push(self, sums: Floats) -> None:
        """Another block, for the oldest one."""
        self._blocks[self._oldest] = sums
        self._oldest = (self._oldest + 1) % pooling.BLOCKS

    def unroll(self, out: Floats) -> None:
        """All of them, oldest first."""
        split = pooling.BLOCKS - self._oldest
        out[:split], out[split:] = self._blocks[self._oldest :], self._blocks[: self._oldest]

    def forget(self) -> None:
        """Overwrite it."""
        self._blocks[:] = 0
        self._oldest = 0


def remember_nothing(memory: Memory) -> None:
    """The state before the first sound; what was there is overwritten."""
    memory.view(np.uint8)[:] = 0
    memory["floors"] = voice.FLOOR_CEILING_DB
    memory["octaves"] = voice.NO_VOICE
    memory["belief"] = belief.AT_REST
    memory["scores"][:, 0] = 1.0


def blank(n: int) -> Memory:
    """The memory of n calls before their first sound."""
    memory: NDArray[Any] = np.zeros(n, MEMORY)
    remember_nothing(memory)
    return memory


def after_a_hole(memory: Memory) -> None:
    """Nothing heard before it is judged together with what comes after; caller and line are still known."""
    for name in ("sound", "good", "before", "counts"):
        memory[name] = 0
    memory["octaves"] = voice.NO_VOICE
