"""Lines as calls write them, and a ledger whose test cannot hang."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import trio

from agent.ledger.keys import KEY
from agent.ledger.sqlite import SqliteLedger, open_sqlite

CALLER = "+15550100042"


def line(call_sid: str, event: str = "audio.chunk", *, at: str = "2026-01-01T00:00:00.000Z", **fields: object) -> bytes:
    """As `CallTimeline` writes it."""
    entry = {"t": 0, "at": at, "callSid": call_sid, "event": event, **fields}
    return json.dumps(entry, separators=(",", ":")).encode()


def numbered(call_sid: str, numbers: range) -> list[bytes]:
    return [line(call_sid, n=n) for n in numbers]


def ended(call_sid: str, **fields: object) -> bytes:
    return line(call_sid, "call.ended", outcome="hangup", durationMs=0, summary={}, **fields)  # type: ignore[arg-type]


@asynccontextmanager
async def opened(
    folder: Path, *, readings_days: float = 36_500, calls_days: float = 36_500
) -> AsyncIterator[SqliteLedger]:
    with trio.fail_after(15):
        async with open_sqlite(folder, readings_days=readings_days, calls_days=calls_days) as ledger:
            yield ledger


async def append(ledger: SqliteLedger, call_sid: str, lines: list[bytes]) -> None:
    for one in lines:
        ledger.append(call_sid, one)
    ledger._wanted.set()  # or it would be a quarter of a second each time
    await ledger.flush()


async def whole_call(ledger: SqliteLedger, call_sid: str, *between: bytes, caller: str = CALLER, **more: Any) -> None:
    """A call from its beginning to its end."""
    ledger.begin(call_sid, caller=caller)
    ledger.append(call_sid, line(call_sid, "call.started", **more))
    for one in between:
        ledger.append(call_sid, one)
    await append(ledger, call_sid, [ended(call_sid, **more)])


def on_disk(folder: Path) -> bytes:
    """Every byte of the folder, but the key's."""
    return b"".join(path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file() and path.name != KEY)
