"""The timeline as files of JSON lines, written behind the calls' backs.

Appending is putting a line into a bounded queue; one writer empties it every quarter of a second, in a thread, so that
a slow disk costs no call any time and a killed process loses less than a second. When the disk stands still the oldest
waiting lines give way and are counted. The file is rotated by size and the oldest files are removed.
"""

import fcntl
import os
import stat
from collections import deque
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import structlog
import trio

from ..errors import LedgerUnavailable
from .reading import CURRENT, files, lines_of_call, milestones

log = structlog.get_logger()

ROTATE_AT = 32 * 1024 * 1024
"""Bytes."""
FILES_KEPT = 16
LINES_WAITING = 20_000
WRITE_EVERY_S = 0.25
LAST_WRITE_S = 2.0


class JsonlLedger:
    """Open it with `open_jsonl`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._waiting: deque[bytes] = deque()
        self._appended = self._settled = 0
        self._progress = trio.Event()
        self._wanted = trio.Event()
        self._fault: OSError | None = None
        self._closed = False
        self._disk = trio.CapacityLimiter(1)
        self.dropped = 0
        """Lines that gave way because the disk stood still."""
        self.alone = False
        """No other process writes to this folder, so that what is unfinished here is nobody's."""

    def append(self, call_sid: str, line: bytes) -> None:
        self._waiting.append(line)
        self._appended += 1
        if len(self._waiting) > LINES_WAITING:
            self._waiting.popleft()
            self._settled += 1
            self.dropped += 1

    async def flush(self) -> None:
        goal = self._appended
        while self._settled < goal:
            if self._closed:
                raise LedgerUnavailable("the ledger is closed already")
            await self._progress.wait()
            if self._fault is not None:
                raise LedgerUnavailable(f"the ledger cannot be written ({self._fault.strerror}): check CALLMOOD_DATA")

    async def write_behind(self) -> None:
        """The writer: until cancelled, and once more then."""
        try:
            while True:
                with trio.move_on_after(WRITE_EVERY_S):
                    await self._wanted.wait()
                self._wanted = trio.Event()
                await self._write_waiting()
        finally:
            with trio.move_on_after(LAST_WRITE_S) as last:
                last.shield = True
                await self._write_waiting()
            self._closed = True
            self._progress.set()

    async def _write_waiting(self) -> None:
        batch = list(self._waiting)
        self._waiting.clear()
        if batch:
            try:
                await self._in_thread(partial(_append, self._folder, b"\n".join(batch) + b"\n"))
                self._settled += len(batch)
                self._fault = None
            except OSError as fault:
                if self._fault is None:
                    log.error("ledger.unavailable", reason=fault.strerror)
                self._fault = fault
                self._put_back(batch)
        self._progress.set()
        self._progress = trio.Event()

    def _put_back(self, batch: list[bytes]) -> None:
        self._waiting.extendleft(reversed(batch))
        while len(self._waiting) > LINES_WAITING:
            self._waiting.popleft()
            self._settled += 1
            self.dropped += 1

    async def timeline(self, call_sid: str) -> list[bytes]:
        self._wanted.set()
        await self.flush()
        return await self._read(partial(lines_of_call, self._folder, call_sid))

    async def milestones(self) -> list[bytes]:
        return await self._read(partial(milestones, self._folder))

    async def _read(self, work: "partial[list[bytes]]") -> list[bytes]:
        try:
            return await trio.to_thread.run_sync(work, abandon_on_cancel=True)
        except OSError as fault:
            raise LedgerUnavailable(f"the ledger cannot be read ({fault.strerror}): check CALLMOOD_DATA") from None

    async def _in_thread(self, work: "partial[None]") -> None:
        await trio.to_thread.run_sync(work, abandon_on_cancel=True, limiter=self._disk)


@asynccontextmanager
async def open_jsonl(folder: Path) -> AsyncIterator[JsonlLedger]:
    """The ledger in a folder, which is made where it is missing. Raises LedgerUnavailable."""
    try:
        _make(folder)
    except OSError as fault:
        raise LedgerUnavailable(
            f"the ledger's folder {folder} cannot be used ({fault.strerror}): set CALLMOOD_DATA to another"
        ) from None
    with _claimed(folder) as alone:
        async with trio.open_nursery() as nursery:
            ledger = JsonlLedger(folder)
            ledger.alone = alone
            nursery.start_soon(ledger.write_behind)
            yield ledger
            nursery.cancel_scope.cancel()


@contextmanager
def _claimed(folder: Path) -> Iterator[bool]:
    """Hold the folder's lock for the block, if nobody else does. The system lets go of it when a process dies."""
    with os.fdopen(_open(folder / "lock"), "wb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            log.warning("ledger.shared", folder=str(folder))
            yield False
        else:
            yield True


def _make(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True, mode=stat.S_IRWXU)
    os.close(_open(folder / CURRENT))


def _open(path: Path) -> int:
    """For appending; what callers felt is nobody else's to read."""
    return os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, stat.S_IRUSR | stat.S_IWUSR)


def _append(folder: Path, data: bytes) -> None:
    """One write, or none: what was half written is taken off again."""
    path = folder / CURRENT
    if path.exists() and path.stat().st_size > ROTATE_AT:
        path.rename(folder / f"timeline-{datetime.now(UTC):%Y%m%dT%H%M%S%f}.jsonl")
        for old in files(folder)[:-FILES_KEPT]:
            old.unlink()
    descriptor = _open(path)
    try:
        before = os.fstat(descriptor).st_size
        if before and os.pread(descriptor, 1, before - 1) != b"\n":
            data = b"\n" + data  # behind a line that a killed process left torn
        try:
            written = 0
            while written < len(data):
                written += os.write(descriptor, data[written:])
        except OSError:
            os.ftruncate(descriptor, before)
            raise
    finally:
        os.close(descriptor)
