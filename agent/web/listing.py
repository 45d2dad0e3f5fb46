"""The calls as JSON: those that live and those there have been. Finished ones can be forgotten."""

import re
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import trio
from quart import Blueprint, Response, request

from ..calls.history import Place
from ..core.instants import instant
from ..errors import BadRequest, LedgerUnavailable
from ..ports import Ledger
from .house import house
from .replies import json_reply

routes = Blueprint("listing", __name__)

DEFAULT_LIMIT, LARGEST_LIMIT = 100, 1000
LEDGER_S = 5.0


@routes.get("/calls")
async def calls() -> Response:
    """Newest first. `?state=live|ended`, `?limit=`, `?before=` (a callSid of the list, or an ISO 8601 instant)."""
    house().access.require(request.headers, request.cookies)
    state, limit, before = request.args.get("state"), request.args.get("limit"), request.args.get("before")
    if state not in (None, "live", "ended"):
        raise BadRequest("state must be live or ended.")
    if limit is not None and not (re.fullmatch(r"\d{1,4}", limit, re.ASCII) and 1 <= int(limit) <= LARGEST_LIMIT):
        raise BadRequest(f"limit must be a number from 1 to {LARGEST_LIMIT}.")
    with trio.move_on_after(LEDGER_S):
        place = None if before is None else await _place(before)
        entries = await house().history.page(int(limit or DEFAULT_LIMIT), state=state, before=place)
        return json_reply({"calls": [msgspec.Raw(entry) for entry in entries]})
    raise too_slow()


@routes.get("/calls/<call_sid>")
async def call(call_sid: str) -> Response:
    house().access.require(request.headers, request.cookies)
    entry = await find(call_sid)
    lines = await timeline_of(house().ledger, call_sid)
    return json_reply({**entry, "timeline": [msgspec.Raw(line) for line in lines]})


@routes.delete("/calls/<call_sid>")
async def forget(call_sid: str) -> Response:
    """A finished call, and everything that was kept of it."""
    rooms = house()
    rooms.access.require(request.headers, request.cookies)
    if rooms.directory.find(call_sid) is not None:
        raise BadRequest("This call goes on: it can be forgotten when it has ended.", status=409, code="live")
    # First of all: a slow ledger may forget after this request has given up, and would not know the call at the next.
    rooms.directory.broadcast.forget(call_sid)
    if rooms.siblings is not None:
        await rooms.siblings.forget(call_sid)
    with trio.move_on_after(LEDGER_S):
        if not await rooms.ledger.forget(call_sid):
            raise unknown()
        return Response(status=204)
    raise too_slow()


async def timeline_of(ledger: Ledger, call_sid: str) -> list[bytes]:
    """One call's lines. Raises LedgerUnavailable, also when the disk takes too long for a request to wait."""
    with trio.move_on_after(LEDGER_S):
        return await ledger.timeline(call_sid)
    raise too_slow()


async def find(call_sid: str) -> dict[str, Any]:
    """One call's entry. Raises BadRequest 404, LedgerUnavailable."""
    with trio.move_on_after(LEDGER_S):
        entry = await house().history.find(call_sid)
        if entry is None:
            raise unknown()
        return entry
    raise too_slow()


def unknown() -> BadRequest:
    return BadRequest("No such call.", status=404, code="not_found")


def too_slow() -> LedgerUnavailable:
    return LedgerUnavailable("the ledger does not answer in time: try again shortly")


async def _place(before: str) -> Place:
    """Where in the list to go on. Instants are kept in milliseconds: what began before one of microseconds began
    before the next whole one."""
    if (place := await house().history.place(before)) is not None:
        return place
    try:
        moment = datetime.fromisoformat(before)
    except ValueError:
        raise BadRequest("before must be a callSid of this list or an ISO 8601 instant.") from None
    if moment.tzinfo is None:
        raise BadRequest("before must be an instant with its offset, like 2026-01-31T12:00:00Z.")
    try:
        whole = moment.astimezone(UTC) + timedelta(microseconds=-moment.microsecond % 1000)
    except OverflowError:
        raise BadRequest("before must be an instant of our time.") from None
    return instant(whole), ""
