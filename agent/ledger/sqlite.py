"""The ledger on disk, written behind the calls' backs.

Whatever is given is put into a bounded queue; one writer empties it every quarter of a second, in a thread, so that a
slow disk costs no call any time and a killed process loses less than a second. When the disk stands still the oldest
lines and steps give way and are counted, and their calls are marked incomplete; beginnings and ends give way last.
Reading has a connection of its own and waits for no writer.
"""

import sqlite3
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import ExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import TypeVar

import structlog
import trio

from ..core.instants import instant
from ..errors import LedgerUnavailable
from ..rounds import rest, round_after
from .folder import claimed, make_folder, usable
from .reading import Reader, open_ledger
from .store import Store
from .waiting import LINE, STEP, Beginning, Item, Kind, Text, Waiting

log = structlog.get_logger()

WRITE_EVERY_S = ORDER_EVERY_S = 0.15
"""And on to the round for what can wait: every 200 ms."""
AT_ONCE = 5000
"""Items in one write."""
LAST_WRITE_S = 2.0
SWEEP_EVERY_S = 600.0

T = TypeVar("T")


class SqliteLedger:
    """Open it with `open_sqlite`."""

    def __init__(
        self,
        folder: Path,
        store: Store,
        *,
        readings_days: float,
        calls_days: float,
        alone: bool,
        shared: "Shared | None" = None,
    ) -> None:
        self._folder, self._store = folder, store
        self._sweep = partial(store.sweep, calls_days=calls_days, readings_days=readings_days)
        self._waiting = Waiting()
        self.committed_at = trio.current_time()
        """The loop's time of the last write that succeeded; before the first one, of the opening."""
        self._given = self._written = 0
        self._progress = trio.Event()
        self._wanted = trio.Event()
        self._fault: str | None = None
        self._closed = False
        self._writing, self._reading = trio.CapacityLimiter(1), trio.CapacityLimiter(2)
        self._swept_at = -SWEEP_EVERY_S
        self.alone = alone
        """No other process writes to this folder, so that what is unfinished here is nobody's; or where several workers
        do, what this one is to look after is."""
        self._shared = shared

    @property
    def dropped(self) -> int:
        """Lines and steps that gave way because the disk stood still."""
        return self._waiting.dropped

    @property
    def waiting(self) -> int:
        """Lines and steps that are not on the disk yet."""
        return len(self._waiting)

    # --- giving, which never waits ---

    def begin(self, call_sid: str, *, caller: str, model: str = "") -> None:
        self._give((Kind.BEGIN, call_sid, Beginning(caller, instant(datetime.now(UTC)), model)))

    def append(self, call_sid: str, line: bytes) -> None:
        self._waiting.give((LINE, call_sid, line))
        self._given += 1

    def keep(self, call_sid: str, step: bytes) -> None:
        self._waiting.give((STEP, call_sid, step))
        self._given += 1

    def know(self, call_sid: str, kind: str, text: str) -> str:
        name = sha256(text.encode()).hexdigest()
        self._give((Kind.TEXT, call_sid, Text(name, kind, text)))
        return name

    def _give(self, item: Item) -> None:
        self._waiting.give(item)
        self._given += 1

    @property
    def _settled(self) -> int:
        """Of what was given, in its order: what waits no more."""
        return self._written + self._waiting.dropped

    # --- writing ---

    async def flush(self) -> None:
        goal = self._given
        while self._settled < goal:
            if self._closed:
                raise LedgerUnavailable("the ledger is closed already")
            await self._progress.wait()
            if self._fault is not None:
                raise LedgerUnavailable(f"the ledger cannot be written ({self._fault}): check CALLMOOD_DATA")

    async def write_behind(self) -> None:
        """The writer: until cancelled, and once more then."""
        try:
            while True:
                with trio.move_on_at(round_after(trio.current_time() + WRITE_EVERY_S)):
                    await self._wanted.wait()
                self._wanted = trio.Event()
                await self._write_waiting()
        finally:
            with trio.move_on_after(LAST_WRITE_S) as last:
                last.shield = True
                await self._write_waiting()
                try:
                    await self._in_thread(self._store.close)
                except (OSError, sqlite3.Error) as fault:
                    self._note_fault(fault)
            self._closed = True
            self._progress.set()

    async def _write_waiting(self) -> None:
        """Everything that waits by now, in bounded batches; what cannot be written waits on. What comes in meanwhile
        is for the next turn: there may always be some, and this would never come to an end."""
        goal = self._given
        while (self._waiting and self._settled < goal) or self._waiting.incomplete:
            batch = self._waiting.take(AT_ONCE)
            incomplete, self._waiting.incomplete = self._waiting.incomplete, set()
            try:
                await self._in_thread(partial(self._store.write, batch, incomplete))
            except (OSError, sqlite3.Error, LedgerUnavailable) as fault:
                self._note_fault(fault)
                self._waiting.put_back(batch, incomplete)
                self._tell()
                return
            self._written += len(batch)
            self.committed_at = trio.current_time()
            if self._fault is not None:
                log.info("ledger.recovered", dropped=self.dropped)
            self._fault = None
            self._tell()

    def _tell(self) -> None:
        """Those who wait for something to be written may look again."""
        self._progress.set()
        self._progress = trio.Event()

    async def keep_order(self) -> None:
        """Until cancelled, what is not urgent, and is tried again at the next turn if it fails."""
        while True:
            await rest(ORDER_EVERY_S)
            try:
                await self._order()
            except (OSError, sqlite3.Error, LedgerUnavailable) as fault:
                self._note_fault(fault)

    async def _order(self) -> None:
        if self._fault is not None and self._waiting:
            return  # there are worse things
        await self._settle()
        if self._store.untidy:
            await self._in_thread(self._store.tidy)
        due = trio.current_time() - self._swept_at >= SWEEP_EVERY_S and (not self._shared or self._shared.sweeps)
        if due and not await self._in_thread(self._sweep):
            self._swept_at = trio.current_time()

    async def _settle(self) -> None:
        """Sort what was written a while ago into place. The sorting itself is done beside the writer, who would have
        calls wait for it."""
        if (up_to := self._store.due()) is None:
            return
        while (found := await self._read(lambda reader: reader.in_order(up_to))) is not None:
            if not await self._in_thread(partial(self._store.put, found)):
                return  # another process was quicker
        await self._in_thread(self._store.settled)

    def _note_fault(self, fault: Exception) -> None:
        reason = (fault.strerror if isinstance(fault, OSError) else None) or str(fault)
        if self._fault is None:
            log.error("ledger.unavailable", reason=reason)
        self._fault = reason

    # --- reading ---

    # A disk that is full can still be read; what waits for it is missing then.

    async def timeline(self, call_sid: str) -> list[bytes]:
        with suppress(LedgerUnavailable):
            await self._up_to_date()
        return await self._read(lambda reader: reader.timeline(call_sid))

    async def call(self, call_sid: str) -> bytes | None:
        with suppress(LedgerUnavailable):
            await self._up_to_date()
        row = await self._read(lambda reader: reader.call(call_sid))
        return None if row is None or row.ended_at is None else row.entry

    async def calls(self, limit: int, before: tuple[str, str] | None = None) -> list[bytes]:
        with suppress(LedgerUnavailable):
            await self._up_to_date()
        return [row.entry for row in await self._read(lambda reader: reader.ended(limit, before))]

    async def unfinished(self, limit: int) -> list[str]:
        await self._up_to_date()
        writer = self._shared.writer if self._shared and self._shared.recovers == "own" else None
        return await self._read(lambda reader: reader.unfinished(limit, writer))

    async def newest(self, call_sids: Collection[str]) -> dict[str, bytes]:
        await self._up_to_date()
        return await self._read(lambda reader: reader.newest_lines(call_sids))

    async def known(self, call_sids: Collection[str]) -> set[str]:
        await self._up_to_date()
        return await self._read(lambda reader: reader.known(call_sids))

    async def _up_to_date(self) -> None:
        self._wanted.set()
        await self.flush()

    async def _read(self, work: Callable[[Reader], T]) -> T:
        def read() -> T:
            with open_ledger(self._folder) as reader:
                return work(reader)

        return await trio.to_thread.run_sync(read, abandon_on_cancel=True, limiter=self._reading)

    # --- forgetting ---

    async def forget(self, call_sid: str) -> bool:
        await self._up_to_date()
        try:
            return await self._in_thread(partial(self._store.forget, call_sid))
        except (OSError, sqlite3.Error) as fault:
            raise LedgerUnavailable(f"the ledger cannot be written ({fault}): check CALLMOOD_DATA") from None

    async def _in_thread(self, work: Callable[[], T]) -> T:
        return await trio.to_thread.run_sync(work, abandon_on_cancel=True, limiter=self._writing)


