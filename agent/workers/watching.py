"""One worker shows what happens in all of them: to whoever watches all calls, and on the supervisor's screen.

Nothing is asked of a sibling while nobody watches here. One that goes takes its calls with it: the screen is then made
anew, without them. One that comes back is asked again.
"""

from collections.abc import Awaitable, Callable
from contextlib import suppress

import msgspec
import trio

from ..calls.broadcast import Broadcast
from ..calls.wall import Wall
from . import talk
from .peers import ANSWER_S, Peers
from .wire import GONE

AGAIN_S = 0.5
"""How soon a sibling that has gone is asked again."""
LINGER_S = 30.0
"""How long events are taken after the last watcher has gone: a browser that has lost its connection comes back."""
LOOK_EVERY_S = 1.0


class _Shown(msgspec.Struct):
    callSid: str
    state: str


_shown = msgspec.json.Decoder(_Shown)


class EventsOfAll:
    """Brings the siblings' events to this worker's watchers, under this worker's numbers."""

    def __init__(self, peers: Peers, broadcast: Broadcast) -> None:
        self._peers, self._broadcast = peers, broadcast
        self._seen: dict[int, talk.Watch] = {}
        """How far each sibling's events are known."""
        self._wanted = trio.Event()
        self._following: dict[int, trio.Event] = {slot: trio.Event() for slot in peers.slots}
        """Set while that sibling's events come in."""

    async def begin(self) -> None:
        """Somebody is about to watch: from now on the events of all siblings come in that answer."""
        self._wanted.set()
        with trio.move_on_after(ANSWER_S):
            for following in self._following.values():
                await following.wait()

    async def run(self) -> None:
        while True:
            await self._wanted.wait()
            self._wanted = trio.Event()  # who comes just as this ends is not overlooked
            await while_wanted(lambda: bool(self._broadcast.watchers_of_all), LINGER_S, self._peers.slots, self._follow)

    async def _follow(self, slot: int) -> None:
        def take(answer: bytes) -> None:
            event = talk.passed.decode(answer)
            if event.call_sid:
                self._broadcast.show(event.call_sid, event.ordinal, event.line, ours=False)
            if event.call_sid or slot not in self._seen or self._seen[slot].epoch != event.epoch:
                self._seen[slot] = talk.Watch(event.epoch, event.number)
            if not event.call_sid:  # what was missed has come, and is not taken for news by who watches from now on
                self._following[slot].set()

        try:
            await self._peers.follow(slot, self._seen.get(slot, talk.Watch("", 0)), take)
        finally:
            self._following[slot] = trio.Event()


class ScreenOfAll:
    """The siblings' calls for this worker's screen (`calls.wall.Others`)."""

    def __init__(self, peers: Peers, wall: Wall) -> None:
        self._peers, self._wall = peers, wall
        self._live: dict[int, set[str]] = {}
        self._news: dict[str, msgspec.Raw] = {}

    @property
    def live(self) -> int:
        return sum(map(len, self._live.values()))

    def news(self) -> list[msgspec.Raw]:
        news, self._news = list(self._news.values()), {}
        return news

    async def everything(self) -> list[msgspec.Raw]:
        return [msgspec.Raw(entry) for entry in await self._peers.screen()]

    async def run(self) -> None:
        while True:
            if not len(self._wall):
                await self._wall.watched.wait()
            await while_wanted(lambda: bool(len(self._wall)), 0.0, self._peers.slots, self._follow)
            self._news = {}

    async def _follow(self, slot: int) -> None:
        live: set[str] = set()
        self._live[slot] = live

        def take(answer: bytes) -> None:
            for entry in talk.entries.decode(answer):
                found = _shown.decode(entry)
                self._news[found.callSid] = msgspec.Raw(entry)
                (live.add if found.state == "live" else live.discard)(found.callSid)

        try:
            await self._peers.follow(slot, talk.News(), take)
        finally:
            del self._live[slot]
            if live:
                self._wall.everything_anew()


async def while_wanted(
    wanted: Callable[[], bool], linger_s: float, slots: list[int], follow: Callable[[int], Awaitable[None]]
) -> None:
    """Follow all siblings until nobody has wanted it for so long."""

    async def again_and_again(slot: int) -> None:
        while True:
            with suppress(*GONE):
                await follow(slot)
            await trio.sleep(AGAIN_S)

    async with trio.open_nursery() as nursery:
        for slot in slots:
            nursery.start_soon(again_and_again, slot)
        unwanted_since = trio.current_time()
        while trio.current_time() - unwanted_since <= linger_s or wanted():
            if wanted():
                unwanted_since = trio.current_time()
            await trio.sleep(LOOK_EVERY_S)
        nursery.cancel_scope.cancel()
