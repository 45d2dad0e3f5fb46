"""The timeline as server-sent events (https://html.spec.whatwg.org/multipage/server-sent-events.html).

Over all calls an event's id is `epoch-number`, and a watcher who comes back is given what is still kept of what it
missed. Over one call the id is the event's place in that call, and everything before is read from the ledger first.
"""

import re
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import trio
from quart import Blueprint, Response, request

from ..calls.broadcast import Broadcast, Shown
from ..errors import BadRequest, LedgerUnavailable
from .house import House, house
from .listing import LEDGER_S, find, timeline_of

routes = Blueprint("events", __name__)

KEEPALIVE_S = 15.0
SUMMARY_EVERY_S = 1.0

SIGN_OF_LIFE = b": \n\n"

_NUMBER = re.compile(r"\d{1,15}", re.ASCII)

_encode = msgspec.json.Encoder().encode


@routes.get("/events")
async def events() -> Response:
    """Every event of every call; `?call=` one call from its beginning; `?view=summary` the calls that changed."""
    rooms = house()
    rooms.access.require(request.headers, request.cookies)
    if rooms.directory.broadcast.full:
        raise BadRequest("Too many are watching already.", status=503, code="overloaded")
    view, call_sid = request.args.get("view"), request.args.get("call")
    if view not in (None, "summary"):
        raise BadRequest("view must be summary, or left out.")
    last = request.headers.get("Last-Event-ID", "")
    if view == "summary":
        stream = _summaries(rooms)
    elif call_sid is not None:
        await find(call_sid)
        stream = _one_call(rooms, call_sid, last)
    else:
        stream = _all_calls(rooms.directory.broadcast, last)
    response = Response(stream, content_type="text/event-stream")
    response.headers["X-Accel-Buffering"] = "no"
    response.timeout = None  # or it would be cut off after a minute
    return response


async def _all_calls(broadcast: Broadcast, last: str) -> AsyncIterator[bytes]:
    epoch, _, number = last.partition("-")
    with broadcast.watch() as inbox:
        yield b": watching\n\n"
        missed = broadcast.since(int(number)) if epoch == broadcast.epoch and _NUMBER.fullmatch(number) else []
        shown_last = 0
        for shown in missed:
            shown_last = shown.number
            yield _event(f"{broadcast.epoch}-{shown.number}", shown.line)
        while True:
            shown_now = await _next(inbox)
            if shown_now is None:
                yield SIGN_OF_LIFE
            elif shown_now.number > shown_last:
                yield _event(f"{broadcast.epoch}-{shown_now.number}", shown_now.line)


async def _one_call(rooms: House, call_sid: str, last: str) -> AsyncIterator[bytes]:
    seen = int(last) if _NUMBER.fullmatch(last) else 0
    with rooms.directory.broadcast.watch(call_sid) as inbox:
        yield b": watching\n\n"
        past = await timeline_of(rooms.ledger, call_sid)
        for place, line in enumerate(past, 1):
            if place > seen:
                yield _event(str(place), line)
        seen = max(seen, len(past))
        while True:
            shown = await _next(inbox)
            if shown is None:
                yield SIGN_OF_LIFE
            elif shown.ordinal > seen:
                yield _event(str(shown.ordinal), shown.line)


async def _summaries(rooms: House) -> AsyncIterator[bytes]:
    with rooms.directory.broadcast.changes() as changed:
        changed |= {call.call_sid for call in rooms.directory}
        quiet_s = KEEPALIVE_S  # the first one is sent at once, with whatever there is
        while True:
            if changed or quiet_s >= KEEPALIVE_S:
                wanted = sorted(changed)
                changed.clear()
                entries = [await _entry(rooms, sid, changed) for sid in wanted]
                quiet_s = 0.0
                yield b"data: " + _encode({"calls": [entry for entry in entries if entry is not None]}) + b"\n\n"
            await trio.sleep(SUMMARY_EVERY_S)
            quiet_s += SUMMARY_EVERY_S


async def _entry(rooms: House, call_sid: str, changed: set[str]) -> dict[str, Any] | None:
    """A call's entry; while the ledger cannot say, it is asked for again with what changes next."""
    try:
        with trio.move_on_after(LEDGER_S):
            return await rooms.history.find(call_sid)
    except LedgerUnavailable:
        pass
    changed.add(call_sid)
    return None


async def _next(inbox: "trio.MemoryReceiveChannel[Shown]") -> Shown | None:
    """The next event; None when a sign of life is due. No scope is left open across a yield."""
    with trio.move_on_after(KEEPALIVE_S):
        return await inbox.receive()
    return None


def _event(number: str, line: bytes) -> bytes:
    return b"id: " + number.encode() + b"\ndata: " + line + b"\n\n"
