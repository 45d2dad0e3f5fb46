"""callmood tune --ledger: calls that were really decided, what an operator marked wrong, and what other settings do."""

from __future__ import annotations

import tomllib
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
from agent.cli import tune_ledger
from agent.core.emotion import Emotion, Outcome
from agent.core.rulebook import parse
from agent.ledger.memory import MemoryLedger
from agent.ledger.sqlite import open_sqlite
from agent.settings import Settings
from agent.testing import RecordingAssistant, ScriptedEngine, ScriptedLine
from agent.web.actions import ACTIONS, read_action

if TYPE_CHECKING:
    from conftest import Run

SID = "CA1"
CUT = '[[rule]]\nname = "cut"\nemotions = ["angry"]\ndo = ["interrupt"]\n'
PASS_ON = '[[rule]]\nname = "pass"\nemotions = ["angry"]\ndo = ["transfer"]\n'
HARD, DOUBTFUL, MILD = 0.97, 0.87, 0.8
"""Anger that is acted on by every setting that is tried, by the present one only, and by none but a looser one."""


class Human:
    async def transfer(self, call_sid: str, destination: str) -> None:
        await trio.sleep(0.5)


@cache
def lived(score: float, marked: bytes = b"", rules: str = CUT, seconds: float = 5.0) -> MemoryLedger:
    """A call whose caller is that angry after two seconds, while the assistant talks on; `marked` is what an operator
    sends just before the end."""
    ledger, settings = MemoryLedger(), Settings(transfer_to="+15550100100")
    shared = policy(settings, book=lambda: parse(rules, act_at=settings.act_at, file="rules.toml"), transfers=Human())
    engine = ScriptedEngine({0: Emotion("neutral", 0.95), 2000: Emotion("angry", score)})

    async def main() -> None:
        async with open_directory(engine, RecordingAssistant(), ledger, settings, shared) as directory:
            call = directory.register(SID, caller="+15550100001")
            assert call is not None
            call.attach_assistant("vapi-1")
            call.assistant_speech(started=True)
            played = await ScriptedLine(bundled_voice()[: int(8000 * seconds)]).play(call.mailbox)
            if marked:
                wanted = read_action(marked)
                await ACTIONS[wanted.action](call, wanted)
            if played:
                call.end(Outcome.HANGUP)
            await call.over.wait()

    with capture_logs():
        trio.run(main, clock=MockClock(autojump_threshold=0))
    return ledger


def keep(folder: Path, *calls: tuple[int, MemoryLedger], without_end: bool = False) -> None:
    """So many of each of these calls, in the ledger of a folder."""

    async def main() -> None:
        async with open_sqlite(folder / "callmood-data") as ledger:
            number = 0
            for many, source in calls:
                for _ in range(many):
                    sid, number = f"CA{number:06}", number + 1
                    ledger.begin(sid, caller="+15550100001", model="local")
                    for text_kind, text in source.texts.values():
                        ledger.know(sid, text_kind, text)
                    for step in source.steps_of(SID)[: -1 if without_end else None]:
                        ledger.keep(sid, step)
                    for line in source.lines_of(SID):
                        ledger.append(sid, line.replace(b'"CA1"', f'"{sid}"'.encode()))
            with trio.fail_after(20):
                await ledger.flush()

    trio.run(main)


def told(run_here: Run, *args: str) -> dict[str, Any]:
    found: dict[str, Any] = msgspec.json.decode(run_here("tune", "--ledger", "--json", *args).out)
    return found


def tried(found: dict[str, Any], at_least: float = 0.0, for_s: float = 0.0, gate: float = 0.0) -> dict[str, Any]:
    (one,) = [
        each for each in found["tried"] if (each["atLeast"], each["forS"], each["gate"]) == (at_least, for_s, gate)
    ]
    return dict(one)


WRONG = b'{"action":"wrong"}'


