"""The ledger's file: SQLite, its schema brought up to date by numbered files, and nobody else's to read."""

import os
import sqlite3
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from importlib.resources import files
from pathlib import Path

from ..errors import LedgerUnavailable

DATABASE = "ledger.db"
BUSY_S = 1.0
"""How long a writer waits for another process that writes. It tries again later."""
CHECKED_S = 0.5
"""How long the start may look for damage. What is not looked at by then fails where it is read."""
WAL_PAGES = 4000
"""Pages of 4 kB in the write-ahead log before they are put in their place."""


def connect(folder: Path, *, busy_s: float = BUSY_S) -> sqlite3.Connection:
    """A connection that writes; the file is made where it is missing. Raises LedgerUnavailable with what is wrong with
    the file, OSError and sqlite3.Error with what is wrong with the disk."""
    path = own(folder / DATABASE)
    os.close(os.open(path, os.O_RDWR | os.O_CREAT, stat.S_IRUSR | stat.S_IWUSR))  # its companions take its mode
    # A statement that is kept for later keeps what was last bound to it: megabytes of segments, of whatever calls.
    db = sqlite3.connect(path, timeout=busy_s, isolation_level=None, check_same_thread=False, cached_statements=0)
    try:
        for pragma in ("journal_mode = WAL", "synchronous = NORMAL", "secure_delete = ON", "temp_store = MEMORY"):
            db.execute(f"PRAGMA {pragma}")
        db.execute(f"PRAGMA wal_autocheckpoint = {WAL_PAGES}")
        _migrate(db)
        look(db)
    except sqlite3.DatabaseError as error:
        db.close()
        if isinstance(error, sqlite3.OperationalError):
            raise
        raise damaged(path, error) from None
    except BaseException:
        db.close()
        raise
    return db


def connect_to_read(folder: Path) -> sqlite3.Connection | None:
    """A connection that cannot write; None where there is no ledger, or it is being made at this moment. Raises
    LedgerUnavailable, sqlite3.Error."""
    path = own(folder / DATABASE)
    if not path.exists():
        return None
    db = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=BUSY_S, isolation_level=None)
    try:
        version = _known_version(db)
    except BaseException:
        db.close()
        raise
    if version == 0:
        db.close()
    return db if version else None


def own(path: Path) -> Path:
    """The same, if it is no link: what it leads to would outlive the folder, or be somebody else's. The folder itself
    may be one. Raises LedgerUnavailable."""
    if path.is_symlink():
        raise LedgerUnavailable(f"{path} is a link: set CALLMOOD_DATA to the folder in which the ledger lies itself")
    return path


class Damaged(LedgerUnavailable):
    """The file is not what we wrote."""


class Newer(LedgerUnavailable):
    """The file is of a later version."""


def damaged(path: Path, why: object) -> Damaged:
    return Damaged(f"{path} is damaged ({why}): put a copy back, or move it away to begin a new one")


@contextmanager
def transaction(db: sqlite3.Connection) -> Iterator[None]:
    """All of the block, or nothing."""
    db.execute("BEGIN IMMEDIATE")
    try:
        yield
        db.execute("COMMIT")
    except BaseException:
        if db.in_transaction:
            db.execute("ROLLBACK")
        raise


def wiped(db: sqlite3.Connection) -> bool:
    """Empty the write-ahead log, where what was deleted may still stand; False: somebody is reading from it, so try
    again later."""
    (busy, _, _) = db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    return not busy


@cache
def migrations() -> list[str]:
    """The SQL of each version, from the first."""
    folder = files("agent.ledger") / "migrations"
    return [each.read_text("utf-8") for each in sorted(folder.iterdir(), key=lambda each: each.name)]


def _known_version(db: sqlite3.Connection) -> int:
    (version,) = db.execute("PRAGMA user_version").fetchone()
    if version > len(migrations()):
        raise Newer(
            f"{DATABASE} was written by a newer Callmood (version {version}): use that one, or set CALLMOOD_DATA to "
            "another folder"
        )
    return int(version)


def _migrate(db: sqlite3.Connection) -> None:
    if _known_version(db) == len(migrations()):
        return
    with transaction(db):  # another process may have been quicker: the version counts once the file is ours
        for number, script in enumerate(migrations()[_known_version(db) :], _known_version(db) + 1):
            for statement in script.split(";\n"):
                db.execute(statement)
            db.execute(f"PRAGMA user_version = {number}")


def look(db: sqlite3.Connection) -> None:
    """Look for damage, for a moment. Raises sqlite3.DatabaseError saying what is damaged."""
    until = time.monotonic() + CHECKED_S
    db.set_progress_handler(lambda: time.monotonic() > until, 10_000)
    try:
        (found,) = db.execute("PRAGMA quick_check(1)").fetchone()
    except sqlite3.OperationalError:
        return
    finally:
        db.set_progress_handler(None, 0)
    if found != "ok":
        raise sqlite3.DatabaseError(found.splitlines()[-1])
