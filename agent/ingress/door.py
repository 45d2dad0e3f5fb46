"""The one listening port. It reads the head of a connection's first request, and the form behind it where a caller
waits for the answer, and hands the connection on.

`GET /audio-stream/…` is a caller's line and goes to our own WebSocket code: Hypercorn would throw unread messages away
when a peer leaves, buffer without bound, and hide close codes. Everything else is relayed to Hypercorn on a private
unix socket, one request a connection: so every request's head passes here, is bounded in size and time, and carries the
address it came from, while all other bodies, of any length, and endless answers flow through unseen.
"""

import socket
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from math import inf
from typing import BinaryIO, NamedTuple

import structlog
import trio

from ..errors import ConfigError
from .request import MEDIA, URGENT, is_urgent, read_form, read_head, rewritten

log = structlog.get_logger()

WATCHING = b"GET /events"
"""Whoever watches wants to know how things are, not how they were: little may wait on the way to them."""
WATCHERS_SHARE = 3 / 4
"""Of the places for requests that are not urgent: whoever stays must leave some to those that come and go."""
WATCHING_BUFFER = 16 * 1024
"""Bytes, which the system doubles for its own needs."""
ANSWERS = b"POST /llm/"
"""Requests for what an assistant says next: for seconds each, and perhaps one for each call. They have places of their
own: a model that stalls must not keep messages away, nor may anything else keep an assistant silent."""
HEAD_S = 10.0
"""How long a head, or a form, may take to arrive: a trickle of bytes holds no place for long."""
STRANGERS = 1024
"""Connections whose head or form has not arrived yet; one more, and the oldest of them is closed."""
RELAYS = 512
"""Requests in flight at once, event streams included."""
RESERVED = 128
"""Of these, kept free for urgent requests; a quarter at the most."""
OF_FILES, REQUESTS_OF_FILES, STRANGERS_OF_FILES = 3 / 4, 1 / 8, 1 / 16
"""Of the files that this process may have open: what the door takes at the most, and how many requests of either sort,
with three files each, that is at the most; strangers may have what these leave, and so much in any case. The rest is
for the calls and the ledger."""
FILES_A_REQUEST = 3
PIECE = 64 * 1024

OVERLOADED = (503, "overloaded", "Too many requests are in flight: try again shortly.")

_GONE = (trio.BrokenResourceError, trio.ClosedResourceError, OSError)


class Kept(NamedTuple):
    """A request that is to be answered here, as far as it has been read."""

    head: bytes
    rest: bytes
    body: BinaryIO | None = None
    """What came behind the head, where that is long; `rest` is empty then."""


