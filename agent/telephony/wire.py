"""The JSON of a Twilio media stream, as msgspec reads it: one pass over the text, base64 included.

Fields are those of https://www.twilio.com/docs/voice/media-streams/websocket-messages. What we use has to be there;
what we do not use may be missing. Counters arrive as strings of decimal digits, and as numbers from some simulators.
"""

from collections.abc import Callable
from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct

from ..errors import BadMessage

MAX_MESSAGE = 65_536
"""Characters. The longest honest message is a `start` with 99 custom parameters of 500 characters."""
MAX_PAYLOAD = 8_000
"""Bytes of mu-law in one message: a second of audio. Twilio sends 160, and promises nothing."""
COUNTER_LIMIT = 2**53
"""Counters stay below it, as JSON's numbers do."""

Unused = Annotated[int, Meta(ge=0, lt=COUNTER_LIMIT)]
Counter = Annotated[str, Meta(min_length=1, max_length=16)] | Annotated[int, Meta(ge=0, lt=COUNTER_LIMIT)]
Sid = Annotated[str, Meta(pattern=r"\A[0-9A-Za-z_.-]{1,64}\Z")]
Parameter = Annotated[str, Meta(max_length=500)]


class MediaFormat(Struct, rename="camel", gc=False):
    encoding: Literal["audio/x-mulaw"]
    sample_rate: Literal[8000]
    channels: Literal[1]


class StartBody(Struct, rename="camel"):
    stream_sid: Sid
    call_sid: Sid
    media_format: MediaFormat
    tracks: tuple[Literal["inbound", "outbound"], ...] = ("inbound",)
    custom_parameters: Annotated[dict[Parameter, Parameter], Meta(max_length=99)] = {}


class MediaBody(Struct, gc=False):
    track: Literal["inbound", "outbound"]
    timestamp: Counter
    payload: Annotated[bytes, Meta(min_length=1, max_length=MAX_PAYLOAD)]
    chunk: Unused = 0


class MarkBody(Struct, gc=False):
    name: Annotated[str, Meta(min_length=1, max_length=500)]


class DtmfBody(Struct, gc=False):
    digit: Annotated[str, Meta(pattern=r"\A[0-9*#A-Da-d]\Z")]


class Hello(Struct, tag_field="event", tag="connected", gc=False):
    """The first message; it carries nothing we need."""


class Start(Struct, tag_field="event", tag="start", rename="camel"):
    sequence_number: Counter
    stream_sid: Sid
    start: StartBody


class Media(Struct, tag_field="event", tag="media", rename="camel", gc=False):
    sequence_number: Counter
    stream_sid: str
    media: MediaBody


class Mark(Struct, tag_field="event", tag="mark", rename="camel", gc=False):
    sequence_number: Counter
    stream_sid: str
    mark: MarkBody


class Dtmf(Struct, tag_field="event", tag="dtmf", rename="camel", gc=False):
    sequence_number: Counter
    stream_sid: str
    dtmf: DtmfBody


class Stop(Struct, tag_field="event", tag="stop", rename="camel", gc=False):
    stream_sid: str


class Unknown(Struct, gc=False):
    """An event this codec has no use for; Twilio may add some without notice."""

    event: Annotated[str, Meta(pattern=r"\A[0-9A-Za-z_.:-]{1,64}\Z")]


Message = Hello | Start | Media | Mark | Dtmf | Stop | Unknown

# Not strict: `chunk` is a number in a string. The counters we use are checked by `counted`, digit by digit.
_decoder: msgspec.json.Decoder[Message] = msgspec.json.Decoder(Hello | Start | Media | Mark | Dtmf | Stop, strict=False)
parsed: Callable[[str], Message] = _decoder.decode
"""`read` without what it says of the messages that this cannot read: raises one of `UNREADABLE`."""
_read_name: Callable[[str], Unknown] = msgspec.json.Decoder(Unknown).decode
_KNOWN = frozenset({"connected", "start", "media", "mark", "dtmf", "stop"})
# Not JSON; half a surrogate pair, which has no UTF-8; nested deeper than Python goes.
UNREADABLE = (msgspec.DecodeError, UnicodeEncodeError, RecursionError)


def read(message: str | bytes) -> Message:
    """One message of the socket. Raises BadMessage; its sentence never quotes what came."""
    if not isinstance(message, str):
        raise BadMessage("Twilio sends text messages only, and this one is binary.")
    if len(message) > MAX_MESSAGE:
        raise BadMessage(f"A Twilio message is longer than {MAX_MESSAGE} characters.")
    try:
        return parsed(message)
    except UNREADABLE:
        return _unknown(message)


def _unknown(message: str) -> Unknown:
    """A message that is none of ours: fine when its event is new to us, bad when the event is one we know."""
    try:
        other = _read_name(message)
    except UNREADABLE:
        raise BadMessage("A Twilio message is not a JSON object with an event.") from None
    if other.event in _KNOWN:
        raise BadMessage(f"A Twilio {other.event} message lacks a field, or has one that cannot be.")
    return other


def counted(counter: str | int) -> int:
    """A counter as a number: as strings, "10" would come before "9"."""
    if isinstance(counter, int):
        return counter
    if not (counter.isdecimal() and counter.isascii()):
        raise BadMessage("A counter in a Twilio message is not a decimal number.")
    number = int(counter)
    if number >= COUNTER_LIMIT:
        raise BadMessage("A counter in a Twilio message is absurdly large.")
    return number
