"""What Twilio's REST API takes for a live call, and how it says no. No sockets, no clock.

https://www.twilio.com/docs/voice/api/call-resource and .../stream-resource. Twilio passes over fields it does not know;
here they are refused, for a misspelt one would do nothing and say nothing.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from ..errors import BadMessage
from ..telephony.twiml import StreamPlan, read_stream

LONGEST_TWIML = 4_000
LONGEST_PARAMETER = 500
"""Characters of name and value together."""
MOST_STREAMS = 4
"""Tracks of one call that may be sent out at once."""

_PARAMETER = re.compile(r"Parameter([1-9]|[1-9]\d)\.(Name|Value)", re.ASCII)
_STREAM_FIELDS = frozenset({"Url", "Name", "Track", "StatusCallback", "StatusCallbackMethod"})
_TRACKS = frozenset({"inbound_track", "outbound_track", "both_tracks"})


@dataclass(frozen=True, slots=True)
class No:
    """A refusal."""

    status: int
    code: int
    message: str

    @property
    def body(self) -> bytes:
        more = f"https://www.twilio.com/docs/errors/{self.code}"
        return json.dumps(
            {"code": self.code, "message": self.message, "more_info": more, "status": self.status}
        ).encode()


AUTHENTICATE = No(401, 20003, "Authenticate")
NOT_FOUND = No(404, 20404, "The requested resource was not found")
NOT_IN_PROGRESS = No(400, 21220, "Call is not in-progress. Cannot redirect.")
BY_STATUS = {
    401: AUTHENTICATE,
    404: NOT_FOUND,
    429: No(429, 20429, "Too Many Requests"),
    503: No(503, 20503, "Service unavailable"),
}


def invalid(what: str) -> No:
    return No(400, 21218, f"Invalid parameter: {what}")


def update(form: Mapping[str, str]) -> str | No:
    """The TwiML a call is to go on with; an empty one hangs it up."""
    if form == {"Status": "completed"}:
        return ""
    twiml = form.get("Twiml", "")
    if set(form) != {"Twiml"} or not twiml:
        return invalid("Twiml or Status")
    if len(twiml) > LONGEST_TWIML:
        return invalid("Twiml is too long")
    try:
        read_stream(twiml)
    except BadMessage:
        return No(400, 12100, "Document parse failure")
    return twiml


def stream(form: Mapping[str, str], *, tls: bool) -> StreamPlan | No:
    """The stream that is to be started. `tls`: only wss, as Twilio wants it."""
    extra = [name for name in form if name not in _STREAM_FIELDS and not _PARAMETER.fullmatch(name)]
    if extra:
        return invalid(extra[0])
    url = form.get("Url", "")
    parts = urlsplit(url)
    if parts.scheme not in (("wss",) if tls else ("wss", "ws")) or not parts.hostname or parts.query:
        return No(400, 21218, "Invalid Url")
    if form.get("Track", "inbound_track") not in _TRACKS:
        return No(400, 31941, "Stream - Invalid Track configuration")
    parameters = {form[name]: form.get(name.replace(".Name", ".Value"), "") for name in form if name.endswith(".Name")}
    if any(len(name + value) > LONGEST_PARAMETER for name, value in parameters.items()):
        return invalid("Parameter")
    return StreamPlan(url, parameters, form.get("StatusCallback"), "Start")
