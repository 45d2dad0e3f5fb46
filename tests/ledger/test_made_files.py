"""A ledger that somebody made to do harm is read like any other, and costs no more."""

import tracemalloc
import zlib
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import msgspec
import pytest
from keeping import line, opened, whole_call

from agent.ledger import journal
from agent.ledger.database import connect
from agent.ledger.reading import open_ledger


@pytest.fixture(autouse=True)
def little_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal, "CALL_AT_MOST", 2 << 20)


@pytest.fixture
def memory() -> Iterator[None]:
    """Memory is counted."""
    tracemalloc.start()
    yield
    tracemalloc.stop()


def compressed(size: int) -> bytes:
    """One record of so many zeros, as it lies in a segment; made in parts, for it is large."""
    packer, part = zlib.compressobj(1), bytes(1 << 20)
    head = b"\x91\x93\x01\xa1x\xc6" + size.to_bytes(4, "big")
    return b"".join([packer.compress(head), *(packer.compress(part) for _ in range(size >> 20)), packer.flush()])


@pytest.mark.usefixtures("memory")
async def test_what_would_unpack_to_more_than_a_call_can_hold_is_passed_over_and_not_unpacked(tmp_path: Path) -> None:
    async with opened(tmp_path) as ledger:
        await whole_call(ledger, "CA1", line("CA1", n=1))
        before = await ledger.timeline("CA1")
    with closing(connect(tmp_path)) as db:
        data = journal.PAGE + compressed(64 << 20)
        db.execute("INSERT INTO segments (call, data) VALUES (1, ?)", (data,))
    with open_ledger(tmp_path) as reader:
        tracemalloc.reset_peak()
        assert reader.timeline("CA1") == before
        assert tracemalloc.get_traced_memory()[1] < 32 << 20


async def test_many_segments_hold_no_more_than_one(tmp_path: Path) -> None:
    half = journal.PAGE + compressed(journal.CALL_AT_MOST // 2)
    async with opened(tmp_path) as ledger:
        await whole_call(ledger, "CA1")
    with closing(connect(tmp_path)) as db:
        db.executemany("INSERT INTO segments (call, data) VALUES (1, ?)", [(half,)] * 4)
    with open_ledger(tmp_path) as reader:
        assert sum(len(each) for each in reader.timeline("CA1")) < journal.CALL_AT_MOST


async def test_a_list_that_claims_to_be_longer_than_it_is_is_passed_over(tmp_path: Path) -> None:
    async with opened(tmp_path) as ledger:
        await whole_call(ledger, "CA1")
    with closing(connect(tmp_path)) as db:
        claims = journal.PAGE + journal.compress(b"\xdd\x00\xff\xff\xff" + msgspec.msgpack.encode([1]))
        db.execute("INSERT INTO segments (call, data) VALUES (1, ?)", (claims,))
    with open_ledger(tmp_path) as reader:
        assert len(reader.timeline("CA1")) == 2
