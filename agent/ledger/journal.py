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
from dataclasses import dataclass
from functools import partial

import msgspec

from .database import transaction

AT_ONCE = 100
"""Rows sorted in one transaction."""
SEGMENTS_AT_ONCE = 200
"""Put into place by one statement."""
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
            found += _list(mine)
    found.sort(key=lambda record: record[0])
    return found


def newest_line(db: sqlite3.Connection, call: int) -> bytes | None:
    """The newest line of one call."""
    for records in _newest_first(db, call):
        if (last := max((record for record in records if record[1] is not None), default=None)) is not None:
            return last[2]
    return None


def last_place(db: sqlite3.Connection, call: int) -> int:
    """The place of the newest record of one call; 0: there is none."""
    return next((max(seq for seq, *_ in records) for records in _newest_first(db, call) if records), 0)


def _newest_first(db: sqlite3.Connection, call: int) -> Iterator[list[Record]]:
    """The records of one call in parts, the newest first, so that nobody reads more than is wanted."""
    rows = (_rows(data).get(call) for (data,) in db.execute("SELECT data FROM journal"))
    yield [record for mine in rows if mine is not None for record in _list(mine)]
    for (data,) in db.execute("SELECT data FROM segments WHERE call = ? ORDER BY id DESC", (call,)):
        yield _of_segment(data, CALL_AT_MOST)[0]


@dataclass(frozen=True, slots=True)
class Sorted:
    """Rows of the journal as segments."""

    last: int
    """The number of the newest of these rows; all up to it are meant."""
    rows: tuple[int, int]
    """How many they were, and their bytes."""
    segments: list[tuple[int, bytes]]
    """Call and data."""


def in_order(db: sqlite3.Connection, up_to: int) -> Sorted | None:
    """The oldest of these rows, as segments: the long part of sorting them, and it only reads. None: there are none."""
    query = "SELECT id, data FROM journal WHERE id <= ? ORDER BY id LIMIT ?"
    rows = db.execute(query, (up_to, AT_ONCE)).fetchall()
    if not rows:
        return None
    calls: dict[int, list[msgspec.Raw]] = {}
    for _, data in rows:
        for call, records in _rows(data).items():
            calls.setdefault(call, []).append(records)
    size = sum(len(data) for _, data in rows)
    segments = [(call, PAGE + compress(_joined(lists))) for call, lists in calls.items()]
    return Sorted(rows[-1][0], (len(rows), size), segments)


def _joined(lists: list[msgspec.Raw]) -> bytes:
    """Lists of records as one, by the heads of MessagePack's arrays: what is in them need not be looked at."""
    count, bodies = 0, list[memoryview]()
    for each in lists:
        data = memoryview(each)
        long = {0xDC: 2, 0xDD: 4}.get(data[0], 0)
        if not long and data[0] & 0xF0 != 0x90:
            continue  # no list
        count += int.from_bytes(data[1 : 1 + long]) if long else data[0] & 0x0F
        bodies.append(data[1 + long :])
    return b"".join([b"\xdd", count.to_bytes(4), *bodies])


def put(db: sqlite3.Connection, found: Sorted) -> bool:
    """Put rows into their place; what belongs to a call that has been forgotten meanwhile goes. False: they are not
    what they were, for somebody else has sorted or stripped them; nothing is done.

    In few statements: each lets go of the interpreter, and a busy loop gives it back only after some milliseconds.
    """
    with transaction(db):
        look = "SELECT count(*), total(length(data)) FROM journal WHERE id <= ?"
        if db.execute(look, (found.last,)).fetchone() != found.rows:
            return False
        for start in range(0, len(found.segments), SEGMENTS_AT_ONCE):
            some = found.segments[start : start + SEGMENTS_AT_ONCE]
            values = ", ".join(["(?, ?)"] * len(some))
            db.execute(
                f"INSERT INTO segments (call, data) SELECT column1, column2 FROM (VALUES {values}) "
                "WHERE EXISTS (SELECT 1 FROM calls WHERE id = column1)",
                [value for segment in some for value in segment],
            )
        db.execute("DELETE FROM journal WHERE id <= ?", (found.last,))
    return True


def settle(db: sqlite3.Connection, up_to: int) -> None:
    """Sort these rows of the journal into segments, all of it in one go."""
    while (found := in_order(db, up_to)) is not None:
        put(db, found)


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
    except (zlib.error, msgspec.MsgspecError, TypeError):  # what is no blob is no buffer
        return [], 0


def _list(mine: msgspec.Raw) -> list[Record]:
    try:
        return _records.decode(mine)
    except msgspec.MsgspecError:
        return []


def _rows(data: bytes) -> dict[int, msgspec.Raw]:
    try:
        return _calls.decode(memoryview(data)[len(PAGE) :])
    except (msgspec.MsgspecError, TypeError):
        return {}


def _unpacked(data: bytes) -> Write:
    return {call: _list(raw) for call, raw in _rows(data).items()}
