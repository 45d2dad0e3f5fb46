"""What the writer does to the file, all of it in one thread at a time: batches in, rows sorted into place, calls gone.

The file is the only truth: what is remembered of open calls here is thrown away whenever something went wrong, and read
again from the file.
"""

import time
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import msgspec
import structlog

from ..core.destination import masked
from ..core.emotion import Outcome
from . import journal, retention
from .database import DATABASE, connect, transaction, wiped
from .entries import MILESTONES, Entry, noted, opened
from .keys import caller_hash, read_key
from .waiting import STEP, Beginning, Item

log = structlog.get_logger()

EVENT = b'"event":"'

SETTLE_EVERY_S = 10.0
REWRITE_EVERY_S = 60.0
"""How soon after calls were forgotten their last traces go."""
OPEN_CALLS = 4096
"""Calls remembered; any other is looked up in the file."""


@dataclass(slots=True)
class OpenCall:
    row: int
    seq: int
    """Of the last line or step."""
    entry: Entry


class Store:
    """Make it where its errors can be said: LedgerUnavailable, OSError, sqlite3.Error. So may all its functions raise;
    they have done nothing then, and can be called again."""

    def __init__(self, folder: Path, writer: str = "") -> None:
        """`writer`: whose calls these are, where several workers write."""
        self._folder, self._writer = folder, writer
        self._key = read_key(folder, make=True)
        self._db = connect(folder)
        self._file = self._identity()
        self._open: OrderedDict[str, OpenCall] = OrderedDict()
        self._noted: set[str] = set()
        """Texts of this batch."""
        self._settled_at, self._settle_to = time.monotonic(), 0
        self._wipe = self._rewrite = False
        self._rewritten_at = -REWRITE_EVERY_S

    def close(self) -> None:
        """The last that is done with it."""
        try:
            self.rewrite()
        finally:
            self._db.close()

    # --- writing ---

    def write(self, batch: Iterable[Item], incomplete: Iterable[str] = ()) -> None:
        """Bring this to disk, and note the calls of which something was lost on the way here."""
        self._reopen_if_gone()
        try:
            with transaction(self._db):
                records: journal.Write = {}
                self._noted.clear()
                for item in batch:
                    self._take(item, records)
                if records:
                    journal.write(self._db, records)
                for sid in incomplete:
                    if (call := self._find(sid)) is not None:
                        self._db.execute("UPDATE calls SET complete = 0 WHERE id = ?", (call.row,))
        except BaseException:
            self._open.clear()
            raise
        self._let_go()

    def _take(self, item: Item, records: journal.Write) -> None:
        kind, name, what = item
        if isinstance(what, Beginning):
            self._begin(name, what)
            return
        call = self._open.get(name) or self._find(name)
        if call is None:
            return
        if isinstance(what, bytes):
            call.seq += 1
            event = None if kind is STEP else _name(what)
            if (mine := records.get(call.row)) is None:
                mine = records[call.row] = []
            mine.append((call.seq, event, what))
            if event in MILESTONES:
                self._note(name, call, what)
        else:
            if what.hash not in self._noted:
                self._db.execute("INSERT OR IGNORE INTO texts VALUES (?, ?, ?)", (what.hash, what.kind, what.text))
                self._noted.add(what.hash)
            self._db.execute("INSERT OR IGNORE INTO uses VALUES (?, ?)", (what.hash, call.row))

    def _begin(self, sid: str, call: Beginning) -> None:
        if (before := self._find(sid)) is not None and before.entry["endedAt"] is None:
            # Its process was killed, and its caller is back before anybody could say so.
            before.entry |= {"state": "ended", "endedAt": call.began_at, "outcome": Outcome.CRASHED.value}
            self._keep(before)
        entry = opened(sid, call.began_at, masked(call.caller))
        columns = "call_sid, began_at, caller_hmac, caller, model, entry, writer"
        query = f"INSERT INTO calls ({columns}) VALUES (?, ?, ?, ?, ?, ?, ?)"
        hashed, shown = caller_hash(self._key, call.caller), entry["caller"]
        values = (sid, call.began_at, hashed, shown, call.model, msgspec.json.encode(entry), self._writer)
        row = self._db.execute(query, values).lastrowid
        self._open[sid] = OpenCall(row or 0, 0, entry)

    def _note(self, sid: str, call: OpenCall, line: bytes) -> None:
        entry = noted(call.entry, line)
        if entry is None:
            return
        call.entry = entry
        self._keep(call)

    def _keep(self, call: OpenCall) -> None:
        """Its entry, and what is looked for by. Of one that has crashed something is missing: its end, at least."""
        entry = call.entry
        self._db.execute(
            "UPDATE calls SET began_at = ?, ended_at = ?, outcome = ?, attach = ?, entry = ?, "
            "complete = complete AND ? WHERE id = ?",
            (
                *(entry[name] for name in ("startedAt", "endedAt", "outcome", "attach")),
                msgspec.json.encode(entry),
                entry["outcome"] != Outcome.CRASHED.value,
                call.row,
            ),
        )

    def _find(self, sid: str) -> OpenCall | None:
        """The latest call of this id, from the file; None: it never began, or it has been forgotten, and what is still
        said of it is not kept."""
        if sid in self._open:
            return self._open[sid]
        query = "SELECT id, entry FROM calls WHERE call_sid = ? ORDER BY id DESC LIMIT 1"
        found = self._db.execute(query, (sid,)).fetchone()
        if found is None:
            return None
        row, entry = found
        call = self._open[sid] = OpenCall(row, journal.last_place(self._db, row), msgspec.json.decode(entry))
        return call

    def _let_go(self) -> None:
        """Of calls that are over, and of the oldest where there are many. Not before what was said of them is in the
        file, for how far a call has come is read from there."""
        for sid in [sid for sid, call in self._open.items() if call.entry["endedAt"] is not None]:
            del self._open[sid]
        while len(self._open) > OPEN_CALLS:
            self._open.popitem(last=False)

    # --- keeping order ---

    def due(self) -> int | None:
        """Up to which row of the journal to sort into place now; None: it is not time yet."""
        return self._settle_to if time.monotonic() - self._settled_at >= SETTLE_EVERY_S else None

    def put(self, found: journal.Sorted) -> bool:
        """Put rows into place that somebody else has sorted; False: they were others by now."""
        return journal.put(self._db, found)

    def settled(self) -> None:
        """What was due is in its place. What has been written by now is due next."""
        self._settled_at, self._settle_to = time.monotonic(), journal.newest(self._db)

    def settle(self) -> None:
        """Sort everything into place, now and here."""
        journal.settle(self._db, journal.newest(self._db))
        self.settled()

    @property
    def untidy(self) -> bool:
        """What was forgotten has left traces, and it is time to remove them."""
        return self._wipe or (self._rewrite and time.monotonic() - self._rewritten_at >= REWRITE_EVERY_S)

    def tidy(self) -> None:
        """Remove these traces."""
        if self._rewrite and time.monotonic() - self._rewritten_at >= REWRITE_EVERY_S:
            self.rewrite()
        if self._wipe:
            self._wipe = not wiped(self._db)

    def rewrite(self) -> None:
        """Remove the traces that forgotten calls left, if there were any."""
        if self._rewrite:
            retention.rewrite(self._db)
            self._rewrite, self._wipe, self._rewritten_at = False, True, time.monotonic()

    def forget(self, sid: str) -> bool:
        """Remove the calls of this id, if the latest has ended; whether there was one."""
        query = "SELECT id, ended_at FROM calls WHERE call_sid = ? ORDER BY id"
        calls = self._db.execute(query, (sid,)).fetchall()
        if not calls or calls[-1][1] is None:
            return False
        self._open.pop(sid, None)
        retention.forget(self._db, [row for row, _ in calls])
        self._wipe, self._rewrite = not wiped(self._db), True
        return True

    def sweep(self, *, calls_days: float, readings_days: float) -> bool:
        """Remove some of what is too old; whether to ask again soon."""
        calls, readings = retention.days_ago(calls_days), retention.days_ago(readings_days)
        more = retention.sweep(self._db, calls_before=calls, readings_before=readings)
        self._wipe, self._rewrite = self._wipe or more, self._rewrite or more
        return more

    # --- the file ---

    def _reopen_if_gone(self) -> None:
        """SQLite would go on writing into a file that has been removed."""
        if self._file is None or self._file != self._identity():
            self._open.clear()
            self._db.close()
            self._file = None
            self._db = connect(self._folder)
            self._key = read_key(self._folder, make=True)
            self._file = self._identity()
            log.warning("ledger.replaced", folder=str(self._folder))

    def _identity(self) -> tuple[int, int] | None:
        try:
            found = (self._folder / DATABASE).stat()
        except OSError:
            return None
        return found.st_dev, found.st_ino


def _name(line: bytes) -> str:
    """The event's name. Before it stand times and an id, which cannot hold quotation marks."""
    start = line.find(EVENT) + len(EVENT)
    return line[start : line.find(b'"', start)].decode(errors="replace") if start >= len(EVENT) else ""