@dataclass(frozen=True, slots=True)
class Shared:
    """What one of several workers does on the ledger that they share. Their supervisor holds the folder's lock."""

    writer: str
    """Its name in the ledger."""
    recovers: str
    """Whose open calls are over at its start: `all`, `own` (of the writer of its name before it), or nobody's."""
    sweeps: bool
    """It removes what is too old, for all."""


@asynccontextmanager
async def open_sqlite(
    folder: Path, *, readings_days: float = 30.0, calls_days: float = 365.0, shared: Shared | None = None
) -> AsyncIterator[SqliteLedger]:
    """The ledger in a folder, which is made where it is missing. Readings and steps of calls older than `readings_days`
    are removed, and calls older than `calls_days`. Raises LedgerUnavailable."""
    with ExitStack() as held:
        with usable(folder):
            make_folder(folder)
            alone = bool(shared.recovers) if shared else held.enter_context(claimed(folder))
            settle = alone if shared is None else shared.recovers == "all"
            store = await trio.to_thread.run_sync(partial(opened, folder, shared, settle=settle))
            if not alone and not shared:
                log.warning("ledger.shared", folder=str(folder))
        async with trio.open_nursery() as nursery:
            ledger = SqliteLedger(
                folder, store, readings_days=readings_days, calls_days=calls_days, alone=alone, shared=shared
            )
            nursery.start_soon(ledger.write_behind)
            nursery.start_soon(ledger.keep_order)
            yield ledger
            nursery.cancel_scope.cancel()


def opened(folder: Path, shared: Shared | None, *, settle: bool) -> Store:
    """`settle`: what a killed process left unsorted is put into its place first. Not where others write beside us."""
    store = Store(folder, shared.writer if shared else "")
    if settle:
        store.settle()
    return store
