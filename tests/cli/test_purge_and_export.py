"""callmood purge and export, on a ledger as the service leaves it behind."""

from __future__ import annotations

import csv
import json
import sys
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from agent.core.instants import instant
from agent.ledger import journal
from agent.ledger.database import connect
from agent.ledger.folder import claimed
from agent.ledger.keys import KEY
from agent.ledger.reading import open_ledger
from agent.ledger.store import Store
from agent.ledger.waiting import Beginning, Item, Kind

if TYPE_CHECKING:
    from collections.abc import Iterator

    from conftest import Run

MOOD = {"label": "sad", "score": 0.8, "trend": "rising"}
CALLERS = {"CA001": "+15550100042", "CA002": "+15550100042", "CA003": "+15550100077"}
DAYS = {"CA001": 40, "CA002": 10, "CA003": 1}


def ago(days: float) -> str:
    return instant(datetime.now(UTC) - timedelta(days=days))


def items(sid: str, *, over: bool = True) -> Iterator[Item]:
    def line(event: str, **fields: object) -> Item:
        entry = {"t": 0, "at": ago(DAYS[sid]), "callSid": sid, "event": event, **fields}
        return Kind.LINE, sid, json.dumps(entry, separators=(",", ":")).encode()

    yield Kind.BEGIN, sid, Beginning(CALLERS[sid], ago(DAYS[sid]), "local 1")
    yield line("call.started", attach="bridge", vapiCallId=None, caller="***" + CALLERS[sid][-2:])
    sound = {"startMs": 0, "endMs": 1000, "source": "local"}
    yield line("audio.chunk", emotion={"label": "angry", "score": 0.9}, scores={"angry": 0.7, "neutral": 0.3}, **sound)
    yield line("audio.chunk", physical={"loudnessDb": -23.5, "rate": 4.1, "overlapMs": 0}, **sound)
    yield line("escalation.started", rule="=cmd|' /C calc'!A0", action="transfer", destination="***99")
    if over:
        yield line("call.ended", outcome="hangup", durationMs=9, summary={"mood": MOOD, "bufferSize": 2})


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three calls of two callers."""
    data = tmp_path / "callmood-data"
    data.mkdir()
    store = Store(data)
    store.write([item for sid in CALLERS for item in items(sid)])
    store.close()
    return data


def left(folder: Path) -> list[str]:
    with open_ledger(folder) as reader:
        return [row.call_sid for row in reader.calls()]


@contextmanager
def service_runs(folder: Path) -> Iterator[None]:
    with claimed(folder) as alone:
        assert alone
        yield


# --- purge ---


@pytest.mark.parametrize(
    ("options", "said", "remain"),
    [
        (["--older-than", "30d"], "1 call forgotten", ["CA003", "CA002"]),
        (["--older-than", "0d"], "3 calls forgotten", []),
        (["--older-than", "400d"], "0 calls forgotten", ["CA003", "CA002", "CA001"]),
        (["--call", "CA002"], "1 call forgotten", ["CA003", "CA001"]),
        (["--call", "03"], "1 call forgotten", ["CA002", "CA001"]),
        (["--caller", "001 555 010-0042"], "2 calls forgotten", ["CA003"]),
        (["--caller", "+1 555 010-0042"], "2 calls forgotten", ["CA003"]),
        (["--caller", "+15550100043"], "0 calls forgotten", ["CA003", "CA002", "CA001"]),
        (["--caller", "42"], "0 calls forgotten", ["CA003", "CA002", "CA001"]),
        (["--caller", "+15550100042", "--older-than", "30d"], "1 call forgotten", ["CA003", "CA002"]),
    ],
)
def test_what_is_named_is_forgotten_and_counted(
    run_here: Run, folder: Path, options: list[str], said: str, remain: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("compress", "decompress"):
        monkeypatch.setattr(journal, name, bytes)  # what is left behind can be seen
    done = run_here("purge", *options, "--yes")
    assert (done.code, done.out) == (0, said + "\n")
    hint = f"callmood: no such call came from {options[1]}: write it like +15550100001\n"
    assert done.err == (hint if said[0] == "0" and "--caller" in options else "")
    assert left(folder) == remain
    everything = b"".join(path.read_bytes() for path in folder.iterdir() if path.name != KEY)
    assert [sid for sid in CALLERS if sid.encode() in everything] == sorted(remain)


def test_nothing_named_or_nobody_to_ask_is_a_mistake_in_one_sentence_and_forgets_nothing(
    run_here: Run, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", StringIO())
    for arguments, word in (([], "--older-than"), (["--call", "CA001"], "--yes"), (["--older-than", "soon"], "soon")):
        done = run_here("purge", *arguments)
        assert done.code == 2
        assert word in done.sentence
    assert run_here("purge", "--call", "CA999", "--yes").code == 1
    assert len(left(folder)) == 3


@pytest.mark.parametrize(("answer", "code", "remain"), [("y\n", 0, 2), ("n\n", 1, 3), ("\n", 1, 3)])
def test_on_a_terminal_it_asks_first(
    run_here: Run, folder: Path, monkeypatch: pytest.MonkeyPatch, answer: str, code: int, remain: int
) -> None:
    terminal = StringIO(answer)
    monkeypatch.setattr(terminal, "isatty", lambda: True)
    monkeypatch.setattr(sys, "stdin", terminal)
    done = run_here("purge", "--call", "CA001")
    assert done.code == code
    assert "Forget 1 call for good?" in done.out + done.err
    assert len(left(folder)) == remain


def test_calls_that_a_running_service_still_writes_are_left_alone_and_said_so(run_here: Run, folder: Path) -> None:
    DAYS["CA004"], CALLERS["CA004"] = 0, "+15550100042"
    try:
        store = Store(folder)
        store.write(list(items("CA004", over=False)))
        store.close()
    finally:
        del DAYS["CA004"], CALLERS["CA004"]
    with service_runs(folder):
        done = run_here("purge", "--caller", "+15550100042", "--yes")
        assert done.out == "2 calls forgotten; 1 call without an end left alone: the service is running\n"
        assert left(folder) == ["CA004", "CA003"]
    assert run_here("purge", "--caller", "+15550100042", "--yes").out == "1 call forgotten\n"
    assert left(folder) == ["CA003"]


def test_what_a_killed_process_left_unsorted_is_forgotten_too(run_here: Run, folder: Path) -> None:
    store = Store(folder)
    assert list(store._db.execute("SELECT id FROM journal")), "as it would be after a kill"
    store._db.close()
    assert run_here("purge", "--older-than", "0d", "--yes").code == 0
    db = connect(folder)
    assert list(db.execute("SELECT id FROM journal UNION ALL SELECT id FROM segments")) == []
    db.close()


def test_purging_where_there_is_no_ledger_makes_none(run_here: Run, tmp_path: Path) -> None:
    assert run_here("purge", "--older-than", "1d", "--yes").out == "0 calls forgotten\n"
    assert not list(tmp_path.iterdir())


# --- export ---


def table(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(StringIO(text)))


def test_calls_are_exported_newest_first_with_what_the_list_says(run_here: Run, folder: Path) -> None:
    done = run_here("export")
    assert (done.code, done.err) == (0, "")
    rows = table(done.out)
    assert [row["callSid"] for row in rows] == ["CA003", "CA002", "CA001"]
    first = rows[0]
    assert (first["caller"], first["outcome"], first["attach"]) == ("***77", "hangup", "bridge")
    assert (first["mood"], first["moodScore"], first["bufferSize"], first["complete"]) == ("sad", "0.8", "2", "true")
    assert (first["model"], first["vapiCallId"]) == ("local 1", "")
    assert "5550100" not in done.out


def test_readings_are_exported_with_a_column_a_label_or_what_was_measured(run_here: Run, folder: Path) -> None:
    rows = table(run_here("export", "--what", "readings", "--since", "20d").out)
    assert [row["callSid"] for row in rows] == ["CA003", "CA003", "CA002", "CA002"]
    said, measured = rows[:2]
    assert (said["label"], said["score"], said["angry"], said["happy"]) == ("angry", "0.9", "0.7", "")
    assert (measured["loudnessDb"], measured["overlapMs"], measured["label"]) == ("-23.5", "0", "")


def test_a_cell_that_a_spreadsheet_would_take_for_a_formula_is_guarded(run_here: Run, folder: Path) -> None:
    rows = table(run_here("export", "--what", "decisions").out)
    assert [row["rule"] for row in rows] == ["'=cmd|' /C calc'!A0"] * 3
    assert rows[0]["event"] == "escalation.started"


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r"])
def test_every_beginning_of_a_formula_is_guarded_and_nothing_else(start: str) -> None:
    from agent.cli.export import cell

    assert cell(f"{start}1") == f"'{start}1"
    assert [cell(value) for value in (-1.5, 7, True, None, "a=b", "")] == ["-1.5", "7", "true", "", "a=b", ""]


def test_an_export_goes_into_a_file_for_its_owner_only(run_here: Run, folder: Path, tmp_path: Path) -> None:
    done = run_here("export", "--out", "calls.csv")
    assert (done.code, done.out) == (0, "")
    assert len(table((tmp_path / "calls.csv").read_text())) == 3
    assert (tmp_path / "calls.csv").stat().st_mode & 0o077 == 0


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["--what", "everything"], "calls, readings, decisions"),
        (["--since", "then"], "--since"),
        (["--out", "no/such/folder.csv"], "No such file"),
        (["--parquet"], "--out"),
    ],
)
def test_what_cannot_be_exported_is_said_in_one_sentence(
    run_here: Run, folder: Path, arguments: list[str], word: str
) -> None:
    done = run_here("export", *arguments)
    assert done.code == 2
    assert word in done.sentence


def test_parquet_without_its_library_says_what_to_install(
    run_here: Run, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    done = run_here("export", "--parquet", "--out", "calls.parquet")
    assert done.code == 2
    assert "pip install 'callmood[parquet]'" in done.sentence
    assert not (tmp_path / "calls.parquet").exists()


@pytest.mark.parametrize("what", ["calls", "readings", "decisions"])
def test_parquet_holds_the_same_with_types(run_here: Run, folder: Path, tmp_path: Path, what: str) -> None:
    files = pytest.importorskip("pyarrow.parquet")
    assert run_here("export", "--what", what, "--parquet", "--out", "out.parquet").code == 0
    found = files.read_table(tmp_path / "out.parquet").to_pylist()
    rows = table(run_here("export", "--what", what).out)
    assert [row["callSid"] for row in found] == [row["callSid"] for row in rows]
    assert found[0].keys() == rows[0].keys()
    assert any(isinstance(value, int) for value in found[0].values())


def test_an_empty_ledger_is_a_table_without_rows(run_here: Run, tmp_path: Path) -> None:
    done = run_here("export")
    assert (done.code, len(done.out.splitlines())) == (0, 1)
    assert not list(tmp_path.iterdir())
