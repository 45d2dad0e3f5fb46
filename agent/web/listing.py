"""The calls as JSON: those that live and those there have been."""

import re
from datetime import datetime
from operator import attrgetter
from typing import Any

import msgspec
import trio
from quart import Blueprint, Response, request

from ..calls.history import Listed, listed
from ..calls.shown import entry_of
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
    entries = everything(state)
    if before is not None:
        entries = _before(entries, before)
    return json_reply({"calls": [msgspec.Raw(each.entry) for each in entries[: int(limit or DEFAULT_LIMIT)]]})


@routes.get("/calls/<call_sid>")
async def call(call_sid: str) -> Response:
    house().access.require(request.headers, request.cookies)
    entry = find(call_sid)
    lines = await timeline_of(house().ledger, call_sid)
    return json_reply({**entry, "timeline": [msgspec.Raw(line) for line in lines]})


async def timeline_of(ledger: Ledger, call_sid: str) -> list[bytes]:
    """One call's lines. Raises LedgerUnavailable, also when the disk takes too long for a request to wait."""
    with trio.move_on_after(LEDGER_S):
        return await ledger.timeline(call_sid)
    raise LedgerUnavailable("the ledger does not answer in time: try again shortly")


def everything(state: str | None = None) -> list[Listed]:
    """The calls, newest first."""
    live = [] if state == "ended" else [listed(entry_of(call)) for call in house().directory]
    ended = [] if state == "live" else house().history.ended()
    return sorted([*live, *ended], key=attrgetter("started_at"), reverse=True)


def find(call_sid: str) -> dict[str, Any]:
    """One call's entry. Raises BadRequest 404."""
    live = house().directory.find(call_sid)
    entry = entry_of(live) if live is not None else house().history.find(call_sid)
    if entry is None:
        raise BadRequest("No such call.", status=404, code="not_found")
    return entry


def _before(entries: list[Listed], before: str) -> list[Listed]:
    for place, each in enumerate(entries):
        if each.call_sid == before:
            return entries[place + 1 :]
    try:
        moment = datetime.fromisoformat(before)
    except ValueError:
        raise BadRequest("before must be a callSid of this list or an ISO 8601 instant.") from None
    if moment.tzinfo is None:
        raise BadRequest("before must be an instant with its offset, like 2026-01-31T12:00:00Z.")
    return [each for each in entries if each.started_at and datetime.fromisoformat(each.started_at) < moment]
