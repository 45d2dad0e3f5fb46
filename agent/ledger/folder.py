"""The ledger's folder: made, locked, and said to be unusable in one sentence where it is."""

import fcntl
import os
import sqlite3
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ..errors import LedgerUnavailable
from .database import DATABASE, damaged


def make_folder(folder: Path) -> None:
    """Where it is missing; nobody else's to look into. Raises OSError."""
    folder.mkdir(parents=True, exist_ok=True, mode=stat.S_IRWXU)


@contextmanager
def usable(folder: Path) -> Iterator[None]:
    """What is wrong with the folder or the file, as one sentence."""
    try:
        yield
    except sqlite3.OperationalError as fault:
        raise unusable(folder, str(fault)) from None
    except sqlite3.DatabaseError as fault:
        raise damaged(folder / DATABASE, fault) from None
    except OSError as fault:
        raise unusable(folder, fault.strerror or str(fault)) from None


def unusable(folder: Path, reason: str) -> LedgerUnavailable:
    return LedgerUnavailable(f"the ledger's folder {folder} cannot be used ({reason}): set CALLMOOD_DATA to another")


@contextmanager
def claimed(folder: Path) -> Iterator[bool]:
    """Hold the folder's lock for the block, if nobody else does. The system lets go of it when a process dies."""
    with held(folder) as lock:
        yield lock is not None


@contextmanager
def held(folder: Path) -> Iterator[int | None]:
    """The same, as a descriptor: whoever has inherited it holds the lock as well. None: somebody else does."""
    descriptor = os.open(folder / "lock", os.O_RDWR | os.O_APPEND | os.O_CREAT, stat.S_IRUSR | stat.S_IWUSR)
    with os.fdopen(descriptor, "wb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            yield None
        else:
            yield file.fileno()
