"""Which call a request is about: the ids in its path, or in its body, and what must be proved before a body is read."""

import re
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from urllib.parse import parse_qs, unquote

from werkzeug.datastructures import Headers as WebHeaders
from werkzeug.http import parse_cookie

from ..assistants.llm_request import read_request
from ..assistants.vapi_messages import read_message
from ..calls.call import CALL_SID
from ..core.sameness import same
from ..errors import BadMessage, BadRequest
from ..telephony.signature import SIGNATURE_HEADER, parse_form
from ..web.house import House
from ..web.vapi import address
from .arrivals import LARGEST, SMALL, Arrival, Headers

EVENTS = "/events"
IDS_AT_MOST = 16
FORM_S, READING_S, MESSAGE_S = 3.0, 10.0, 30.0
"""How long a body of each kind may take to arrive."""
FORM = 2 * SMALL
"""Bytes of a form, chunked or not: anybody can send something that looks like a signature."""

_IN_PATH = re.compile(r"/(?:audio-stream|calls|debug/calls)/([^/]+)(?:/actions|/)?")


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of request whose body names the call."""

    proves: Callable[[House, Headers], bool]
    """Whether the headers can prove anything, or the body is not worth reading."""
    ids: Callable[[House, Arrival], Iterable[str | None]]
    """The ids in the body, the likeliest first. Takes time in proportion to the body. Raises BadMessage, BadRequest,
    ValueError."""
    within_s: float
    begins: bool = False
    """A caller waits for the answer, and a call may begin with it."""
    largest: int = LARGEST
    """Bytes of body, framing included."""
    unproven: bool = False
    """Where the body is signed, nothing is proved before it has been read."""


def path_of(target: str) -> str:
    """The path by which whoever answers finds the route: a webhook set with a slash too many is the same webhook."""
    return "/" + unquote(target.partition("?")[0]).lstrip("/")


def in_path(target: str) -> str | None:
    """The id in a path, or behind `?call=` of the events; None: it names no call."""
    path = path_of(target)
    if (found := _IN_PATH.fullmatch(path)) is not None:
        return found[1]
    if path == EVENTS:
        return next(iter(parse_qs(target.partition("?")[2]).get("call", ())), None)
    return None


def kind_of(method: bytes, target: str) -> Kind | None:
    if method != b"POST":
        return None
    path = path_of(target)
    return TWILIO_STATUS if path.startswith("/twilio/") else KINDS.get(path)


def usable(ids: Iterable[str | None]) -> tuple[str, ...]:
    """Those that may be of one of our calls."""
    found = dict.fromkeys(sid for sid in ids if sid and CALL_SID.fullmatch(sid))
    return tuple(found)[:IDS_AT_MOST]


def _signed(house: House, headers: Headers) -> bool:
    return house.signature.plausible(headers.get(SIGNATURE_HEADER.lower()))


def _in_form(house: House, arrival: Arrival) -> Iterator[str | None]:
    yield dict(parse_form(arrival.body())).get("CallSid")


def _with_token(house: House, headers: Headers) -> bool:
    cookies = parse_cookie(headers.get("cookie", ""))
    try:
        house.access.require(WebHeaders(list(headers.items())), cookies)
    except BadRequest:
        return False
    return True


def _in_reading(house: House, arrival: Arrival) -> Iterator[str | None]:
    from ..web.readings import read_outside  # noqa: PLC0415 - the routes import what stands above

    yield read_outside(arrival.body()).callSid


def _of_vapi(house: House, headers: Headers) -> bool:
    return house.vapi_auth.plausible(headers, time.time())


def _in_message(house: House, arrival: Arrival) -> Iterator[str | None]:
    body = arrival.body()
    if house.vapi_auth.signs_body and not house.vapi_auth.proves(arrival.headers, body, url=address(house)):
        return  # nothing of it is worth taking apart
    message = read_message(body)
    yield from (message.vapi_call_id, *message.call_sids)


def _with_key(house: House, headers: Headers) -> bool:
    key = house.settings.llm_key.reveal()
    scheme, _, offered = headers.get("authorization", "").partition(" ")
    return bool(key) and scheme.lower() == "bearer" and same(offered.strip(), key)


def _in_question(house: House, arrival: Arrival) -> Iterator[str | None]:
    chat = read_request(arrival.body())
    yield from (chat.vapi_call_id, *chat.call_sids)


TWILIO_STATUS = Kind(_signed, _in_form, FORM_S, largest=FORM)
KINDS = {
    "/voice/incoming": Kind(_signed, _in_form, FORM_S, begins=True, largest=FORM),
    "/webhook/emotion": Kind(_with_token, _in_reading, READING_S),
    "/webhook/vapi": Kind(_of_vapi, _in_message, MESSAGE_S, unproven=True),
    "/llm/chat/completions": Kind(_with_key, _in_question, MESSAGE_S),
}


def ids_in(house: House, kind: Kind, arrival: Arrival) -> tuple[str, ...]:
    """The ids a body names; none where it cannot be read, which whoever answers will say."""
    try:
        return usable(kind.ids(house, arrival))
    except (BadMessage, BadRequest, ValueError):
        return ()
