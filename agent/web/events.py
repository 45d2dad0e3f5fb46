"""The timeline as server-sent events (https://html.spec.whatwg.org/multipage/server-sent-events.html).

Over all calls an event's id is `epoch-number`, and a watcher who comes back is given what is still kept of what it
missed. Over one call the id is the event's place in that call, and everything before is read from the ledger first.
"""

import math
import re
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, suppress
from typing import Any, cast

import trio
from quart import Blueprint, Response, request

from ..calls.broadcast import Shown
from ..calls.telling import packed
from ..calls.wall import EVERY_S, Wall
from ..errors import BadRequest, LedgerUnavailable
from .gateway import EXITS
from .house import House, house
from .listing import LEDGER_S, find, timeline_of

routes = Blueprint("events", __name__)

KEEPALIVE_S = 15.0

SIGN_OF_LIFE = b": \n\n"

_NUMBER = re.compile(r"\d{1,15}", re.ASCII)

GZIP_HEAD = b"\x1f\x8b\x08" + bytes(6) + b"\xff"
"""RFC 1952, 2.3: deflate, nothing said of name, time and system. Each message behind it is compressed by itself; the
stream has no end, and so no checksum."""


@routes.get("/events")
async def events() -> Response:
    """Every event of every call; `?call=` one call from its beginning; `?view=summary` the supervisor's screen, and
    with both one call with its entry between its events, once a second."""
    rooms = house()
    rooms.access.require(request.headers, request.cookies)
    _take_place(rooms)
    view, call_sid = request.args.get("view"), request.args.get("call")
    if view not in (None, "summary"):
        raise BadRequest("view must be summary, or left out.")
    last = request.headers.get("Last-Event-ID", "")
    if view == "summary" and call_sid is None:
        gzip = request.accept_encodings.quality("gzip") > 0
        return _endless(_screen(rooms.wall, gzip=gzip), gzip=gzip)
    if call_sid is not None:
        await find(call_sid)
        stream = _one_call(rooms, call_sid, last, entries=view == "summary")
    else:
        if rooms.siblings is not None:
            await rooms.siblings.begin_events()
        stream = _all_calls(rooms, last)
    return _endless(stream)


def _take_place(rooms: House) -> None:
    """For as long as the request lasts: one that has only begun counts as well. Raises BadRequest 503."""
    exits: AsyncExitStack = cast(dict[str, Any], request.scope)[EXITS]
    try:
        rooms.watching.acquire_on_behalf_of_nowait(exits)
    except trio.WouldBlock:
        raise BadRequest("Too many are watching already.", status=503, code="overloaded") from None
    exits.callback(rooms.watching.release_on_behalf_of, exits)


def _endless(stream: AsyncIterator[bytes], *, gzip: bool = False) -> Response:
    response = Response(stream, content_type="text/event-stream")
    response.headers["X-Accel-Buffering"] = "no"
    response.headers["Vary"] = "Accept-Encoding"
    if gzip:
        response.headers["Content-Encoding"] = "gzip"
    response.timeout = None  # or it would be cut off after a minute
    return response


async def _all_calls(rooms: House, last: str) -> AsyncIterator[bytes]:
    broadcast = rooms.directory.broadcast
    epoch, _, number = last.partition("-")
    with broadcast.watch() as inbox:
        yield b": watching\n\n"
        missed = broadcast.since(int(number)) if epoch == broadcast.epoch and _NUMBER.fullmatch(number) else []
        shown_last = missed[-1].number if missed else 0
        for shown in await _not_forgotten(rooms, missed):
            yield _event(f"{broadcast.epoch}-{shown.number}", shown.line)
        while True:
            shown_now = await _next(inbox)
            if shown_now is None:
                yield SIGN_OF_LIFE
            elif shown_now.number > shown_last:
                yield _event(f"{broadcast.epoch}-{shown_now.number}", shown_now.line)


async def _not_forgotten(rooms: House, missed: list[Shown]) -> list[Shown]:
    """Of these events those whose calls are not forgotten: `callmood purge` is another process, and only the ledger
    knows of it. While it cannot say, calls that are over are shown to nobody."""
    over = {shown.call_sid for shown in missed if rooms.directory.find(shown.call_sid) is None}
    known: set[str] = set()
    if over and rooms.siblings is not None:
        await rooms.siblings.live()  # what the others had to write of their calls is in the ledger then
    with suppress(LedgerUnavailable), trio.move_on_after(LEDGER_S):
        known = await rooms.ledger.known(over) if over else known
    return [shown for shown in missed if shown.call_sid in known or shown.call_sid not in over]


async def _one_call(rooms: House, call_sid: str, last: str, *, entries: bool = False) -> AsyncIterator[bytes]:
    seen = int(last) if _NUMBER.fullmatch(last) else 0
    with rooms.directory.broadcast.watch(call_sid) as inbox:
        yield b": watching\n\n"
        past = await timeline_of(rooms.ledger, call_sid)
        for place, line in enumerate(past, 1):
            if place > seen:
                yield _event(str(place), line)
        seen, due = max(seen, len(past)), trio.current_time() if entries else math.inf
        while True:
            if trio.current_time() >= due:
                due = trio.current_time() + EVERY_S
                yield b"event: entry\ndata: " + rooms.wall.entry(call_sid) + b"\n\n"
            shown = await _next(inbox, due)
            if shown is None:
                yield SIGN_OF_LIFE
            elif shown.ordinal > seen or not shown.ordinal:
                yield _event(str(shown.ordinal or ""), shown.line)


async def _screen(wall: Wall, *, gzip: bool) -> AsyncIterator[bytes]:
    """All live calls at first, then what has changed, as one message a second. What is not sent in time is not sent."""
    with wall.watch(takes_packed=gzip) as viewer:
        yield GZIP_HEAD + packed(SIGN_OF_LIFE) if gzip else SIGN_OF_LIFE
        while True:
            yield await viewer.next()


async def _next(inbox: "trio.MemoryReceiveChannel[Shown]", due: float = math.inf) -> Shown | None:
    """The next event; None when a sign of life is due, or something else. No scope is left open across a yield."""
    with trio.move_on_at(min(due, trio.current_time() + KEEPALIVE_S)):
        return await inbox.receive()
    return None


def _event(number: str, line: bytes) -> bytes:
    """One without a number leaves the watcher's last one as it is."""
    return (b"id: " + number.encode() + b"\n" if number else b"") + b"data: " + line + b"\n\n"
