"""A request for the assistant's next words, as Vapi sends it to us.

The format is OpenAI's (https://platform.openai.com/docs/api-reference/chat), with what Vapi adds about the call.
Only what has to be looked at is taken apart: everything else, down to the spelling of a number, goes on as it came.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import msgspec

from ..errors import BadRequest
from .vapi_ids import carrier_ids, table, text

NOT_FORWARDED = frozenset({"call", "phoneNumber", "customer", "metadata"})
"""What Vapi adds about the call. It says who is calling, and is none of the model's business."""

_encode = msgspec.json.Encoder().encode
_Fields = dict[str, msgspec.Raw]
_fields = msgspec.json.Decoder(_Fields)
_messages = msgspec.json.Decoder(list[msgspec.Raw])


class _Message(msgspec.Struct):
    role: str = ""


_message = msgspec.json.Decoder(_Message)


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """One request, and the call it is made for."""

    fields: Mapping[str, msgspec.Raw] = field(repr=False)
    vapi_call_id: str | None = None
    call_sids: tuple[str, ...] = ()

    def forwarded(self, *, note: str | None = None, model: str = "") -> bytes:
        """The body for the upstream: `note` as one system message more, `model` in the place of the one asked for."""
        fields = {name: value for name, value in self.fields.items() if name not in NOT_FORWARDED}
        if model:
            fields["model"] = msgspec.Raw(_encode(model))
        if note is not None and "messages" in fields:
            fields["messages"] = with_note(fields["messages"], note)
        return _encode(fields)


def read_request(body: bytes) -> ChatRequest:
    """Raises BadRequest where it is not an object of JSON."""
    try:
        fields = _fields.decode(body)
        call, metadata = (_anything(fields.get(name)) for name in ("call", "metadata"))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise BadRequest("The body is not a JSON object.", code="invalid_json") from None
    known = table(call)
    return ChatRequest(fields, text(known.get("id")), carrier_ids(known, metadata))


def _anything(value: msgspec.Raw | None) -> object:
    return None if value is None else msgspec.json.decode(value)


def with_note(messages: msgspec.Raw, note: str) -> msgspec.Raw:
    """The messages with ours directly before the newest one of the user's; without any, at the end of the opening ones.

    Late, because what stands before it is the same in every request, and upstreams need not read again what they have
    read before; and because a model heeds best what it reads last. Before the user's message and not behind the last
    one, because the answers of tools must follow the calls for them.
    """
    try:
        listed = _messages.decode(messages)
        place = _place(listed)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return messages  # no conversation we know: the upstream may say so
    listed.insert(place, msgspec.Raw(_encode({"role": "system", "content": note})))
    return msgspec.Raw(_encode(listed))


def _place(listed: list[msgspec.Raw]) -> int:
    for place in range(len(listed) - 1, -1, -1):
        if _message.decode(listed[place]).role == "user":
            return place
    opening = 0
    while opening < len(listed) and _message.decode(listed[opening]).role in ("system", "developer"):
        opening += 1
    return opening
