"""What Vapi's control address accepts, and what its webhooks look like. No sockets, no clock.

Control messages follow the schema group `ClientInboundMessage*` of Vapi's OpenAPI
(https://docs.vapi.ai/calls/call-features); a property that is not in it is refused, as Vapi's REST routes do
("property status should not exist"). Webhooks follow `ServerMessage*` (https://docs.vapi.ai/server-url/events).
"""

import hmac
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from typing import Literal

Check = Callable[[object], bool]
Fields = Mapping[str, tuple[Check, bool]]
"""Property to its check, and whether it has to be there."""

ROLES = ("assistant", "function", "user", "system", "tool")
CONTROLS = ("mute-assistant", "unmute-assistant", "mute-customer", "unmute-customer", "say-first-message")


def _text(value: object) -> bool:
    return isinstance(value, str) and value != ""


def _string(value: object) -> bool:
    return isinstance(value, str)


def _flag(value: object) -> bool:
    return isinstance(value, bool)


def _object(value: object) -> bool:
    return isinstance(value, dict)


def _one_of(*choices: str) -> Check:
    return lambda value: value in choices


def _message(value: object) -> bool:
    return isinstance(value, dict) and not _wrong(value, {"role": (_one_of(*ROLES), True), "content": (_text, True)})


def _destination(value: object) -> bool:
    if not isinstance(value, dict):
        return False
    common: Fields = {"message": (_string, False), "transferPlan": (_object, False)}
    number: Fields = {
        "number": (_text, True),
        "extension": (_text, False),
        "callerId": (_text, False),
        "numberE164CheckEnabled": (_flag, False),
    }
    sip: Fields = {
        "sipUri": (lambda uri: _text(uri) and str(uri).startswith("sip"), True),
        "sipHeaders": (_object, False),
    }
    shape = {"number": number, "sip": sip}.get(str(value.get("type")))
    return shape is not None and not _wrong(value, {"type": (_text, True), **common, **shape})


MESSAGES: Mapping[str, Fields] = {
    "add-message": {"message": (_message, True), "triggerResponseEnabled": (_flag, False)},
    "append-context": {"kind": (_one_of("thinking", "instructions", "commentary"), True), "content": (_text, True)},
    "say": {
        "content": (_text, True),
        "interruptAssistantEnabled": (_flag, False),
        "interruptionsEnabled": (_flag, False),
        "endCallAfterSpoken": (_flag, False),
    },
    "control": {"control": (_one_of(*CONTROLS), True)},
    "end-call": {},
    "transfer": {"destination": (_destination, True), "content": (_string, False)},
    "handoff": {"destination": (_object, True), "content": (_string, False)},
    "send-transport-message": {"message": (_object, True)},
}


def problems(body: object) -> list[str]:
    """What is wrong with a control message, in the words of Vapi's framework; empty when it is accepted."""
    if not isinstance(body, dict):
        return ["body must be an object"]
    fields = MESSAGES.get(str(body.get("type")))
    if fields is None:
        return [f"type must be one of the following values: {', '.join(MESSAGES)}"]
    return _wrong(body, {"type": (_text, True), **fields})


def _wrong(body: Mapping[str, object], fields: Fields) -> list[str]:
    extra = [f"property {name} should not exist" for name in body if name not in fields]
    missing = [f"{name} should not be empty" for name, (_, needed) in fields.items() if needed and name not in body]
    bad = [f"{name} is not valid" for name, (check, _) in fields.items() if name in body and not check(body[name])]
    return extra + missing + bad


NEW_CALL: Fields = {
    "assistantId": (_text, True),
    "phoneNumberId": (_text, True),
    "phoneCallProviderBypassEnabled": (lambda value: value is True, True),
    "customer": (lambda value: isinstance(value, dict) and _text(value.get("number")), False),
}
"""`POST /call` as the bypass flow uses it (https://docs.vapi.ai/calls/call-handling-with-vapi-and-twilio)."""


AUDIO_FORMATS = ({"format": "mulaw", "sampleRate": 8000}, {"format": "pcm_s16le", "sampleRate": 16000})


def _transport(value: object) -> bool:
    if not isinstance(value, dict) or set(value) - {"provider", "audioFormat"}:
        return False
    audio = value.get("audioFormat", {**AUDIO_FORMATS[1], "container": "raw"})
    return value.get("provider") == "vapi.websocket" and audio in [{**one, "container": "raw"} for one in AUDIO_FORMATS]


