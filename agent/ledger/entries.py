"""A call as `GET /calls` lists it: opened with its beginning, and completed by the last line of its timeline."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

import msgspec

from ..core.instants import instant

MILESTONES = ("call.started", "call.ended")
STARTED, ENDED = (f'"event":"{name}"'.encode() for name in MILESTONES)

NO_MOOD = {"label": "neutral", "score": 0.0, "trend": "steady"}
"""Where a call's end does not say. A call that says its profile had one without emotions, and not even this."""

Entry = dict[str, Any]
"""The fields of one call in `GET /calls`."""


def is_milestone(line: bytes) -> bool:
    """Whether a line begins or ends a call."""
    return STARTED in line or ENDED in line


def opened(call_sid: str, began_at: str, caller: str) -> Entry:
    """The entry of a call of which nothing has been said yet. `caller` is masked already."""
    return {
        "callSid": call_sid,
        "vapiCallId": None,
        "state": "live",
        "startedAt": began_at,
        "endedAt": None,
        "outcome": None,
        "attach": None,
        "caller": caller,
        "mood": NO_MOOD,
        "bufferSize": 0,
    }


def noted(entry: Entry, line: bytes) -> Entry | None:
    """The entry after this line; None where the line changes nothing: it is another event, or cannot be read."""
    try:
        event = msgspec.json.decode(line)
        if event["event"] == "call.started":
            return _started(entry, event)
        return _ended(entry, event) if event["event"] == "call.ended" else None
    except (msgspec.DecodeError, ValueError, KeyError, TypeError, AttributeError, RecursionError, OverflowError):
        return None


def _started(entry: Entry, event: Mapping[str, Any]) -> Entry:
    return entry | {
        "startedAt": beginning(event) or entry["startedAt"],
        "vapiCallId": event.get("vapiCallId"),
        "attach": event.get("attach"),
        "caller": event.get("caller") or entry["caller"],
        "mood": None if "profile" in event else NO_MOOD,
    }


def _ended(entry: Entry, event: Mapping[str, Any]) -> Entry:
    summary = event.get("summary") or {}
    return entry | {
        "vapiCallId": summary.get("vapiCallId", entry["vapiCallId"]),
        "state": "ended",
        "endedAt": str(event["at"]),
        "outcome": str(event["outcome"]),
        "mood": summary.get("mood", entry["mood"]),
        "bufferSize": summary.get("bufferSize", 0),
    }


def beginning(event: Mapping[str, Any]) -> str:
    """The moment from which this event's `t` counts, as in `startedAt`; empty where it does not say."""
    at = event.get("at")
    return instant(datetime.fromisoformat(at) - timedelta(milliseconds=event.get("t", 0))) if at else ""
