"""Reading the ledger, in this process or another: whole calls, lists of them, what comes in. Nothing here can write.

Everything but `follow` is synchronous. What SQLite says is wrong comes out as LedgerUnavailable.
"""

import sqlite3
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields, replace
from pathlib import Path
from types import TracebackType
from typing import Self

import trio

from ..errors import LedgerUnavailable
from . import journal
from .database import connect_to_read

LINES_SHOWN = 20_000
"""Lines of one call read back at the most: an hour of readings."""
FOLLOW_EVERY_S = 0.2
CALLS_AT_ONCE = 500

_LATEST = "NOT EXISTS (SELECT 1 FROM calls AS later WHERE later.call_sid = calls.call_sid AND later.id > calls.id)"


@dataclass(frozen=True, slots=True)
class CallRow:
    """What there is of one call beside its timeline. Moments are ISO 8601, UTC, milliseconds."""

    call_sid: str
    began_at: str
    ended_at: str | None
    """None: it goes on, or its process was killed."""
    outcome: str | None
    attach: str | None
    caller: str
    """Masked, the last two digits."""
    model: str
    """Who judged."""
    complete: bool
    """Nothing of its timeline and steps is missing."""
    entry: bytes
    """As `GET /calls` lists it, JSON."""
    id: int
    """Its number in this ledger, higher for later calls; another call of the same id has its own."""


_NAMES = [field.name for field in fields(CallRow)]
_COLUMNS, _COMPLETE = ", ".join(_NAMES), _NAMES.index("complete")


def open_ledger(folder: Path) -> "Reader":
    """The ledger in a folder, to read; where there is none, an empty one. Raises LedgerUnavailable."""
    with _said():
        return Reader(connect_to_read(folder))


class Reader:
    """Open it with `open_ledger`; a context manager, too. Everything raises LedgerUnavailable."""

    def __init__(self, db: sqlite3.Connection | None) -> None:
        self._db = db or sqlite3.connect(":memory:")
        self._empty = db is None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        self._db.close()

    def find(self, ending: str) -> set[str]:
        """The ids that end like this; one that is the whole id is the only one meant."""
        if self.call(ending) is not None:
            return {ending}
        if not ending:
            return set()
        query = "SELECT DISTINCT call_sid FROM calls WHERE substr(call_sid, ?) = ?"
        return {sid for (sid,) in self._rows(query, -len(ending), ending)}

    def call(self, call_sid: str) -> CallRow | None:
        """The latest call of this id."""
        query = f"SELECT {_COLUMNS} FROM calls WHERE call_sid = ? ORDER BY id DESC LIMIT 1"
        return next((_row(found) for found in self._rows(query, call_sid)), None)

    def calls(self, since: str | None = None) -> Iterator[CallRow]:
        """Every call, or those that began at this instant or later, the newest first."""
        before = ("~", "")
        while page := self._page("began_at >= ?", (since or "",), before, CALLS_AT_ONCE):
            yield from page
            before = (page[-1].began_at, page[-1].call_sid)

    def ended(self, limit: int, before: tuple[str, str] | None = None) -> list[CallRow]:
        """Calls that have ended, the newest beginning first: of those that began before this instant, or at it with an
        id that sorts before this one."""
        return self._page("ended_at IS NOT NULL", (), before or ("~", ""), limit)

    def unfinished(self, limit: int) -> list[str]:
        """The ids of calls without an end, the newest first."""
        query = f"SELECT call_sid FROM calls WHERE ended_at IS NULL AND {_LATEST} ORDER BY id DESC LIMIT ?"
        return [sid for (sid,) in self._rows(query, limit)]

    def timeline(self, call_sid: str) -> list[bytes]:
        """The lines of one call, oldest first."""
        return [line for _, name, line in self._records(call_sid) if name is not None][-LINES_SHOWN:]

    def steps(self, call_sid: str) -> list[bytes]:
        """The steps of what decided in one call, oldest first."""
        return [step for _, name, step in self._records(call_sid) if name is None]

    def text(self, name: str) -> str | None:
        """A text by its hash, as the ledger's `know` gave it."""
        return next((text for (text,) in self._rows("SELECT text FROM texts WHERE hash = ?", name)), None)

    def newest(self) -> int:
        """The number of the newest write; `since` gives what came after it."""
        with _said():
            return 0 if self._empty else journal.newest(self._db)

    def since(self, number: int) -> list[tuple[int, list[tuple[str, bytes]]]]:
        """The writes of the last seconds behind this one: the number of each, and its lines with their calls' ids."""
        if self._empty:
            return []
        with self._snapshot(), _said():
            rows = list(journal.after(self._db, number))
            calls = {call for _, records in rows for call in records}
            query = "SELECT call_sid FROM calls WHERE id = ?"
            sids = {call: sid for call in calls for (sid,) in self._rows(query, call)}
        return [(found, list(_lines(records, sids))) for found, records in rows]

    # --- how ---

    def _page(self, which: str, values: tuple[str, ...], before: tuple[str, str], limit: int) -> list[CallRow]:
        query = (
            f"SELECT {_COLUMNS} FROM calls WHERE {which} AND (began_at, call_sid) < (?, ?) AND {_LATEST} "
            "ORDER BY began_at DESC, call_sid DESC LIMIT ?"
        )
        return [_row(found) for found in self._rows(query, *values, *before, limit)]

    def _records(self, call_sid: str) -> list[journal.Record]:
        with self._snapshot(), _said():
            row = self.call(call_sid)
            return [] if row is None else journal.of_call(self._db, row.id)

    @contextmanager
    def _snapshot(self) -> Iterator[None]:
        """What is read in the block is of one moment: nothing is sorted into place between two looks."""
        with _said():
            self._db.execute("BEGIN")
        try:
            yield
        finally:
            self._db.rollback()

    def _rows(self, query: str, *values: object) -> Iterator[tuple]:  # type: ignore[type-arg]
        if not self._empty:
            with _said():
                yield from self._db.execute(query, values)


def _lines(records: journal.Write, sids: dict[int, str]) -> Iterator[tuple[str, bytes]]:
    for call, of_call in records.items():
        for _, name, line in of_call:
            if name is not None:
                yield sids.get(call, ""), line


async def follow(folder: Path, call_sid: str = "") -> AsyncIterator[bytes]:
    """Lines as they are written from now on, of one call (its id, or the end of it) or of all. There need not be a
    ledger yet. Raises LedgerUnavailable."""
    with open_ledger(folder) as reader:
        last, waits = reader.newest(), reader._empty
    while waits:  # one that is made later is shown from its beginning
        with open_ledger(folder) as reader:
            waits = reader._empty
        await trio.sleep(FOLLOW_EVERY_S)
    with open_ledger(folder) as reader:
        while True:
            for number, lines in reader.since(last):
                last = number
                for sid, line in lines:
                    if sid.endswith(call_sid):
                        yield line
            await trio.sleep(FOLLOW_EVERY_S)


def _row(found: tuple) -> CallRow:  # type: ignore[type-arg]
    return replace(CallRow(*found), complete=bool(found[_COMPLETE]))


@contextmanager
def _said() -> Iterator[None]:
    """SQLite's errors as ours."""
    try:
        yield
    except sqlite3.Error as fault:
        raise LedgerUnavailable(f"the ledger cannot be read ({fault}): check CALLMOOD_DATA") from None
