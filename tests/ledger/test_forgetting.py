"""What is forgotten is gone: from what is read, and from the disk."""

import random
import sqlite3
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import trio
from keeping import CALLER, append, ended, line, on_disk, opened, whole_call

from agent.core.instants import instant
from agent.ledger import journal, retention, sqlite, store
from agent.ledger.database import connect, migrations
from agent.ledger.purging import Which, purging
from agent.ledger.reading import open_ledger
from agent.ledger.sqlite import SqliteLedger
from agent.ledger.store import Store
from agent.ledger.waiting import Beginning, Kind, Text

NOW = datetime.now(UTC)


@pytest.fixture(autouse=True)
def plain(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is compressed, so that what is left behind can be seen."""
    monkeypatch.setattr(journal, "compress", bytes)
    monkeypatch.setattr(journal, "decompress", bytes)


def days_ago(days: float) -> str:
    return instant(NOW - timedelta(days=days))


async def swept(ledger: SqliteLedger) -> None:
    """Until the writer has looked for what is too old, and found no more."""
    while ledger._swept_at < 0 or trio.current_time() - ledger._swept_at > 1:  # noqa: ASYNC110 - it tells nobody
        await trio.sleep(0.05)


async def test_a_forgotten_call_is_gone_and_the_others_are_not(tmp_path: Path) -> None:
    async with opened(tmp_path) as ledger:
        for call in ("CA1", "CA2"):
            ledger.begin(call, caller=CALLER)
            ledger.keep(call, b"step of " + call.encode())
            await append(ledger, call, [line(call), ended(call)])
        assert await ledger.forget("CA1")
        assert not await ledger.forget("CA1")
        assert await ledger.timeline("CA1") == []
        assert await ledger.call("CA1") is None
        assert await ledger.timeline("CA2") == [line("CA2"), ended("CA2")]
        assert len(await ledger.calls(10)) == 1
        with open_ledger(tmp_path) as reader:
            assert (reader.steps("CA1"), reader.steps("CA2")) == ([], [b"step of CA2"])


async def test_a_text_goes_with_the_last_call_that_needed_it(tmp_path: Path) -> None:
    async with opened(tmp_path) as ledger:
        for call, text in (("CA1", "both"), ("CA2", "both"), ("CA2", "second")):
            if text == "both":
                ledger.begin(call, caller=CALLER)
            ledger.know(call, "rules", text)
        both, second = ledger.know("CA1", "rules", "both"), ledger.know("CA2", "rules", "second")
        for call in ("CA1", "CA2"):
            await append(ledger, call, [ended(call)])
        await ledger.forget("CA2")
        with open_ledger(tmp_path) as reader:
            assert (reader.text(both), reader.text(second)) == ("both", None)
        await ledger.forget("CA1")
        with open_ledger(tmp_path) as reader:
            assert reader.text(both) is None
        ledger.begin("CA3", caller="")
        ledger.know("CA3", "rules", "both")
        await ledger.flush()
        with open_ledger(tmp_path) as reader:
            assert reader.text(both) == "both", "what comes again is kept again"


@pytest.mark.parametrize(("calls_days", "readings_days"), [(1, 1), (36_500, 1)])
async def test_a_text_goes_when_the_time_of_the_steps_that_needed_it_is_over(
    tmp_path: Path, calls_days: float, readings_days: float
) -> None:
    async with opened(tmp_path) as ledger:
        for call, days in (("CAold", 40), ("CAnew", 0)):
            ledger.begin(call, caller="")
            name = ledger.know(call, "rules", call)
            ledger.keep(call, b"step")
            await append(ledger, call, [line(call, "call.started", at=days_ago(days)), ended(call)])
    async with opened(tmp_path, calls_days=calls_days, readings_days=readings_days) as ledger:
        await swept(ledger)
        with closing(sqlite3.connect(tmp_path / "ledger.db")) as db:
            assert db.execute("SELECT hash, text FROM texts").fetchall() == [(name, "CAnew")]


def test_purging_forgets_texts_too_and_keeps_those_of_others(tmp_path: Path) -> None:
    kept = Store(tmp_path)
    for call in ("CA1", "CA2"):
        begun = (Kind.BEGIN, call, Beginning(CALLER, days_ago(1), ""))
        kept.write([begun, (Kind.TEXT, call, Text(call, "rules", call)), (Kind.LINE, call, ended(call))])
    kept.close()
    with purging(tmp_path) as ledger:
        assert ledger is not None
        ledger.forget(ledger.find(Which(call_sid="CA1")))
    with open_ledger(tmp_path) as reader:
        assert (reader.text("CA1"), reader.text("CA2")) == (None, "CA2")


async def test_texts_of_a_ledger_that_did_not_note_who_needs_them_go_with_the_last_of_its_calls(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "ledger.db")) as db:
        db.executescript(migrations()[0])
        for call in ("CA1", "CA2"):
            over = (call, days_ago(1), days_ago(1), b"{}")
            db.execute("INSERT INTO calls (call_sid, began_at, ended_at, entry) VALUES (?, ?, ?, ?)", over)
        db.execute("INSERT INTO texts VALUES ('hash', 'rules', 'text')")
        db.execute("PRAGMA user_version = 1")
        db.commit()
    async with opened(tmp_path) as ledger:
        await whole_call(ledger, "CA3")
        for call, left in (("CA2", "text"), ("CA1", None)):
            await ledger.forget(call)
            with open_ledger(tmp_path) as reader:
                assert reader.text("hash") == left


async def test_a_call_without_an_end_is_not_forgotten(tmp_path: Path) -> None:
    async with opened(tmp_path) as ledger:
        await whole_call(ledger, "CA1")
        ledger.begin("CA1", caller="")  # the same id again
        assert not await ledger.forget("CA1")
        await append(ledger, "CA1", [ended("CA1")])
        assert await ledger.forget("CA1")
        with open_ledger(tmp_path) as reader:
            assert list(reader.calls()) == [], "the earlier call of that id went too"


async def test_what_is_said_of_a_forgotten_call_afterwards_is_not_kept(tmp_path: Path) -> None:
    async with opened(tmp_path) as ledger:
        await whole_call(ledger, "CA1")
        await ledger.forget("CA1")
        await append(ledger, "CA1", [line("CA1", "context.failed")])
        assert await ledger.timeline("CA1") == []
        assert await ledger.unfinished(10) == []


async def test_a_forgotten_call_is_gone_from_the_disk_when_that_is_said(tmp_path: Path) -> None:
    async with opened(tmp_path) as ledger:
        for call in ("CAmarked", "CAother"):
            lines = [line(call, words=f"said in {call} {n}") for n in range(200)]
            await whole_call(ledger, call, *lines)
        assert b"said in CAmarked" in on_disk(tmp_path)
        await ledger.forget("CAmarked")
        assert b"CAmarked" not in on_disk(tmp_path)
        assert b"said in CAother" in on_disk(tmp_path)


@pytest.mark.parametrize("seed", range(3))
def test_no_copy_is_left_behind_however_the_lines_of_calls_were_mixed(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    kept = Store(tmp_path)
    calls = [f"CA{n:03d}marked" for n in range(60)]
    kept.write([(Kind.BEGIN, call, Beginning(CALLER, days_ago(1), "")) for call in calls])
    for _ in range(20):  # little at a time: rows as small as they can be, and many to a page if they were let
        mixed = []
        for call in chance.sample(calls, 40):
            mixed.append((Kind.LINE, call, line(call, at=call, x="y" * chance.randint(0, 300))))
            mixed.append((Kind.STEP, call, call.encode() + b"z" * chance.randint(0, 100)))
        kept.write(mixed)
        if chance.random() < 0.7:
            kept.settle()
    kept.write([(Kind.LINE, call, ended(call)) for call in calls])
    chance.shuffle(calls)
    for call in calls[:30]:
        assert kept.forget(call)
    kept.rewrite()
    kept.tidy()
    everything = on_disk(tmp_path)
    assert [call for call in calls[:30] if call.encode() in everything] == []
    assert [call for call in calls[30:] if not kept.forget(call)] == []
    kept.close()


def test_what_one_process_forgets_another_does_not_bring_back(tmp_path: Path) -> None:
    kept = Store(tmp_path)
    kept.write([(Kind.BEGIN, "CA1", Beginning(CALLER, days_ago(400), "")), (Kind.LINE, "CA1", line("CA1"))])
    other = connect(tmp_path)
    retention.forget(other, [1])
    kept.write([(Kind.LINE, "CA1", line("CA1"))])
    kept.settle()
    assert other.execute("SELECT count(*) FROM segments").fetchone() == (0,)
    other.close()
    kept.close()


async def test_traces_of_ids_go_by_themselves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rewritten: list[bool] = []
    monkeypatch.setattr(store.retention, "rewrite", lambda db: rewritten.append(True))
    async with opened(tmp_path) as ledger:
        await whole_call(ledger, "CA1")
        await ledger.forget("CA1")
        while not rewritten:  # noqa: ASYNC110 - it tells nobody
            await trio.sleep(0.05)


async def test_rewriting_changes_nothing_that_can_be_read(tmp_path: Path) -> None:
    async with opened(tmp_path) as ledger:
        for n in range(50):
            await whole_call(ledger, f"CA{n}", line(f"CA{n}"))
        await ledger.forget("CA49")
        with open_ledger(tmp_path) as reader:
            before = list(reader.calls()), reader.find("CA7")
        await trio.to_thread.run_sync(ledger._store.rewrite, limiter=ledger._writing)
        with open_ledger(tmp_path) as reader:
            assert (list(reader.calls()), reader.find("CA7")) == before
        await whole_call(ledger, "CA50")
        with open_ledger(tmp_path) as reader, closing(sqlite3.connect(tmp_path / "ledger.db")) as db:
            row = reader.call("CA50")
            assert row is not None
            assert row.id == 51, "no number is used twice"
            indexes = db.execute("SELECT count(*) FROM sqlite_schema WHERE type = 'index' AND tbl_name = 'calls'")
            assert indexes.fetchone() == (6,)


async def test_somebody_who_reads_delays_the_wiping_of_the_log_and_does_not_prevent_it(tmp_path: Path) -> None:
    async with opened(tmp_path) as ledger:
        await whole_call(ledger, "CAmarked")
        ledger._store._db.execute("PRAGMA busy_timeout = 50")
        with closing(sqlite3.connect(tmp_path / "ledger.db", isolation_level=None)) as other:
            other.execute("BEGIN")
            other.execute("SELECT count(*) FROM calls").fetchone()
            assert await ledger.forget("CAmarked")
            other.execute("ROLLBACK")
        while b"CAmarked" in on_disk(tmp_path):  # noqa: ASYNC110 - a file tells nobody
            await trio.sleep(0.05)


# --- By age ---


async def test_readings_and_steps_go_after_their_days_and_the_rest_of_a_call_after_its_own(tmp_path: Path) -> None:
    async with opened(tmp_path) as ledger:
        for call, days in (("CAnew", 29), ("CAold", 31), ("CAvery-old", 366)):
            ledger.begin(call, caller=CALLER)
            ledger.keep(call, b"step")
            started = line(call, "call.started", at=days_ago(days))
            for one in (started, line(call), line(call, "audio.gap"), ended(call)):
                ledger.append(call, one)
            ledger.append(call, line(call, "context.updated"))
        await ledger.flush()
    async with opened(tmp_path, readings_days=30, calls_days=365) as ledger:
        await swept(ledger)
        with open_ledger(tmp_path) as reader:
            rows = {row.call_sid: row.complete for row in reader.calls()}
            assert rows == {"CAnew": True, "CAold": False}
            assert (len(reader.steps("CAnew")), len(reader.timeline("CAnew"))) == (1, 5)
            assert reader.steps("CAold") == []
            assert reader.timeline("CAold") == [
                line("CAold", "call.started", at=days_ago(31)),
                ended("CAold"),
                line("CAold", "context.updated"),
            ]


async def test_what_is_too_old_is_gone_from_the_disk_too(tmp_path: Path) -> None:
    async with opened(tmp_path) as ledger:
        for n in range(50):
            call = f"CAmarked{n}"
            await whole_call(ledger, call, *[line(call, n=n) for n in range(20)], at=days_ago(400))
        await whole_call(ledger, "CAother", at=days_ago(1))
    assert b"CAmarked" in on_disk(tmp_path)
    async with opened(tmp_path, calls_days=365) as ledger:
        await swept(ledger)
        assert len(await ledger.calls(100)) == 1
    assert b"CAmarked" not in on_disk(tmp_path)
    assert b"CAother" in on_disk(tmp_path)


async def test_the_sweep_comes_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite, "SWEEP_EVERY_S", 0.2)
    async with opened(tmp_path, calls_days=365) as ledger:
        await trio.sleep(0.5)
        await whole_call(ledger, "CA1", at=days_ago(400))
        while await ledger.calls(1):  # noqa: ASYNC110 - it tells nobody
            await trio.sleep(0.05)
