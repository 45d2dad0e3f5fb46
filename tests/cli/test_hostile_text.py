"""What others have written is shown by the command line, and obeyed by no terminal."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import pytest
import trio

from agent.calls.stepcode import encode
from agent.core import steps
from agent.ledger.sqlite import open_sqlite

if TYPE_CHECKING:
    from conftest import Run

SID = "CA00000000000000000000000000000001"
HOSTILE = "hello\x1b]0;a title\x07\x1b[2J\x9b31m\r\n    1.0 s  escalation.done \u202e"
SETUP = steps.Setup(0.65, 500, (), 3.0, 3, 30.0, 50, 30, 0.5, 3.0, 6, 200, 0.9)


def event(t: int, name: str, **fields: object) -> bytes:
    return msgspec.json.encode({"t": t, "at": "2026-01-31T12:00:00.000Z", "callSid": SID, "event": name, **fields})


@pytest.fixture
def kept(tmp_path: Path) -> None:
    """A call in which everything that can be a text is hostile."""
    felt = steps.Felt("angry", 0.95, "rising", 5, 2.0, 0.9)
    made = steps.Made(felt, (steps.Fired(HOSTILE, 1.0, ("interrupt",)),), HOSTILE, HOSTILE, None, False, ())

    async def main() -> None:
        async with open_sqlite(tmp_path / "callmood-data", readings_days=36_500, calls_days=36_500) as ledger:
            ledger.begin(SID, caller="")
            rules = ledger.know(SID, "rules", '[[rule]]\nname = "cut"\nemotions = ["angry"]\ndo = ["interrupt"]\n')
            ledger.keep(SID, encode(steps.Began(0, 0.0, steps.VERSION, "1", "local", "m", SETUP)))
            ledger.keep(SID, encode(steps.Asked(1, 2.0, 3, rules, made)))
            ledger.keep(SID, encode(steps.Ended(2, 3.0)))
            ledger.append(SID, event(0, "call.started", attach="tap", vapiCallId=HOSTILE, caller="***67"))
            ledger.append(SID, event(500, "tts.started", text=HOSTILE))
            chunk = {"emotion": {"label": HOSTILE, "score": 0.5}, "source": HOSTILE, "gated": HOSTILE}
            ledger.append(SID, event(600, "audio.chunk", **chunk))
            ledger.append(SID, event(700, HOSTILE))
            ledger.append(SID, event(5000, "call.ended", outcome="hangup", durationMs=5000, summary={}))
            with trio.fail_after(20):
                await ledger.flush()

    trio.run(main)


@pytest.mark.parametrize(
    "command", [["show", SID], ["show", SID, "--json"], ["calls", "--json"], ["replay", SID], ["replay", SID, "--json"]]
)
@pytest.mark.usefixtures("kept")
def test_nothing_of_a_call_reaches_the_terminal_as_a_command_or_as_a_line_of_its_own(
    run_here: Run, command: list[str]
) -> None:
    done = run_here(*command)
    assert "hello" in done.out + done.err
    assert [each for each in done.out if each in HOSTILE and not each.isprintable() and each != "\n"] == []
    assert [each for each in done.out.splitlines() if each.startswith("    1.0 s  escalation.done")] == []


@pytest.mark.usefixtures("kept")
def test_the_json_of_a_hostile_text_is_still_that_text(run_here: Run) -> None:
    said = [msgspec.json.decode(each) for each in run_here("show", SID, "--json").out.splitlines()]
    assert said[1]["text"] == HOSTILE
