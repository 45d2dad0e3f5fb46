"""A disk that is full, slow, locked or gone costs no call any time; it is said once, and tried again."""

import errno
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from pathlib import Path

import msgspec
import pytest
import structlog
import trio
from keeping import append, ended, line, numbered, opened, whole_call

from agent.calls.recovery import record_crashed
from agent.errors import LedgerUnavailable
from agent.ledger import database, journal, retention, sqlite, store, waiting
from agent.ledger.reading import open_ledger
from agent.ledger.sqlite import SqliteLedger, open_sqlite


@contextmanager
def full(ledger: SqliteLedger) -> Iterator[None]:
    """The file may not grow, as on a disk without room."""
    db = ledger._store._db
    (pages,) = db.execute("PRAGMA page_count").fetchone()
    db.execute(f"PRAGMA max_page_count = {pages}")
    yield
    db.execute("PRAGMA max_page_count = 1000000000")


@contextmanager
def read_only(ledger: SqliteLedger) -> Iterator[None]:
    ledger._store._db.execute("PRAGMA query_only = ON")
    yield
    ledger._store._db.execute("PRAGMA query_only = OFF")


@contextmanager
def locked(ledger: SqliteLedger) -> Iterator[None]:
    """Another process writes for a long time."""
    ledger._store._db.execute("PRAGMA busy_timeout = 50")
    with closing(sqlite3.connect(ledger._folder / "ledger.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield
        other.execute("ROLLBACK")


@contextmanager
def broken(ledger: SqliteLedger) -> Iterator[None]:
    """The disk answers nothing but errors."""
    write = ledger._store.write

    def fail(*_: object) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    ledger._store.write = fail  # type: ignore[method-assign]
    yield
    ledger._store.write = write  # type: ignore[method-assign]


FAULTS = {full: "full", read_only: "readonly", locked: "locked", broken: "Input/output error"}


@pytest.mark.parametrize("fault", FAULTS)
async def test_a_disk_that_cannot_be_written_is_said_once_and_costs_no_line_when_it_can_be_again(
    tmp_path: Path, fault: "type[full]"
) -> None:
    async with opened(tmp_path) as ledger:
        await whole_call(ledger, "CA0")
        ledger.begin("CA1", caller="")
        await ledger.flush()
        with structlog.testing.capture_logs() as logged:
            with fault(ledger):  # type: ignore[operator]
                for n in range(3):
                    with pytest.raises(LedgerUnavailable, match=f"{FAULTS[fault]}.*CALLMOOD_DATA"):
                        await append(ledger, "CA1", numbered("CA1", range(100 * n, 100 * n + 100)))
                assert len(await ledger.calls(10)) == 1, "what is there can still be read"
            await ledger.flush()
        assert await ledger.timeline("CA1") == numbered("CA1", range(300))
        assert ledger.dropped == 0
    assert [entry["event"] for entry in logged] == ["ledger.unavailable", "ledger.recovered"]
    with open_ledger(tmp_path) as reader:
        row = reader.call("CA1")
    assert row is not None
    assert row.complete


async def test_while_the_disk_stands_still_the_oldest_lines_give_way_and_are_counted_and_their_calls_marked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(waiting, "ITEMS_WAITING", 10)
    async with opened(tmp_path) as ledger:
        for call in ("CA1", "CA2", "CA3"):
            ledger.begin(call, caller="")
        await ledger.flush()
        with broken(ledger):
            with pytest.raises(LedgerUnavailable):
                await append(ledger, "CA1", numbered("CA1", range(5)))
            ledger.keep("CA2", b"step")
            for one in numbered("CA1", range(5, 30)):
                ledger.append("CA1", one)
            ledger.append("CA3", line("CA3"))
        await ledger.flush()
        assert await ledger.timeline("CA1") == numbered("CA1", range(21, 30))
        assert ledger.dropped == 22
        with open_ledger(tmp_path) as reader:
            complete = {row.call_sid: row.complete for row in reader.calls()}
    assert complete == {"CA1": False, "CA2": False, "CA3": True}


@pytest.mark.parametrize("harm", [full, broken])
async def test_a_call_can_be_read_while_the_disk_cannot_be_written(
    tmp_path: Path, harm: Callable[[SqliteLedger], AbstractContextManager[None]]
) -> None:
    async with opened(tmp_path) as ledger:
        await whole_call(ledger, "CA1", line("CA1", n=1))
        before = await ledger.timeline("CA1")
        with harm(ledger):
            ledger.begin("CA2", caller="+15550100077")
            for n in range(50):
                ledger.append("CA2", line("CA2", x="y" * 10_000, n=n))
            with pytest.raises(LedgerUnavailable):
                await ledger.flush()
            assert await ledger.timeline("CA1") == before
            entry = await ledger.call("CA1")
            assert entry is not None
            assert [entry] == await ledger.calls(10)
            with pytest.raises(LedgerUnavailable):
                await ledger.forget("CA1")


async def test_beginnings_and_ends_give_way_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting, "ITEMS_WAITING", 10)
    async with opened(tmp_path) as ledger:
        with broken(ledger):
            ledger.begin("CA1", caller="+15550100042")
            ledger.append("CA1", line("CA1", "call.started", caller="***42"))
            text = ledger.know("CA1", "rules", "text")
            for one in numbered("CA1", range(40)):
                ledger.append("CA1", one)
            ledger.append("CA1", ended("CA1"))
            for _ in range(30):
                ledger.append("CA1", line("CA1"))
        await ledger.flush()
        lines = await ledger.timeline("CA1")
        assert lines == [line("CA1", "call.started", caller="***42"), ended("CA1"), *[line("CA1")] * 10]
        with open_ledger(tmp_path) as reader:
            row, said = reader.call("CA1"), reader.text(text)
    assert row is not None
    assert (row.caller, row.outcome, row.complete, said) == ("***42", "hangup", False, "text")


async def test_a_beginning_that_was_lost_leaves_its_lines_to_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(waiting, "ITEMS_WAITING", 3)
    monkeypatch.setattr(waiting, "FIRST_WAITING", 0)
    async with opened(tmp_path) as ledger:
        with full(ledger):
            ledger.begin("CA1", caller="")
            with pytest.raises(LedgerUnavailable):
                await append(ledger, "CA1", [line("CA1", filler="x" * 100_000)])
            ledger.begin("CA2", caller="")
            ledger.append("CA1", line("CA1"))
            ledger.append("CA2", line("CA2"))
        await ledger.flush()
        assert await ledger.timeline("CA1") == []
        assert await ledger.timeline("CA2") == [line("CA2")]


async def test_what_waits_is_bounded_whatever_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting, "ITEMS_WAITING", 10)
    monkeypatch.setattr(waiting, "FIRST_WAITING", 10)
    async with opened(tmp_path) as ledger:
        with broken(ledger):
            for n in range(1000):
                ledger.begin(f"CA{n}", caller="")
                ledger.append(f"CA{n}", ended(f"CA{n}"))
            assert len(ledger._waiting) + len(ledger._waiting.incomplete) <= 30
        await ledger.flush()
        assert len(await ledger.calls(100)) == 10


