"""Whoever watches calls live: each watcher has a bounded queue of its own, and a slow one loses its oldest events.

Every event of every call has a number here, so that a watcher who was away can say which one it saw last. The newest
few thousand are kept for that; what is older stands in the ledger.
"""

import secrets
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import NamedTuple

import structlog

from ..actors.channels import Inbox, Outbox, WhenFull, open_channel

log = structlog.get_logger()

KEPT = 4096
WATCHER_DEPTH = 1024
WATCHERS = 200
"""At most so many at once; one watcher is a browser tab."""


class Shown(NamedTuple):
    """One event as it was published."""

    number: int
    """Over all calls, from 1."""
    call_sid: str
    ordinal: int
    """Within its call, from 1; 0: it has no place there, and is not shown to who comes back."""
    line: bytes
    """The event as JSON."""
    ours: bool = True
    """It happened in this process, and not in another worker."""


class Broadcast:
    """The events of all calls, live."""

    def __init__(self) -> None:
        self.epoch = secrets.token_hex(4)
        """Tells one run of the service from the next, whose numbers begin anew."""
        self._number = 0
        self._recent: deque[Shown] = deque(maxlen=KEPT)
        self._watchers: dict[Outbox[Shown], str | None] = {}
        self._listeners: list[Callable[[Mapping[str, object]], None]] = []
        self._forgetting: list[Callable[[str], None]] = []
        self._siblings = 0

    def listen(self, listener: Callable[[Mapping[str, object]], None]) -> None:
        """Have a plain function told of every event, at once: it must neither wait nor fail."""
        self._listeners.append(listener)

    def forgets(self, forget: Callable[[str], None]) -> None:
        """Have a plain function told of every call that is to be shown no more."""
        self._forgetting.append(forget)

    def publish(self, call_sid: str, ordinal: int, event: Mapping[str, object], line: bytes) -> None:
        for listener in self._listeners:
            try:
                listener(event)
            except Exception as bug:  # whoever counts or lists must not end what is counted
                log.error("listener.failed", exc_info=bug)
        self.show(call_sid, ordinal, line)

    def show(self, call_sid: str, ordinal: int, line: bytes, *, ours: bool = True) -> None:
        """One event to everybody who watches, numbered here."""
        self._number += 1
        shown = Shown(self._number, call_sid, ordinal, line, ours)
        if ordinal:
            self._recent.append(shown)
        for watcher, wanted in self._watchers.items():
            if wanted in (None, call_sid):
                watcher.offer(shown)

    @property
    def watchers_of_all(self) -> int:
        """Who watches all calls; another worker counts as nobody."""
        return sum(wanted is None for wanted in self._watchers.values()) - self._siblings

    @contextmanager
    def watch(self, call_sid: str | None = None, *, by_sibling: bool = False) -> Iterator[Inbox[Shown]]:
        """Every event from now on, of one call or of all, the oldest giving way when they are not taken."""
        outbox, inbox = open_channel(Shown, WATCHER_DEPTH, WhenFull.DROP_OLDEST)
        self._watchers[outbox] = call_sid
        self._siblings += by_sibling
        try:
            with outbox, inbox:
                yield inbox
        finally:
            del self._watchers[outbox]
            self._siblings -= by_sibling

    def forget(self, call_sid: str) -> None:
        """Show nothing of this call to who comes back later."""
        for forget in self._forgetting:
            forget(call_sid)
        self._recent = deque((shown for shown in self._recent if shown.call_sid != call_sid), maxlen=KEPT)

    @property
    def newest(self) -> int:
        """The number of the newest event; 0: there was none."""
        return self._number

    def since(self, number: int) -> list[Shown]:
        """What is still kept of the events after this one."""
        return [shown for shown in self._recent if shown.number > number]
