"""Whoever watches calls live: each watcher has a bounded queue of its own, and a slow one loses its oldest events.

Every event of every call has a number here, so that a watcher who was away can say which one it saw last. The newest
few thousand are kept for that; what is older stands in the ledger.
"""

import secrets
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from ..actors.channels import Inbox, Outbox, WhenFull, open_channel

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
        self._watchers: set[Outbox[Shown]] = set()
        self._listeners: list[Callable[[Mapping[str, object]], None]] = []

    def listen(self, listener: Callable[[Mapping[str, object]], None]) -> None:
        """Have a plain function told of every event, at once: it must neither wait nor fail."""
        self._listeners.append(listener)

    def publish(self, call_sid: str, ordinal: int, event: Mapping[str, object], line: bytes) -> None:
        self._number += 1
        shown = Shown(self._number, call_sid, ordinal, line)
        self._recent.append(shown)
        for listener in self._listeners:
            listener(event)
        for watcher in self._watchers:
            watcher.offer(shown)

    @contextmanager
    def watch(self) -> Iterator[Inbox[Shown]]:
        """Every event from now on, the oldest giving way when they are not taken."""
        outbox, inbox = open_channel(Shown, WATCHER_DEPTH, WhenFull.DROP_OLDEST)
        self._watchers.add(outbox)
        try:
            with outbox, inbox:
                yield inbox
        finally:
            self._watchers.discard(outbox)

    @property
    def full(self) -> bool:
        return len(self._watchers) >= WATCHERS

    def since(self, number: int) -> list[Shown]:
        """What is still kept of the events after this one."""
        return [shown for shown in self._recent if shown.number > number]
