"""Reading the ledger, in this process or another: whole calls, lists of them, what comes in. Nothing here can write.

Everything but `follow` is synchronous. What SQLite says is wrong comes out as LedgerUnavailable.
"""

import sqlite3
from collections.abc import AsyncIterator, Collection, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

import trio

from ..errors import LedgerUnavailable
from . import journal
from .database import DATABASE, connect_to_read, damaged, look
from .rows import COLUMNS, CallRow, call_row

LINES_SHOWN = 20_000
"""Lines of one call read back at the most: an hour of readings."""
FOLLOW_EVERY_S = 0.2
CALLS_AT_ONCE = 500

_LATEST = "NOT EXISTS (SELECT 1 FROM calls AS later WHERE later.call_sid = calls.call_sid AND later.id > calls.id)"


def open_ledger(folder: Path) -> "Reader":
    """The ledger in a folder, to read; where there is none, an empty one. Raises LedgerUnavailable."""
    with _said():
        return Reader(connect_to_read(folder))


def looked_into(folder: Path) -> int:
    """How many calls there are; nothing is changed. Raises Damaged, Newer, and LedgerUnavailable for all else."""
    path = folder / DATABASE
    try:
        db = connect_to_read(folder)
        if db is None:
            return 0
        with closing(db):
            look(db)
            (calls,) = db.execute("SELECT count(*) FROM calls").fetchone()
            return int(calls)
    except sqlite3.OperationalError as fault:
        if "no such" in str(fault):
            raise damaged(path, fault) from None
        raise LedgerUnavailable(f"{path} cannot be read ({fault}): check its folder") from None
    except sqlite3.DatabaseError as fault:
        raise damaged(path, fault) from None


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

    @property
    def is_there(self) -> bool:
        """There is a ledger to read."""
        return not self._empty

    def call(self, call_sid: str, earlier: int = 0) -> CallRow | None:
        """The latest call of this id, or the one so many before it."""
        query = f"SELECT {COLUMNS} FROM calls WHERE call_sid = ? ORDER BY id DESC LIMIT 1 OFFSET ?"
        return next((call_row(found) for found in self._rows(query, call_sid, earlier)), None)

    def count(self, call_sid: str) -> int:
        """Calls of this id: a caller whose process was killed may come back under it."""
        return int(
            next((count for (count,) in self._rows("SELECT count(*) FROM calls WHERE call_sid = ?", call_sid)), 0)
        )

    def calls(self, since: str | None = None) -> Iterator[CallRow]:
        """Every call, or those that began at this instant or later, the newest first."""
        before = ("~", "")
        while page := self._page("began_at >= ?", (since or "",), before, CALLS_AT_ONCE):
            yield from page
            before = (page[-1].began_at, page[-1].call_sid)

    def ended(self, limit: int, before: tuple[str, str] | None = None) -> list[CallRow]:
        """Calls that have ended, of each id the latest, the newest beginning first: of those that began before this
        instant, or at it with an id that sorts before this one."""
        return self._page(f"ended_at IS NOT NULL AND {_LATEST}", (), before or ("~", ""), limit)

    def unfinished(self, limit: int, writer: str | None = None) -> list[str]:
        """The ids of calls without an end, the newest first; of one writer's, or all."""
        which = "ended_at IS NULL AND (? IS NULL OR writer = ?)"
        query = f"SELECT call_sid FROM calls WHERE {which} AND {_LATEST} ORDER BY id DESC LIMIT ?"
        return [sid for (sid,) in self._rows(query, writer, writer, limit)]

    def known(self, call_sids: Collection[str]) -> set[str]:
        """Which of these there are."""
        query = "SELECT 1 FROM calls WHERE call_sid = ? LIMIT 1"
        return {sid for sid in call_sids if self._rows(query, sid)}

    def newest_lines(self, call_sids: Collection[str]) -> dict[str, bytes]:
        """The newest line of each of these calls that has one."""
        with self._snapshot(), _said():
            rows = {sid: row.id for sid in call_sids if (row := self.call(sid)) is not None}
            lines = ((sid, journal.newest_line(self._db, row)) for sid, row in rows.items())
            return {sid: line for sid, line in lines if line is not None}

    def timeline(self, call: CallRow | str) -> list[bytes]:
        """The lines of this call, or the latest of this id, oldest first."""
        return [line for _, name, line in self._records(call) if name is not None][-LINES_SHOWN:]

    def steps(self, call: CallRow | str) -> list[bytes]:
        """The steps of what decided in this call, or the latest of this id, oldest first."""
        return [step for _, name, step in self._records(call) if name is None]

    def text(self, name: str) -> str | None:
        """A text by its hash, as the ledger's `know` gave it."""
        found = next((text for (text,) in self._rows("SELECT text FROM texts WHERE hash = ?", name)), None)
        return found if isinstance(found, str) else None

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

    def in_order(self, up_to: int) -> journal.Sorted | None:
        """Rows of the journal up to this number, sorted, for whoever may put them into their place."""
        with _said():
            return None if self._empty else journal.in_order(self._db, up_to)

    # --- how ---

    def _page(self, which: str, values: tuple[str, ...], before: tuple[str, str], limit: int) -> list[CallRow]:
        query = (
            f"SELECT {COLUMNS} FROM calls WHERE {which} AND (began_at, call_sid) < (?, ?) "
            "ORDER BY began_at DESC, call_sid DESC LIMIT ?"
        )
        return [call_row(found) for found in self._rows(query, *values, *before, limit)]

    def _records(self, call: CallRow | str) -> list[journal.Record]:
        with self._snapshot(), _said():
            row = self.call(call) if isinstance(call, str) else call
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

    def _rows(self, query: str, *values: object) -> list[tuple]:  # type: ignore[type-arg]
        if self._empty:
            return []
        with _said():
            return self._db.execute(query, values).fetchall()


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


@contextmanager
def _said() -> Iterator[None]:
    """SQLite's errors as ours."""
    try:
        yield
    except sqlite3.Error as fault:
        raise LedgerUnavailable(f"the ledger cannot be read ({fault}): check CALLMOOD_DATA") from None
