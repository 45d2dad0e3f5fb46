"""What Twilio has been given to play and has not played yet: pure arithmetic.

Audio is queued and played in order. A mark comes back when everything queued before it has been heard, and all
outstanding marks come back at once after a `clear`
(https://www.twilio.com/docs/voice/media-streams/websocket-messages#send-a-mark-message).
"""

import math
from base64 import b64decode
from collections import deque
from collections.abc import Mapping

from ..core.audio import SAMPLES_PER_MS

MAX_MARKS = 1_000


class Playback:
    """One stream's queue. Times are the loop's, in seconds; `speed` is media seconds per loop second."""

    def __init__(self, speed: float) -> None:
        self._speed = speed
        self._until = -math.inf
        self._marks: deque[tuple[float, str]] = deque(maxlen=MAX_MARKS)

    def take(self, message: Mapping[str, object], now: float) -> None:
        """One valid message from the server."""
        match message:
            case {"event": "clear"}:
                self.clear(now)
            case {"event": "mark", "mark": {"name": str(name)}}:
                self.mark(name, now)
            case {"event": "media", "media": {"payload": str(payload)}}:
                self.queue(_length(payload), now)

    def queue(self, payload_bytes: int, now: float) -> None:
        self._until = max(self._until, now) + payload_bytes / SAMPLES_PER_MS / 1000 / self._speed

    def mark(self, name: str, now: float) -> None:
        self._marks.append((max(self._until, now), name))

    def clear(self, now: float) -> None:
        self._until = min(self._until, now)
        self._marks = deque(((min(at, now), name) for at, name in self._marks), maxlen=MAX_MARKS)

    def unplayed_s(self, now: float) -> float:
        """Loop seconds until the queue is empty."""
        return max(0.0, self._until - now)

    def unplayed_bytes(self, now: float) -> int:
        return round(self.unplayed_s(now) * self._speed * 1000 * SAMPLES_PER_MS) if self._until > now else 0

    @property
    def next_at(self) -> float:
        """When the next mark comes back; infinity when none is outstanding."""
        return self._marks[0][0] if self._marks else math.inf

    def due(self, now: float) -> list[str]:
        """The marks that come back now."""
        names = []
        while self._marks and self._marks[0][0] <= now:
            names.append(self._marks.popleft()[1])
        return names


def _length(payload: str) -> int:
    try:
        return len(b64decode(payload, validate=True))
    except ValueError:
        return 0  # not base64: nothing that could be played
