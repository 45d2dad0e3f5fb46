"""What a worker does for its siblings: answers their questions, and takes what they hand over."""

import os
from collections.abc import Awaitable, Callable
from contextlib import suppress

import msgspec
import structlog
import trio

from ..calls.broadcast import Shown
from ..calls.shown import entry_of
from ..errors import LedgerUnavailable
from ..ingress.door import Door, Kept
from ..web.house import House
from . import talk
from .berth import Berth
from .peers import conversing
from .placing import has_room, of_ours
from .wire import GONE, Wire, connection

log = structlog.get_logger()

BACKLOG = 1024
FLUSH_S = 1.0
"""How long a list waits for the disk."""
NEWS_WAITING = 4
"""Lists of changes that may wait for a sibling; one that takes them too slowly begins anew."""


class Desk:
    """One worker's."""

    def __init__(self, berth: Berth, house: House, door: Door, page: Callable[[], bytes]) -> None:
        """`page`: this worker's numbers."""
        self._berth, self._house, self._door, self._page = berth, house, door, page

    async def serve(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Answer until cancelled."""
        sock = await bound(self._berth.path(self._berth.slot))
        sock.listen(BACKLOG)
        task_status.started()
        await trio.serve_listeners(self._answer, [trio.SocketListener(sock)])

    async def _answer(self, stream: trio.SocketStream) -> None:
        try:
            with Wire(stream.socket) as wire:
                message = await conversing(wire)
                kept = taken(wire, message) if isinstance(message, talk.Take) else None
                if kept is None and message is not None:
                    await self._say(wire, message)
            if kept is not None:
                await self._door.keep(*kept)
        except* GONE:
            pass
        except* Exception as bugs:
            log.error("workers.failed", exc_info=bugs)

    async def _say(self, wire: Wire, message: talk.Message) -> None:
        house = self._house
        match message:
            case talk.Whose(ids):
                await wire.send(talk.encode(talk.Standing(of_ours(house, ids), has_room(house))))
            case talk.Live():
                await wire.send(talk.encode(await self._live()))
            case talk.Page():
                await wire.send(self._page())
            case talk.Forget(call_sid):
                house.directory.broadcast.forget(call_sid)
                await wire.send(b"")
            case talk.Screen():
                await wire.send(talk.listed(house.wall.entries()))
            case talk.News():
                await while_heard(wire, self._tell_news)
            case talk.Watch():
                await while_heard(wire, lambda wire: self._pass_on(wire, message))

    async def _live(self) -> list[bytes]:
        """First what lives, then the disk: a call that ends meanwhile is in one of them."""
        entries = [msgspec.json.encode(entry_of(call)) for call in self._house.directory]
        with trio.move_on_after(FLUSH_S), suppress(LedgerUnavailable):
            await self._house.ledger.flush()
        return entries

    async def _tell_news(self, wire: Wire) -> None:
        """Returns when the sibling does not keep up, which leaves it to come again."""
        outbox, inbox = trio.open_memory_channel[list[dict[str, object]]](NEWS_WAITING)

        def feed(entries: list[dict[str, object]]) -> None:
            try:
                outbox.send_nowait(entries)
            except trio.WouldBlock:
                outbox.close()
            except trio.ClosedResourceError:
                pass

        self._house.wall.feeds.add(feed)
        try:
            await wire.send(talk.listed(self._house.wall.entries()))
            async for entries in inbox:
                await wire.send(talk.listed(entries))
        finally:
            self._house.wall.feeds.discard(feed)
            outbox.close()
            inbox.close()

    async def _pass_on(self, wire: Wire, wanted: talk.Watch) -> None:
        broadcast = self._house.directory.broadcast

        async def tell(shown: Shown) -> None:
            if shown.ours:
                event = talk.Passed(broadcast.epoch, shown.number, shown.call_sid, shown.ordinal, shown.line)
                await wire.send(talk.encode(event))

        with broadcast.watch(by_sibling=True) as inbox:
            missed = broadcast.since(wanted.number) if wanted.epoch == broadcast.epoch else []
            newest = broadcast.newest
            for shown in missed:
                await tell(shown)
            # Where it stood: what was missed has been said, to nobody who begins to watch only now, and what comes
            # while nobody is listening any more is asked for by its number.
            await wire.send(talk.encode(talk.Passed(broadcast.epoch, newest, "", 0, b"")))
            async for shown in inbox:
                await tell(shown)


async def bound(path: str) -> trio.socket.SocketType:
    """A socket there, in the place of the one of the worker that was here before."""
    with suppress(FileNotFoundError):
        await trio.Path(path).unlink()
    sock = trio.socket.socket(trio.socket.AF_UNIX, trio.socket.SOCK_STREAM)
    await sock.bind(path)
    return sock


def taken(wire: Wire, message: talk.Take) -> tuple[trio.SocketStream, Kept] | None:
    """What has been handed over; None where no connection came with it."""
    files = wire.files()
    if not files:
        return None
    body = os.fdopen(files[1], "rb") if len(files) > 1 else None
    return connection(files[0]), Kept(message.head, message.rest, body)


async def while_heard(wire: Wire, work: Callable[[Wire], Awaitable[None]]) -> None:
    """Do this until it is done or the sibling has gone, which is noticed although nothing is said."""
    async with trio.open_nursery() as nursery:

        async def listen() -> None:
            with suppress(*GONE):
                await wire.receive()
            nursery.cancel_scope.cancel()

        nursery.start_soon(listen)
        await work(wire)
        nursery.cancel_scope.cancel()
