"""Dialling Vapi's sockets: what a call may be listened to on, or spoken with.

As with a control address: knowing one is enough, and it comes from outside. So it is never logged, and never dialled
before its host has been checked; and whatever answers there, redirects are not followed.
"""

from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager

import h11
import trio
from trio_websocket import ConnectionRejected, WebSocketConnection, wrap_client_stream
from wsproto.utilities import LocalProtocolError

from ..errors import AssistantRefused, AssistantUnavailable, CallGone, alone
from ..http import USER_AGENT, httpx, trusted
from .vapi import checked_control_url

CLOSE_S = 1.0
"""How long the other end is given to answer our closing frame."""

ANSWER_LIMIT = 64 * 1024
"""Bytes of an answer to the handshake."""

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
    url = httpx.URL("http" + address.removeprefix("ws"))
    headers = [(b"User-Agent", USER_AGENT.encode())]
    if public_key:
        headers.append((b"Authorization", f"Bearer {public_key}".encode()))
    wire = Wire(await _connect(url))
    try:
        async with trio.open_nursery() as reading:
            socket = await wrap_client_stream(
                reading,
                wire,  # type: ignore[arg-type]
                url.netloc.decode("ascii"),
                url.raw_path.decode("ascii"),
                extra_headers=headers,
                max_message_size=message_limit,
                message_queue_size=queue,
            )
            wire.shaken = True
            try:
                yield socket
            finally:
                with trio.move_on_after(CLOSE_S, shield=True):
                    await socket.aclose()
                reading.cancel_scope.cancel()
    except BaseExceptionGroup as group:  # of one: the library's reader raises into the nursery it was given
        raise _translated(alone(group)) from None
    finally:
        await trio.aclose_forcefully(wire)


class Wire(trio.abc.Stream):
    """The connection under a socket. The library waits for ever for a handshake whose connection has ended, or which is
    none; so until it is over, whatever ends the connection is raised, and so is an answer of more than `ANSWER_LIMIT`.
    """

    def __init__(self, stream: trio.abc.Stream) -> None:
        self._stream, self._answered = stream, 0
        self.shaken = False
        """The handshake is over."""

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        try:
            data = bytes(await self._stream.receive_some(max_bytes))
        except trio.BrokenResourceError:
            self._ended()
            raise
        if not self.shaken:
            self._answered += len(data)
            if not data or self._answered > ANSWER_LIMIT:
                self._ended()
        return data

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        await self._stream.send_all(data)

    async def wait_send_all_might_not_block(self) -> None:
        await self._stream.wait_send_all_might_not_block()

    async def aclose(self) -> None:
        await self._stream.aclose()
        self._ended()

    def _ended(self) -> None:
        if not self.shaken:
            raise AssistantUnavailable("Vapi's socket broke off its handshake")


async def _connect(url: httpx.URL) -> trio.abc.Stream:
    port = url.port or (443 if url.scheme == "https" else 80)
    try:
        if url.scheme == "http":
            return await trio.open_tcp_stream(url.host, port)
        return await trio.open_ssl_over_tcp_stream(url.host, port, https_compatible=True, ssl_context=trusted())
    except OSError as error:
        raise AssistantUnavailable(f"Vapi's socket cannot be reached ({type(error).__name__})") from None


def _translated(error: BaseException) -> BaseException:
    """What the library's reader raised, as our own. To what is no HTTP it means to answer in HTTP, and cannot."""
    if isinstance(error, ConnectionRejected):
        return _refused(error.status_code)
    if isinstance(error, h11.LocalProtocolError | LocalProtocolError):
        return AssistantUnavailable("Vapi's socket answers what is no WebSocket")
    return error


def _refused(status: int) -> Exception:
    said = f"Vapi's socket answered {status}"
    if status in (404, 410):
        return CallGone(said)
    if status in (401, 403):
        return AssistantRefused(f"{said}: check VAPI_PUBLIC_KEY")
    return AssistantUnavailable(said)
