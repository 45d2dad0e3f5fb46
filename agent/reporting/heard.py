"""Readings, measurements and stretches out of the events of a timeline. Pure."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from ..core.emotion import ANGER
from .facts import UNREAD, Sample, Span, Voice
from .words import Event, number, plain

_WINDOW_MS = 1500
"""What one reading speaks for, where its event does not say."""


def samples(events: Iterable[Event]) -> list[Sample]:
    """Every reading, in the order in which they came."""
    return [
        _sample(each, each["emotion"])
        for each in events
        if each["event"] == "audio.chunk" and isinstance(each.get("emotion"), Mapping)
    ]


def voices(events: Iterable[Event]) -> list[Voice]:
    """Every measurement of a voice whose feelings nobody judged."""
    found = []
    for each in events:
        physical = each.get("physical")
        if each["event"] == "audio.chunk" and isinstance(physical, Mapping):
            loudness, rate = number(physical.get("loudnessDb")), number(physical.get("rate"))
            overlap = number(physical.get("overlapMs")) or 0.0
            if loudness is not None and rate is not None:
                found.append(Voice(int(each["t"]), loudness, rate, int(overlap), str(each.get("gated") or "")))
    return found


def _sample(event: Event, emotion: Mapping[str, Any]) -> Sample:
    source = str(event.get("source", ""))
    state = "fallback" if source == "fallback" else str(event.get("gated") or "")
    own = event.get("own")
    lasts = (number(event.get("endMs")) or 0.0) - (number(event.get("startMs")) or 0.0)
    return Sample(
        int(event["t"]),
        _anger(emotion, event.get("scores")),
        str(emotion.get("label", "")),
        number(emotion.get("score")) or 0.0,
        state,
        number(event.get("quality")),
        source,
        _anger(own, event.get("scores")) if isinstance(own, Mapping) else None,
        max(0, int(lasts)),
    )


def _anger(emotion: Mapping[str, Any], scores: object) -> float:
    """As EmotionReading.anger, from an event."""
    if str(emotion.get("label")) in ANGER:
        return _share(number(emotion.get("score")))
    return _share(sum(number(scores.get(label)) or 0.0 for label in ANGER)) if isinstance(scores, Mapping) else 0.0


def _share(value: float | None) -> float:
    return min(1.0, max(0.0, value or 0.0))


def speech(events: Iterable[Event], end_ms: int) -> list[Span]:
    """When the assistant spoke."""
    found: list[Span] = []
    since: int | None = None
    for each in events:
        if since is not None and each["event"] in ("tts.stopped", "tts.cancelled"):
            found.append(Span(since, int(each["t"]), "assistant"))
            since = None
        elif since is None and each["event"] == "tts.started":
            since = int(each["t"])
    return found if since is None else [*found, Span(since, max(since, end_ms), "assistant")]


def states(events: Sequence[Event], read: Sequence[Sample], end_ms: int) -> list[Span]:
    """Stretches in which the caller was not judged as usual, in order of their beginnings."""
    found = [*_unread(read), *_gaps(events), *_impaired(events, end_ms), *_stopped(events, end_ms)]
    return sorted(found, key=lambda span: (span.from_ms, span.to_ms))


def _unread(read: Sequence[Sample]) -> Iterator[Span]:
    """Readings in a row without an opinion, of one kind; the first speaks for its window."""
    begun: int | None = None
    for at, each in enumerate(read):
        if each.state not in UNREAD:
            begun = None
            continue
        if begun is None or read[at - 1].state != each.state:
            before = read[at - 1].t_ms if at else 0
            begun = max(before, each.t_ms - (each.lasts_ms or _WINDOW_MS), 0)
        if at + 1 == len(read) or read[at + 1].state != each.state:
            yield Span(begun, each.t_ms, each.state, UNREAD[each.state])


def _gaps(events: Iterable[Event]) -> Iterator[Span]:
    for each in events:
        if each["event"] == "audio.gap":
            lasted = int(number(each.get("ms")) or 0.0)
            yield Span(max(0, int(each["t"]) - lasted), int(each["t"]), "gap", plain(each.get("cause") or "missing"))


def _impaired(events: Iterable[Event], end_ms: int) -> Iterator[Span]:
    """From an engine's outage to its recovery, or to the end."""
    since: dict[str, tuple[int, str]] = {}
    for each in events:
        engine = str(each.get("engine", ""))
        if each["event"] == "analyzer.degraded":
            since.setdefault(engine, (int(each["t"]), plain(each.get("reason"))))
        elif each["event"] == "analyzer.recovered" and engine in since:
            begun, reason = since.pop(engine)
            yield Span(begun, int(each["t"]), "degraded", f"{plain(engine)}: {reason}")
    for engine, (begun, reason) in since.items():
        yield Span(begun, max(begun, end_ms), "degraded", f"{plain(engine)}: {reason}")


def _stopped(events: Iterable[Event], end_ms: int) -> Iterator[Span]:
    for each in events:
        if each["event"] == "consent.withdrawn":
            yield Span(int(each["t"]), max(int(each["t"]), end_ms), "stopped", "consent withdrawn")
            return