async def test_a_disk_that_stands_still_stops_neither_the_loop_nor_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    released = threading.Event()
    monkeypatch.setattr(store.Store, "write", lambda *_: released.wait(20))
    monkeypatch.setattr(sqlite, "LAST_WRITE_S", 0.2)
    try:
        with trio.fail_after(10):
            async with opened(tmp_path) as ledger:
                ledger.begin("CA1", caller="")
                with trio.move_on_after(0.5) as patience:
                    await ledger.flush()
                assert patience.cancelled_caught
    finally:
        released.set()


async def test_order_is_kept_again_after_a_fault_though_nothing_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tries: list[None] = []

    def locked_once(_: store.Store) -> None:
        tries.append(None)
        if len(tries) == 1:
            raise sqlite3.OperationalError("database is locked")

    async with opened(tmp_path):
        monkeypatch.setattr(store.Store, "untidy", True)
        monkeypatch.setattr(store.Store, "tidy", locked_once)
        with trio.fail_after(10):
            while len(tries) < 2:  # noqa: ASYNC110 - the writer tells nobody when it tidies
                await trio.sleep(0.02)


async def test_a_disk_that_refuses_the_last_tidying_ends_the_service_like_any_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def locked(_: sqlite3.Connection) -> None:
        raise sqlite3.OperationalError("database is locked")

    monkeypatch.setattr(retention, "rewrite", locked)
    async with opened(tmp_path) as ledger:
        await whole_call(ledger, "CA1")
        assert await ledger.forget("CA1")


