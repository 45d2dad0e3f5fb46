"""Calls that a killed process left open: each is recorded as crashed, once, when the service starts again."""

from datetime import UTC, datetime

import msgspec

from ..core.emotion import Outcome
from ..core.instants import instant
from ..ports import Ledger

MOST = 1000
"""Calls looked after at one start, the newest first."""


async def record_crashed(ledger: Ledger) -> int:
    """Write the last event that these calls never wrote; says how many there were."""
    left_open = await ledger.unfinished(MOST)
    newest = await ledger.newest(left_open)
    for call_sid in left_open:
        ledger.append(call_sid, _end(call_sid, newest.get(call_sid, b"{}")))
    return len(left_open)


class _Moment(msgspec.Struct):
    t: int = 0


def _end(call_sid: str, line: bytes) -> bytes:
    try:
        elapsed_ms = msgspec.json.decode(line, type=_Moment).t
    except (msgspec.MsgspecError, UnicodeDecodeError):
        elapsed_ms = 0
    event: dict[str, object] = {
        "t": elapsed_ms,
        "at": instant(datetime.now(UTC)),
        "callSid": call_sid,
        "event": "call.ended",
        "outcome": Outcome.CRASHED.value,
        "durationMs": elapsed_ms,
        "summary": {},
    }
    return msgspec.json.encode(event)
