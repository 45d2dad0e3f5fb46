"""Another server beside the one under attack, with other settings; and peers that answer with whatever they like.

Its folder lies in the first one's: whatever it writes is searched at the end as well.
"""

import base64
import hashlib
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace

import trio

from .table import CLIENT_MAY_COST, MB, Breach
from .target import FILES, Server, Target

SAMPLE_S = 0.02
OTHER_CALLS_COST = 2 * MB
"""Granted to what else such a server does meanwhile for the first time: it has not been warmed up."""
WEBSOCKET_KEY = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"

OK = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"

Peer = Callable[[trio.SocketStream, bytes], Awaitable[None]]
"""Serves one connection, given the head of its request."""


@dataclass
class Cost:
    """What a server took in memory at its worst, above what it had when this began."""

    before: int
    peak: int = 0

    @property
    def megabytes(self) -> float:
        return (self.peak - self.before) / MB

    def check(self, clients: int = 1) -> str:
        """In words. Raises Breach where it is more than so many hostile clients may cost."""
        cost = self.peak - self.before
        if cost - OTHER_CALLS_COST > clients * CLIENT_MAY_COST:
            raise Breach(f"{clients} hostile peer(s) cost {cost / MB:.1f} MB")
        return f"{cost / MB:.1f} MB at the worst"


@asynccontextmanager
async def beside(target: Target, *, toml: str = "", files: int = FILES, **environment: str) -> AsyncIterator[Target]:
    """Such a server. Raises Breach where it died, or logged a fault of its own."""
    folder = target.server.folder / f"beside-{secrets.token_hex(4)}"
    (folder / "config").mkdir(parents=True)
    (folder / "config" / "callmood.toml").write_text(toml)
    known = {"VAPI_CONTROL_HOSTS": "127.0.0.1", "CALLMOOD_DATA": str(folder / "data"), "TMPDIR": str(folder)}
    settings = target.markers.environment(**{**known, **environment})
    other = replace(target, server=await trio.to_thread.run_sync(Server, folder, settings, files), environment=settings)
    try:
        yield other
        if other.is_dead or await other.has_died():
            raise Breach("the server died of it")
        if faults := other.faults(0):
            raise Breach(f"it logged a fault of its own: {faults[0]}")
    finally:
        other.server.kill()


@asynccontextmanager
async def watched(target: Target) -> AsyncIterator[Cost]:
    """Its memory, while the block lasts."""
    cost = Cost(target.server.memory)

    async def watch() -> None:
        while True:
            cost.peak = max(cost.peak, 0 if target.is_dead else target.server.memory)
            await trio.sleep(SAMPLE_S)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(watch)
        yield cost
        nursery.cancel_scope.cancel()


@asynccontextmanager
async def peer(behave: Peer) -> AsyncIterator[int]:
    """Somebody who is connected to, on a free port of this machine."""

    async def serve(stream: trio.SocketStream) -> None:
        with suppress(trio.BrokenResourceError, trio.ClosedResourceError):
            async with stream:
                head = bytearray()
                while b"\r\n\r\n" not in head and (piece := await stream.receive_some(65_536)):
                    head += piece
                await behave(stream, bytes(head))

    async with trio.open_nursery() as nursery:
        listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
        nursery.start_soon(trio.serve_listeners, serve, listeners)
        yield listeners[0].socket.getsockname()[1]
        nursery.cancel_scope.cancel()


async def shake_hands(stream: trio.SocketStream, head: bytes) -> None:
    """Agree to a WebSocket. Behind it every byte is the peer's."""
    key = next(line for line in head.split(b"\r\n") if line.lower().startswith(b"sec-websocket-key:"))
    accept = base64.b64encode(hashlib.sha1(key.split(b":")[1].strip() + WEBSOCKET_KEY).digest())
    await stream.send_all(
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n"
    )


async def repeat(stream: trio.SocketStream, data: bytes) -> None:
    """The same again and again, as fast as it is taken."""
    many = data * max(1, 65_536 // len(data))
    while True:
        await stream.send_all(many)


async def take_everything(stream: trio.SocketStream) -> None:
    with suppress(trio.BrokenResourceError, trio.ClosedResourceError):
        while await stream.receive_some(65_536):
            pass
