"""Media time cut into blocks, whatever the chunks were.

Sound arrives in chunks and gaps of any length. What analyses it wants equal steps: frames of 10 ms, twenty to a block,
so that numpy works on twenty at once and the result is the same, to the last bit, however the sound was cut. Blocks are
aligned to the first sound. A gap counts as zeros, and blocks that lie wholly inside a gap are skipped in one step, so
that a carrier's clock leaping ahead by an hour costs nothing.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .audio import SAMPLES_PER_MS, Gap, PcmChunk

FRAME_MS: Final = 10
FRAMES_PER_BLOCK: Final = 20
BLOCK_MS: Final = FRAME_MS * FRAMES_PER_BLOCK
FRAME_SAMPLES: Final = FRAME_MS * SAMPLES_PER_MS
BLOCK_SAMPLES: Final = BLOCK_MS * SAMPLES_PER_MS
_NONE: Final = np.zeros(0, dtype=np.float32)
_OF_FULL_SCALE: Final = np.array(1 / 32768, dtype=np.float32)


class Heard(NamedTuple):
    """One block of sound."""

    samples: NDArray[np.float32]
    """Shape (1600,), full scale 1.0; zeros where sound is missing."""
    missing_ms: int
    """How much of the block never came."""


@dataclass(frozen=True, slots=True)
class Skipped:
    """Whole blocks of which nothing came."""

    blocks: int


class BlockCutter:
    """Sounds in, blocks out. Keeps less than one block."""

    def __init__(self) -> None:
        self._block = _NONE
        """The one that has begun: none where sound comes in whole blocks, as it mostly does."""
        self._filled = 0
        self._missing = 0

    @property
    def begun_ms(self) -> int:
        """How much there is of the next block."""
        return self._filled // SAMPLES_PER_MS

    def forget(self) -> None:
        """Overwrite what is kept of the sound; the next begins a block."""
        self._block[:] = 0
        self._block = _NONE
        self._filled = self._missing = 0

    def push(self, sound: PcmChunk | Gap) -> Sequence[Heard | Skipped]:
        """The blocks this sound completes."""
        if isinstance(sound, Gap):
            return list(self._miss(max(0, sound.ms) * SAMPLES_PER_MS))
        samples, at, blocks = sound.samples, 0, []
        while at < len(samples):
            take = min(BLOCK_SAMPLES - self._filled, len(samples) - at)
            self._add(samples[at : at + take] * _OF_FULL_SCALE)
            at += take
            if self._filled == BLOCK_SAMPLES:
                blocks.append(self._complete())
        return blocks

    def _miss(self, count: int) -> Iterator[Heard | Skipped]:
        if self._filled and count:
            take = min(BLOCK_SAMPLES - self._filled, count)
            self._miss_some(take)
            count -= take
            if self._filled == BLOCK_SAMPLES:
                yield self._complete()
        if count >= BLOCK_SAMPLES:
            yield Skipped(count // BLOCK_SAMPLES)
        self._miss_some(count % BLOCK_SAMPLES)

    def _miss_some(self, count: int) -> None:
        if count:
            self._add(np.zeros(count, dtype=np.float32))
            self._missing += count

    def _add(self, sound: NDArray[np.float32]) -> None:
        if len(sound) == BLOCK_SAMPLES:
            self._block = sound
        else:
            if not self._filled:
                self._block = np.zeros(BLOCK_SAMPLES, dtype=np.float32)
            self._block[self._filled : self._filled + len(sound)] = sound
        self._filled += len(sound)

    def _complete(self) -> Heard:
        block = Heard(self._block, self._missing // SAMPLES_PER_MS)
        self._block = _NONE
        self._filled = self._missing = 0
        return block
