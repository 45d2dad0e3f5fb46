"""A ledger that somebody else has written, or a disk has garbled: one sentence or less of it, and never a traceback."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import pytest

from agent.calls.stepcode import encode
from agent.core import steps
from agent.ledger import journal
from agent.ledger.store import Store
from agent.ledger.waiting import Beginning, Item, Kind, Text

if TYPE_CHECKING:
    from collections.abc import Iterator

    from conftest import Run

SID = "CA1"
SETUP = steps.Setup(0.7, 500, (), 3.0, 3, 30.0, 50, 30, 0.5, 1.0, 6, 200, 0.85)
HEARD = steps.Reading(("angry", 0.9), "local", 0, 1500, 1.5, (), None, None, None, None, None, None)
RULES = '[[rule]]\nname = "cut"\nemotions = ["angry"]\ndo = ["interrupt"]\n'


def line(event: str, t: object = 1000, **fields: object) -> bytes:
    return json.dumps({"t": t, "at": "2026-01-31T12:00:00.000Z", "callSid": SID, "event": event, **fields}).encode()


CHUNK = {"emotion": {"label": "angry", "score": 0.9}, "scores": {"angry": 0.9}, "startMs": 0, "endMs": 1500}
DEEDS = {
    "context.updated": {"dominantEmotion": "angry", "score": 0.9, "trend": "rising", "latencyMs": 3.0},
    "tts.cancelled": {"reason": "emotion_escalation", "heardMs": 10},
    "escalation.started": {"rule": "cut", "action": "transfer", "destination": "***99"},
    "decision.wrong": {"decidedT": 1000},
    "call.ended": {"outcome": "hangup", "durationMs": 9, "summary": {}},
}


def items(lines: list[bytes], kept: list[bytes]) -> Iterator[Item]:
    yield Kind.BEGIN, SID, Beginning("+15550100042", "2026-01-31T12:00:00.000Z", "local")
    yield Kind.TEXT, SID, Text("hash", "rules", RULES)
    for one in lines:
        yield Kind.LINE, SID, one
    for step in kept:
        yield Kind.STEP, SID, step


def good_lines() -> list[bytes]:
    return [
        line("call.started", 0, attach="tap", vapiCallId=None, caller="***42"),
        line("audio.chunk", **CHUNK),
        *(line(name, **fields) for name, fields in DEEDS.items()),
    ]


def good_steps() -> list[bytes]:
    whole = (
        steps.Began(0, 0.0, steps.VERSION, "1", "local", "m", SETUP),
        steps.Took(1, 1.0, HEARD),
        steps.Asked(2, 1.0, 7, "hash", None),
        steps.Ended(3, 9.0),
    )
    return [encode(step) for step in whole]


def written(folder: Path, lines: list[bytes], kept: list[bytes]) -> Path:
    data = folder / "callmood-data"
    data.mkdir()
    store = Store(data)
    store.write(items(lines, kept))
    store.settle()
    store.close()
    return data / "ledger.db"


COMMANDS = (
    ("calls",),
    ("calls", "--json"),
    ("show", SID),
    ("show", SID, "--json"),
    ("replay", SID),
    ("replay", "--all"),
    ("report", SID),
    ("tune", "--ledger"),
    *(("export", "--what", what) for what in ("calls", "readings", "decisions")),
)
DEEP = b'{"event":"audio.chunk","t":1,"emotion":' + b"[" * 100_000 + b"]" * 100_000 + b"}"
STRANGE = (
    None,
    True,
    -5,
    10**30,
    -1e300,
    "text",
    "\0",
    "\ud83d",
    [],
    [1],
    {},
    {"label": 1},
    {"label": [], "score": {}},
)


def check(run_here: Run) -> None:
    for command in COMMANDS:
        done = run_here(*command)
        assert done.code in (0, 1), (command, done)
        assert "Traceback" not in done.err, command
        assert not done.err or done.sentence.startswith("callmood: "), (command, done.err)


LINES = {
    "no json": b"\xff\xfe\x00",
    "half": line("audio.chunk")[:-20],
    "deep": DEEP,
    "a list": b"[1, 2]",
    "a number": b"7",
    "empty": b"",
    "nuls": b"\0" * 100,
    "huge": line("tts.started", text="x" * 2_000_000),
    "no event": b'{"t": 1}',
    "no time": b'{"event": "audio.chunk"}',
    "digits": b'{"event": "audio.chunk", "t": ' + b"9" * 5000 + b"}",
}


@pytest.mark.parametrize("name", LINES)
def test_a_line_that_is_none_costs_nothing_but_itself(run_here: Run, tmp_path: Path, name: str) -> None:
    lines = good_lines()
    written(tmp_path, [*lines[:2], LINES[name], *lines[2:]], good_steps())
    check(run_here)
    assert "hung up" in run_here("show", SID).out or "call.ended" in run_here("show", SID).out


@pytest.mark.parametrize("field", ["t", "at", "event", *CHUNK, *(name for each in DEEDS.values() for name in each)])
def test_fields_of_strange_kinds_are_read_as_far_as_they_go(run_here: Run, tmp_path: Path, field: str) -> None:
    lines = []
    for value in STRANGE:
        for one in good_lines():
            event = json.loads(one)
            if field in event:
                lines.append(json.dumps(event | {field: value}).encode())
    written(tmp_path, [good_lines()[0], *lines, good_lines()[-1]], good_steps())
    check(run_here)


def mangled_steps() -> dict[str, list[bytes]]:
    began, took, asked, ended = good_steps()
    negative = encode(steps.Took(1, -1e9, HEARD))
    late = encode(steps.Ended(3, 1e300))
    setup = SETUP._replace(window_s=0.0, min_samples=0, trend_window_s=-1.0, buffer_cap=-1)
    odd = steps.Reading(
        ("", float("nan")), "local", -9, -9, float("inf"), {"x": -1e300}, -1.0, -5, None, None, None, 9.0
    )
    return {
        "garbage": [began, b"\xc1\xff", b"", b"\x90", ended],
        "no steps": [],
        "no beginning": [took, asked, ended],
        "another kind": [began, msgspec.msgpack.encode([99, 1, 2.0]), ended],
        "wrong types": [began, msgspec.msgpack.encode([1, "one", {}, []]), asked, ended],
        "time runs backwards": [began, negative, asked, ended],
        "a call of ages": [began, took, asked, late],
        "a setup of nothing": [encode(steps.Began(0, 0.0, steps.VERSION, "1", "e", "m", setup)), took, asked, ended],
        "a setup without an end": [
            encode(steps.Began(0, 0.0, steps.VERSION, "1", "e", "m", SETUP._replace(trend_window_s=1e300))),
            took,
            asked,
            ended,
        ],
        "an odd reading": [began, encode(steps.Took(1, 1.0, odd)), asked, ended],
        "rules that are not kept": [began, took, encode(steps.Asked(2, 1.0, 7, "other", None)), ended],
        "twice": [began, took, asked, ended, began, took, asked, ended],
    }


@pytest.mark.parametrize("name", mangled_steps())
def test_steps_that_make_no_sense_are_a_record_that_is_not_whole(run_here: Run, tmp_path: Path, name: str) -> None:
    written(tmp_path, good_lines(), mangled_steps()[name])
    check(run_here)


HARM = {
    "entry text": "UPDATE calls SET entry = 'no json'",
    "entry number": "UPDATE calls SET entry = 7",
    "entry list": "UPDATE calls SET entry = x'5b5d'",
    "entry odd": """UPDATE calls SET entry = '{"mood": 7, "callSid": [], "startedAt": null}'""",
    "entry odd mood": """UPDATE calls SET entry = '{"mood": {"label": null, "score": "x"}}'""",
    "entry empty": "UPDATE calls SET entry = x''",
    "sid blob": "UPDATE calls SET call_sid = x'434131'",
    "began number": "UPDATE calls SET began_at = 7",
    "began text": "UPDATE calls SET began_at = 'long ago'",
    "outcome blob": "UPDATE calls SET outcome = x'00ff', ended_at = -1",
    "caller nul": "UPDATE calls SET caller = char(0) || 'x'",
    "model number": "UPDATE calls SET model = 1.5, complete = 'yes'",
    "text blob": "UPDATE texts SET text = x'ff00ff'",
    "text number": "UPDATE texts SET text = 7",
    "text no rules": "UPDATE texts SET text = '[[rule'",
    "segment text": "UPDATE segments SET data = 'text'",
    "segment number": "UPDATE segments SET data = 7",
    "segment empty": "UPDATE segments SET data = x''",
    "segment none": "DELETE FROM segments",
    "journal text": "INSERT INTO journal (data) VALUES ('text')",
    "journal number": "INSERT INTO journal (data) VALUES (7)",
    "no table": "DROP TABLE segments",
    "no texts": "DROP TABLE texts",
    "no calls": "DROP TABLE calls",
    "other columns": "ALTER TABLE calls RENAME COLUMN entry TO something",
    "bad utf-8": "UPDATE calls SET outcome = CAST(x'ff' AS TEXT), caller = CAST(x'c3' AS TEXT)",
}


@pytest.mark.parametrize("name", HARM)
def test_tables_of_another_make_end_in_one_sentence(run_here: Run, tmp_path: Path, name: str) -> None:
    file = written(tmp_path, good_lines(), good_steps())
    with closing(sqlite3.connect(file)) as db:
        db.execute(HARM[name])
        db.commit()
    check(run_here)


@pytest.mark.parametrize(
    "inner",
    [
        msgspec.msgpack.encode({1: [[1, "audio.chunk", b"\x00"], ["x", 7, "y"]]}),
        msgspec.msgpack.encode({1: {"not": "a list"}}),
        msgspec.msgpack.encode({"one": []}),
        msgspec.msgpack.encode([1]),
        b"\xdf\xff\xff\xff\xff",
        b"\x81\x01\xdd\xff\xff\xff\xff",
        b"",
    ],
)
def test_a_journal_of_another_make_is_passed_over(run_here: Run, tmp_path: Path, inner: bytes) -> None:
    file = written(tmp_path, good_lines(), good_steps())
    with closing(sqlite3.connect(file)) as db:
        db.execute("INSERT INTO journal (data) VALUES (?)", (journal.PAGE + inner,))
        db.commit()
    check(run_here)
    store = Store(file.parent)
    store.settle()
    store.close()
    check(run_here)


def test_a_file_that_is_no_ledger_ends_in_one_sentence(run_here: Run, tmp_path: Path) -> None:
    file = written(tmp_path, good_lines(), good_steps())
    for harm in (b"not a database " * 500, file.read_bytes()[:5000], file.read_bytes()[:8192] + b"\xff" * 50_000):
        file.write_bytes(harm)
        for command in COMMANDS:
            done = run_here(*command)
            assert done.code in (0, 1), (command, done)
            assert not done.err or done.sentence.startswith("callmood: "), (command, done.err)
