"""How angry one caller has sounded, for somebody who looks on: the belief, how far single readings lie apart, and the
last minute of it. Pure: the caller says what time it is, in seconds that never go back.
"""

from array import array
from operator import mul
from typing import NamedTuple

READINGS_KEPT = 128
"""Of one rolling window. Where more come, the newest count."""
POINTS = 60
"""One a second."""

Point = tuple[int, float, float, float]
"""`t` in milliseconds since the call began, p, low, high."""
NUMBERS = 4


class Anger(NamedTuple):
    """P(angry) + P(frustrated), 0 to 1."""

    p: float
    """What is believed."""
    low: float
    """The lowest single reading behind it; never above p."""
    high: float
    """The highest; never below p."""


class Curve:
    """One call's. What it keeps is bounded, however often readings come."""

    def __init__(self) -> None:
        self._read_at, self._readings = array("d"), array("d")
        self._points = array("d")
        """The numbers of one after the other: as tuples they would take six times the room."""
        self._last: Anger | None = None
        self._fresh = False
        self.samples = 0
        """Readings so far."""

    def forget(self) -> None:
        self._read_at, self._readings, self._points = array("d"), array("d"), array("d")
        self._last, self._fresh, self.samples = None, False, 0

    def add(self, anger: float, now: float) -> None:
        """One reading's, whether or not it was sure enough to count."""
        self._read_at.append(now)
        self._readings.append(min(1.0, max(0.0, anger)))
        del self._read_at[:-READINGS_KEPT], self._readings[:-READINGS_KEPT]
        self._fresh = True
        self.samples += 1

    def anger(self, window_s: float, believed: float | None) -> Anger | None:
        """As of the newest reading: while none comes, that holds; None: there never was one. `believed`: what the mood
        says, where it is one of anger; else the readings' mean, the newer weighing more."""
        if self._fresh:
            self._fresh, newest = False, self._read_at[-1]
            old = sum(newest - at >= window_s for at in self._read_at)
            del self._read_at[:old], self._readings[:old]
            if believed is None:
                weights = [window_s - (newest - at) for at in self._read_at]
                believed = sum(map(mul, weights, self._readings)) / sum(weights)
            self._last = Anger(believed, min(believed, *self._readings), max(believed, *self._readings))
        return self._last

    def mark(self, t_ms: int, anger: Anger) -> None:
        """Keep this as the point of its second, where that has none yet."""
        if not self._points or self._points[-NUMBERS] // 1000 < t_ms // 1000:
            self._points.extend((t_ms, round(anger.p, 2), round(anger.low, 2), round(anger.high, 2)))
            del self._points[: -NUMBERS * POINTS]

    def points(self, t_ms: int) -> list[Point]:
        """The last minute, oldest first."""
        while self._points and self._points[0] <= t_ms - 1000 * POINTS:
            del self._points[:NUMBERS]
        columns = (self._points[column::NUMBERS] for column in range(1, NUMBERS))
        return list(zip(map(int, self._points[::NUMBERS]), *columns, strict=True))
