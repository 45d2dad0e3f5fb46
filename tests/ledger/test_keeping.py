"""The ledger on disk: what is kept is read back, by this process and by others. Real threads, so the real clock."""

import json
import sqlite3
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path

import msgspec
import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st
from keeping import append, ended, line, numbered, on_disk, opened, whole_call

from agent.calls.recovery import record_crashed
from agent.errors import LedgerUnavailable
from agent.ledger import database, journal, reading, sqlite, store
from agent.ledger.entries import is_milestone
from agent.ledger.memory import CALLS_KEPT, MemoryLedger
from agent.ledger.reading import follow, open_ledger
from agent.ledger.sqlite import SqliteLedger, open_sqlite
from agent.ledger.waiting import Beginning, Kind


@pytest.fixture
def settling(monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything is sorted into place at once."""
    monkeypatch.setattr(store, "SETTLE_EVERY_S", 0.0)
    monkeypatch.setattr(sqlite, "ORDER_EVERY_S", 0.0)
    monkeypatch.setattr(sqlite, "rest", trio.sleep)


async def settled(ledger: SqliteLedger) -> None:
    await trio.to_thread.run_sync(ledger._store.settle, limiter=ledger._writing)


# --- Keeping ---


async def test_lines_survive_the_ledger_that_wrote_them(tmp_path: Path) -> None:
    folder = tmp_path / "not" / "there" / "yet"
    async with opened(folder) as ledger:
        ledger.begin("CA1", caller="")
        for one in numbered("CA1", range(100)):
            ledger.append("CA1", one)
    async with opened(folder) as ledger:
        assert await ledger.timeline("CA1") == numbered("CA1", range(100))


async def test_what_was_flushed_is_there_for_other_processes(tmp_path: Path) -> None:
    async with opened(tmp_path) as ledger:
        ledger.begin("CA1", caller="")
        await append(ledger, "CA1", numbered("CA1", range(3)))
        with open_ledger(tmp_path) as reader:
            assert reader.timeline("CA1") == numbered("CA1", range(3))


async def test_reading_a_call_back_waits_for_no_tick(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite, "WRITE_EVERY_S", 3600.0)
    async with opened(tmp_path) as ledger:
        ledger.begin("CA1", caller="")
        for count in range(1, 6):
            ledger.append("CA1", line("CA1"))
            assert len(await ledger.timeline("CA1")) == count


async def test_the_files_are_nobody_elses_to_read(tmp_path: Path) -> None:
    async with opened(tmp_path / "data") as ledger:
        await whole_call(ledger, "CA1")
        paths = list((tmp_path / "data").iterdir())
        assert {path.name for path in paths} >= {"ledger.db", "ledger.db-wal", "ledger.db-shm", "ledger.key", "lock"}
        assert [path.name for path in [*paths, tmp_path / "data"] if path.stat().st_mode & 0o077] == []


async def test_appending_never_waits_and_the_lines_are_written_soon_without_being_asked_for(tmp_path: Path) -> None:
    async with opened(tmp_path) as ledger:
        ledger.begin("CA1", caller="")
        ledger.append("CA1", line("CA1"))
        with open_ledger(tmp_path) as reader:
            while not reader.timeline("CA1"):  # noqa: ASYNC110 - a file tells nobody
                await trio.sleep(0.02)


async def test_steps_and_lines_are_kept_apart_each_in_order(tmp_path: Path) -> None:
    async with opened(tmp_path) as ledger:
        ledger.begin("CA1", caller="")
        for n in range(50):
            ledger.keep("CA1", b"\x00step%d" % n)
            ledger.append("CA1", line("CA1", n=n))
            if n == 20:
                await ledger.flush()
                await settled(ledger)
        await ledger.flush()
        with open_ledger(tmp_path) as reader:
            assert reader.steps("CA1") == [b"\x00step%d" % n for n in range(50)]
            assert reader.timeline("CA1") == numbered("CA1", range(50))


async def test_a_text_is_kept_once_by_its_hash(tmp_path: Path) -> None:
    async with opened(tmp_path) as ledger:
        ledger.begin("CA1", caller="")
        names = {
            ledger.know("CA1", "rules", "[[rule]]"),
            ledger.know("CA1", "rules", "[[rule]]"),
            ledger.know("CA1", "rules", "# none"),
        }
        await ledger.flush()
        with open_ledger(tmp_path) as reader:
            assert {reader.text(name) for name in names} == {"[[rule]]", "# none"}
            assert reader.text("0" * 64) is None


async def test_who_waits_for_the_disk_does_not_wait_for_what_others_go_on_giving(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def talk_on(ledger: SqliteLedger) -> None:
        while True:
            ledger.append("CA1", line("CA1"))
            await trio.lowlevel.checkpoint()

    at_once = store.Store.write
    monkeypatch.setattr(store.Store, "write", lambda *args: time.sleep(0.02) or at_once(*args))
    async with opened(tmp_path) as ledger, trio.open_nursery() as others:
        ledger.begin("CA1", caller="")
        others.start_soon(talk_on, ledger)
        for _ in range(3):
            await ledger.flush()
        others.cancel_scope.cancel()


@pytest.mark.usefixtures("settling")
async def test_what_is_sorted_beside_the_writer_is_put_into_place_once_and_loses_nothing(tmp_path: Path) -> None:
    async with opened(tmp_path) as ledger:
        ledger.begin("CA1", caller="")
        for n in range(40):
            await append(ledger, "CA1", [line("CA1", n=n)])
        with closing(sqlite3.connect(tmp_path / "ledger.db")) as db, trio.fail_after(10):
            while not db.execute("SELECT 1 FROM segments").fetchone():  # noqa: ASYNC110 - it tells nobody
                await trio.sleep(0.02)
        assert await ledger.timeline("CA1") == numbered("CA1", range(40))


def test_rows_that_another_process_has_sorted_meanwhile_are_not_put_into_place_twice(tmp_path: Path) -> None:
    kept = store.Store(tmp_path)
    kept.write([(Kind.BEGIN, "CA1", Beginning("", "2026-01-01T00:00:00.000Z", ""))])
    kept.write([(Kind.LINE, "CA1", line("CA1"))])
    with open_ledger(tmp_path) as reader:
        found = reader.in_order(journal.newest(kept._db))
        assert found is not None
        kept.settle()
        assert not kept.put(found)
        assert reader.timeline("CA1") == [line("CA1")]
    kept.close()


def test_a_call_that_is_forgotten_while_its_rows_are_sorted_is_not_put_back(tmp_path: Path) -> None:
    kept = store.Store(tmp_path)
    for call in ("CA1", "CA2"):
        kept.write([(Kind.BEGIN, call, Beginning("", "2026-01-01T00:00:00.000Z", ""))])
        kept.write([(Kind.LINE, call, ended(call))])
    with open_ledger(tmp_path) as reader:
        found = reader.in_order(journal.newest(kept._db))
    assert found is not None
    kept._db.execute("DELETE FROM calls WHERE call_sid = 'CA1'")
    assert kept.put(found)
    assert kept._db.execute("SELECT call FROM segments").fetchall() == [(2,)]
    kept.close()


# --- Reading back ---


async def test_one_call_among_many_is_read_back_in_order_wherever_its_lines_lie(tmp_path: Path) -> None:
    async with opened(tmp_path) as ledger:
        for call in ("CA1", "CA2", "CA3"):
            ledger.begin(call, caller="")
        for n in range(50):
            for call in ("CA1", "CA2", "CA3"):
                ledger.append(call, line(call, n=n))
            if n in (10, 30):
                await ledger.flush()
                await settled(ledger)
        assert await ledger.timeline("CA2") == numbered("CA2", range(50))
        assert await ledger.timeline("CA9") == []


@pytest.mark.usefixtures("settling")
async def test_what_is_sorted_into_place_while_it_is_read_is_neither_missing_nor_doubled(tmp_path: Path) -> None:
    async with opened(tmp_path) as ledger:
        ledger.begin("CA1", caller="")
        for n in range(40):
            ledger.append("CA1", line("CA1", n=n))
            assert await ledger.timeline("CA1") == numbered("CA1", range(n + 1))
        with closing(sqlite3.connect(tmp_path / "ledger.db")) as db:
            assert db.execute("SELECT count(*) FROM segments").fetchone()[0] > 1, "it was"


async def test_what_is_read_is_of_one_moment(tmp_path: Path) -> None:
    async with opened(tmp_path) as ledger:
        ledger.begin("CA1", caller="")
        await append(ledger, "CA1", numbered("CA1", range(5)))
        with open_ledger(tmp_path) as reader:

            def settle(sql: str) -> None:
                if "FROM journal" in sql:  # between two looks
                    ledger._store.settle()

            reader._db.set_trace_callback(settle)
            assert reader.timeline("CA1") == numbered("CA1", range(5))
            reader._db.set_trace_callback(None)
            assert reader.since(0) == [], "it was sorted into place meanwhile"
            assert reader.timeline("CA1") == numbered("CA1", range(5))


async def test_an_id_that_another_one_ends_with_is_its_own_call(tmp_path: Path) -> None:
    async with opened(tmp_path) as ledger:
        for call in ("CA11", "A11", "1"):
            ledger.begin(call, caller="")
            await append(ledger, call, [line(call)])
        assert await ledger.timeline("A11") == [line("A11")]
        assert await ledger.timeline("11") == []


async def test_a_call_may_be_named_by_the_end_of_its_id(tmp_path: Path) -> None:
    async with opened(tmp_path) as ledger:
        for call in ("CA123", "CA456", "CA923"):
            ledger.begin(call, caller="")
        await ledger.flush()
        with open_ledger(tmp_path) as reader:
            assert reader.find("456") == {"CA456"}
            assert reader.find("23") == {"CA123", "CA923"}
            assert reader.find("CA123") == {"CA123"}
            assert reader.find("%") == reader.find("_56") == reader.find("") == reader.find("a456") == set()


async def test_an_id_used_again_means_its_latest_call(tmp_path: Path) -> None:
    async with opened(tmp_path) as ledger:
        await whole_call(ledger, "CA1", line("CA1", n=1))
        ledger.begin("CA1", caller="")
        await append(ledger, "CA1", [line("CA1", n=2)])
        assert await ledger.timeline("CA1") == [line("CA1", n=2)]
        assert await ledger.calls(10) == []
        assert await ledger.unfinished(10) == ["CA1"]


async def test_what_was_kept_of_an_id_before_it_was_used_again_is_still_there(tmp_path: Path) -> None:
    async with opened(tmp_path) as ledger:
        await whole_call(ledger, "CA1", line("CA1", n=1))
        await trio.sleep(0.002)  # they began at different instants
        ledger.begin("CA1", caller="")
        await append(ledger, "CA1", [line("CA1", n=2)])
    with open_ledger(tmp_path) as reader:
        latest, earlier = reader.calls()
        assert reader.call("CA1") == latest
        assert reader.call("CA1", 1) == earlier
        assert reader.call("CA1", 2) is None
        assert reader.count("CA1") == 2
        assert reader.timeline(latest) == reader.timeline("CA1") == [line("CA1", n=2)]
        assert line("CA1", n=1) in reader.timeline(earlier)
        assert (latest.outcome, earlier.outcome) == (None, "hangup")


async def test_a_killed_call_ends_with_what_was_believed_of_its_caller_last(tmp_path: Path) -> None:
    angry, doubtful = {"label": "angry", "score": 0.81}, {"label": "sad", "score": 0.4}
    async with opened(tmp_path) as ledger:
        for call, emotion, more in (("CA1", angry, {}), ("CA2", doubtful, {"gated": "low_confidence"})):
            ledger.begin(call, caller="")
            await append(ledger, call, [line(call, emotion=emotion, **more)])
    async with opened(tmp_path) as ledger:
        await record_crashed(ledger)
        await ledger.flush()
    with open_ledger(tmp_path) as reader:
        rows = {row.call_sid: row for row in reader.calls()}
    assert {row.outcome for row in rows.values()} == {"crashed"}
    assert not any(row.complete for row in rows.values())
    assert rows["CA1"].listed()["mood"] == angry | {"trend": "steady"}
    assert rows["CA2"].listed()["mood"]["label"] == "neutral"


async def test_a_killed_call_whose_caller_is_back_under_its_id_has_crashed(tmp_path: Path) -> None:
    async with opened(tmp_path) as ledger:
        ledger.begin("CA1", caller="")
        await append(ledger, "CA1", [line("CA1", n=1)])
    async with opened(tmp_path) as ledger:
        await trio.sleep(0.002)
        ledger.begin("CA1", caller="")
        await append(ledger, "CA1", [line("CA1", n=2)])
        assert await ledger.unfinished(10) == ["CA1"]
        with open_ledger(tmp_path) as reader:
            latest, earlier = reader.calls()
        assert (latest.outcome, latest.ended_at) == (None, None)
        assert (earlier.outcome, earlier.ended_at) == ("crashed", latest.began_at)
        assert (latest.complete, earlier.complete) == (True, False)
        assert earlier.listed()["state"] == "ended"


@pytest.mark.parametrize("said", ['CA1","event":', '"callSid":"CA1","event":"call.ended"', "CA1\nCA1", "\\"])
async def test_what_is_said_in_one_call_is_never_taken_for_another(tmp_path: Path, said: str) -> None:
    async with opened(tmp_path) as ledger:
        ledger.begin("CA1", caller="")
        ledger.begin("CA2", caller="")
        await append(ledger, "CA2", [line("CA2", "tts.started", text=said)])
        assert await ledger.timeline("CA1") == []
        assert await ledger.unfinished(10) == ["CA2", "CA1"]


async def test_lines_of_a_call_that_never_began_are_not_kept(tmp_path: Path) -> None:
    async with opened(tmp_path) as ledger:
        await append(ledger, "CA1", [line("CA1"), ended("CA1")])
        assert await ledger.timeline("CA1") == []
        assert await ledger.calls(10) == []


async def test_what_is_said_of_a_call_after_its_end_still_belongs_to_it(tmp_path: Path) -> None:
    async with opened(tmp_path) as ledger:
        await whole_call(ledger, "CA1")
        await append(ledger, "CA1", [line("CA1", "context.failed")])
        events = [json.loads(one)["event"] for one in await ledger.timeline("CA1")]
        assert events == ["call.started", "call.ended", "context.failed"]
        assert await ledger.unfinished(10) == []


@pytest.mark.parametrize(
    ("event", "is_one"),
    [("call.started", True), ("call.ended", True), ("audio.chunk", False), ("call.somehow", False)],
)
def test_a_milestone_begins_or_ends_a_call(event: str, is_one: bool) -> None:
    assert is_milestone(line("CA1", event)) is is_one


async def test_only_the_newest_lines_of_an_endless_call_are_read_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "LINES_SHOWN", 5)
    async with opened(tmp_path) as ledger:
        ledger.begin("CA1", caller="")
        await append(ledger, "CA1", numbered("CA1", range(20)))
        assert await ledger.timeline("CA1") == numbered("CA1", range(15, 20))


# --- The list of calls ---


async def test_a_call_that_was_is_listed_with_everything_the_interface_promises(tmp_path: Path) -> None:
    began, over = "2026-01-01T10:00:00.250Z", "2026-01-01T10:01:00.000Z"
    mood = {"label": "sad", "score": 0.8, "trend": "rising"}
    async with opened(tmp_path) as ledger:
        ledger.begin("CA1", caller="+15550100042", model="local 1")
        ledger.append("CA1", line("CA1", "call.started", at="2026-01-01T10:00:00.250Z", attach="tap", caller="***42"))
        summary = {"vapiCallId": "v1", "mood": mood, "bufferSize": 4}
        await append(ledger, "CA1", [line("CA1", "call.ended", at=over, outcome="hangup", summary=summary)])
        entry = await ledger.call("CA1")
        assert entry is not None
        assert json.loads(entry) == {
            "callSid": "CA1",
            "vapiCallId": "v1",
            "state": "ended",
            "startedAt": began,
            "endedAt": over,
            "outcome": "hangup",
            "attach": "tap",
            "caller": "***42",
            "mood": mood,
            "bufferSize": 4,
        }
        assert await ledger.calls(10) == [entry]
        with open_ledger(tmp_path) as reader:
            row = reader.call("CA1")
    assert row is not None
    assert (row.began_at, row.ended_at, row.outcome, row.attach) == (began, over, "hangup", "tap")
    assert (row.caller, row.model, row.complete, row.entry) == ("***42", "local 1", True, entry)


async def test_a_call_began_when_its_clock_did_however_late_it_was_announced(tmp_path: Path) -> None:
    async with opened(tmp_path) as ledger:
        ledger.begin("CA1", caller="")
        announced = json.loads(line("CA1", "call.started", at="2026-01-01T00:00:02.500Z")) | {"t": 1500}
        await append(ledger, "CA1", [json.dumps(announced, separators=(",", ":")).encode(), ended("CA1")])
        (entry,) = await ledger.calls(1)
        assert json.loads(entry)["startedAt"] == "2026-01-01T00:00:01.000Z"


async def test_a_call_whose_profile_knows_no_emotion_has_no_mood_also_when_it_crashed(tmp_path: Path) -> None:
    async with opened(tmp_path) as ledger:
        await whole_call(ledger, "CA1")
        await whole_call(ledger, "CA2", profile="physical-only")
        moods = {json.loads(one)["callSid"]: json.loads(one)["mood"] for one in await ledger.calls(10)}
        assert moods == {"CA1": {"label": "neutral", "score": 0.0, "trend": "steady"}, "CA2": None}


async def test_ended_calls_are_paged_through_from_the_newest_beginning_on_and_none_is_left_out(tmp_path: Path) -> None:
    async with opened(tmp_path) as ledger:
        for n in range(25):  # three began in each instant
            await whole_call(ledger, f"CA{n:02d}", at=f"2026-01-01T00:00:{n // 3:02d}.000Z")
        ledger.begin("live", caller="")
        seen: list[str] = []
        before = None
        while page := [json.loads(entry) for entry in await ledger.calls(4, before)]:
            seen += [entry["callSid"] for entry in page]
            before = (page[-1]["startedAt"], page[-1]["callSid"])
        assert seen == [f"CA{n:02d}" for n in range(24, -1, -1)]
        with open_ledger(tmp_path) as reader:
            assert [row.call_sid for row in reader.calls()] == ["live", *seen]
            assert [row.call_sid for row in reader.calls("2026-01-01T00:00:07.000Z")] == ["live", *seen[:4]]


async def test_calls_without_an_end_are_told_apart_the_newest_first(tmp_path: Path) -> None:
    async with opened(tmp_path) as ledger:
        for call in ("CA1", "CA2", "CA3"):
            ledger.begin(call, caller="")
        await append(ledger, "CA2", [ended("CA2")])
        assert await ledger.unfinished(10) == ["CA3", "CA1"]
        assert await ledger.unfinished(1) == ["CA3"]
        assert await ledger.call("CA1") is None


async def test_a_line_that_cannot_be_read_costs_itself_and_no_other(tmp_path: Path) -> None:
    async with opened(tmp_path) as ledger:
        ledger.begin("CA1", caller="")
        torn = [b"", b"null", b"{}", ended("CA1")[:-10], line("CA1", "call.started", at=7), b'{"event":"call.ended"}']  # type: ignore[arg-type]
        await append(ledger, "CA1", torn)
        assert await ledger.unfinished(10) == ["CA1"]
        await append(ledger, "CA1", [ended("CA1")])
        assert await ledger.timeline("CA1") == [*torn, ended("CA1")]
        assert len(await ledger.calls(10)) == 1


@given(st.binary(max_size=60))
@settings(max_examples=30)
def test_no_line_keeps_the_ledger_from_writing_the_next(junk: bytes) -> None:
    with closing(sqlite3.connect(":memory:")) as db:
        for statement in database.migrations()[0].split(";\n"):
            db.execute(statement)
        journal.write(db, {1: [(1, "x", junk)]})
        db.execute("INSERT INTO journal (data) VALUES (?)", (journal.PAGE + junk,))
        assert (1, "x", junk) in journal.of_call(db, 1)


# --- Callers ---


async def test_a_caller_is_kept_by_two_digits_and_a_hash_under_a_key_of_this_folder(tmp_path: Path) -> None:
    hashes = []
    for folder in (tmp_path / "a", tmp_path / "b"):
        async with opened(folder) as ledger:
            for call, caller in (
                ("CA1", "+1 555 010-0042"),
                ("CA2", "+15550100042"),
                ("CA3", "+15550100043"),
                ("CA4", ""),
            ):
                await whole_call(ledger, call, caller=caller)
        with closing(sqlite3.connect(folder / "ledger.db")) as db:
            hashes.append([row[0] for row in db.execute("SELECT caller_hmac FROM calls ORDER BY id")])
            assert [row[0] for row in db.execute("SELECT caller FROM calls ORDER BY id")] == [
                "***42",
                "***42",
                "***43",
                "",
            ]
    first, second, third, nobody = hashes[0]
    assert (first == second, first == third, nobody, len(first)) == (True, False, None, 32)
    assert hashes[1][0] != first


async def test_the_key_stays_the_same(tmp_path: Path) -> None:
    async with opened(tmp_path):
        key = (tmp_path / "ledger.key").read_bytes()
    async with opened(tmp_path):
        assert (tmp_path / "ledger.key").read_bytes() == key
        assert len(key) == 32


# --- A file that cannot be used ---


async def refused(folder: Path) -> str:
    with pytest.raises(LedgerUnavailable) as error:
        async with open_sqlite(folder):
            pass
    assert "\n" not in str(error.value)
    return str(error.value)


async def test_a_ledger_of_a_newer_version_is_left_alone_and_said_so(tmp_path: Path) -> None:
    async with opened(tmp_path):
        pass
    with closing(sqlite3.connect(tmp_path / "ledger.db")) as db:
        db.execute("PRAGMA user_version = 99")
    assert "newer Callmood (version 99)" in await refused(tmp_path)
    with pytest.raises(LedgerUnavailable, match="newer"):
        open_ledger(tmp_path)


async def test_a_damaged_ledger_stops_the_start_with_one_sentence(tmp_path: Path) -> None:
    async with opened(tmp_path) as ledger:
        for n in range(300):
            await whole_call(ledger, f"CA{n}")
    whole = (tmp_path / "ledger.db").read_bytes()
    (tmp_path / "ledger.db").write_bytes(b"this is no ledger. " * 1000)
    assert "is damaged" in await refused(tmp_path)
    (tmp_path / "ledger.db").write_bytes(whole[:8192] + b"\x55" * 40_000 + whole[48_192:])
    assert "is damaged" in await refused(tmp_path)
    (tmp_path / "ledger.db").write_bytes(whole)
    async with opened(tmp_path) as ledger:
        assert len(await ledger.calls(1000)) == 300


async def test_a_key_that_is_none_stops_the_start_with_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "ledger.key").write_bytes(b"short")
    assert "ledger.key is not a key" in await refused(tmp_path)


@pytest.mark.parametrize("spoil", ["file in place of the folder", "folder in place of the file"])
async def test_a_folder_that_cannot_be_used_is_said_at_the_start(tmp_path: Path, spoil: str) -> None:
    folder = tmp_path / "data"
    if spoil.startswith("file"):
        folder.write_text("")
    else:
        (folder / "ledger.db").mkdir(parents=True)
    assert "CALLMOOD_DATA" in await refused(folder)


def test_where_there_is_no_ledger_there_is_nothing_to_read_and_nothing_is_made(tmp_path: Path) -> None:
    with open_ledger(tmp_path) as reader:
        assert reader.find("CA1") == set()
        assert list(reader.calls()) == reader.timeline("CA1") == reader.steps("CA1") == reader.since(0) == []
        assert reader.call("CA1") is reader.text("") is None
    assert not list(tmp_path.iterdir())


# --- Following ---


@asynccontextmanager
async def following(folder: Path, call_sid: str = "") -> AsyncIterator[trio.MemoryReceiveChannel[bytes]]:
    """The lines another process would see from now on."""
    send, seen = trio.open_memory_channel[bytes](100)

    async def watch() -> None:
        async for one in follow(folder, call_sid):
            send.send_nowait(one)

    with trio.fail_after(10):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(watch)
            await trio.testing.wait_all_tasks_blocked()
            yield seen
            nursery.cancel_scope.cancel()


async def next_lines(seen: trio.MemoryReceiveChannel[bytes], count: int) -> list[bytes]:
    with trio.fail_after(5):
        return [await seen.receive() for _ in range(count)]


@pytest.fixture
def eager(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "FOLLOW_EVERY_S", 0.05)


@pytest.mark.usefixtures("eager")
@pytest.mark.parametrize("named", ["CA1", "A1"])
async def test_following_shows_new_lines_only_and_those_of_one_call_only(tmp_path: Path, named: str) -> None:
    async with opened(tmp_path) as ledger:
        for call in ("CA1", "CA2", "CA3"):
            ledger.begin(call, caller="")
        await append(ledger, "CA1", [line("CA1", n=0)])
        async with following(tmp_path, named) as seen:
            for call in ("CA2", "CA1", "CA3"):
                await append(ledger, call, [line(call, n=1)])
            assert await next_lines(seen, 1) == [line("CA1", n=1)]


@pytest.mark.usefixtures("eager")
async def test_following_may_begin_before_there_is_a_ledger(tmp_path: Path) -> None:
    async with following(tmp_path / "data") as seen, opened(tmp_path / "data") as ledger:
        ledger.begin("CA1", caller="")
        await append(ledger, "CA1", [line("CA1", n=0)])
        assert await next_lines(seen, 1) == [line("CA1", n=0)]


@pytest.mark.usefixtures("eager")
async def test_following_goes_on_over_restarts_and_misses_nothing_that_is_sorted_into_place_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "SETTLE_EVERY_S", 0.4)
    async with opened(tmp_path) as ledger:
        ledger.begin("CA1", caller="")
        await ledger.flush()
        async with following(tmp_path) as seen:
            for n in range(20):
                await append(ledger, "CA1", [line("CA1", n=n)])
                assert await next_lines(seen, 1) == [line("CA1", n=n)]
                await trio.sleep(0.05)
            with open_ledger(tmp_path) as reader:
                assert len(reader.since(0)) < 20, "some are sorted by now"


# --- The ledger that forgets ---


async def test_the_ledger_in_memory_keeps_what_the_one_on_disk_keeps_for_so_many_calls(tmp_path: Path) -> None:
    memory = MemoryLedger()
    async with opened(tmp_path) as disk:
        for ledger in (memory, disk):
            for call in ("CA1", "CA2", "CA3"):
                ledger.begin(call, caller="+15550100042", model="m")
                ledger.append(call, line(call, "call.started", attach="tap", caller="***42"))
                ledger.keep(call, b"step")
            ledger.append("CA2", ended("CA2"))
            ledger.append("CA1", ended("CA1"))
            assert ledger.know("CA1", "rules", "text") == ledger.know("CA1", "rules", "text")
            await ledger.flush()
        for question in (
            lambda ledger: ledger.timeline("CA2"),
            lambda ledger: ledger.call("CA1"),
            lambda ledger: ledger.call("CA3"),
            lambda ledger: ledger.calls(10),
            lambda ledger: ledger.calls(1, ("2026-01-01T00:00:00.000Z", "CA2")),
            lambda ledger: ledger.unfinished(10),
            lambda ledger: ledger.newest(["CA1", "CA3", "CA4"]),
            lambda ledger: ledger.known(["CA1", "CA4"]),
            lambda ledger: ledger.forget("CA3"),
            lambda ledger: ledger.forget("CA1"),
            lambda ledger: ledger.forget("CA1"),
            lambda ledger: ledger.calls(10),
        ):
            assert await question(memory) == await question(disk)
    assert memory.steps_of("CA2") == [b"step"]


async def test_the_ledger_in_memory_gives_up_its_oldest_calls() -> None:
    ledger = MemoryLedger()
    for n in range(CALLS_KEPT + 1):
        ledger.begin(f"CA{n}", caller="")
        ledger.append(f"CA{n}", line(f"CA{n}", "call.started"))
    assert await ledger.timeline("CA0") == []
    assert len(await ledger.unfinished(CALLS_KEPT + 5)) == CALLS_KEPT
    assert msgspec.json.decode((await ledger.timeline("CA7"))[0])["callSid"] == "CA7"


# --- Links ---


async def test_the_folder_may_be_a_link_and_what_is_forgotten_is_gone_from_where_it_leads(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "data").symlink_to(tmp_path / "disk")
    async with opened(tmp_path / "data") as ledger:
        await whole_call(ledger, "CAmarked")
        with open_ledger(tmp_path / "disk") as reader:
            assert reader.find("CAmarked")
        await ledger.forget("CAmarked")
    assert b"CAmarked" not in on_disk(tmp_path / "disk")


@pytest.mark.parametrize("name", ["ledger.db", "ledger.key"])
async def test_a_file_that_is_a_link_is_refused_in_one_sentence_and_what_it_leads_to_is_left_alone(
    tmp_path: Path, name: str
) -> None:
    folder, elsewhere = tmp_path / "data", tmp_path / "elsewhere"
    folder.mkdir()
    elsewhere.write_bytes(b"x" * 32)
    (folder / name).symlink_to(elsewhere)
    with pytest.raises(LedgerUnavailable, match="is a link: set CALLMOOD_DATA"):
        async with opened(folder):
            pass
    assert elsewhere.read_bytes() == b"x" * 32
    if name == "ledger.db":
        with pytest.raises(LedgerUnavailable, match="is a link"):
            open_ledger(folder)


async def test_a_folder_that_is_a_link_to_nowhere_is_said_to_be_of_no_use(tmp_path: Path) -> None:
    (tmp_path / "data").symlink_to(tmp_path / "nowhere")
    with pytest.raises(LedgerUnavailable, match=r"cannot be used .*: set CALLMOOD_DATA to another"):
        async with opened(tmp_path / "data"):
            pass
