"""What Twilio says, word for word: forms, media stream messages, and what it objects to. No sockets, no clock.

Sources: https://www.twilio.com/docs/voice/media-streams/websocket-messages (messages),
https://www.twilio.com/docs/voice/twiml/stream (status callbacks), https://www.twilio.com/docs/usage/webhooks/voice-webhooks
(the voice form) and https://www.twilio.com/docs/api/errors/31951 (objections). Counters are strings of digits.
"""

import json
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from email.utils import format_datetime

from ..telephony.twiml import StreamPlan

API_VERSION = "2010-04-01"

Form = list[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Identity:
    """Who calls whom."""

    account_sid: str
    call_sid: str
    from_: str
    to: str

    def voice_form(self, status: str) -> Form:
        """The fields of a voice webhook, blank ones included: all of them are signed."""
        geography = {"City": "", "State": "CA", "Zip": "", "Country": "US"}
        places = [
            (side + part, text) for side in ("From", "To", "Caller", "Called") for part, text in geography.items()
        ]
        return [
            ("AccountSid", self.account_sid),
            ("ApiVersion", API_VERSION),
            ("CallSid", self.call_sid),
            ("CallStatus", status),
            ("Called", self.to),
            ("Caller", self.from_),
            ("Direction", "inbound"),
            ("From", self.from_),
            ("To", self.to),
            *places,
        ]

    def completed_form(self, duration_s: float, now: datetime) -> Form:
        """The call status callback at the end of a call."""
        return [
            *self.voice_form("completed"),
            ("CallDuration", str(round(duration_s))),
            ("CallbackSource", "call-progress-events"),
            ("Duration", str(max(1, round(duration_s / 60)))),
            ("SequenceNumber", "0"),
            ("Timestamp", format_datetime(now)),
        ]

    def stream_form(self, stream_sid: str, event: str, now: datetime) -> Form:
        """The stream status callback: `stream-started` or `stream-stopped`."""
        return [
            ("AccountSid", self.account_sid),
            ("CallSid", self.call_sid),
            ("StreamEvent", event),
            ("StreamName", stream_sid),
            ("StreamSid", stream_sid),
            ("Timestamp", now.isoformat(timespec="milliseconds").replace("+00:00", "Z")),
        ]


CONNECTED = '{"event":"connected","protocol":"Call","version":"1.0.0"}'


def start(who: Identity, plan: StreamPlan, stream_sid: str, sequence: int) -> str:
    body = {
        "accountSid": who.account_sid,
        "streamSid": stream_sid,
        "callSid": who.call_sid,
        "tracks": ["inbound"],
        "mediaFormat": {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1},
        "customParameters": plan.parameters,
    }
    return _event("start", stream_sid, sequence, body)


def media(stream_sid: str, sequence: int, chunk: int, media_ms: int, payload: bytes) -> str:
    """By hand: this one is sent fifty times a second by each of many callers."""
    return (
        f'{{"event":"media","sequenceNumber":"{sequence}","media":{{"track":"inbound","chunk":"{chunk}",'
        f'"timestamp":"{media_ms}","payload":"{b64encode(payload).decode()}"}},"streamSid":"{stream_sid}"}}'
    )


def stop(who: Identity, stream_sid: str, sequence: int) -> str:
    return _event("stop", stream_sid, sequence, {"accountSid": who.account_sid, "callSid": who.call_sid})


def mark(stream_sid: str, sequence: int, name: str) -> str:
    return _event("mark", stream_sid, sequence, {"name": name})


def dtmf(stream_sid: str, sequence: int, digit: str) -> str:
    return _event("dtmf", stream_sid, sequence, {"track": "inbound_track", "digit": digit})


def _event(name: str, stream_sid: str, sequence: int, body: Mapping[str, object]) -> str:
    message = {"event": name, "sequenceNumber": str(sequence), name: body, "streamSid": stream_sid}
    return json.dumps(message, separators=(",", ":"))


UNDECODABLE = 31950
INVALID = 31951
NOT_BIDIRECTIONAL = 31924

_SHAPES: dict[str, dict[str, str]] = {"media": {"payload": "media"}, "mark": {"name": "mark"}, "clear": {}}
"""What a server may send: event to the one field of its body."""


def read(message: str | bytes, plan: StreamPlan, stream_sid: str) -> tuple[Mapping[str, object], int | None]:
    """A server's message, and the number of the error Twilio would log for it. On a fork nothing may be sent at all;
    elsewhere a field missing, added or misspelt makes a message that Twilio drops without a word."""
    if isinstance(message, bytes):
        return {}, UNDECODABLE
    try:
        said = json.loads(message)
    except ValueError:
        return {}, INVALID
    if not isinstance(said, dict):
        return {}, INVALID
    if plan.verb == "Start":
        return said, NOT_BIDIRECTIONAL
    return said, None if _is_valid(said, stream_sid) else INVALID


def _is_valid(said: Mapping[str, object], stream_sid: str) -> bool:
    event = said.get("event")
    fields = _SHAPES.get(event) if isinstance(event, str) else None
    if fields is None or said.get("streamSid") != stream_sid:
        return False
    if not fields:
        return set(said) == {"event", "streamSid"}
    body = said.get(str(event))
    return (
        set(said) == {"event", "streamSid", event}
        and isinstance(body, dict)
        and set(body) == set(fields)
        and all(isinstance(value, str) for value in body.values())
    )
