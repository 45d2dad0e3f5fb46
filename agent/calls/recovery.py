"""Calls that a killed process left open: each is recorded as crashed, once, when the service starts again."""

from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime

import msgspec
import trio

from ..core.emotion import Outcome, Trend
from ..core.instants import instant
from ..errors import LedgerUnavailable
from ..ports import Ledger
from .broadcast import Broadcast

MOST = 1000
"""Calls looked after at one start, the newest first."""
BACK_S = 5.0
"""By then other workers follow this one again, and browsers have come back."""


async def record_crashed(ledger: Ledger) -> dict[str, bytes]:
    """Write the last event that these calls never wrote; gives it, by their ids."""
    left_open = await ledger.unfinished(MOST)
    newest = await ledger.newest(left_open)
    ends = {call_sid: _end(call_sid, newest.get(call_sid, b"{}")) for call_sid in left_open}
    for call_sid, end in ends.items():
        ledger.append(call_sid, end)
    return ends


async def show_crashed(broadcast: Broadcast, ledger: Ledger, ends: Mapping[str, bytes]) -> None:
    """Show these last events to whoever watches all calls, as soon as they are back: nobody watches a service that has
    just started. Who watches one of the calls finds its end in the ledger, in front of which nothing is news."""
    await trio.sleep(BACK_S)
    known: set[str] = set()
    with suppress(LedgerUnavailable):
        known = await ledger.known(ends)
    for call_sid, end in ends.items():
        if call_sid in known:
            broadcast.show(call_sid, 1, end)


class _Emotion(msgspec.Struct):
    label: str
    score: float


class _Newest(msgspec.Struct):
    t: int = 0
    emotion: _Emotion | None = None
    """Of a reading, which says what is believed of the caller."""
    gated: str = ""


def _end(call_sid: str, line: bytes) -> bytes:
    """The last event, after this line. What was believed then is the mood it ends with, as far as the line says."""
    try:
        newest = msgspec.json.decode(line, type=_Newest)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        newest = _Newest()
    elapsed_ms, summary = newest.t, dict[str, object]()
    if newest.emotion is not None and not newest.gated:
        summary["mood"] = {**msgspec.to_builtins(newest.emotion), "trend": Trend.STEADY.value}
    event: dict[str, object] = {
        "t": elapsed_ms,
        "at": instant(datetime.now(UTC)),
        "callSid": call_sid,
        "event": "call.ended",
        "outcome": Outcome.CRASHED.value,
        "durationMs": elapsed_ms,
        "summary": summary,
    }
    return msgspec.json.encode(event)