async def test_a_folder_that_vanishes_is_an_unavailable_ledger_and_nothing_worse(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    async with opened(folder) as ledger:
        await whole_call(ledger, "CA0")
        shutil.rmtree(folder)
        ledger.begin("CA1", caller="+15550100042")
        with pytest.raises(LedgerUnavailable, match="No such file"):
            await append(ledger, "CA1", [line("CA1")])
        folder.mkdir()
        await ledger.flush()
        assert await ledger.timeline("CA1") == [line("CA1")]
        assert await ledger.timeline("CA0") == []


async def test_a_ledger_that_is_closed_says_so_and_does_not_hang(tmp_path: Path) -> None:
    async with opened(tmp_path) as ledger:
        pass
    ledger.begin("CA1", caller="")
    with trio.fail_after(2), pytest.raises(LedgerUnavailable):
        await ledger.flush()


# --- A process that was killed ---

WRITER = """
import sys, trio
from pathlib import Path
from agent.ledger.sqlite import open_sqlite

async def main():
    async with open_sqlite(Path(sys.argv[1])) as ledger:
        ledger.begin("CA1", caller="+15550100042")
        n = 0
        while True:
            ledger.append("CA1", b'{"t":%d,"callSid":"CA1","event":"audio.chunk"}' % n)
            ledger.keep("CA1", b"%d" % n)
            n += 1
            print(n, flush=True)
            await trio.sleep(0.02)

trio.run(main)
"""


def written_and_killed(folder: Path, lives_s: float) -> int:
    """A process writes so long, and is killed; what it had written a second before."""
    said: list[tuple[float, int]] = []
    with subprocess.Popen([sys.executable, "-c", WRITER, str(folder)], stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout is not None
        for text in writer.stdout:
            said.append((time.monotonic(), int(text)))
            if said[-1][0] - said[0][0] > lives_s:
                writer.send_signal(signal.SIGKILL)
                break
    return max(number for when, number in said if when <= said[-1][0] - 1.0)


@pytest.mark.parametrize("lives_s", [1.2, 1.6])
async def test_a_killed_process_loses_less_than_its_last_second(tmp_path: Path, lives_s: float) -> None:
    must_be_there = await trio.to_thread.run_sync(written_and_killed, tmp_path, lives_s)
    async with opened(tmp_path) as ledger:
        lines = await ledger.timeline("CA1")
        assert len(lines) >= must_be_there > 0
        assert [b'"t":%d,' % n in one for n, one in enumerate(lines)] == [True] * len(lines)
        assert len(await record_crashed(ledger)) == 1
        assert not await record_crashed(ledger)
        (entry,) = await ledger.calls(10)
        assert b'"outcome":"crashed"' in entry
    with open_ledger(tmp_path) as reader:
        assert len(reader.steps("CA1")) == len(lines)


async def test_the_end_of_a_crashed_call_is_written_without_reading_the_call(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with opened(tmp_path) as ledger:
        ledger.begin("CA1", caller="")
        for n in range(5):
            ledger.append("CA1", line("CA1", t=1000 * n))
            await ledger.flush()
            await trio.to_thread.run_sync(ledger._store.settle, limiter=ledger._writing)
        ledger.keep("CA1", b"step")
    read: list[int] = []
    whole = journal._of_segment
    monkeypatch.setattr(journal, "_of_segment", lambda data, room: read.append(len(data)) or whole(data, room))
    async with opened(tmp_path) as ledger:
        assert len(await record_crashed(ledger)) == 1
        await ledger.flush()
        assert len(read) <= 3, "the step's segment, the newest line's, and the newest once more"
        monkeypatch.undo()
        lines = [msgspec.json.decode(one) for one in await ledger.timeline("CA1")]
        assert [each["t"] for each in lines] == [0, 1000, 2000, 3000, 4000, 4000]
        assert (lines[-1]["outcome"], lines[-1]["durationMs"]) == ("crashed", 4000)


# --- Two processes ---


async def test_two_may_write_and_only_the_first_is_alone(tmp_path: Path) -> None:
    with structlog.testing.capture_logs() as logged:
        async with opened(tmp_path) as first, opened(tmp_path) as second:
            assert (first.alone, second.alone) == (True, False)
            for n in range(30):
                first.begin(f"A{n}", caller="")
                second.begin(f"B{n}", caller="")
                first.append(f"A{n}", line(f"A{n}"))
                second.append(f"B{n}", line(f"B{n}"))
                await trio.sleep(0.01)
            await first.flush()
            await second.flush()
            for ledger in (first, second):
                for n in range(30):
                    assert await ledger.timeline(f"A{n}") == [line(f"A{n}")]
                    assert await ledger.timeline(f"B{n}") == [line(f"B{n}")]
    assert [entry["event"] for entry in logged] == ["ledger.shared"]


async def test_who_opens_beside_another_leaves_what_that_one_has_just_written_where_it_is(tmp_path: Path) -> None:
    def sorted_into_place() -> int:
        with closing(sqlite3.connect(tmp_path / "ledger.db")) as db:
            return int(db.execute("SELECT count(*) FROM segments").fetchone()[0])

    async with opened(tmp_path) as running:
        running.begin("CA1", caller="")
        await append(running, "CA1", numbered("CA1", range(3)))
        async with opened(tmp_path) as beside:
            assert sorted_into_place() == 0
            assert await beside.timeline("CA1") == numbered("CA1", range(3))
    async with opened(tmp_path):
        assert sorted_into_place() == 1, "who is alone sorts what was left"


async def test_two_that_start_at_once_on_an_empty_folder_agree_on_one_ledger(tmp_path: Path) -> None:
    async def start(name: str) -> None:
        async with open_sqlite(tmp_path) as ledger:
            await whole_call(ledger, name)

    with trio.fail_after(15):
        async with trio.open_nursery() as nursery:
            for n in range(4):
                nursery.start_soon(start, f"CA{n}")
    with open_ledger(tmp_path) as reader:
        assert {row.call_sid for row in reader.calls()} == {"CA0", "CA1", "CA2", "CA3"}


async def test_the_log_of_writes_does_not_grow_for_ever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "WAL_PAGES", 100)
    async with opened(tmp_path) as ledger:
        ledger.begin("CA1", caller="")
        for n in range(60):
            await append(ledger, "CA1", [line("CA1", filler="x" * 20_000, n=n)])
        assert (tmp_path / "ledger.db-wal").stat().st_size < 2_000_000
