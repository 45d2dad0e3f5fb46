"""How angry one caller has sounded, for somebody who looks on: the belief, how far single readings lie apart, and the
last minute of it. Pure: the caller says what time it is, in seconds that never go back.
"""

from collections import deque
from operator import mul
from typing import NamedTuple

READINGS_KEPT = 128
"""Of one rolling window. Where more come, the newest count."""
POINTS = 60
"""One a second."""

Point = tuple[int, float, float, float]
"""`t` in milliseconds since the call began, p, low, high."""


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
        self._readings: deque[tuple[float, float]] = deque(maxlen=READINGS_KEPT)
        self._points: deque[Point] = deque(maxlen=POINTS)
        self._last: Anger | None = None
        self._fresh = False
        self.samples = 0
        """Readings so far."""

    def forget(self) -> None:
        self._readings.clear()
        self._points.clear()
        self._last, self._fresh, self.samples = None, False, 0

    def add(self, anger: float, now: float) -> None:
        """One reading's, whether or not it was sure enough to count."""
        self._readings.append((now, min(1.0, max(0.0, anger))))
        self._fresh = True
        self.samples += 1

    def anger(self, window_s: float, believed: float | None) -> Anger | None:
        """As of the newest reading: while none comes, that holds; None: there never was one. `believed`: what the mood
        says, where it is one of anger; else the readings' mean, the newer weighing more."""
        if self._fresh:
            self._fresh, newest = False, self._readings[-1][0]
            while newest - self._readings[0][0] >= window_s:
                self._readings.popleft()
            values = [value for _, value in self._readings]
            if believed is None:
                weights = [window_s - (newest - at) for at, _ in self._readings]
                believed = sum(map(mul, weights, values)) / sum(weights)
            self._last = Anger(believed, min(believed, *values), max(believed, *values))
        return self._last

    def mark(self, t_ms: int, anger: Anger) -> None:
        """Keep this as the point of its second, where that has none yet."""
        if not self._points or self._points[-1][0] // 1000 < t_ms // 1000:
            self._points.append((t_ms, round(anger.p, 2), round(anger.low, 2), round(anger.high, 2)))

    def points(self, t_ms: int) -> list[Point]:
        """The last minute, oldest first."""
        while self._points and self._points[0][0] <= t_ms - 1000 * POINTS:
            self._points.popleft()
        return list(self._points)
