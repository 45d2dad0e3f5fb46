"""What engines over the network have in common: audio as they want it, paced as they want it, on their own clock.

A vendor counts milliseconds of the audio it has accepted, which is neither our time nor the carrier's: frames may have
been dropped, refused or never sent. So every frame that is sent is remembered with the media time it came from.
"""

from collections import deque
from dataclasses import dataclass
from typing import Final

import numpy as np
import soxr  # type: ignore[import-untyped]
from numpy.typing import NDArray

from ...core.audio import SAMPLE_RATE, Gap, PcmChunk

VENDOR_RATE: Final = 16_000
"""Hertz. Hume and oruk take no other."""
FRAME_MS: Final = 100
FRAME_BYTES: Final = 2 * VENDOR_RATE * FRAME_MS // 1000
BACKLOG: Final = 5
"""Frames that may wait to be sent. What is older is dropped, never sent in a burst: vendors take a second a second."""
REMEMBERED: Final = 300
"""Frames sent that a result may still speak of; half a minute."""
_BRIDGED_MS: Final = 1_000
"""A hole up to this long is filled with silence; after a longer one the stream goes on as if it had not been."""


@dataclass(frozen=True, slots=True)
class Frame:
    """100 ms of audio for a vendor."""

    pcm: bytes
    """Signed 16-bit little-endian, 16 kHz, one channel."""
    start_ms: int
    """Media time of its first sample."""
    heard_at: float
    """Loop time at which its last sample was heard."""


class Framer:
    """One call's audio, from telephone chunks to a vendor's frames. The newest few wait; older ones are dropped."""

    def __init__(self) -> None:
        self._resampler = soxr.ResampleStream(SAMPLE_RATE, VENDOR_RATE, 1, dtype="int16", quality="HQ")
        self._pcm = bytearray()
        self._start_ms = 0.0
        self._end_ms: int | None = None
        self._frames: deque[Frame] = deque(maxlen=BACKLOG)
        self.dropped_ms = 0
        """Audio that was not sent in time."""

    def hear(self, sound: PcmChunk | Gap) -> None:
        """Take the next sound. Never waits."""
        if self._end_ms is None:
            self._start_ms = float(sound.start_ms)
        if isinstance(sound, Gap):
            if sound.ms > _BRIDGED_MS:
                self._start_ms += sound.ms
            else:
                self._push(np.zeros(sound.ms * SAMPLE_RATE // 1000, dtype=np.int16), sound.heard_at)
        else:
            self._push(sound.samples, sound.heard_at)
        self._end_ms = sound.end_ms

    def _push(self, samples: NDArray[np.int16], heard_at: float) -> None:
        self._pcm += self._resampler.resample_chunk(samples).astype("<i2").tobytes()
        while len(self._pcm) >= FRAME_BYTES:
            if len(self._frames) == BACKLOG:
                self.dropped_ms += FRAME_MS
            self._frames.append(Frame(bytes(self._pcm[:FRAME_BYTES]), round(self._start_ms), heard_at))
            del self._pcm[:FRAME_BYTES]
            self._start_ms += FRAME_MS

    def take(self) -> Frame | None:
        """The next frame to send, if there is one."""
        return self._frames.popleft() if self._frames else None

    def skip(self) -> None:
        """Let go of what waits: the connection was held up, and the present matters more."""
        self.dropped_ms += FRAME_MS * len(self._frames)
        self._frames.clear()

    def forget(self) -> None:
        """Nothing of what was heard is kept: consent was withdrawn, or the session is over."""
        self._pcm[:] = bytes(len(self._pcm))
        self._pcm.clear()
        self._frames.clear()
        self._resampler.clear()


class VendorClock:
    """From milliseconds of accepted audio to media time and to when we heard it."""

    def __init__(self) -> None:
        self._sent: deque[tuple[int, Frame]] = deque(maxlen=REMEMBERED)
        self.accepted_ms = 0

    def accepted(self, frame: Frame) -> None:
        """This frame was sent, and is taken to be accepted until something else is said."""
        self._sent.append((self.accepted_ms, Frame(b"", frame.start_ms, frame.heard_at)))
        self.accepted_ms += FRAME_MS

    def refused_last(self) -> None:
        """The frame sent last was refused: refusals do not name theirs, and audio sent in time is refused at once."""
        if self._sent:
            self._sent.pop()
            self.accepted_ms -= FRAME_MS

    def media_ms(self, vendor_ms: int) -> int | None:
        """The media time of a moment of accepted audio; None when that is too long ago, or never was."""
        at = self._frame_of(vendor_ms)
        return None if at is None else at[1].start_ms + min(vendor_ms - at[0], FRAME_MS)

    def heard_at(self, vendor_ms: int) -> float | None:
        """Loop time by which that moment had been heard."""
        at = self._frame_of(vendor_ms)
        return None if at is None else at[1].heard_at

    def _frame_of(self, vendor_ms: int) -> tuple[int, Frame] | None:
        if not self._sent or not self._sent[0][0] <= vendor_ms <= self.accepted_ms:
            return None
        place = min((vendor_ms - self._sent[0][0]) // FRAME_MS, len(self._sent) - 1)
        return self._sent[place]