def test_a_setting_that_ends_what_was_wrong_and_keeps_the_rest_is_shown_before_and_after(
    run_here: Run, tmp_path: Path
) -> None:
    keep(tmp_path, (2, lived(DOUBTFUL, WRONG)), (3, lived(HARD)))
    done = run_here("tune", "--ledger")
    assert (done.code, done.err) == (0, "")
    lines = done.out.splitlines()
    assert lines[0].startswith("5 calls decided again with ")
    assert lines[0].endswith(": 2 decisions marked wrong, 3 not")
    rows = {line[:28].strip(): line[28:].split() for line in lines if line[28:].strip()}
    assert rows["marked wrong, still made"] == ["2", "0"]
    assert rows["others, still made"] == ["3", "3"]
    assert "at_least +0.05" in done.out
    assert "Too few marks." in done.out
    assert "about 11 calls with marks are needed" in done.out
    assert "Leave the settings as they are." in done.out
    assert "act_at =" not in done.out, "nothing is recommended on two marks"


def test_every_setting_says_what_goes_what_stays_and_by_how_much_later(run_here: Run, tmp_path: Path) -> None:
    keep(tmp_path, (2, lived(DOUBTFUL, WRONG)), (3, lived(HARD)))
    found = told(run_here)
    now, higher, later = tried(found), tried(found, at_least=0.05), tried(found, for_s=1.0)
    assert now["wrong"] == {"decisions": 2, "gone": 0, "unknown": 0}
    assert now["others"] == {"decisions": 3, "kept": 3, "unknown": 0}
    assert now["laterMs"] == {"least": 0, "median": 0, "most": 0}
    assert now["added"] == 0
    assert higher["wrong"]["gone"] == 2
    assert higher["others"]["kept"] == 3
    assert higher["added"] == 0, "that the model is still told is none that was added"
    assert later["wrong"]["gone"] == 0
    assert 900 <= later["laterMs"]["median"] <= 1300
    assert found["suggested"] == {"atLeast": 0.05, "forS": 0.0, "gate": 0.0}
    assert found["sure"] is False
    assert found["values"]["act_at"] == pytest.approx(0.9)


def test_with_enough_marks_a_setting_is_recommended_and_written_only_where_asked(run_here: Run, tmp_path: Path) -> None:
    keep(tmp_path, (12, lived(DOUBTFUL, WRONG)), (72, lived(HARD)))
    (tmp_path / "config").mkdir()
    rules = tmp_path / "config/rules.toml"
    written = (
        '# mine\n[[rule]]   # first\nname = "cut"\nemotions = ["angry"]\nat_least = 0.86  # sure\ndo = ["interrupt"]\n'
    )
    rules.write_text(written)
    done = run_here("tune", "--ledger")
    assert (done.code, done.err) == (0, "")
    assert "act_at = 0.9" in done.out
    assert '[[rule]] name = "cut": at_least = 0.91' in done.out
    assert "Leave the settings" not in done.out
    assert rules.read_text() == written
    assert not (tmp_path / "config/callmood.toml").exists()
    assert run_here("tune", "--ledger", "--write").code == 0
    assert rules.read_text() == written.replace("0.86", "0.91")
    assert tomllib.loads((tmp_path / "config/callmood.toml").read_text()) == {"gate": 0.7, "act_at": 0.9}


def test_too_little_evidence_is_not_written(run_here: Run, tmp_path: Path) -> None:
    keep(tmp_path, (2, lived(DOUBTFUL, WRONG)), (3, lived(HARD)))
    done = run_here("tune", "--ledger", "--write")
    assert done.code == 1
    assert "nothing was written" in done.sentence
    assert not (tmp_path / "config").exists()


def test_marks_that_no_setting_tells_from_the_rest_change_nothing(run_here: Run, tmp_path: Path) -> None:
    keep(tmp_path, (3, lived(HARD, WRONG)), (20, lived(HARD)))
    found = told(run_here)
    assert (found["suggested"], found["sure"]) == (None, False)
    assert "Nothing that was tried takes away what was marked" in found["says"]


def test_without_marks_nothing_is_suggested(run_here: Run, tmp_path: Path) -> None:
    keep(tmp_path, (3, lived(HARD)))
    done = run_here("tune", "--ledger")
    assert done.code == 0
    assert "Too few marks: no decision is marked wrong." in done.out
    assert "About 11 calls with marks are needed" in done.out


def test_a_mark_means_the_decision_of_its_moment(run_here: Run, tmp_path: Path) -> None:
    source = lived(HARD)
    events = [msgspec.json.decode(line) for line in source.lines_of(SID)]
    cut = next(event["t"] for event in events if event["event"] == "tts.cancelled")
    meant = msgspec.json.encode({"action": "wrong", "t": cut})
    before = msgspec.json.encode({"action": "wrong", "t": 0})
    keep(tmp_path, (1, lived(HARD, meant)), (1, lived(HARD, before)))
    found = told(run_here)
    assert tried(found)["wrong"]["decisions"] == 1
    assert found["marksLeftAside"] == 1, "nothing had been decided by then"


