"""From readings to a mood: gate, rolling window, recency weights, trend. Pure: the caller says what time it is.

Accepted readings inside the window weigh from 1 (now) down to 0 (the window's far end), linearly. The dominant emotion
is the label with the largest sum of weight x score, and its score is the weighted mean over that label's readings. Too
few readings are no mood: neutral, 0. Readings of our own engine and readings from outside share one buffer, and it is
their arrival that places them in time.
"""

from collections.abc import Collection
from dataclasses import dataclass
from operator import mul
from typing import NamedTuple

from .emotion import NEUTRAL, Emotion, EmotionReading, Gated, Mood, Trend

RISING_FROM = 0.02
"""Slope of P(angry) + P(frustrated), per second, from which a trend is one."""

_TREND_POINTS = 3
"""Seconds with readings in them, below which any slope would be a guess."""


@dataclass(frozen=True, slots=True)
class Gate:
    """Which readings count."""

    at_least: float = 0.7
    min_duration_ms: int = 500
    ignored_labels: Collection[str] = ("confused", "surprised")

    def refuses(self, reading: EmotionReading) -> Gated | None:
        """The reason, or None: accepted. A score equal to the gate passes; a failed reading never does."""
        if reading.abstained is not None:
            return reading.abstained
        if reading.speech_ms is not None and reading.speech_ms < self.min_duration_ms:
            return Gated.TOO_SHORT
        if reading.source == "fallback" or not reading.emotion.score >= self.at_least:  # a NaN is no score
            return Gated.LOW_CONFIDENCE
        if reading.emotion.label in self.ignored_labels:
            return Gated.IGNORED_LABEL
        return None


class TrendSeries:
    """One point a second, the mean of what was read in it, over a bounded stretch of time."""

    __slots__ = ("_away", "_count", "_most", "_points", "_span_s", "_spread", "_total", "_values")

    def __init__(self, span_s: float = 30.0) -> None:
        self._span_s = span_s
        self._most = max(2, int(span_s) + 1)
        self.forget()

    def forget(self) -> None:
        self._points: list[int] = []
        """Seconds with readings in them; and the mean of each."""
        self._values: list[float] = []
        self._total, self._count = 0.0, 0
        """What was read in the newest of them."""
        self._away: list[float] | None = None
        """How far each second is from their middle; None: not known yet."""
        self._spread = 0.0

    def add(self, value: float, now: float) -> None:
        second = int(now)
        if self._points and self._points[-1] == second:
            self._total, self._count = self._total + value, self._count + 1
            self._values[-1] = self._total / self._count
        else:
            self._points.append(second)
            self._values.append(value)
            self._total, self._count = value, 1
            self._drop(len(self._points) - self._most)

    def _drop(self, count: int) -> None:
        """The oldest so many, because the seconds have become others."""
        del self._points[: max(0, count)], self._values[: max(0, count)]
        self._away = None

    def trend(self, now: float) -> Trend:
        """The sign of the least-squares slope, steady when it is small or there is too little to say."""
        points = self._points
        if points and now - points[0] > self._span_s + 1:
            self._drop(sum([now - second > self._span_s + 1 for second in points]))
        if len(points) < _TREND_POINTS:
            return Trend.STEADY
        if self._away is None:
            middle = sum(points) / len(points)
            self._away = [second - middle for second in points]
            self._spread = sum([t**2 for t in self._away])
        mean = sum(self._values) / len(points)
        slope = sum(map(mul, self._away, [value - mean for value in self._values])) / self._spread
        if abs(slope) < RISING_FROM:
            return Trend.STEADY
        return Trend.RISING if slope > 0 else Trend.FALLING


class Counted(NamedTuple):
    """What is held of a reading that counts."""

    at: float
    label: str
    score: float
    heard_at: float
    quality: float | None


class MoodTracker:
    """The belief about one caller. Memory is bounded by `buffer_cap` and the trend's own series."""

    def __init__(
        self,
        gate: Gate | None = None,
        *,
        window_s: float = 3.0,
        min_samples: int = 3,
        trend_window_s: float = 30.0,
        buffer_cap: int = 50,
        buffer_keep: int = 30,
    ) -> None:
        self._gate = gate or Gate()
        self._window_s = window_s
        self._min_samples = min_samples
        self._cap, self._keep = buffer_cap, buffer_keep
        self._held = 0
        self._buffer: list[Counted] = []
        """Of those held; none that is too old to count."""
        self._trend = TrendSeries(trend_window_s)

    @property
    def buffer_size(self) -> int:
        """Accepted readings held."""
        return self._held

    def forget(self) -> None:
        """As if nothing had ever been read."""
        self._held = 0
        self._buffer.clear()
        self._trend.forget()

    def take(self, reading: EmotionReading, now: float) -> Gated | None:
        """Fold one reading in, arriving at `now` (seconds, never going back). The reason when it is refused."""
        refused = self._gate.refuses(reading)
        if refused is None:
            emotion = reading.emotion
            self._buffer.append(Counted(now, emotion.label, emotion.score, reading.heard_at, reading.quality))
            while now - self._buffer[0].at >= self._window_s:
                del self._buffer[0]
            self._held = self._keep if self._held >= self._cap else self._held + 1
            del self._buffer[: -self._held]
            self._trend.add(reading.anger, now)
        return refused

    def mood(self, now: float) -> Mood:
        """What is believed at `now`."""
        trend, window_s = self._trend.trend(now), self._window_s
        inside = self._buffer
        while inside and now - inside[0].at >= window_s:
            inside = inside[1:]
        heard_at = max([each.heard_at for each in inside], default=now)
        quality = next((each.quality for each in reversed(inside) if each.quality is not None), None)
        if len(inside) < self._min_samples:
            return Mood(NEUTRAL, trend, len(inside), heard_at, quality=quality)
        support: dict[str, float] = {}
        weight: dict[str, float] = {}
        for at, label, score, _, _ in inside:
            w = 1.0 - (now - at) / window_s
            support[label] = support.get(label, 0.0) + w * score
            weight[label] = weight.get(label, 0.0) + w
        label = max(support, key=support.__getitem__)
        # Rounded, so that equal scores have that score for their mean, and one equal to a threshold reaches it.
        score = round(support[label] / weight[label], 9) if weight[label] > 0 else 0.0
        return Mood(Emotion(label, min(1.0, score)), trend, len(inside), heard_at, support, quality)
