"""TwiML: what we answer to Twilio's voice webhook, and how a simulator reads it.

Documents are built as trees, so that every inserted value is escaped. The verbs are described under
https://www.twilio.com/docs/voice/twiml: `<Connect><Stream>` gives the call to our socket until that closes, and the
verbs after it are what Twilio goes on with, so the caller always reaches somebody or is told why not.
"""

import re
from dataclasses import dataclass, field
from typing import Literal
from urllib.parse import quote
from xml.etree import ElementTree as ET
from xml.parsers import expat

from ..errors import BadMessage

APOLOGY = "We are sorry, we cannot take your call right now. Please try again later."

_DECLARATION = '<?xml version="1.0" encoding="UTF-8"?>'
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""What XML 1.0 cannot hold, escaped or not (https://www.w3.org/TR/xml/#charsets)."""


@dataclass(frozen=True, slots=True)
class Fallback:
    """Who takes the call when we cannot."""

    transfer_to: str | None
    """A human: a number, or a SIP address beginning with sip: or sips:."""
    sip_uri: str | None
    """The assistant's SIP address, where there is no human."""


NOBODY = Fallback(None, None)
"""Nobody can: an apology."""


@dataclass(frozen=True, slots=True)
class StreamPlan:
    """The stream a TwiML asks for."""

    url: str
    parameters: dict[str, str] = field(repr=False)
    """Custom parameters, a token among them: not shown in a repr."""
    status_callback: str | None
    verb: Literal["Connect", "Start"]
    """`Connect`: both ways, and the call waits for it. `Start`: a fork, beside the verbs that follow."""


def connect_stream(stream_url: str, *, call_sid: str, token: str, status_callback: str, fallback: Fallback) -> str:
    """Give the call to our socket; when that closes, to the fallback."""
    response = ET.Element("Response")
    _add_stream(_add(response, "Connect"), stream_url, call_sid, token, status_callback)
    _add_fallback(response, fallback)
    return _text(response)


def fork_stream(twiml: str, stream_url: str, *, call_sid: str, token: str, status_callback: str) -> str:
    """Somebody else's TwiML with our stream in front: everything else is left as it was, to the byte.

    Twilio sets the stream up and at once goes on with what follows. Raises BadMessage; see `check_forkable`.
    """
    response = ET.Element("Response")
    _add_stream(_add(response, "Start"), stream_url, call_sid, token, status_callback, track="inbound_track")
    start = ET.tostring(response[0], encoding="unicode")
    inside = inside_root(twiml)
    return twiml[:inside] + start + twiml[inside:]


def check_forkable(twiml: str) -> None:
    """Raises BadMessage where it is not TwiML, or has nothing to go on with: the call would be hung up at once."""
    if len(_response(twiml)) == 0:
        raise BadMessage("A TwiML without a verb hangs up.")


def inside_root(twiml: str) -> int:
    """The place right behind the start tag of the root."""
    check_forkable(twiml)
    data = twiml.encode()
    places: list[int] = []
    parser = expat.ParserCreate("utf-8")
    parser.StartElementHandler = lambda *_: places.append(parser.CurrentByteIndex)
    parser.Parse(data, True)
    root = data[places[0] : places[1]]
    tag = re.match(rb"""<(?:[^>"']|"[^"]*"|'[^']*')*>""", root)
    if tag is None:
        raise BadMessage("A TwiML is not well-formed XML.")
    return len(data[: places[0] + tag.end()].decode())


def fallback_only(fallback: Fallback) -> str:
    """The same call without a stream of ours: while full, draining, or when something of ours failed."""
    response = ET.Element("Response")
    _add_fallback(response, fallback)
    return _text(response)


def dial_assistant(sip_uri: str, *, call_sid: str, action: str) -> str:
    """Hand the call to the assistant's SIP address. `action` is asked what comes after it.

    The call's id travels along as a SIP header, for over there the call has another
    (https://www.twilio.com/docs/voice/twiml/sip).
    """
    response = ET.Element("Response")
    joint = "&" if "?" in sip_uri else "?"
    verb = _add(response, "Dial", action=action, method="POST")
    _add(verb, "Sip").text = _clean(f"{sip_uri}{joint}x-callsid={quote(call_sid, safe='')}")
    return _text(response)


def dial(destination: str, *, action: str | None) -> str:
    """Connect the caller to a number or SIP address. `action` is asked what comes after it, whatever became of it;
    without one, nothing does."""
    response = ET.Element("Response")
    verb = _add(response, "Dial") if action is None else _add(response, "Dial", action=action, method="POST")
    if destination.lower().startswith(("sip:", "sips:")):
        _add(verb, "Sip").text = _clean(destination)
    else:
        verb.text = _clean(destination)
    return _text(response)


def hang_up() -> str:
    response = ET.Element("Response")
    _add(response, "Hangup")
    return _text(response)


def read_stream(twiml: str) -> StreamPlan | None:
    """The first stream a Twilio would open for this TwiML; None when there is none. Raises BadMessage."""
    for verb in _response(twiml):
        stream = verb.find("Stream")
        if stream is None:
            continue
        if verb.tag == "Connect":
            return _plan(stream, "Connect")
        if verb.tag == "Start":
            return _plan(stream, "Start")
    return None


def _plan(stream: ET.Element, verb: Literal["Connect", "Start"]) -> StreamPlan:
    url = stream.get("url")
    if not url:
        raise BadMessage("The <Stream> in a TwiML has no url.")
    parameters = {parameter.get("name", ""): parameter.get("value", "") for parameter in stream.iterfind("Parameter")}
    return StreamPlan(url, parameters, stream.get("statusCallback"), verb)


def _response(twiml: str) -> ET.Element:
    """The root. Without a DTD there are no entities to expand and nothing outside to fetch."""
    if "<!doctype" in twiml.lower():
        raise BadMessage("A TwiML with a document type declaration is refused.")
    try:
        root = ET.fromstring(twiml)
    except (ET.ParseError, ValueError):
        raise BadMessage("A TwiML is not well-formed XML.") from None
    if root.tag != "Response":
        raise BadMessage("The root of a TwiML is not <Response>.")
    return root


def _add_stream(verb: ET.Element, url: str, call_sid: str, token: str, status_callback: str, **attributes: str) -> None:
    stream = _add(verb, "Stream", url=url, **attributes, statusCallback=status_callback, statusCallbackMethod="POST")
    _add(stream, "Parameter", name="callSid", value=call_sid)
    _add(stream, "Parameter", name="token", value=token)


def _add_fallback(response: ET.Element, fallback: Fallback) -> None:
    target = fallback.transfer_to or fallback.sip_uri
    if not target:
        _add(response, "Say").text = APOLOGY
        _add(response, "Hangup")
    elif fallback.transfer_to and not target.lower().startswith(("sip:", "sips:")):
        _add(response, "Dial").text = _clean(target)
    else:
        _add(_add(response, "Dial"), "Sip").text = _clean(target)


def _add(parent: ET.Element, tag: str, **attributes: str) -> ET.Element:
    return ET.SubElement(parent, tag, {name: _clean(value) for name, value in attributes.items()})


def _clean(value: str) -> str:
    """The value without what XML cannot hold: a caller is worth more than a control character."""
    return _NOT_XML.sub("", value)


def _text(response: ET.Element) -> str:
    return _DECLARATION + ET.tostring(response, encoding="unicode")
