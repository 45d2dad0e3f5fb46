"""A WebSocket client that can also misbehave, on wsproto and a Trio stream.

trio-websocket is what the product uses. Here the plumbing has to be open: a caller that vanishes stops answering in
the middle, resets the connection, or names another host than the one it connects to, and a refused handshake is an
answer to look at rather than an exception in a group.
"""

import socket
import ssl
import struct
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Literal
from urllib.parse import urlsplit

import trio
from wsproto import WSConnection
from wsproto.connection import ConnectionType
from wsproto.events import (
    AcceptConnection,
    BytesMessage,
    CloseConnection,
    Event,
    Ping,
    RejectConnection,
    Request,
    TextMessage,
)
from wsproto.utilities import LocalProtocolError, RemoteProtocolError

from ..errors import CallmoodError

HANDSHAKE_PATIENCE_S = 10.0
"""Connecting included. Twilio does not publish its own; an unanswered handshake is its error 31901."""
RECEIVE_BYTES = 65_536
MAX_MESSAGE = 1 << 20

TcpStream = trio.SocketStream | trio.SSLStream[trio.SocketStream]


class HandshakeRefused(CallmoodError):
    """The server did not take the WebSocket."""

    def __init__(self, message: str, *, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status
        """Of the HTTP answer, where there was one."""


@dataclass(frozen=True, slots=True)
class Closed:
    """How a socket ended."""

    code: int
    """RFC 6455: 1000 normal, 1006 without a word, 1008 refused by policy, ..."""
    reason: str
    by: Literal["server", "caller"]


def reset_on_close(stream: TcpStream) -> None:
    """From now on closing this stream sends RST and no FIN."""
    tcp = stream.transport_stream if isinstance(stream, trio.SSLStream) else stream
    tcp.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


class ClientSocket:
    """One open WebSocket. One task reads `messages`; any task may send."""

    def __init__(self, stream: TcpStream, protocol: WSConnection) -> None:
        self._stream = stream
        self._protocol = protocol
        self._sending = trio.Lock()
        self._leaving: Closed | None = None
        self.closed: Closed | None = None

    async def send(self, event: Event) -> bool:
        """Whether it could be sent. Both ends may close at any time, so that it cannot is no exception."""
        try:
            self._sending.acquire_nowait()  # without the schedule point of `acquire`: this runs for every frame
        except trio.WouldBlock:
            await self._sending.acquire()
        try:
            if self.closed is not None:
                return False
            await self._stream.send_all(self._protocol.send(event))
        except LocalProtocolError:
            return False  # the closing handshake has begun
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            self.closed = Closed(1006, "", "server")
            return False
        finally:
            self._sending.release()
        return True

    async def send_raw(self, data: bytes) -> None:
        """Bytes that need not be WebSocket."""
        async with self._sending:
            await self._stream.send_all(data)

    async def messages(self) -> AsyncGenerator[str | bytes, None]:
        """Every message, until the socket is closed; pings are answered on the way."""
        parts: list[str | bytes] = []
        while self.closed is None:
            for event in self._protocol.events():
                if isinstance(event, TextMessage | BytesMessage):
                    parts.append(event.data if isinstance(event.data, str) else bytes(event.data))
                    if sum(map(len, parts)) > MAX_MESSAGE:
                        await self.send(CloseConnection(1009, "message too big"))
                        self.closed = Closed(1009, "message too big", "caller")
                        return
                    if event.message_finished:
                        whole = b"".join(p for p in parts if isinstance(p, bytes))
                        yield whole if isinstance(parts[0], bytes) else "".join(map(str, parts))
                        parts = []
                elif isinstance(event, Ping):
                    await self.send(event.response())
                elif isinstance(event, CloseConnection):
                    await self._on_close(event)
                    return
            await self._receive()

    async def close(self, code: int = 1000) -> bool:
        """Begin the closing handshake. It is over when `messages` ends."""
        self._leaving = Closed(code, "", "caller")
        return await self.send(CloseConnection(code))

    async def _on_close(self, event: CloseConnection) -> None:
        await self.send(event.response())  # nothing happens when it answers a close of ours
        if self.closed is None:
            self.closed = self._leaving or Closed(int(event.code), event.reason or "", "server")

    async def _receive(self) -> None:
        try:
            data = await self._stream.receive_some(RECEIVE_BYTES)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            data = b""
        if not data:
            self.closed = self.closed or Closed(1006, "", "server")
            return
        try:
            self._protocol.receive_data(bytes(data))
        except RemoteProtocolError as error:
            self.closed = Closed(1002, str(error), "caller")

    async def reset(self) -> None:
        """End it at once: RST, no closing handshake."""
        self.closed = self.closed or Closed(1006, "", "caller")
        reset_on_close(self._stream)
        await trio.aclose_forcefully(self._stream)


@asynccontextmanager
async def open_socket(
    server: str, target: str, *, host: str, headers: Sequence[tuple[str, str]]
) -> AsyncIterator[ClientSocket]:
    """Connect to `server` (http or https), ask `host` for `target`. Raises HandshakeRefused. No extensions are offered.

    The end of the block closes the connection, with or without a closing handshake before it.
    """
    stream: TcpStream | None = None
    opened: ClientSocket | None = None
    try:
        with trio.move_on_after(HANDSHAKE_PATIENCE_S):
            stream = await _dial(server)
            opened = await _shake_hands(stream, target, host, headers)
        if opened is None:
            raise HandshakeRefused("The server did not answer the WebSocket request in time.")
        yield opened
    finally:
        if stream is not None:
            await trio.aclose_forcefully(stream)


async def _dial(server: str) -> TcpStream:
    url = urlsplit(server)
    try:
        if url.scheme in ("https", "wss"):
            return await trio.open_ssl_over_tcp_stream(
                url.hostname or "", url.port or 443, https_compatible=True, ssl_context=ssl.create_default_context()
            )
        return await trio.open_tcp_stream(url.hostname or "", url.port or 80)
    except OSError as error:
        raise HandshakeRefused(f"Nobody answers at {url.netloc}: start the server, or name another.") from error


async def _shake_hands(stream: TcpStream, target: str, host: str, headers: Sequence[tuple[str, str]]) -> ClientSocket:
    protocol = WSConnection(ConnectionType.CLIENT)
    extra = [(name.encode(), value.encode()) for name, value in headers]
    try:
        await stream.send_all(protocol.send(Request(host=host, target=target, extra_headers=extra)))
        while True:
            for event in protocol.events():
                if isinstance(event, AcceptConnection):
                    return ClientSocket(stream, protocol)
                if isinstance(event, RejectConnection):
                    raise HandshakeRefused(
                        f"The server answered the WebSocket request with {event.status_code}.", status=event.status_code
                    )
            data = await stream.receive_some(RECEIVE_BYTES)
            if not data:
                raise HandshakeRefused("The server closed the connection during the WebSocket handshake.")
            protocol.receive_data(bytes(data))
    except (trio.BrokenResourceError, RemoteProtocolError) as error:
        raise HandshakeRefused("The server broke off the WebSocket handshake.") from error
