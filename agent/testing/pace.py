"""When frames go out: pure arithmetic on an absolute schedule.

A frame can be sent once its last sample has been spoken, so the frame that ends at media time X is due X milliseconds
after the audio began, however late the frames before it were. Lost frames keep their place on the media clock, and
delayed ones keep their order: what a delay holds back comes out in a burst, as it does over TCP.
"""

import math
import random
from array import array
from collections.abc import Iterator
from dataclasses import dataclass

from ..core.audio import SAMPLES_PER_MS
from ..core.mulaw import SILENCE

FRAME_MS = 20
FRAME_BYTES = FRAME_MS * SAMPLES_PER_MS
MAX_FRAMES = 4 * 3600 * 1000 // FRAME_MS
"""Four hours of frames: what a send log remembers."""


@dataclass(frozen=True, slots=True)
class Pace:
    """How the line behaves."""

    speed: float = 1.0
    """Media seconds per loop second; `math.inf` sends as fast as it can."""
    loss: float = 0.0
    """Percent of the media messages that never come. Their sequence numbers are used up."""
    jitter_ms: float = 0.0
    """Each frame is held back by up to this, on the media clock."""
    seed: int = 1
    """The same seed loses and delays the same frames."""

    def __post_init__(self) -> None:
        if not self.speed > 0:
            raise ValueError("speed must be above 0")
        if not 0 <= self.loss <= 100:
            raise ValueError("loss is a percentage: 0 to 100")
        if not 0 <= self.jitter_ms < math.inf:
            raise ValueError("jitter must not be negative")


@dataclass(frozen=True, slots=True)
class Slot:
    """One frame's place in time."""

    index: int
    """Counted from 0 on the media clock."""
    at_s: float
    """Loop seconds after the audio began."""
    lost: bool

    @property
    def media_ms(self) -> int:
        """Start of the frame."""
        return self.index * FRAME_MS


class Schedule:
    """One slot after another."""

    def __init__(self, pace: Pace) -> None:
        self._pace = pace
        self._loss = random.Random(f"loss {pace.seed}")
        self._delay = random.Random(f"delay {pace.seed}")
        self._index = 0
        self._latest_s = 0.0

    def next(self) -> Slot:
        pace, index = self._pace, self._index
        late_ms = self._delay.uniform(0, pace.jitter_ms)
        self._latest_s = max(self._latest_s, ((index + 1) * FRAME_MS + late_ms) / 1000 / pace.speed)
        self._index += 1
        return Slot(index, self._latest_s, lost=self._loss.uniform(0, 100) < pace.loss)

    def pause(self, ms: int) -> float:
        """Let the media clock run on with nothing sent; returns when the pause is over."""
        self._index += ms // FRAME_MS
        return self._index * FRAME_MS / 1000 / self._pace.speed


class SendLog:
    """At which loop time each frame was sent, to measure from there. Media time counts from the first frame sent, as
    it does for whoever hears them."""

    def __init__(self) -> None:
        self._base: int | None = None
        self._at = array("d")

    def note(self, index: int, at: float) -> None:
        if self._base is None:
            self._base = index
        place = index - self._base
        if place < MAX_FRAMES:
            self._at.extend([math.nan] * (place - len(self._at)))
            self._at.append(at)

    def sent_at(self, media_ms: int) -> float:
        """Loop time at which the audio up to `media_ms` was out: the sending of the frame that ends there (or holds
        it), or of the first one after it where that was lost. Raises LookupError while nothing of the kind was sent."""
        for at in self._at[max(0, (media_ms - 1) // FRAME_MS) :]:
            if not math.isnan(at):
                return at
        raise LookupError(f"nothing was sent yet that covers {media_ms} ms")


def frames_of(audio: bytes) -> Iterator[bytes]:
    """20 ms each; the last one is filled up with silence, for the telephone network sends nothing shorter."""
    for start in range(0, len(audio), FRAME_BYTES):
        yield audio[start : start + FRAME_BYTES].ljust(FRAME_BYTES, bytes([SILENCE]))
