"""Calls that a killed process left open: each is recorded as crashed, once, when the service starts again."""

from datetime import UTC, datetime

import msgspec

from ..core.emotion import Outcome
from ..ports import Ledger
from .history import History

MOST = 1000
"""Calls looked after at one start, the newest first."""


async def record_crashed(history: History, ledger: Ledger) -> int:
    """Write the last event that these calls never wrote; says how many there were."""
    left_open = history.unfinished()[:MOST]
    for entry in left_open:
        lines = await ledger.timeline(entry["callSid"])
        elapsed_ms = msgspec.json.decode(lines[-1]).get("t", 0) if lines else 0
        event = {
            "t": elapsed_ms,
            "at": datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "callSid": entry["callSid"],
            "event": "call.ended",
            "outcome": Outcome.CRASHED.value,
            "durationMs": elapsed_ms,
            "summary": {},
        }
        ledger.append(entry["callSid"], msgspec.json.encode(event))
        history.note(event)
    return len(left_open)
