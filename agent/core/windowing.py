"""Chunks and gaps in, windows out.

A window ends at every multiple of the hop, counted in media time from the first sound, and reaches back by the window's
length or to the first sound. Which chunks the sound came in makes no difference to where windows lie or how much speech
they hold; it only decides at which moment (`heard_at`) each becomes complete. Hops at which a whole window is missing
are passed over: there is nothing in them to judge.
"""

from collections.abc import Iterable

from .audio import SAMPLES_PER_MS, Gap, PcmChunk, Window
from .speech import Span, Speech


class Windower:
    """Remembers where speech and gaps lie in the last window's length, never audio."""

    def __init__(self, hop_ms: int = 200, window_ms: int = 1500) -> None:
        if hop_ms <= 0 or window_ms <= 0:
            raise ValueError("hop and window must be positive")
        self._hop_ms = hop_ms
        self._window_ms = window_ms
        self._origin_ms: int | None = None
        # From here on, times count from the first sound.
        self._heard_samples = 0
        self._next_end_ms = hop_ms
        self._arrived: list[tuple[int, float]] = []
        """How much had been heard by then, and when."""
        self._speech: list[Span] = []
        self._gaps: list[Span] = []

    def push(self, sound: PcmChunk | Gap, speech: Speech) -> list[Window]:
        """The windows this sound completes, oldest first.

        `speech` is what `SpeechGate.push` said to the same sound. A window is complete when its sound is here and has
        been judged; the gate judges 200 ms at a time, so with a hop that is a multiple of that the two coincide.
        """
        self.hear(sound)
        return self.windows(speech)

    def hear(self, sound: PcmChunk | Gap) -> None:
        """Take note of the next sound; `windows` says what it completes."""
        if self._origin_ms is None:
            self._origin_ms = sound.start_ms
        self._take(sound)
        self._arrived.append((self._heard_samples // SAMPLES_PER_MS, sound.heard_at))

    def windows(self, speech: Speech) -> list[Window]:
        """The windows completed by what has been heard since this was asked last, oldest first."""
        self._speech.extend(speech.spans)
        windows: list[Window] = []
        for heard_ms, heard_at in self._arrived:
            self._complete(min(speech.until_ms, heard_ms), heard_at, windows)
        self._arrived.clear()
        self._forget()
        return windows

    def _complete(self, judged_ms: int, heard_at: float, windows: list[Window]) -> None:
        while self._next_end_ms <= judged_ms:
            window = self._window(self._origin_ms or 0, self._next_end_ms, heard_at)
            if window.missing_ms < window.end_ms - window.start_ms:
                windows.append(window)
                self._next_end_ms += self._hop_ms
            else:
                self._pass_over_gap(judged_ms)

    def _take(self, sound: PcmChunk | Gap) -> None:
        if isinstance(sound, PcmChunk):
            self._heard_samples += len(sound.samples)
            return
        start_ms = self._heard_samples // SAMPLES_PER_MS
        self._heard_samples += max(0, sound.ms) * SAMPLES_PER_MS
        if self._gaps and self._gaps[-1][1] == start_ms:
            start_ms = self._gaps.pop()[0]
        self._gaps.append((start_ms, self._heard_samples // SAMPLES_PER_MS))

    def _window(self, origin_ms: int, end_ms: int, heard_at: float) -> Window:
        start_ms = max(0, end_ms - self._window_ms)
        return Window(
            start_ms=origin_ms + start_ms,
            end_ms=origin_ms + end_ms,
            speech_ms=_overlap(self._speech, start_ms, end_ms),
            missing_ms=_overlap(self._gaps, start_ms, end_ms),
            heard_at=heard_at,
        )

    def _pass_over_gap(self, judged_ms: int) -> None:
        """On to the first hop that reaches past the gap we are in, in one step however long the gap is."""
        gap_end_ms = next((end for start, end in self._gaps if start < self._next_end_ms <= end), self._next_end_ms)
        until_ms = min(gap_end_ms, judged_ms)
        self._next_end_ms = max(self._next_end_ms, until_ms // self._hop_ms * self._hop_ms) + self._hop_ms

    def _forget(self) -> None:
        oldest_ms = self._next_end_ms - self._window_ms
        for spans in (self._speech, self._gaps):
            while spans and spans[0][1] <= oldest_ms:
                del spans[0]


def _overlap(spans: Iterable[Span], start_ms: int, end_ms: int) -> int:
    return sum([max(0, min(end, end_ms) - max(start, start_ms)) for start, end in spans])
