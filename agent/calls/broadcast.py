"""Whoever watches calls live: each watcher has a bounded queue of its own, and a slow one loses its oldest events.

Every event of every call has a number here, so that a watcher who was away can say which one it saw last. The newest
few thousand are kept for that; what is older stands in the ledger.
"""

import secrets
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import structlog

from ..actors.channels import Inbox, Outbox, WhenFull, open_channel

log = structlog.get_logger()

KEPT = 4096
WATCHER_DEPTH = 1024
WATCHERS = 200
"""At most so many at once; one watcher is a browser tab."""


@dataclass(frozen=True, slots=True)
class Shown:
    """One event as it was published."""

    number: int
    """Over all calls, from 1."""
    call_sid: str
    ordinal: int
    """Within its call, from 1."""
    line: bytes
    """The event as JSON."""


class Broadcast:
    """The events of all calls, live."""

    def __init__(self) -> None:
        self.epoch = secrets.token_hex(4)
        """Tells one run of the service from the next, whose numbers begin anew."""
        self._number = 0
        self._recent: deque[Shown] = deque(maxlen=KEPT)
        self._watchers: dict[Outbox[Shown], str | None] = {}
        self._changed: list[set[str]] = []
        self._listeners: list[Callable[[Mapping[str, object]], None]] = []

    def listen(self, listener: Callable[[Mapping[str, object]], None]) -> None:
        """Have a plain function told of every event, at once: it must neither wait nor fail."""
        self._listeners.append(listener)

    def publish(self, call_sid: str, ordinal: int, event: Mapping[str, object], line: bytes) -> None:
        self._number += 1
        shown = Shown(self._number, call_sid, ordinal, line)
        self._recent.append(shown)
        for listener in self._listeners:
            try:
                listener(event)
            except Exception as bug:  # whoever counts or lists must not end what is counted
                log.error("listener.failed", exc_info=bug)
        for changed in self._changed:
            changed.add(call_sid)
        for watcher, wanted in self._watchers.items():
            if wanted in (None, call_sid):
                watcher.offer(shown)

    @contextmanager
    def watch(self, call_sid: str | None = None) -> Iterator[Inbox[Shown]]:
        """Every event from now on, of one call or of all, the oldest giving way when they are not taken."""
        outbox, inbox = open_channel(Shown, WATCHER_DEPTH, WhenFull.DROP_OLDEST)
        self._watchers[outbox] = call_sid
        try:
            with outbox, inbox:
                yield inbox
        finally:
            del self._watchers[outbox]

    @contextmanager
    def changes(self) -> Iterator[set[str]]:
        """The calls of which something has been published, for its reader to empty."""
        changed: set[str] = set()
        self._changed.append(changed)
        try:
            yield changed
        finally:
            self._changed = [other for other in self._changed if other is not changed]

    def forget(self, call_sid: str) -> None:
        """Show nothing of this call to who comes back later."""
        self._recent = deque((shown for shown in self._recent if shown.call_sid != call_sid), maxlen=KEPT)

    @property
    def full(self) -> bool:
        return len(self._watchers) + len(self._changed) >= WATCHERS

    def since(self, number: int) -> list[Shown]:
        """What is still kept of the events after this one."""
        return [shown for shown in self._recent if shown.number > number]
