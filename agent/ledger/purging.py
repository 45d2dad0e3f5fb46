"""Forgetting on demand, by age, call or caller, beside a service that may be running. Synchronous: for the command
line.

What a running service is still writing is left alone: only it knows when such a call has ended.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from . import journal, retention
from .database import DATABASE, connect, wiped
from .folder import claimed, usable
from .keys import caller_hash, read_key

BUSY_S = 10.0
"""How long SQLite waits for who writes or reads, at each step."""


@dataclass(frozen=True, slots=True)
class Which:
    """The calls that are meant: those to which everything applies that is set."""

    before: str | None = None
    """Began before this instant."""
    call_sid: str | None = None
    caller: str | None = None
    """A number with its country code, or an address."""


@dataclass(frozen=True, slots=True)
class Found:
    """What there is to be forgotten."""

    calls: list[int]
    live: int
    """Calls that are meant and go on."""


class Purge:
    """Open it with `purging`."""

    def __init__(self, db: sqlite3.Connection, folder: Path, *, alone: bool) -> None:
        self._db, self._folder, self._alone = db, folder, alone

    def find(self, which: Which) -> Found:
        """Raises LedgerUnavailable where a caller is looked for and the key is gone."""
        applies: dict[str, object] = {}
        if which.before is not None:
            applies["began_at < ?"] = which.before
        if which.call_sid is not None:
            applies["call_sid = ?"] = which.call_sid
        if which.caller is not None:
            applies["caller_hmac = ?"] = caller_hash(read_key(self._folder), which.caller)
        query = f"SELECT id, ended_at IS NOT NULL FROM calls WHERE {' AND '.join(applies) or '0'} ORDER BY id"
        rows = self._db.execute(query, [*applies.values()]).fetchall()
        calls = [call for call, ended in rows if ended or self._alone]
        return Found(calls, len(rows) - len(calls))

    def forget(self, found: Found) -> bool:
        """Remove these calls; whether nothing of them is left on the disk. False: somebody has been reading all the
        time, and the rest goes when the log of writes is put in its place."""
        if self._alone:
            journal.settle(self._db, journal.newest(self._db))
        for start in range(0, len(found.calls), retention.CALLS_AT_ONCE):
            retention.forget(self._db, found.calls[start : start + retention.CALLS_AT_ONCE])
        retention.rewrite(self._db)
        return wiped(self._db)


@contextmanager
def purging(folder: Path) -> Iterator[Purge | None]:
    """The ledger in a folder, to forget from; None where there is none. Raises LedgerUnavailable."""
    if not (folder / DATABASE).exists():
        yield None
        return
    with usable(folder), claimed(folder) as alone, closing(connect(folder, busy_s=BUSY_S)) as db:
        yield Purge(db, folder, alone=alone)
