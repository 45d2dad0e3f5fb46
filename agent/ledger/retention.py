"""Forgetting: single calls, and what is older than it may be. A bounded amount at a time, so that who writes waits for
a moment only.

What is deleted is overwritten (`secure_delete`). Two things are left to whoever calls this, because they can wait: the
write-ahead log is emptied with `database.wiped`, and `rewrite` makes the small table of calls anew, in whose pages
copies of ids may be left from when SQLite moved rows.
"""

import sqlite3
from datetime import UTC, datetime, timedelta

from ..core.instants import instant
from . import journal
from .database import transaction

CALLS_AT_ONCE = 20
READINGS = frozenset({"audio.chunk", "audio.gap", None})
"""Events that are kept as long as readings are, and no longer; steps have no name. With the steps go
the texts that only they needed."""


def forget(db: sqlite3.Connection, calls: list[int]) -> None:
    """Remove these calls and all that is theirs."""
    with transaction(db):
        _forget(db, calls)


def _forget(db: sqlite3.Connection, calls: list[int]) -> None:
    journal.strip(db, calls)
    db.executemany("DELETE FROM calls WHERE id = ?", [(call,) for call in calls])
    _forget_texts(db, calls)


def _forget_texts(db: sqlite3.Connection, calls: list[int]) -> None:
    """Remove texts that only these calls needed."""
    db.executemany("DELETE FROM uses WHERE call = ?", [(call,) for call in calls])
    db.execute(
        "DELETE FROM uses WHERE call < 0 AND NOT EXISTS (SELECT 1 FROM calls WHERE id <= -uses.call AND readings = 1)"
    )
    db.execute("DELETE FROM texts WHERE NOT EXISTS (SELECT 1 FROM uses WHERE uses.hash = texts.hash)")


def days_ago(days: float) -> str:
    """The instant so many days before now, as the ledger keeps instants."""
    return instant(datetime.now(UTC) - timedelta(days=days))


def sweep(db: sqlite3.Connection, *, calls_before: str, readings_before: str) -> bool:
    """Remove some of what is too old: everything of calls that began before the one instant, the readings and steps of
    those that began before the other. Whether there was anything; ask again until there is not."""
    with transaction(db):
        old = _some(db, "began_at < ?", calls_before)
        if old:
            _forget(db, old)
            return True
        old = _some(db, "readings = 1 AND ended_at IS NOT NULL AND began_at < ?", readings_before)
        for call in old:
            gone = journal.thin_out(db, call, READINGS)
            db.execute("UPDATE calls SET readings = 0, complete = min(complete, ?) WHERE id = ?", (not gone, call))
        _forget_texts(db, old)
    return bool(old)


def _some(db: sqlite3.Connection, which: str, before: str) -> list[int]:
    query = f"SELECT id FROM calls WHERE {which} ORDER BY began_at LIMIT ?"
    return [call for (call,) in db.execute(query, (before, CALLS_AT_ONCE))]


def rewrite(db: sqlite3.Connection) -> None:
    """Make the table of calls and its indexes anew: the old pages are overwritten. A second for 100,000 calls."""
    with transaction(db):
        (highest,) = db.execute("SELECT max(seq) FROM sqlite_sequence WHERE name = 'calls'").fetchone()
        indexes = db.execute("SELECT sql FROM sqlite_schema WHERE type = 'index' AND tbl_name = 'calls'").fetchall()
        (table,) = db.execute("SELECT sql FROM sqlite_schema WHERE type = 'table' AND name = 'calls'").fetchone()
        db.execute("ALTER TABLE calls RENAME TO old_calls")
        db.execute(table)
        db.execute("INSERT INTO calls SELECT * FROM old_calls ORDER BY id")
        db.execute("DROP TABLE old_calls")
        for (index,) in indexes:
            if index is not None:
                db.execute(index)
        db.execute("UPDATE sqlite_sequence SET seq = ? WHERE name = 'calls'", (highest or 0,))
