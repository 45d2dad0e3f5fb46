"""From readings to a mood: gate, rolling window, recency weights, trend. Pure: the caller says what time it is.

Accepted readings inside the window weigh from 1 (now) down to 0 (the window's far end), linearly. The dominant emotion
is the label with the largest sum of weight x score, and its score is the weighted mean over that label's readings. Too
few readings are no mood: neutral, 0. Readings of our own engine and readings from outside share one buffer, and it is
their arrival that places them in time.
"""

from collections import deque
from collections.abc import Collection
from dataclasses import dataclass

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

    def __init__(self, span_s: float = 30.0) -> None:
        self._span_s = span_s
        self._points: deque[tuple[int, float, int]] = deque(maxlen=max(2, int(span_s) + 1))

    def forget(self) -> None:
        self._points.clear()

    def add(self, value: float, now: float) -> None:
        second = int(now)
        if self._points and self._points[-1][0] == second:
            _, total, count = self._points.pop()
            self._points.append((second, total + value, count + 1))
        else:
            self._points.append((second, value, 1))

    def trend(self, now: float) -> Trend:
        """The sign of the least-squares slope, steady when it is small or there is too little to say."""
        points = [(second, total / n) for second, total, n in self._points if now - second <= self._span_s + 1]
        if len(points) < _TREND_POINTS:
            return Trend.STEADY
        mean_t = sum([second for second, _ in points]) / len(points)
        mean_v = sum([value for _, value in points]) / len(points)
        away = [(second - mean_t, value - mean_v) for second, value in points]
        slope = sum([t * v for t, v in away]) / sum([t**2 for t, _ in away])
        if abs(slope) < RISING_FROM:
            return Trend.STEADY
        return Trend.RISING if slope > 0 else Trend.FALLING


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
        self._buffer: list[tuple[float, EmotionReading]] = []
        self._trend = TrendSeries(trend_window_s)

    @property
    def buffer_size(self) -> int:
        """Accepted readings held."""
        return len(self._buffer)

    def forget(self) -> None:
        """As if nothing had ever been read."""
        self._buffer.clear()
        self._trend.forget()

    def take(self, reading: EmotionReading, now: float) -> Gated | None:
        """Fold one reading in, arriving at `now` (seconds, never going back). The reason when it is refused."""
        refused = self._gate.refuses(reading)
        if refused is None:
            self._buffer.append((now, reading))
            if len(self._buffer) > self._cap:
                del self._buffer[: -self._keep]
            self._trend.add(reading.anger, now)
        return refused

    def mood(self, now: float) -> Mood:
        """What is believed at `now`."""
        weighted = [
            (1.0 - (now - at) / self._window_s, reading) for at, reading in self._buffer if now - at < self._window_s
        ]
        trend = self._trend.trend(now)
        heard_at = max((reading.heard_at for _, reading in weighted), default=now)
        known = (reading.quality for _, reading in reversed(weighted))
        quality = next((each for each in known if each is not None), None)
        if len(weighted) < self._min_samples:
            return Mood(NEUTRAL, trend, len(weighted), heard_at, quality=quality)
        support: dict[str, float] = {}
        weight: dict[str, float] = {}
        for w, reading in weighted:
            label = reading.emotion.label
            support[label] = support.get(label, 0.0) + w * reading.emotion.score
            weight[label] = weight.get(label, 0.0) + w
        label = max(support, key=lambda name: support[name])
        # Rounded, so that equal scores have that score for their mean, and one equal to a threshold reaches it.
        score = round(support[label] / weight[label], 9) if weight[label] > 0 else 0.0
        return Mood(Emotion(label, min(1.0, score)), trend, len(weighted), heard_at, support, quality)