NEW_SOCKET_CALL: Fields = {"assistantId": (_text, True), "transport": (_transport, True)}
"""The same for a call over a websocket (https://docs.vapi.ai/calls/websocket-transport)."""


def new_call_problems(body: object) -> list[str]:
    """What is wrong with a request for a call; empty when it is accepted."""
    if not isinstance(body, dict):
        return ["body must be an object"]
    return _wrong(body, NEW_SOCKET_CALL if "transport" in body else NEW_CALL)


_ERRORS = {400: "Bad Request", 401: "Unauthorized", 404: "Not Found", 429: "Too Many Requests"}


def error_body(status: int, message: str | list[str]) -> bytes:
    """The shape seen in the field: `message` is a string, or an array of them."""
    name = _ERRORS.get(status, "Internal Server Error")
    return json.dumps({"message": message, "error": name, "statusCode": status}).encode()


@dataclass(frozen=True, slots=True)
class CallFacts:
    """What every webhook of one call carries."""

    call_id: str
    call_sid: str
    control_url: str
    listen_url: str
    caller: str = "+15550100001"
    number: str = "+15550100100"

    @property
    def socket_url(self) -> str:
        """Of its websocket transport."""
        return f"{self.listen_url.rpartition('/')[0]}/websocket"

    def created_socket(self, transport: Mapping[str, object]) -> dict[str, object]:
        """Vapi's answer to a request for this call over a websocket."""
        return {
            "id": self.call_id,
            "type": "vapi.websocketCall",
            "status": "queued",
            "transport": {**transport, "websocketCallUrl": self.socket_url},
            "monitor": {"listenUrl": self.listen_url, "controlUrl": self.control_url},
        }

    def created(self) -> dict[str, object]:
        """Vapi's answer to a request for this call. Its TwiML gives the call to Vapi's own socket."""
        stream = f'<Stream url="{self.listen_url}"/>'
        twiml = f'<?xml version="1.0" encoding="UTF-8"?><Response><Connect>{stream}</Connect></Response>'
        return {
            "id": self.call_id,
            "status": "queued",
            "phoneCallProviderDetails": {"twiml": twiml},
            "monitor": {"listenUrl": self.listen_url, "controlUrl": self.control_url},
        }

    def webhook(self, type_: str, status: str, now: datetime, fields: Mapping[str, object]) -> bytes:
        """One server message; `fields` are those of its type."""
        at = now.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        call = {
            "id": self.call_id,
            "orgId": "2b9d1f5e-8c44-4f0a-b1a7-0e6f3c5d7a91",
            "type": "inboundPhoneCall",
            "status": status,
            "createdAt": at,
            "updatedAt": at,
            "customer": {"number": self.caller},
            "phoneCallProvider": "twilio",
            "phoneCallTransport": "pstn",
            "phoneCallProviderId": self.call_sid,
            "transport": {"provider": "twilio", "conversationType": "voice", "callSid": self.call_sid},
            "monitor": {"listenUrl": self.listen_url, "controlUrl": self.control_url},
        }
        message = {
            "type": type_,
            "timestamp": int(now.timestamp() * 1000),
            "call": call,
            "assistant": {"name": "support"},
            "customer": {"number": self.caller},
            "phoneNumber": {"provider": "twilio", "number": self.number},
            "artifact": {"messages": [], "messagesOpenAIFormatted": []},
            **fields,
        }
        return json.dumps({"message": message}).encode()


Auth = Literal["secret", "bearer", "hmac"]


def auth_headers(auth: Auth, secret: str, body: bytes, now: datetime) -> dict[str, str]:
    """The three ways of https://docs.vapi.ai/server-url/server-authentication, each with its defaults."""
    match auth:
        case "secret":
            return {"X-Vapi-Secret": secret}
        case "bearer":
            return {"Authorization": f"Bearer {secret}"}
        case "hmac":
            timestamp = str(int(now.timestamp() * 1000))
            signed = hmac.new(secret.encode(), timestamp.encode() + b"." + body, sha256).hexdigest()
            return {"x-timestamp": timestamp, "x-signature": signed}
