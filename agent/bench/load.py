"""Many callers at once, in one task: the load.

Time is cut into slots of a millisecond, twenty to a frame. Every call has a slot, so that they are spread as unrelated
calls are, and all that is due in a slot is sent in one go. The schedule is absolute: who comes late sends at once what
was due, skips nothing, and notes how late it was. A run whose load was late says little about its server.
"""

import math
from array import array
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import numpy as np
import trio
from wsproto.connection import ConnectionState
from wsproto.events import CloseConnection, Ping
from wsproto.utilities import ProtocolError

from ..groups import ungrouped
from ..http import client, httpx
from ..testing.pace import FRAME_MS
from .callers import Caller, Slot
from .dialling import Server, dial
from .frames import conversation
from .measure import Spread, spread

SLOTS = 20
DIALLING = 4
"""Calls that are being set up at once."""
EVERY_S = 0.04
"""Between two that begin: they come one after the other, as they do in life, and not in a flood."""
LEAVE_S = 10.0
RECEIVE_BYTES = 65_536


class Load:
    """Callers of one server. Open it with `calling`."""

    def __init__(self, server: Server, http: httpx.AsyncClient, nursery: trio.Nursery, speed: float) -> None:
        self._server, self._http, self._nursery = server, http, nursery
        self._slot_s = FRAME_MS / 1000 / SLOTS / speed
        self._began = trio.current_time()
        random = np.random.default_rng(11)
        self._slots = [Slot(conversation(), random) for _ in range(SLOTS)]
        self._late = array("d")
        self._weights = array("q")
        self.sent = 0
        """Frames so far."""

    @property
    def callers(self) -> list[Caller]:
        return [caller for slot in self._slots for caller in slot.callers]

    @property
    def lost(self) -> int:
        return sum(caller.lost for caller in self.callers)

    def lateness(self) -> Spread | None:
        """Milliseconds by which frames were sent late since this was asked last."""
        found = spread(self._late, self._weights)
        self._late, self._weights = array("d"), array("q")
        return found

    async def run(self) -> None:
        """Send what is due, until cancelled."""
        place = 0
        while True:
            slot = self._slots[place % SLOTS]
            due = self._began + place * self._slot_s
            if slot.callers or place % SLOTS == 0:
                await trio.sleep_until(due)
            if slot.callers:
                self._late.append(1000 * (trio.current_time() - due))
                self._weights.append(len(slot.callers))
                self.sent += slot.send(place // SLOTS)
            place += 1

    async def resize(self, calls: int) -> None:
        """Have so many calls: open more, or end the newest, and those that are lost. Raises CallmoodError when the
        server takes no more."""
        present = sorted((caller for caller in self.callers if not caller.lost), key=lambda caller: caller.first)
        kept = set(present[:calls])
        await self._end({caller for caller in self.callers if caller not in kept})
        turns = trio.CapacityLimiter(DIALLING)
        with ungrouped():
            async with trio.open_nursery() as nursery:
                for _ in range(calls - len(present)):
                    nursery.start_soon(self._open, turns)
                    await trio.sleep(EVERY_S)

    async def _open(self, turns: trio.CapacityLimiter) -> None:
        async with turns:
            line = await dial(self._server, self._http)
        slot = min(self._slots, key=lambda each: len(each.callers))
        # The turn that comes next in any slot, so that nothing is due in the past.
        first = math.ceil((trio.current_time() - self._began) / (self._slot_s * SLOTS)) + 1
        caller = Caller(line, slot, first)
        slot.change([*slot.callers, caller])
        self._nursery.start_soon(self._listen, caller)

    async def _listen(self, caller: Caller) -> None:
        """Take in what the server says: pings want an answer, and a close is the end."""
        line = caller.line
        while not caller.lost:
            try:
                await trio.lowlevel.wait_readable(line.socket)
                line.protocol.receive_data(line.socket.recv(RECEIVE_BYTES) or None)
                for event in line.protocol.events():
                    if isinstance(event, Ping) and line.protocol.state is ConnectionState.OPEN:
                        caller.send(line.protocol.send(event.response()))
                    elif isinstance(event, CloseConnection):
                        caller.lost = True
            except BlockingIOError:
                continue
            except (OSError, trio.ClosedResourceError, ProtocolError):
                caller.lost = True

    async def _end(self, callers: set[Caller]) -> None:
        """Hang up: `stop`, and the close, which the server may answer in its own time."""
        for slot in self._slots:
            leaving = [caller for caller in slot.callers if caller in callers]
            for caller in leaving:
                caller.hang_up()
            if leaving:
                slot.change(caller for caller in slot.callers if caller not in callers)
            await trio.lowlevel.checkpoint()
        with trio.move_on_after(LEAVE_S):
            while staying := [caller for caller in callers if not caller.lost]:  # it is the server's to close
                for caller in staying:
                    caller.send(b"")  # what is kept back, if anything
                await trio.sleep(0.02)
        for caller in callers:
            caller.close()


@asynccontextmanager
async def calling(server: Server, *, speed: float = 1.0) -> AsyncIterator[Load]:
    """A load without calls yet, sending while the block lasts; `speed`: times real time."""
    with ungrouped():
        async with client() as http, trio.open_nursery() as nursery:
            load = Load(server, http, nursery, speed)
            try:
                nursery.start_soon(load.run)
                yield load
                await load.resize(0)
            finally:
                for caller in load.callers:
                    caller.close()
                nursery.cancel_scope.cancel()