def test_what_an_operator_did_is_no_decision_of_the_rules(run_here: Run, tmp_path: Path) -> None:
    from agent.core.following import Deed
    from agent.core.steps import Felt, Made
    from agent.reporting.marks import marks

    made = Made(Felt("angry", 0.9, "steady", 5, 1.0, None), (), None, "Sorry.", None, False, ())
    events = [
        {"event": "tts.cancelled", "t": 1000, "reason": "emotion_escalation"},
        {"event": "tts.cancelled", "t": 9000, "reason": "operator"},
        {"event": "decision.wrong", "t": 9500},
    ]
    assert marks(events, [Deed(990, made)]).strayed == 1
    assert marks([events[0], events[2]], [Deed(990, made)]).wrong == {0}


def test_a_mark_after_something_that_is_no_event_means_nothing() -> None:
    from agent.reporting.marks import marks

    assert marks([{}, {"event": "decision.wrong", "t": 5}], []).strayed == 1


def test_where_the_caller_went_to_a_human_a_later_transfer_is_not_known(run_here: Run, tmp_path: Path) -> None:
    keep(tmp_path, (2, lived(HARD, WRONG, PASS_ON)))
    found = told(run_here)
    assert tried(found)["wrong"] == {"decisions": 2, "gone": 0, "unknown": 0}
    assert tried(found, for_s=2.0)["wrong"] == {"decisions": 2, "gone": 0, "unknown": 2}
    assert found["suggested"] is None


def test_a_call_that_ended_in_anger_and_nobody_acted_was_possibly_missed(run_here: Run, tmp_path: Path) -> None:
    keep(tmp_path, (2, lived(MILD)), (1, lived(HARD)))
    found = told(run_here)
    assert tried(found)["possiblyMissed"] == {"calls": 2, "actedOn": 0}
    assert tried(found, at_least=-0.05)["possiblyMissed"] == {"calls": 2, "actedOn": 2}
    assert tried(found, at_least=-0.05)["added"] == 2
    assert "who hung up, and why, the record does not say" in run_here("tune", "--ledger").out


def test_records_that_are_not_whole_are_left_out_and_said_to_be(run_here: Run, tmp_path: Path) -> None:
    keep(tmp_path, (2, lived(HARD)), without_end=True)
    done = run_here("tune", "--ledger")
    assert done.code == 0
    assert done.out.startswith("0 calls decided again")
    assert "left out: call CA000001 stops before the call's end" in done.out


@pytest.mark.parametrize(("told", "more"), [(1000, "and 2 more (--json has them)"), (11, "and 2 more")])
def test_all_that_were_left_out_are_counted_however_few_of_them_are_told(
    run_here: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, told: int, more: str
) -> None:
    monkeypatch.setattr(tune_ledger, "LEFT_OUT_AT_MOST", told)
    keep(tmp_path, (12, lived(HARD)), without_end=True)
    lines = run_here("tune", "--ledger").out.splitlines()
    assert lines[0].startswith("0 calls decided again")
    assert lines[-1] == f"left out: {more}"


def test_since_leaves_out_the_calls_before_it(run_here: Run, tmp_path: Path) -> None:
    keep(tmp_path, (1, lived(HARD)))
    assert told(run_here, "--since", "2999-01-01")["calls"] == 0
    assert told(run_here, "--since", "24h")["calls"] == 1


@pytest.mark.parametrize(
    ("args", "says"),
    [
        ((), "add a manifest of recordings, or --ledger"),
        (("mine", "--ledger"), "leave out recordings"),
        (("--ledger", "--refit"), "leave out recordings and --refit"),
        (("mine", "--since", "7d"), "go with --ledger"),
        (("mine", "--json"), "go with --ledger"),
        (("--ledger", "--since", "yesterday"), "--since must be an ISO date"),
    ],
)
def test_what_cannot_be_meant_exits_2_with_one_sentence(run_here: Run, args: tuple[str, ...], says: str) -> None:
    done = run_here("tune", *args)
    assert done.code == 2
    assert says in done.sentence
