"""One worker among the others: what the service gets beside its settings when there are several."""

import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import trio

from ..ingress.door import Door
from ..ledger.sqlite import Shared
from ..settings import Secret, Settings
from ..web.house import House
from .berth import Berth, share
from .desk import Desk
from .pages import RESTARTS, together
from .peers import Peers
from .placing import Placer
from .talk import Standing
from .watching import EventsOfAll, ScreenOfAll


class Crew:
    """This worker's siblings, for the parts of the service that show or forget more than its own calls
    (`web.house.Siblings`)."""

    def __init__(self, berth: Berth) -> None:
        self.berth = berth
        self.peers = Peers(berth)
        self.events: EventsOfAll | None = None
        """All workers' events, once this one has joined the others."""

    def settings(self, settings: Settings) -> Settings:
        """As they hold in this worker."""
        settings = share(settings, self.berth.slot, self.berth.count)
        return settings if settings.token else replace(settings, token=Secret(self.berth.token))

    @property
    def ledger(self) -> Shared:
        """This worker's part of the ledger."""
        return Shared(self.berth.writer, self.berth.recovers, sweeps=self.berth.slot == 0)

    async def live(self) -> list[bytes]:
        return await self.peers.live()

    async def forget(self, call_sid: str) -> None:
        await self.peers.forget(call_sid)

    async def begin_events(self) -> None:
        if self.events is not None:
            await self.events.begin()

    async def page(self, own: bytes) -> bytes:
        """The numbers of all workers; those of one that does not answer are missing, and said to be."""
        return together({self.berth.slot: self.said(own), **await self.peers.pages()}, self.berth.count)

    def said(self, own: bytes) -> bytes:
        """This worker's numbers, and its supervisor's of it."""
        return own + RESTARTS.format(count=self.berth.restarts).encode()

    async def room_elsewhere(self) -> bool:
        """Whether a sibling takes new calls."""
        found = await self.peers.whose(())
        return any(isinstance(each, Standing) and each.room for each in found.values())

    @asynccontextmanager
    async def joined(self, house: House, door: Door, server: trio.Nursery) -> AsyncIterator[None]:
        """Among the others: what is theirs goes there, and what is ours comes from there."""
        door.elsewhere = Placer(self.berth, house, self.peers)
        screen = ScreenOfAll(self.peers, house.wall)
        house.wall.others = screen
        await server.start(Desk(self.berth, house, door, lambda: self.said(house.metrics.page())).serve)
        server.start_soon(screen.run)
        self.events = EventsOfAll(self.peers, house.directory.broadcast)
        server.start_soon(self.events.run)
        yield

    def listeners(self) -> list[trio.SocketListener]:
        """On the port that all workers share. A connection that nobody has accepted yet is nobody's, so that none is
        lost with a worker."""
        sockets = [socket.socket(fileno=file) for file in self.berth.listeners]
        return [trio.SocketListener(trio.socket.from_stdlib_socket(each)) for each in sockets]
