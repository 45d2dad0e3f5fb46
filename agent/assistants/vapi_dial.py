"""Dialling Vapi's sockets: what a call may be listened to on, or spoken with.

As with a control address: knowing one is enough, and it comes from outside. So it is never logged, and never dialled
before its host has been checked; and whatever answers there, redirects are not followed.
"""

from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager

from trio_websocket import WebSocketConnection

from .. import dialling
from ..dialling import DialFailed
from ..errors import AssistantRefused, AssistantUnavailable, CallGone
from .vapi import checked_control_url

CLOSE_S = 1.0
"""How long the other end is given to answer our closing frame."""

_HTTP = {"wss": "https", "ws": "http"}


def checked_socket_url(text: str, extra_hosts: Collection[str] = ()) -> str:
    """The address, if it is one of Vapi's over wss, or on a host the operator named. Raises BadControlUrl.

    The same rules as for a control address, and the same code: `extra_hosts` alone may be plain ws.
    """
    scheme, separator, rest = text.partition("://")
    checked = checked_control_url(_HTTP.get(scheme.lower(), "none") + separator + rest, extra_hosts)
    return "ws" + checked.removeprefix("http")


@asynccontextmanager
async def dialled(
    address: str, *, public_key: str = "", message_limit: int, queue: int = 4
) -> AsyncIterator[WebSocketConnection]:
    """An open socket to a checked address, for as long as the block lasts; then it is closed, politely but soon.

    Raises AssistantUnavailable (try again), AssistantRefused, CallGone. `message_limit`: bytes, beyond which it is
    closed; `queue`: messages read ahead. `public_key`: only ever the public one.
    """
    headers = [("Authorization", f"Bearer {public_key}")] if public_key else []
    try:
        async with dialling.dialled(
            address, headers=headers, message_limit=message_limit, queue=queue, close_s=CLOSE_S
        ) as socket:
            yield socket
    except DialFailed as failure:
        raise _as_vapis(failure) from None


def _as_vapis(failure: DialFailed) -> Exception:
    said = f"Vapi's socket cannot be used: {failure}"
    if failure.status in (404, 410):
        return CallGone(said)
    if failure.status in (401, 403):
        return AssistantRefused(f"{said}: check VAPI_PUBLIC_KEY")
    return AssistantUnavailable(said)
