"""Vapi's server messages: who sent them, which call they speak of, and what they say.

Bodies may be 10 MB (the whole assistant and transcript travel along), so only the few fields we use are decoded. All of
them are optional in the schema: what is absent or of another type is None, never an error.
Wire format: https://docs.vapi.ai/server-url/events
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from ..core.sameness import same
from ..errors import BadMessage

BODY_LIMIT = 10 * 1024 * 1024
"""Bytes."""


@dataclass(frozen=True, slots=True)
class ServerMessage:
    """What we use of a server message."""

    type: str
    status: str | None = None
    role: str | None = None
    vapi_call_id: str | None = None
    call_sids: tuple[str, ...] = ()
    """The Twilio ids it may carry, the likeliest first."""
    control_url: str | None = None
    """A secret, and unchecked."""

    def __repr__(self) -> str:
        return f"ServerMessage({self.type})"


class _Body(msgspec.Struct):
    message: "_Message"


class _Message(msgspec.Struct):
    type: Any = None
    status: Any = None
    role: Any = None
    call: Any = None


_decoder = msgspec.json.Decoder(_Body)


def authentic(headers: Mapping[str, str], secret: str) -> bool:
    """Whether the header X-Vapi-Secret carries the secret. An unset secret proves nothing."""
    offered = headers.get("x-vapi-secret", "")
    return bool(secret) and same(offered, secret)


def read_message(body: bytes) -> ServerMessage:
    """Parse a body. Raises BadMessage where it is not a server message at all."""
    try:
        message = _decoder.decode(body).message
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise BadMessage("this is not a server message of Vapi's") from None
    if not isinstance(message.type, str):
        raise BadMessage("this server message has no type")
    call = _table(message.call)
    sids = (_text(call.get("phoneCallProviderId")), _text(_table(call.get("transport")).get("callSid")))
    return ServerMessage(
        type=message.type,
        status=_text(message.status),
        role=_text(message.role),
        vapi_call_id=_text(call.get("id")),
        call_sids=tuple(sid for sid in sids if sid),
        control_url=_text(_table(call.get("monitor")).get("controlUrl")),
    )


def _table(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and 0 < len(value) <= 2048 else None