class Door:
    """Hands connections on. `media` serves a line, given its request's head and what came behind it; `upstream` is the
    path of Hypercorn's socket."""

    def __init__(
        self,
        media: Callable[[trio.SocketStream, bytes, bytes], Awaitable[None]],
        upstream: str,
        *,
        answers: int = RELAYS,
        files: float = inf,
    ) -> None:
        """`answers`: places for requests for an assistant's next words. `files`: how many this process may open; where
        these are few, there are fewer places."""
        self._media, self._upstream = media, upstream
        self._files = files
        self._places = min(RELAYS, REQUESTS_OF_FILES * files)
        self._ordinary = self._places - min(RESERVED, self._places // 4)
        self._answer_places = min(answers, REQUESTS_OF_FILES * files)
        self._relays = self._answers = 0
        self._strangers: OrderedDict[trio.CancelScope, None] = OrderedDict()
        self.elsewhere: Callable[[trio.SocketStream, bytes, bytes], Awaitable[Kept | None]] | None = None
        """Where there are several workers: hands a connection over to the one whose it is, or says that it is ours."""

    async def answer(self, stream: trio.SocketStream) -> None:
        """One connection. Whatever goes wrong with it stays with it."""
        try:
            head, rest = await self._first_request(stream)
            kept = Kept(head, rest) if head else None
            if kept is not None and self.elsewhere is not None:
                kept = await self.elsewhere(stream, head, rest)
            if kept is not None:
                await self.keep(stream, kept)
        except* _GONE:
            pass
        except* Exception as bugs:
            log.error("door.failed", exc_info=bugs)
        finally:
            await trio.aclose_forcefully(stream)

    async def keep(self, stream: trio.SocketStream, kept: Kept) -> None:
        """One connection that is ours, from its first request on."""
        try:
            if kept.head.startswith(MEDIA):
                await self._media(stream, kept.head, kept.rest)
            else:
                await self._relay(stream, kept)
        finally:
            if kept.body is not None:
                kept.body.close()
            await trio.aclose_forcefully(stream)

    @property
    def _stranger_places(self) -> float:
        in_flight = FILES_A_REQUEST * (self._relays + self._answers)
        return min(STRANGERS, max(STRANGERS_OF_FILES * self._files, OF_FILES * self._files - in_flight))

    async def _first_request(self, stream: trio.SocketStream) -> tuple[bytes, bytes]:
        """Its head, and what came behind it; empty where it was refused."""
        # The oldest give way, or whoever says nothing could shut everybody out.
        while len(self._strangers) >= self._stranger_places:
            self._strangers.popitem(last=False)[0].cancel()
        seen, head = bytearray(), b""
        with trio.move_on_after(HEAD_S) as patience:
            self._strangers[patience] = None
            try:
                head, rest = await read_head(stream, seen)
                body = await read_form(stream, head, rest) if head.startswith(URGENT) else rest
            finally:
                gave_way = patience not in self._strangers
                self._strangers.pop(patience, None)
            if body is None:
                return b"", b""
            if head:
                return head, body
        if head and gave_way:
            await refuse(stream, *OVERLOADED)
        elif head:
            await refuse(stream, 408, "too_slow", "The body took too long to arrive.")
        elif seen:
            await refuse(stream, 431, "head_too_large", "The request's head is too large, too slow or not HTTP/1.1.")
        return b"", b""

    async def _relay(self, stream: trio.SocketStream, kept: Kept) -> None:
        if kept.head.startswith(ANSWERS):
            await self._relay_answer(stream, kept)
            return
        if self._relays >= self._places_for(kept):
            await refuse(stream, *OVERLOADED)
            return
        self._relays += 1
        try:
            await self._relay_request(stream, kept)
        finally:
            self._relays -= 1

    def _places_for(self, kept: Kept) -> float:
        if is_urgent(kept.head, kept.rest):
            return self._places
        return WATCHERS_SHARE * self._ordinary if kept.head.startswith(WATCHING) else self._ordinary

    async def _relay_answer(self, stream: trio.SocketStream, kept: Kept) -> None:
        if self._answers >= self._answer_places:
            await refuse(stream, *OVERLOADED)
            return
        self._answers += 1
        try:
            await self._relay_request(stream, kept)
        finally:
            self._answers -= 1

    async def _relay_request(self, stream: trio.SocketStream, kept: Kept) -> None:
        peer = stream.socket.getpeername()[0]
        if kept.head.startswith(WATCHING):
            stream.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, WATCHING_BUFFER)
        async with await trio.open_unix_socket(self._upstream) as upstream, trio.open_nursery() as nursery:
            await upstream.send_all(rewritten(kept.head, peer) + kept.rest)
            nursery.start_soon(pour, stream, upstream, kept.body)
            await pour(upstream, stream)
            nursery.cancel_scope.cancel()


async def pour(source: trio.SocketStream, sink: trio.SocketStream, first: BinaryIO | None = None) -> None:
    """Copy until the source ends, however it ends, and end the sink. A file goes first."""
    with suppress(*_GONE):
        while first is not None and (piece := await trio.to_thread.run_sync(first.read, PIECE)):
            await sink.send_all(piece)
        while piece := await source.receive_some(PIECE):
            await sink.send_all(piece)
    with suppress(*_GONE):
        await sink.send_eof()


async def refuse(stream: trio.SocketStream, status: int, code: str, message: str) -> None:
    """An answer of the door's own."""
    body = f'{{"error":{{"code":"{code}","message":"{message}"}}}}'.encode()
    head = (
        f"HTTP/1.1 {status} Refused\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n"
        "Connection: close\r\n\r\n"
    )
    with suppress(*_GONE), trio.move_on_after(1):
        await stream.send_all(head.encode() + body)


async def listen(host: str, port: int) -> list[trio.SocketListener]:
    """Raises ConfigError."""
    try:
        return await trio.open_tcp_listeners(port, host=host, backlog=1024)
    except OSError as error:
        raise ConfigError(
            f"port {port} on {host} cannot be listened on ({error.strerror}): choose another with --port and --host, "
            "or wait until a Callmood that drains there has ended"
        ) from None


def bracketed(host: str) -> str:
    """A host as it stands in an address."""
    return f"[{host}]" if ":" in host else host


async def serve_door(
    door: Door,
    *,
    host: str,
    port: int,
    listeners: Sequence[trio.SocketListener] = (),
    task_status: trio.TaskStatus[int] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Listen until cancelled, on these listeners or on ones of our own; reports the port, which matters where 0 asked
    for a free one. Raises ConfigError."""
    listeners = listeners or await listen(host, port)
    task_status.started(listeners[0].socket.getsockname()[1])
    await trio.serve_listeners(door.answer, list(listeners))
