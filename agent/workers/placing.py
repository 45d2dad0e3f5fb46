"""Whose a connection is, and handing it over.

In this order: a call that is here is ours; a sibling that has said that it has the call has it; else all siblings are
asked. What nobody has belongs where the call would begin, which the id alone decides, among the workers that live and
take calls. That place is the same wherever the question comes up.
"""

from collections import OrderedDict
from functools import partial

import trio

from ..ingress.door import OVERLOADED, RESERVED, Kept, refuse
from ..ingress.request import MEDIA, is_urgent
from ..web.house import House
from ..web.vapi import UNPROVEN_S
from .arrivals import Arrival, Reading
from .berth import Berth, weight
from .peers import Peers, Silent
from .talk import Standing
from .whose import EVENTS, Kind, ids_in, in_path, kind_of, path_of, usable

PLACING = 512
"""Requests at once whose place is being found; some of these are kept for those that callers wait for. Beside them
callers' lines have places of their own: they say at once whose they are, and who sends bodies slowly must not keep them
away."""
REMEMBERED = 20_000
"""Ids of which a sibling has said that they are its own, two a call."""


class Placer:
    """The door's way to the other workers."""

    def __init__(self, berth: Berth, house: House, peers: Peers) -> None:
        self._berth, self._house, self._peers = berth, house, peers
        self._reading = Reading(berth.folder)
        self._threads = trio.CapacityLimiter(2)  # a long body taken apart is several times its size
        self._known: OrderedDict[str, tuple[int, tuple[int, int] | None]] = OrderedDict()
        """Which sibling, and which of those that have had its place."""
        self._placing = 0

    async def __call__(self, stream: trio.SocketStream, head: bytes, rest: bytes) -> Kept | None:
        """The request, as far as it has been read; None: somebody else has it now."""
        if self._placing >= places(head, rest):
            await refuse(stream, *OVERLOADED)
            return None
        self._placing += 1
        arrival = Arrival(head, bytearray(rest))
        try:
            if await self._settled(stream, arrival):
                arrival.close()
                return None
        except BaseException:
            arrival.close()
            raise
        finally:
            self._placing -= 1
        return Kept(arrival.head, bytes(arrival.rest), arrival.file)

    async def _settled(self, stream: trio.SocketStream, arrival: Arrival) -> bool:
        """Whether it has been handed over."""
        kind = kind_of(arrival.method, arrival.target)
        ids = await self._ids(stream, arrival, kind)
        files = [stream.socket.fileno(), *([] if arrival.file is None else [arrival.file.fileno()])]
        if not ids and self._house.directory.draining and await self._left_to_others(arrival, files):
            return True
        if ids is None:
            return False
        if (known := self._remembered(ids)) is not None:
            if await self._peers.take(known, arrival.head, bytes(arrival.rest), files):
                return True
            self._forget(ids)  # whoever has the call now, it is not that one
        for slot in await self._slots(ids, begins=kind is not None and kind.begins):
            if slot == self._berth.slot:
                return False
            if await self._peers.take(slot, arrival.head, bytes(arrival.rest), files):
                return True
        return False

    async def _left_to_others(self, arrival: Arrival, files: list[int]) -> bool:
        """Whether somebody else has it now: while this worker alone is about to end, the service is not."""
        for slot, standing in (await self._peers.whose(())).items():
            has_room = isinstance(standing, Standing) and standing.room
            if has_room and await self._peers.take(slot, arrival.head, bytes(arrival.rest), files):
                return True
        return False

    async def _ids(self, stream: trio.SocketStream, arrival: Arrival, kind: Kind | None) -> tuple[str, ...] | None:
        """What names the call it is about; None: it is about none, and can be answered anywhere."""
        if kind is None:
            sid = in_path(arrival.target)
            if sid is None:
                return () if path_of(arrival.target) == EVENTS else None
            return usable([sid]) or None
        house = self._house
        within_s = UNPROVEN_S if kind.unproven and house.vapi_auth.signs_body else kind.within_s
        proves = partial(kind.proves, house)
        if not await self._reading.read(stream, arrival, proves, within_s, kind.largest):
            return None
        if arrival.file is None:
            return ids_in(house, kind, arrival) or None
        return await trio.to_thread.run_sync(ids_in, house, kind, arrival, limiter=self._threads) or None

    async def _slots(self, ids: tuple[str, ...], *, begins: bool) -> list[int]:
        """Where it belongs, and where it goes if nobody is there. The first of the ids says where the call begins."""
        mine = self._berth.slot
        if not ids:  # the events of all calls are shown by one worker, whose numbers who comes back can go by
            return list(range(mine + 1))
        if of_ours(self._house, ids):
            return [mine]
        standings = await self._peers.whose(ids)
        for slot, standing in standings.items():
            if isinstance(standing, Standing) and standing.has:
                self._remember(standing.has, slot)
                return [slot, mine]
        return self._beginnings(ids[0], standings, begins=begins)

    def _beginnings(self, key: str, standings: dict[int, Standing | Silent], *, begins: bool) -> list[int]:
        """The worker with which a call of this id begins, and those that would be next. Nobody waits on the telephone
        for one that does not answer; for anything else it may be that it has the call."""
        mine = self._berth.slot
        there = {mine, *(slot for slot, each in standings.items() if isinstance(each, Standing) or not begins)}
        full = {slot for slot, each in standings.items() if isinstance(each, Standing) and not each.room}
        if not has_room(self._house):
            full.add(mine)
        return sorted(there - full or there, key=lambda slot: weight(key, slot), reverse=True)

    def _remembered(self, ids: tuple[str, ...]) -> int | None:
        """The sibling that is known to have the call, unless it is ours or its worker is another by now: a call does
        not come back with it."""
        slot, which = next((self._known[sid] for sid in ids if sid in self._known), (None, None))
        if slot is None or of_ours(self._house, ids):
            return None
        if which != self._peers.incarnation(slot):
            self._forget(ids)
            return None
        return slot

    def _forget(self, ids: tuple[str, ...]) -> None:
        for sid in ids:
            self._known.pop(sid, None)

    def _remember(self, ids: tuple[str, ...], slot: int) -> None:
        which = self._peers.incarnation(slot)
        for sid in ids:
            self._known[sid] = slot, which
            self._known.move_to_end(sid)
        while len(self._known) > REMEMBERED:
            self._known.popitem(last=False)


def places(head: bytes, rest: bytes) -> int:
    """How many may be on their way when one like this comes."""
    if head.startswith(MEDIA):
        return PLACING + RESERVED
    return PLACING if is_urgent(head, rest) else PLACING - RESERVED


def of_ours(house: House, ids: tuple[str, ...]) -> tuple[str, ...]:
    """Those of these ids whose call is ours, or was."""
    return tuple(sid for sid in ids if house.directory.has(sid) or house.mode.knows((sid,)))


def has_room(house: House) -> bool:
    return not (house.directory.full or house.directory.draining)
