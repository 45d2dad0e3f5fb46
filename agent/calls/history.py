"""The calls there have been, as `GET /calls` lists them: the ledger's milestones at start, and every call since."""

from collections import OrderedDict
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import msgspec

KEPT = 10_000

NO_MOOD = {"label": "neutral", "score": 0.0, "trend": "steady"}
"""Where a call's end does not say. A call that says its profile had one without emotions, and not even this."""


class Listed(NamedTuple):
    """One call of a list, its entry as JSON: a third of what the objects would take, and sent as it is."""

    started_at: str
    call_sid: str
    entry: bytes


class History:
    """Ended calls by id, newest last; the oldest give way (the ledger still has them)."""

    def __init__(self, milestones: Iterable[bytes] = ()) -> None:
        self._started: dict[str, Mapping[str, Any]] = {}
        self._ended: OrderedDict[str, Listed] = OrderedDict()
        for line in milestones:
            try:
                self.note(msgspec.json.decode(line))
            except (msgspec.DecodeError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
                continue  # a line that a full disk cut short

    def note(self, event: Mapping[str, Any]) -> None:
        """Take in one event; any but the first and last of a call are passed over."""
        if event["event"] == "call.started":
            self._started[event["callSid"]] = event
        elif event["event"] == "call.ended":
            ended = listed(_entry(self._started.pop(event["callSid"], {}), event))
            self._ended.pop(ended.call_sid, None)
            self._ended[ended.call_sid] = ended
            if len(self._ended) > KEPT:
                self._ended.popitem(last=False)

    def find(self, call_sid: str) -> dict[str, Any] | None:
        ended = self._ended.get(call_sid)
        return None if ended is None else msgspec.json.decode(ended.entry)

    def unfinished(self) -> list[dict[str, Any]]:
        """Calls without an end: live, or cut off when their process was killed. Newest first."""
        return [
            _entry(started, {"callSid": sid, "at": None, "outcome": None}) | {"state": "live"}
            for sid, started in reversed(self._started.items())
        ]

    def ended(self) -> list[Listed]:
        """The newest end first."""
        return list(reversed(self._ended.values()))


def listed(entry: Mapping[str, Any]) -> Listed:
    """An entry as part of a list."""
    return Listed(entry["startedAt"] or "", entry["callSid"], msgspec.json.encode(entry))


def _entry(started: Mapping[str, Any], ended: Mapping[str, Any]) -> dict[str, Any]:
    summary = ended.get("summary") or {}
    return {
        "callSid": ended["callSid"],
        "vapiCallId": summary.get("vapiCallId"),
        "state": "ended",
        "startedAt": started.get("at"),
        "endedAt": ended["at"],
        "outcome": ended["outcome"],
        "attach": started.get("attach"),
        "caller": started.get("caller", ""),
        "mood": summary.get("mood", None if "profile" in started else NO_MOOD),
        "bufferSize": summary.get("bufferSize", 0),
    }
