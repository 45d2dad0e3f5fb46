"""The supervisor's screen, as one message a second for everybody who looks at it.

All live calls are looked at about once a second, watched or not, so that it is known since when each caller stands
where they do. While somebody watches, what has changed since the last time becomes one message, encoded once and, where
wanted, compressed once, whoever it is sent to. A viewer holds no queue: it asks for the next message when it has sent
the last, and one who has missed any is given everything anew, as is one who has just come.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime

import msgspec
import structlog
import trio

from ..core.curve import Anger
from ..core.instants import instant
from ..core.levels import Bar
from ..core.rulebook import RuleBook
from ..settings import Settings
from .call import Call
from .directory import CallDirectory
from .setup import setup
from .shown import ended_entry_of, look, screen_entry_of
from .telling import Message, Others, Told, as_told, encode, message, ready

log = structlog.get_logger()

EVERY_S = 0.9
"""So that what is on a screen is never older than a second, its way there included."""
AT_ONCE = 64
"""Calls looked at before anybody else has a turn: a note to an assistant does not wait for the screen."""


class Viewer:
    """One who looks. Ask for the next message as soon as the last has been sent."""

    def __init__(self, wall: "Wall", *, takes_packed: bool) -> None:
        self._wall, self.takes_packed = wall, takes_packed
        self.seen = 0
        """The number of the newest message it was given."""
        self.wants_all = True

    async def next(self) -> bytes:
        """Waits for the next message; what was missed meanwhile is in it."""
        while True:
            if (newer := self._wall.newer_than(self)) is not None:
                self.seen, self.wants_all = self._wall.number, False
                return newer.packed if self.takes_packed else newer.plain
            await self._wall.made.wait()


class Wall:
    """One service's. `run` makes the messages; everything else neither waits nor fails."""

    def __init__(self, directory: CallDirectory, settings: Settings) -> None:
        self._directory, self._settings = directory, settings
        self._setup = setup(settings)
        self._book: RuleBook | None = None
        self._bar = self._measured_by()
        self._viewers: set[Viewer] = set()
        self.number = 0
        """Of the newest message, from 1."""
        self.made = trio.Event()
        """The next one is there."""
        self._news: Message | None = None
        self._all: Message | None = None
        self._made_at = self._all_at = -EVERY_S
        self._wanted = trio.Event()
        self._failed = False
        self._told: dict[str, Told] = {}
        """What was last told of each live call, while somebody watches."""
        self._ended: dict[str, dict[str, object]] = {}
        self.watched = trio.Event()
        """Set, and made anew, when somebody begins to look."""
        self.others: Others | None = None
        self.feeds: set[Callable[[list[dict[str, object]]], None]] = set()
        """Plain functions that are given what has changed, each time: what other workers show of our calls."""
        directory.broadcast.listen(self._note)
        directory.broadcast.forgets(self._forget)

    def __len__(self) -> int:
        return len(self._viewers)

    @contextmanager
    def watch(self, *, takes_packed: bool = False) -> Iterator[Viewer]:
        """A viewer, as long as the block lasts."""
        viewer = Viewer(self, takes_packed=takes_packed)
        self._viewers.add(viewer)
        self.watched.set()
        self.watched = trio.Event()
        try:
            yield viewer
        finally:
            self._viewers.discard(viewer)

    def entries(self) -> list[dict[str, object]]:
        """All live calls as they are shown now, with the last minute."""
        now, bar = trio.current_time(), self._measured_by()
        live = {call: look(call, bar, now) for call in self._directory if call.outcome is None}
        return [screen_entry_of(call, anger, whole=True) for call, anger in live.items()]

    def entry(self, call_sid: str) -> bytes:
        """One call as it stands now, as JSON; its entry is null once it has ended."""
        call, entry = self._directory.find(call_sid), None
        if call is not None and call.outcome is None:
            entry = screen_entry_of(call, look(call, self._measured_by(), trio.current_time()), whole=False)
        return encode({"at": instant(datetime.now(UTC)), "call": entry})

    def everything_anew(self) -> None:
        """Every viewer is given everything at the next look: calls have gone of which nobody can say how."""
        for viewer in self._viewers:
            viewer.wants_all = True
            viewer.seen = 0
        self._all = None
        self._wanted.set()

    def newer_than(self, viewer: Viewer) -> Message | None:
        """What this viewer lacks; None: nothing, or it is still to be made."""
        if viewer.seen == self.number > 0:
            return None
        if viewer.seen == self.number - 1 and viewer.seen and self._fits(self._news, viewer):
            return self._news
        if self._fits(self._all, viewer):
            return self._all
        viewer.wants_all = True
        self._wanted.set()
        return None

    @staticmethod
    def _fits(message: Message | None, viewer: Viewer) -> bool:
        return message is not None and bool(message.packed or not viewer.takes_packed)

    async def run(self) -> None:
        """Look and tell, until cancelled. A fault of ours costs a look, and is said once."""
        while True:
            with trio.CancelScope(deadline=self._made_at + EVERY_S):
                await self._wanted.wait()  # somebody has come: everything is made anew, but not more often than that
                await trio.sleep_until(self._all_at + EVERY_S)
            self._wanted = trio.Event()
            self._made_at = trio.current_time()
            try:
                await self._look()
            except Exception as bug:
                self.everything_anew()
                self._all_at = self._made_at  # and not before it is time
                if not self._failed:
                    self._failed = True
                    log.error("wall.failed", exc_info=bug)

    async def _look(self) -> None:
        now, bar, watched = trio.current_time(), self._measured_by(), bool(self._viewers or self.feeds)
        changed: list[Call] = []
        told: dict[str, Told] = {}
        live: dict[Call, Anger | None] = {}
        for place, call in enumerate(self._directory, 1):
            if call.outcome is None:
                live[call] = look(call, bar, now)
            if not place % AT_ONCE:
                await trio.lowlevel.checkpoint()
        if not watched:
            self._told, self._ended, self._all, self._news = {}, {}, None, None
            return
        for call, anger in live.items():
            told[call.call_sid] = kept = as_told(self._told.get(call.call_sid), call, anger, of=len(live))
            if kept is not self._told.get(call.call_sid):
                changed.append(call)
        ended = [entry for sid, entry in self._ended.items() if self._directory.find(sid) is None]
        self._told, self._ended = told, {}
        viewers = list(self._viewers)
        news = everything = b""
        theirs: list[msgspec.Raw] = self.others.news() if self.others else []
        elsewhere = self.others.live if self.others else 0
        up_to_date = any(viewer.seen == self.number and self.number for viewer in viewers)
        if up_to_date or self.feeds:
            entries = [*(screen_entry_of(call, live[call], whole=False) for call in changed), *ended]
            for feed in self.feeds:
                feed(entries)
            news = message([*entries, *theirs], len(live) + elsewhere, full=False) if up_to_date else b""
        if any(viewer.wants_all or viewer.seen < self.number for viewer in viewers):
            theirs = await self.others.everything() if self.others else []
            entries = [screen_entry_of(call, anger, whole=True) for call, anger in live.items()]
            everything = message([*entries, *theirs], len(live) + len(theirs), full=True)
            self._all_at = now
        pack = any(viewer.takes_packed for viewer in viewers)
        self._news, self._all = await ready(news, pack), await ready(everything, pack)
        self.number += 1
        self.made.set()
        self.made = trio.Event()

    def _measured_by(self) -> Bar:
        book = self._directory.policy.book()
        if book is not self._book:
            self._book, made_of = book, self._setup
            self._bar = Bar(made_of.gate, made_of.act_at, made_of.window_s, made_of.min_samples, book.rules)
        return self._bar

    def _note(self, event: Mapping[str, object]) -> None:
        if (self._viewers or self.feeds) and event["event"] == "call.ended":
            call = self._directory.find(str(event["callSid"]))
            if call is not None:
                self._ended[call.call_sid] = ended_entry_of(call, str(event["at"]))

    def _forget(self, call_sid: str) -> None:
        self._ended.pop(call_sid, None)
