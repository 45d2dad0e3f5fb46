"""callmood replay: recorded calls out of a real ledger, decided again by their own rules and by others."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
import trio
from structlog.testing import capture_logs
from trio.testing import MockClock

from agent.audiofile import bundled_voice
from agent.calls.directory import open_directory
from agent.calls.policy import policy
from agent.calls.stepcode import decode, encode, read
from agent.core import steps
from agent.core.emotion import Emotion, Outcome
from agent.core.rulebook import parse
from agent.ledger.memory import MemoryLedger
from agent.ledger.sqlite import open_sqlite
from agent.settings import Settings
from agent.testing import RecordingAssistant, ScriptedEngine, ScriptedLine

if TYPE_CHECKING:
    from conftest import Run

SID = "CA00000000000000000000000000000001"
CUT = '[[rule]]\nname = "cut"\nemotions = ["angry"]\ndo = ["interrupt"]\n'
RATHER_ANGRY = steps.Reading(("angry", 0.7), "local", 0, 1500, 1.5, (), None, None, None, None, None, None)
LATER = CUT.replace("do =", "for_s = 3\ndo =")


@cache
def lived(profile: str = "acoustic") -> MemoryLedger:
    """A call of twenty seconds in which the assistant talks over an angry caller, on a clock that jumps."""
    ledger = MemoryLedger()
    settings = Settings(profile=profile)
    shared = policy(settings, book=lambda: parse(CUT, act_at=settings.act_at, file="rules.toml"))
    engine = ScriptedEngine({0: Emotion("neutral", 0.95), 8000: Emotion("angry", 0.95)})

    async def main() -> None:
        async with open_directory(engine, RecordingAssistant(), ledger, settings, shared) as directory:
            call = directory.register(SID, caller="+15550100001")
            assert call is not None
            call.attach_assistant("vapi-1")
            call.assistant_speech(started=True)
            if await ScriptedLine(bundled_voice()[: 8000 * 20]).play(call.mailbox):
                call.end(Outcome.HANGUP)
            await call.over.wait()

    with capture_logs():
        trio.run(main, clock=MockClock(autojump_threshold=0))
    return ledger


def keep(
    folder: Path,
    call_sid: str = SID,
    *,
    profile: str = "acoustic",
    without: slice | None = None,
    end: dict[str, Any] | None = None,
    texts: bool = True,
    ended: bool = True,
) -> None:
    """The call of this test in the ledger of a folder."""
    source = lived(profile)
    kept, lines = source.steps_of(SID), source.lines_of(SID)
    if without is not None:
        del kept[without]
    last = msgspec.json.decode(lines[-1])
    lines = [*lines[:-1], *([msgspec.json.encode(last | (end or {}))] if ended else [])]

    async def main() -> None:
        async with open_sqlite(folder / "callmood-data") as ledger:
            ledger.begin(call_sid, caller="+15550100001", model="local")
            for kind, text in source.texts.values():
                if texts or kind != "rules":
                    ledger.know(call_sid, kind, text)
            for step in kept:
                ledger.keep(call_sid, step)
            for line in lines:
                ledger.append(call_sid, line.replace(SID.encode(), call_sid.encode()))
            with trio.fail_after(20):
                await ledger.flush()

    trio.run(main)


def test_a_call_is_decided_as_it_was(run_here: Run, tmp_path: Path) -> None:
    keep(tmp_path)
    done = run_here("replay", SID[-6:])
    assert (done.code, done.err) == (0, "")
    first, last = done.out.strip().splitlines()
    assert first.startswith(f"{SID} by its own rules: 20.")
    assert last == "nothing differs"


def test_other_rules_are_shown_where_they_differ(run_here: Run, tmp_path: Path) -> None:
    keep(tmp_path)
    (tmp_path / "later.toml").write_text(LATER)
    done = run_here("replay", SID, "--rules", "later.toml")
    assert done.code == 1
    first, before, now, cut = done.out.strip().splitlines()
    assert first.startswith(f"{SID} by these rules: 20.")
    assert "before   angry 0.95" in before
    assert "cut after 0.00 s (interrupt)" in before
    assert "says " not in now
    assert "cut after 3." in cut
    assert cut.split()[2] == "added"


def test_json_says_what_differs_and_how_fast(run_here: Run, tmp_path: Path) -> None:
    keep(tmp_path)
    (tmp_path / "later.toml").write_text(LATER)
    done = run_here("replay", SID, "--rules", "later.toml", "--json")
    (line,) = done.out.splitlines()
    found = msgspec.json.decode(line)
    assert (found["callSid"], found["incomplete"], found["engine"]) == (SID, None, "scripted")
    assert [each["kind"] for each in found["differences"]] == ["other", "added"]
    assert found["differences"][1]["replayed"]["rules"][0]["rule"] == "cut"
    assert found["before"] == {"decisions": 1, "notes": 1, "interrupts": 1, "transfers": 0}
    assert found["after"] == {"decisions": 2, "notes": 2, "interrupts": 1, "transfers": 0}
    assert found["speedup"] > 0
    assert found["durationMs"] >= 20_000


@pytest.mark.parametrize(
    ("kept", "why"),
    [
        ({"without": slice(5, 8)}, "has lost its steps 5 to 7"),
        ({"without": slice(0, 3)}, "has lost its first steps"),
        ({"without": slice(-1, None)}, "stops before the call's end"),
        ({"without": slice(None)}, "its readings are forgotten already"),
        ({"end": {"outcome": "crashed"}}, "crashed: its record stops there"),
        ({"ended": False}, "has not ended yet"),
        ({"texts": False}, "was decided by rules that are not kept"),
        ({"profile": "physical-only"}, "was served in a profile that reads no emotions"),
    ],
)
def test_a_record_that_is_not_whole_says_why(run_here: Run, tmp_path: Path, kept: dict[str, Any], why: str) -> None:
    keep(tmp_path, **kept)
    done = run_here("replay", SID)
    assert (done.code, done.err) == (1, "")
    assert done.out.startswith(f"incomplete: call {SID} ")
    assert why in done.out.splitlines()[0]


@pytest.mark.parametrize("at", [math.nan, math.inf])
def test_a_step_outside_time_is_one_that_cannot_be_read(at: float) -> None:
    first, *others = lived().steps_of(SID)
    record = read([first, encode(steps.Took(1, at, RATHER_ANGRY)), *others])
    assert record.flaw == "has a step that cannot be read after 1 others"
    assert all(math.isfinite(step.at) for step in record.steps)


def test_readings_that_were_forgotten_after_their_days_are_said_to_be(run_here: Run, tmp_path: Path) -> None:
    keep(tmp_path)
    from agent.ledger.database import connect
    from agent.ledger.retention import days_ago, sweep

    database = connect(tmp_path / "callmood-data")
    while sweep(database, calls_before=days_ago(365), readings_before=days_ago(-1)):
        pass
    database.close()
    done = run_here("replay", SID)
    assert done.code == 1
    assert "its readings are forgotten already ([ledger] readings_days)" in done.out


def test_a_table_compares_many_calls_and_leaves_out_what_is_not_whole(run_here: Run, tmp_path: Path) -> None:
    for place in range(3):
        keep(tmp_path, f"CA{place}")
    keep(tmp_path, "CA3", without=slice(5, 8))
    (tmp_path / "later.toml").write_text(LATER)
    done = run_here("replay", "--all", "--rules", "later.toml")
    assert done.code == 1
    lines = done.out.splitlines()
    assert lines[0] == "4 calls, 3 decided otherwise, 1 incomplete (and left out)"
    assert [line.split() for line in lines[1:6]] == [
        ["before", "after"],
        ["decisions", "3", "6"],
        ["notes", "3", "6"],
        ["interrupts", "3", "3"],
        ["transfers", "0", "0"],
    ]
    assert "incomplete: call CA3 has lost its steps 5 to 7" in lines
    found = msgspec.json.decode(run_here("replay", "--all", "--rules", "later.toml", "--json").out)
    assert (found["calls"], sorted(found["otherwise"]), len(found["incomplete"])) == (4, ["CA0", "CA1", "CA2"], 1)


def test_a_table_of_calls_that_were_decided_as_they_were_exits_0(run_here: Run, tmp_path: Path) -> None:
    keep(tmp_path, "CA0")
    keep(tmp_path, "CA1")
    done = run_here("replay", "--all", "--since", "7d")
    assert (done.code, done.out.splitlines()[0]) == (0, "2 calls, 0 decided otherwise, 0 incomplete (and left out)")


def test_since_leaves_out_the_calls_before_it(run_here: Run, tmp_path: Path) -> None:
    keep(tmp_path)
    tomorrow = (datetime.now(UTC) + timedelta(days=1)).date().isoformat()
    assert run_here("replay", "--all", "--since", tomorrow).out.startswith("0 calls")
    assert run_here("replay", "--all", "--since", "24h").out.startswith("1 call,")


@pytest.mark.parametrize(
    ("args", "says"),
    [
        ((), "name a call, or --all"),
        (("CA1", "--all"), "name a call, or --all"),
        (("CA1", "--since", "7d"), "--since goes with --all"),
        (("--all", "--since", "yesterday"), "--since must be an ISO date like 2026-01-31, or 7d or 24h"),
        (("CA1", "--rules", "none.toml"), "there is no rules file"),
    ],
)
def test_what_cannot_be_meant_exits_2_with_one_sentence(run_here: Run, args: tuple[str, ...], says: str) -> None:
    done = run_here("replay", *args)
    assert done.code == 2
    assert says in done.sentence


def test_a_rules_file_that_is_wrong_is_named_with_its_line(run_here: Run, tmp_path: Path) -> None:
    keep(tmp_path)
    (tmp_path / "bad.toml").write_text(CUT.replace("interrupt", "shout"))
    done = run_here("replay", SID, "--rules", "bad.toml")
    assert done.code == 2
    assert "bad.toml line 4: do " in done.sentence


def test_a_call_that_nobody_knows_exits_1(run_here: Run, tmp_path: Path) -> None:
    keep(tmp_path)
    done = run_here("replay", "nobody")
    assert done.code == 1
    assert done.sentence == "callmood: the ledger has no call nobody: callmood calls lists those it has"


def test_steps_of_a_later_form_are_said_to_be(run_here: Run, tmp_path: Path) -> None:
    began = decode(lived().steps_of(SID)[0])
    assert isinstance(began, steps.Began)
    later = began._replace(version=steps.VERSION + 1)

    async def main() -> None:
        async with open_sqlite(tmp_path / "callmood-data") as ledger:
            ledger.begin(SID, caller="")
            ledger.keep(SID, encode(later))
            ledger.append(SID, lived().lines_of(SID)[0])
            ledger.append(SID, lived().lines_of(SID)[-1])
            await ledger.flush()

    trio.run(main)
    done = run_here("replay", SID)
    assert (done.code, f"version {steps.VERSION + 1}" in done.out) == (1, True)
