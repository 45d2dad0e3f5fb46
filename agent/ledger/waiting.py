"""What waits to be written: bounded, and what gives way when there is too much of it is counted.

The oldest lines and steps give way first; beginnings and ends, without which a call cannot be told, a good while later.
"""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum, auto

from .entries import is_milestone

ITEMS_WAITING = 40_000
"""Lines and steps: some fifteen seconds of 400 calls."""
FIRST_WAITING = 10_000
"""Beginnings and ends that have waited longer than that."""


class Kind(Enum):
    """Of what waits to be written."""

    BEGIN = auto()
    LINE = auto()
    STEP = auto()
    TEXT = auto()


@dataclass(frozen=True, slots=True)
class Beginning:
    """A call's, with the number as it was given: it goes no further than the writer."""

    caller: str
    began_at: str
    model: str


@dataclass(frozen=True, slots=True)
class Text:
    """One that a call needs."""

    hash: str
    kind: str
    text: str


LINE, STEP = Kind.LINE, Kind.STEP
"""Looked up once: there are thousands a second of them."""

Item = tuple[Kind, str, bytes | Beginning | Text]
"""What waits to be written, with the id of its call."""


class Waiting:
    """A queue whose takers may put back what they could not write."""

    def __init__(self) -> None:
        self._items: deque[Item] = deque()
        self._first: deque[Item] = deque()
        """Beginnings and ends older than all the items."""
        self.incomplete: set[str] = set()
        """Calls of which something gave way; of very many, some."""
        self.dropped = 0
        """Items that gave way."""

    def __len__(self) -> int:
        return len(self._items) + len(self._first)

    def give(self, item: Item) -> None:
        self._items.append(item)
        if len(self._items) > ITEMS_WAITING:
            self._make_room()

    def take(self, most: int) -> list[Item]:
        """The oldest, in order."""
        if len(self) <= most and not self._first:
            everything, self._items = list(self._items), deque()
            return everything
        first = [self._first.popleft() for _ in range(min(len(self._first), most))]
        return first + [self._items.popleft() for _ in range(min(len(self._items), most - len(first)))]

    def put_back(self, items: list[Item], incomplete: Iterable[str]) -> None:
        """What was taken last."""
        self.incomplete.update(incomplete)
        self._items.extendleft(reversed(self._first))  # what is here by now came after what comes back
        self._first.clear()
        self._items.extendleft(reversed(items))
        self._make_room()

    def _make_room(self) -> None:
        while len(self._items) > ITEMS_WAITING:
            kind, name, what = oldest = self._items.popleft()
            if kind in (Kind.BEGIN, Kind.TEXT) or (isinstance(what, bytes) and is_milestone(what)):
                self._first.append(oldest)
                if len(self._first) <= FIRST_WAITING:
                    continue
                _, name, _ = self._first.popleft()
            self.dropped += 1
            if len(self.incomplete) < FIRST_WAITING:
                self.incomplete.add(name)
