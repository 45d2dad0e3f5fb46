"""A small HTTP/1.1 server that can be told to behave badly: h11 over Trio streams, loopback only.

A framework would protect its clients from what a fake vendor is for: stalling in the middle, resetting connections,
answering with bytes that are not HTTP, and not being there at all.
"""

import socket
import struct
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import Enum

import h11
import trio
from wsproto import WSConnection
from wsproto.connection import ConnectionType
from wsproto.events import AcceptConnection, Request
from wsproto.utilities import RemoteProtocolError

from .sockets import ClientSocket

MAX_BODY = 1 << 20
MAX_CONNECTIONS = 256
RECEIVE_BYTES = 65_536
GARBAGE = b"\x16\x03\x01 this is not HTTP \x00\xff\r\n\r\n"


@dataclass(frozen=True, slots=True)
class HttpRequest:
    method: str
    target: str
    headers: tuple[tuple[str, str], ...]
    """Names in lower case."""
    body: bytes

    def header(self, name: str) -> str | None:
        return next((value for known, value in self.headers if known == name.lower()), None)

    @property
    def path(self) -> str:
        return self.target.partition("?")[0]


@dataclass(frozen=True, slots=True)
class HttpResponse:
    status: int
    body: bytes = b""
    headers: tuple[tuple[str, str], ...] = ()


class Misbehaviour(Enum):
    """What a handler may return instead of a response."""

    STALL = "never answer, until the client gives up"
    RESET = "RST instead of an answer"
    GARBAGE = "bytes that are not HTTP, then the end"


@dataclass(frozen=True, slots=True)
class Upgrade:
    """What a handler may return to a WebSocket request: it is accepted, and served until this returns."""

    serve: Callable[[ClientSocket], Awaitable[None]]
    """Gets our end of the socket; the connection is closed afterwards, with or without a closing handshake."""


Handler = Callable[[HttpRequest], Awaitable[HttpResponse | Misbehaviour | Upgrade]]


class HttpServer:
    """One listener on 127.0.0.1, on a port of its own."""

    def __init__(self, handler: Handler, *, max_body: int = MAX_BODY) -> None:
        self._handler, self._max_body = handler, max_body
        self._accepting = trio.CancelScope()
        self._may_accept = trio.Event()
        self._may_accept.set()
        self.port = 0
        self.connections = 0
        """Open now."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def refuse(self) -> None:
        """Close the port and every connection: from now on nobody is there."""
        if self._may_accept.is_set():
            self._may_accept = trio.Event()
            self._accepting.cancel(reason="the server refuses connections")

    def accept(self) -> None:
        """Be there again, on the same port."""
        self._may_accept.set()

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Serve until cancelled; with `nursery.start`, that returns once it listens."""
        while True:
            with trio.CancelScope() as self._accepting:
                [listener] = await trio.open_tcp_listeners(self.port, host="127.0.0.1")
                if not self.port:
                    self.port = listener.socket.getsockname()[1]
                    task_status.started()
                await trio.serve_listeners(self._serve, [listener])
            await self._may_accept.wait()

    async def _serve(self, stream: trio.SocketStream) -> None:
        if self.connections >= MAX_CONNECTIONS:
            await trio.aclose_forcefully(stream)
            return
        self.connections += 1
        try:
            async with stream:
                await self._converse(stream)
        except (trio.BrokenResourceError, h11.RemoteProtocolError):
            pass  # the client has gone, or speaks something else: its loss
        finally:
            self.connections -= 1

    async def _converse(self, stream: trio.SocketStream) -> None:
        connection = h11.Connection(h11.SERVER)
        while (request := await _read_request(connection, stream, self._max_body)) is not None:
            answer = await self._handler(request)
            if isinstance(answer, Upgrade):
                await _switch(connection, stream, request, answer)
                return
            if isinstance(answer, Misbehaviour):
                await _misbehave(stream, answer)
                return
            await stream.send_all(_encode(connection, answer))
            if connection.our_state is h11.MUST_CLOSE:
                return
            connection.start_next_cycle()


async def read_whole(
    connection: h11.Connection, stream: trio.SocketStream, max_body: int
) -> tuple[h11.Request, bytes] | None:
    """The next request, head and body; None when the client has no more, or sends more than anybody should."""
    head: h11.Request | None = None
    body = bytearray()
    while len(body) <= max_body:
        event = connection.next_event()
        if event is h11.NEED_DATA:
            connection.receive_data(await stream.receive_some(RECEIVE_BYTES))
        elif isinstance(event, h11.Request):
            head = event
        elif isinstance(event, h11.Data):
            body += event.data
        elif isinstance(event, h11.EndOfMessage) and head is not None:
            return head, bytes(body)
        else:
            return None
    return None


async def _read_request(connection: h11.Connection, stream: trio.SocketStream, max_body: int) -> HttpRequest | None:
    if (whole := await read_whole(connection, stream, max_body)) is None:
        return None
    head, body = whole
    headers = tuple((name.decode("latin-1"), value.decode("latin-1")) for name, value in head.headers)
    return HttpRequest(head.method.decode(), head.target.decode(), headers, body)


async def _switch(connection: h11.Connection, stream: trio.SocketStream, request: HttpRequest, to: Upgrade) -> None:
    """From HTTP to WebSocket. No extensions are accepted."""
    protocol = WSConnection(ConnectionType.SERVER)
    headers = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in request.headers]
    try:
        protocol.initiate_upgrade_connection(headers, request.target)
        asked = next(iter(protocol.events()), None)
    except RemoteProtocolError:
        asked = None
    if not isinstance(asked, Request):
        await stream.send_all(_encode(connection, HttpResponse(400)))
        return
    await stream.send_all(protocol.send(AcceptConnection()))
    if early := connection.trailing_data[0]:
        protocol.receive_data(early)
    await to.serve(ClientSocket(stream, protocol))


async def _misbehave(stream: trio.SocketStream, how: Misbehaviour) -> None:
    match how:
        case Misbehaviour.STALL:
            async for _ in stream:
                pass
        case Misbehaviour.RESET:
            stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        case Misbehaviour.GARBAGE:
            await stream.send_all(GARBAGE)


def _encode(connection: h11.Connection, answer: HttpResponse) -> bytes:
    headers = [*answer.headers, ("Content-Length", str(len(answer.body)))]
    parts = [
        connection.send(h11.Response(status_code=answer.status, headers=headers)),
        connection.send(h11.Data(data=answer.body)),
        connection.send(h11.EndOfMessage()),
    ]
    return b"".join(part for part in parts if part)
