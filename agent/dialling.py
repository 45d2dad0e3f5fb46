"""Dialling WebSockets of others (trio-websocket), so that nothing they do outlasts the block or goes unnoticed.

The library leaves three things to its caller: a connection that ends before the handshake is over is waited for until
the end of time, a dead connection's socket stays open, and errors come wrapped in groups. Here a handshake that breaks
off, or is answered with anything else than a WebSocket, is a `DialFailed` that says so, and leaving the block always
closes the connection. Redirects are not followed. Patience is the caller's (`trio.move_on_after`).
"""

import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

import h11
import trio
from trio_websocket import ConnectionRejected, HandshakeError, WebSocketConnection, wrap_client_stream
from wsproto.utilities import LocalProtocolError

from .errors import CallmoodError
from .groups import alone
from .http import USER_AGENT, trusted

CLOSE_S = 0.5
"""How long the other end is given to answer our closing frame."""
ANSWER_LIMIT = 64 * 1024
"""Bytes of an answer to the handshake."""
PARTS_LIMIT = 4096
"""Fragments of one message: empty ones weigh nothing in its size, and are kept all the same."""


class DialFailed(CallmoodError):
    """There is no WebSocket at that address now. `status`: of the answer, where there was one."""

    def __init__(self, message: str, *, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status


@asynccontextmanager
async def dialled(
    url: str,
    *,
    headers: Sequence[tuple[str, str]] = (),
    subprotocols: Sequence[str] = (),
    message_limit: int,
    queue: int = 4,
    close_s: float = CLOSE_S,
) -> AsyncIterator[WebSocketConnection]:
    """An open socket for as long as the block lasts; then it is closed, politely but soon. Raises DialFailed.

    `message_limit`: bytes, beyond which it is closed; `queue`: messages read ahead; `close_s`: the grace for closing.
    """
    parts = urlsplit(url)
    all_headers = [("User-Agent", USER_AGENT), *headers]
    wire = Wire(await _connect(parts.scheme, parts.hostname or "", parts.port))
    try:
        async with trio.open_nursery() as reading:
            socket = await wrap_client_stream(
                reading,
                wire,  # type: ignore[arg-type]
                parts.netloc,
                (parts.path or "/") + (f"?{parts.query}" if parts.query else ""),
                subprotocols=list(subprotocols) or None,
                extra_headers=[(name.encode(), value.encode()) for name, value in all_headers],
                max_message_size=message_limit,
                message_queue_size=queue,
            )
            wire.shaken, wire.socket = True, socket
            try:
                yield socket
            finally:
                with trio.move_on_after(close_s, shield=True):
                    await socket.aclose()
                reading.cancel_scope.cancel()
    except BaseExceptionGroup as group:  # of one: the library's reader raises into the nursery it was given
        raise _translated(alone(group)) from None
    finally:
        await trio.aclose_forcefully(wire)


class Wire(trio.abc.Stream):
    """The connection under a socket. Until the handshake is over, whatever ends the connection is raised, and so is an
    answer of more than `ANSWER_LIMIT`."""

    def __init__(self, stream: trio.abc.Stream) -> None:
        self._stream, self._answered = stream, 0
        self.shaken = False
        """The handshake is over."""
        self.socket: WebSocketConnection | None = None

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
        # There is no public place to look; the lock pins the version this was tried with.
        elif self.socket is not None and len(self.socket._message_parts) > PARTS_LIMIT:
            raise trio.BrokenResourceError("a message of endlessly many parts")
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
            raise DialFailed("it broke off the handshake")


async def _connect(scheme: str, host: str, port: int | None) -> trio.abc.Stream:
    try:
        if scheme == "ws":
            return await trio.open_tcp_stream(host, port or 80)
        return await trio.open_ssl_over_tcp_stream(host, port or 443, https_compatible=True, ssl_context=trusted())
    except (OSError, ssl.SSLError) as error:
        raise DialFailed(f"it cannot be reached ({type(error).__name__})") from None


def _translated(error: BaseException) -> BaseException:
    """What the library's reader raised, as our own. To what is no HTTP it means to answer in HTTP, and cannot."""
    if isinstance(error, ConnectionRejected):
        return DialFailed(f"it answered {error.status_code}", status=error.status_code)
    if isinstance(error, HandshakeError | h11.LocalProtocolError | LocalProtocolError):
        return DialFailed("it does not speak WebSocket")
    return error
