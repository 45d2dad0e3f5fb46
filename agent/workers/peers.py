"""A worker's siblings, as it speaks to them. One that does not answer is left out, never waited for."""

import os
from collections.abc import Callable, Sequence
from contextlib import suppress

import msgspec
import trio

from . import talk
from .berth import Berth
from .wire import GONE, Wire, dial

ANSWER_S = 0.5
"""How long a sibling may take to say whose a call is: somebody waits for it on the telephone."""
LIST_S = 2.0
"""The same for a list or a page."""
HAND_S = 2.0


class Silent(msgspec.Struct, frozen=True):
    """What is known of a sibling that did not answer in time: it is there, and may have the call."""


class Peers:
    """All functions come back in bounded time, whatever the siblings do."""

    def __init__(self, berth: Berth) -> None:
        self._berth = berth
        self.slots = [slot for slot in range(berth.count) if slot != berth.slot]

    async def whose(self, ids: tuple[str, ...]) -> dict[int, talk.Standing | Silent]:
        """What every sibling that lives says of itself, and whether it has the call of these ids."""
        found: dict[int, talk.Standing | Silent] = {}

        async def ask(slot: int) -> None:
            answer = await self._asked(slot, talk.Whose(ids), ANSWER_S)
            if isinstance(answer, bytes):
                found[slot] = talk.standing.decode(answer)
            elif answer is not None:
                found[slot] = answer

        async with trio.open_nursery() as nursery:
            for slot in self.slots:
                nursery.start_soon(ask, slot)
        return found

    def incarnation(self, slot: int) -> tuple[int, int] | None:
        """Tells the worker in this place from the one that will be there after it; None: nobody has been there yet."""
        try:
            found = os.stat(self._berth.path(slot))
        except OSError:
            return None
        return found.st_ino, found.st_ctime_ns

    async def take(self, slot: int, head: bytes, rest: bytes, files: Sequence[int]) -> bool:
        """Hand a connection over; False: nobody is there, and it is still ours."""
        with trio.move_on_after(HAND_S), suppress(*GONE), await dial(self._berth.path(slot)) as wire:
            await wire.send(talk.encode(talk.Take(head, rest)), files)
            return True
        return False

    async def live(self) -> list[bytes]:
        """The entries of all live calls of the siblings, as `GET /calls` lists them."""
        return await self._lists(talk.Live())

    async def screen(self) -> list[bytes]:
        """The same, as the supervisor's screen shows them."""
        return await self._lists(talk.Screen())

    async def pages(self) -> dict[int, bytes]:
        """The siblings' pages of numbers."""
        return await self._all(talk.Page())

    async def forget(self, call_sid: str) -> None:
        await self._all(talk.Forget(call_sid))

    async def follow(self, slot: int, message: talk.Message, take: Callable[[bytes], None]) -> None:
        """Have a plain function told everything that a sibling answers to this, until one of us goes. Raises what
        `wire.GONE` names."""
        with await dial(self._berth.path(slot)) as wire:
            await wire.send(talk.encode(message))
            while (answer := await wire.receive()) is not None:
                take(answer)

    async def _lists(self, message: talk.Message) -> list[bytes]:
        return [entry for answer in (await self._all(message)).values() for entry in talk.entries.decode(answer)]

    async def _all(self, message: talk.Message) -> dict[int, bytes]:
        answers: dict[int, bytes] = {}

        async def ask(slot: int) -> None:
            answer = await self._asked(slot, message, LIST_S)
            if isinstance(answer, bytes):
                answers[slot] = answer

        async with trio.open_nursery() as nursery:
            for slot in self.slots:
                nursery.start_soon(ask, slot)
        return dict(sorted(answers.items()))

    async def _asked(self, slot: int, message: talk.Message, patience_s: float) -> bytes | Silent | None:
        """One answer; None: nobody is there."""
        with trio.move_on_after(patience_s):
            try:
                with await dial(self._berth.path(slot)) as wire:
                    await wire.send(talk.encode(message))
                    return await wire.receive()
            except GONE:
                return None
        return Silent()


async def conversing(wire: Wire) -> talk.Message | None:
    """What somebody who came to us wants; None: nothing that can be understood."""
    with trio.move_on_after(HAND_S), suppress(*GONE, msgspec.MsgspecError):
        said = await wire.receive()
        return None if said is None else talk.message.decode(said)
    return None
