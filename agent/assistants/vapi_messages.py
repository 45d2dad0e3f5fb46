"""Vapi's server messages: which call they speak of, and what they say.

Bodies may be 10 MB (the whole assistant and transcript travel along), so only the few fields we use are decoded. All of
them are optional in the schema: what is absent or of another type is None, never an error.
Wire format: https://docs.vapi.ai/server-url/events
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec

from ..errors import BadMessage
from .vapi_ids import carrier_ids, table, text

BODY_LIMIT = 10 * 1024 * 1024
"""Bytes."""

LONGEST_SPEECH = 4000
"""Characters of what somebody said; the rest of a longer turn is left out."""
MOST_TOOL_CALLS = 32
"""Tool calls taken from one message."""

FINAL_TRANSCRIPT = 'transcript[transcriptType="final"]'
"""The type of a final transcript where only those are asked for; it arrives with this very name."""


@dataclass(frozen=True, slots=True)
class ToolCall:
    """The model asks for something to be done."""

    id: str
    name: str
    arguments: Mapping[str, Any] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True)
class ServerMessage:
    """What we use of a server message."""

    type: str
    status: str | None = None
    """Of a status-update the call's, of a speech-update `started` or `stopped`."""
    role: str | None = None
    vapi_call_id: str | None = None
    call_sids: tuple[str, ...] = ()
    """The Twilio ids it may carry, the likeliest first."""
    control_url: str | None = None
    """A secret, and unchecked; so is `listen_url`."""
    listen_url: str | None = None
    call_status: str | None = None
    """What the call itself is said to be, beside any `status`."""
    caller: str | None = None
    """The caller's number or address."""
    ended_reason: str | None = None
    turn: int | None = None
    """Counted from 0."""
    text: str | None = None
    """What was said, of a transcript or of the turn that begins."""
    final: bool = True
    """A transcript that will not be corrected."""
    destination: str | None = None
    """The number or SIP address of the human a call is handed to; None where it goes to another assistant."""
    tool_calls: tuple[ToolCall, ...] = ()

    def __repr__(self) -> str:
        return f"ServerMessage({self.type})"


class _Body(msgspec.Struct):
    message: "_Message"


class _Message(msgspec.Struct):
    type: Any = None
    status: Any = None
    role: Any = None
    call: Any = None
    customer: Any = None
    endedReason: Any = None
    turn: Any = None
    text: Any = None
    transcript: Any = None
    transcriptType: Any = None
    destination: Any = None
    toolCallList: Any = None
    toolCalls: Any = None


_decoder = msgspec.json.Decoder(_Body)


def read_message(body: bytes) -> ServerMessage:
    """Parse a body. Raises BadMessage where it is not a server message at all."""
    try:
        message = _decoder.decode(body).message
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise BadMessage("this is not a server message of Vapi's") from None
    if not isinstance(message.type, str):
        raise BadMessage("this server message has no type")
    call = table(message.call)
    monitor = table(call.get("monitor"))
    customers = (table(message.customer), table(call.get("customer")))
    return ServerMessage(
        type=message.type,
        status=text(message.status),
        role=text(message.role),
        vapi_call_id=text(call.get("id")),
        call_sids=carrier_ids(call),
        control_url=text(monitor.get("controlUrl")),
        listen_url=text(monitor.get("listenUrl")),
        call_status=text(call.get("status")),
        caller=next((found for customer in customers if (found := _address(customer))), None),
        ended_reason=text(message.endedReason) or text(call.get("endedReason")),
        turn=message.turn if type(message.turn) is int and 0 <= message.turn < 1_000_000 else None,
        text=_speech(message.text) or _speech(message.transcript),
        final=message.transcriptType != "partial",
        destination=_address(table(message.destination)),
        tool_calls=tuple(_tool_calls(message.toolCallList or message.toolCalls)),
    )


def _address(somebody: Mapping[str, Any]) -> str | None:
    return text(somebody.get("number")) or text(somebody.get("sipUri"))


def _speech(value: Any) -> str | None:
    return value[:LONGEST_SPEECH].strip() or None if isinstance(value, str) else None


def _tool_calls(listed: Any) -> Iterator[ToolCall]:
    """Both forms: OpenAI's with its `function`, and the short one of the guides."""
    for item in listed[:MOST_TOOL_CALLS] if isinstance(listed, list) else ():
        call = table(item)
        function = table(call.get("function"))
        call_id, name = text(call.get("id")), text(function.get("name")) or text(call.get("name"))
        arguments = function.get("arguments", call.get("arguments", call.get("parameters")))
        if call_id and name:
            yield ToolCall(call_id, name, _arguments(arguments))


def _arguments(value: Any) -> Mapping[str, Any]:
    """An object, or the JSON of one."""
    if isinstance(value, str):
        try:
            value = msgspec.json.decode(value)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return {}
    return table(value)
