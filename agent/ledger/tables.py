"""What is kept, as tables for other programs: calls, readings, decisions. Columns keep their names."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from ..core.emotion import LABELS
from .reading import Reader
from .rows import CallRow

DECISIONS = (
    *("context.updated", "context.failed", "tts.cancelled", "notice.played", "consent.withdrawn", "decision.wrong"),
    *("escalation.started", "escalation.done", "escalation.failed", "transfer.dismissed"),
)

Value = str | int | float | bool | None
Row = list[Value]


@dataclass(frozen=True, slots=True)
class Table:
    """Its columns with their types, and its rows from one call."""

    columns: Mapping[str, type]
    rows: Callable[[Reader, CallRow], Iterator[Row]]


def rows(table: Table, reader: Reader, since: str | None) -> Iterator[Row]:
    """All rows, of the newest call first. Raises LedgerUnavailable."""
    for call in reader.calls(since):
        yield from table.rows(reader, call)


CALLS = {
    **dict.fromkeys(("callSid", "vapiCallId", "startedAt", "endedAt", "state", "outcome", "attach", "caller"), str),
    **{"mood": str, "moodScore": float, "moodTrend": str, "bufferSize": int},
    **{"model": str, "complete": bool},
}


def _calls(reader: Reader, call: CallRow) -> Iterator[Row]:
    entry = call.listed()
    mood = entry.pop("mood") or {}
    found = entry | {"mood": mood.get("label"), "moodScore": mood.get("score"), "moodTrend": mood.get("trend")}
    found |= {"model": call.model, "complete": call.complete}
    yield _row(CALLS, found)


READINGS = {
    **{"callSid": str, "t": int, "at": str, "startMs": int, "endMs": int, "source": str, "label": str, "score": float},
    **dict.fromkeys(LABELS, float),
    **{"quality": float, "gated": str, "loudnessDb": float, "rate": float, "overlapMs": int},
}


def _readings(reader: Reader, call: CallRow) -> Iterator[Row]:
    for event in _events(reader, call, ("audio.chunk",)):
        nested = (event.get(name) or {} for name in ("scores", "emotion", "physical"))
        found = dict(event)
        for each in nested:
            found |= each if isinstance(each, dict) else {}
        yield _row(READINGS, found)


EVENTS = {
    **{"callSid": str, "t": int, "at": str, "event": str, "rule": str, "action": str, "destination": str},
    **{"dominantEmotion": str, "score": float, "trend": str, "via": str, "latencyMs": float, "reason": str},
    **{"willRetry": bool, "heardMs": int, "how": str, "decidedT": int},
}


def _decisions(reader: Reader, call: CallRow) -> Iterator[Row]:
    return (_row(EVENTS, event) for event in _events(reader, call, DECISIONS))


TABLES = {"calls": Table(CALLS, _calls), "readings": Table(READINGS, _readings), "decisions": Table(EVENTS, _decisions)}


def _events(reader: Reader, call: CallRow, names: tuple[str, ...]) -> Iterator[dict[str, Any]]:
    for line in reader.timeline(call):
        try:
            event = msgspec.json.decode(line)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            continue
        if isinstance(event, dict) and event.get("event") in names:
            yield event


def _row(columns: Mapping[str, type], found: Mapping[str, Any]) -> Row:
    return [_fitted(kind, found.get(name)) for name, kind in columns.items()]


def _fitted(kind: type, value: Any) -> Value:
    """A value as its column's type; what is something else is left out of numbers, and a text among texts."""
    if value is None or (kind is bool and not isinstance(value, bool)):
        return None
    if kind in (int, float):
        return kind(value) if isinstance(value, int | float) and not isinstance(value, bool) else None
    return value if isinstance(value, str | bool) else str(value)
