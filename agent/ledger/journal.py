"""Where lines and steps lie: the newest seconds of all calls in the journal, a row a write, and all else in segments, a
row for some seconds of one call.

Lines of hundreds of calls come mixed. Put at once where they belong, each would touch a page of its own and all these
pages would be written four times a second, which costs many times what the lines are. So a write is one row with
everything in it, and every few seconds the rows of a while ago are sorted by call, in one go. Who reads a call reads
both. Rows stay a few seconds at least, so that who follows them by their number misses none.

What is forgotten must be gone from the disk. SQLite overwrites what it deletes, but not the copies that it leaves
behind when it moves rows from page to page to make room; what it never moves is the part of a row that does not fit
into a page. So every row here begins with a page of zeros, and what it holds lies in pages that are its own.
"""

import sqlite3
import zlib
from collections.abc import Iterable, Iterator
from functools import partial

import msgspec

from .database import transaction

AT_ONCE = 100
"""Rows sorted in one transaction."""
PAGE = bytes(4096)
"""More than SQLite keeps of a row together with others."""

CALL_AT_MOST = 128 << 20
"""Bytes of one call in segments, some hundred thousand lines: a file that was made for it would unpack to anything."""

compress = partial(zlib.compress, level=1)
"""A segment's lines resemble each other."""


def decompress(data: memoryview) -> bytes:
    """Raises zlib.error, also for what is more than one call may hold."""
    unpacker = zlib.decompressobj()
    unpacked = unpacker.decompress(data, CALL_AT_MOST + 1)
    if len(unpacked) > CALL_AT_MOST or not unpacker.eof:
        raise zlib.error("too much, or not all of it")
    return unpacked


Record = tuple[int, str | None, bytes]
"""Place in the call, name of the event (None: a step of what decided), and the line or step itself."""
Write = dict[int, list[Record]]
"""Records by the number of their call."""

_encode = msgspec.msgpack.Encoder().encode
_calls = msgspec.msgpack.Decoder(dict[int, msgspec.Raw])
_records = msgspec.msgpack.Decoder(list[Record])


def write(db: sqlite3.Connection, records: Write) -> None:
    """One row of the journal. To be called in a transaction."""
    db.execute("INSERT INTO journal (data) VALUES (?)", (PAGE + _encode(records),))


def newest(db: sqlite3.Connection) -> int:
    """The number of the newest row of the journal that there ever was; 0: there was none."""
    found = db.execute("SELECT seq FROM sqlite_sequence WHERE name = 'journal'").fetchone()
    return 0 if found is None else int(found[0])


def after(db: sqlite3.Connection, number: int = 0) -> Iterator[tuple[int, Write]]:
    """The rows of the journal behind this one, in order."""
    for found, data in db.execute("SELECT id, data FROM journal WHERE id > ? ORDER BY id", (number,)):
        yield found, _unpacked(data)


def of_call(db: sqlite3.Connection, call: int) -> list[Record]:
    """Everything of one call, in order."""
    segments = db.execute("SELECT data FROM segments WHERE call = ?", (call,))
    found: list[Record] = []
    room = CALL_AT_MOST
    for (data,) in segments:
        records, size = _of_segment(data, room)
        found += records
        room -= size
    for (data,) in db.execute("SELECT data FROM journal"):
        if (mine := _rows(data).get(call)) is not None:
            found += _records.decode(mine)
    found.sort(key=lambda record: record[0])
    return found


def settle(db: sqlite3.Connection, up_to: int) -> None:
    """Sort these rows of the journal into segments. What belongs to a call that has been forgotten meanwhile goes."""
    while True:
        with transaction(db):
            query = "SELECT id, data FROM journal WHERE id <= ? ORDER BY id LIMIT ?"
            rows = db.execute(query, (up_to, AT_ONCE)).fetchall()
            if not rows:
                return
            calls: Write = {}
            for _, data in rows:
                for call, records in _unpacked(data).items():
                    calls.setdefault(call, []).extend(records)
            for call, records in calls.items():
                if db.execute("SELECT 1 FROM calls WHERE id = ?", (call,)).fetchone():
                    _keep(db, call, records)
            db.execute("DELETE FROM journal WHERE id <= ?", (rows[-1][0],))


def strip(db: sqlite3.Connection, calls: Iterable[int]) -> None:
    """Forget everything of these calls. To be called in a transaction."""
    gone = set(calls)
    for call in gone:
        db.execute("DELETE FROM segments WHERE call = ?", (call,))
    for number, data in db.execute("SELECT id, data FROM journal").fetchall():
        rows = _rows(data)
        if gone & rows.keys():
            left = {call: raw for call, raw in rows.items() if call not in gone}
            db.execute("UPDATE journal SET data = ? WHERE id = ?", (PAGE + _encode(left), number))


def thin_out(db: sqlite3.Connection, call: int, unwanted: frozenset[str | None]) -> int:
    """Keep of one call what does not go by these names, in one segment; how many records went. To be called in a
    transaction."""
    records = of_call(db, call)
    left = [record for record in records if record[1] not in unwanted]
    strip(db, [call])
    if left:
        _keep(db, call, left)
    return len(records) - len(left)


def _keep(db: sqlite3.Connection, call: int, records: list[Record]) -> None:
    data = PAGE + compress(_encode(records))
    db.execute("INSERT INTO segments (call, data) VALUES (?, ?)", (call, data))


# What a broken disk has changed is passed over: the rest of the call can still be read.


def _of_segment(data: bytes, room: int) -> tuple[list[Record], int]:
    """A segment's records and how many bytes they were; none where these would not fit into `room`."""
    try:
        unpacked = decompress(memoryview(data)[len(PAGE) :])
        return (_records.decode(unpacked), len(unpacked)) if len(unpacked) <= room else ([], 0)
    except (zlib.error, msgspec.MsgspecError):
        return [], 0


def _rows(data: bytes) -> dict[int, msgspec.Raw]:
    try:
        return _calls.decode(memoryview(data)[len(PAGE) :])
    except msgspec.MsgspecError:
        return {}


def _unpacked(data: bytes) -> Write:
    try:
        return {call: _records.decode(raw) for call, raw in _rows(data).items()}
    except msgspec.MsgspecError:
        return {}
