"""What flows before anybody has judged it: frames as the carrier sent them, sound, missing sound, windows.

Media time (`*_ms`) is the carrier's own clock, counted from the first frame of the stream; `heard_at` is the loop's
clock (`trio.current_time`, seconds) at the moment our socket gave us the frame.
"""

from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

SAMPLE_RATE = 8000
"""Hertz. The telephone network's rate; everything after the carrier's codec runs at it."""

SAMPLES_PER_MS = SAMPLE_RATE // 1000


class MediaFrame(NamedTuple):
    """One message of encoded audio, usually 20 ms, as the carrier sent it. There are fifty a second of each call, and a
    tuple is made in half a frozen dataclass's time."""

    sequence: int
    """The carrier's message counter; a jump means messages that will never come."""
    media_ms: int
    """Start of this frame on the media clock."""
    payload: bytes
    """Mu-law, 8 kHz, one channel: one byte a sample (ITU-T G.711)."""
    heard_at: float
    """Seconds on the loop's clock."""

    @property
    def ms(self) -> int:
        return len(self.payload) // SAMPLES_PER_MS

    @property
    def end_ms(self) -> int:
        return self.media_ms + self.ms


@dataclass(frozen=True, slots=True)
class Block:
    """The frames of one call that came in one tick, about 100 ms of audio, in order."""

    frames: tuple[MediaFrame, ...]
    """Never empty."""
    line: int = 0
    """Which of the call's sockets they came from, in the order these took the call over."""

    @property
    def heard_at(self) -> float:
        return self.frames[-1].heard_at

    @property
    def span_ms(self) -> int:
        """On the carrier's clock, holes included."""
        return self.frames[-1].end_ms - self.frames[0].media_ms


@dataclass(frozen=True, slots=True)
class PcmChunk:
    """Decoded audio."""

    samples: NDArray[np.int16]
    """Linear samples, shape (n,), 8 kHz."""
    start_ms: int
    """Media time of the first sample."""
    heard_at: float
    """Loop time at which its last frame was heard."""

    @property
    def end_ms(self) -> int:
        return self.start_ms + len(self.samples) // SAMPLES_PER_MS


@dataclass(frozen=True, slots=True)
class Gap:
    """Audio that never came, or that we dropped."""

    start_ms: int
    ms: int
    cause: Literal["lost", "dropped", "pause"]
    """`lost`: the sequence numbers jump. `dropped`: we could not keep up. `pause`: the carrier's clock ran on while it
    sent nothing, and no message is missing."""
    heard_at: float

    @property
    def end_ms(self) -> int:
        return self.start_ms + self.ms


@dataclass(frozen=True, slots=True)
class Window:
    """The stretch of audio judged at once."""

    start_ms: int
    end_ms: int
    speech_ms: int
    """How much of it is speech."""
    missing_ms: int
    """How much of it never came."""
    heard_at: float
    """Loop time at which its last sample was heard: the zero of every latency we report."""
