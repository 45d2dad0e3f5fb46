"""callmood report and analyze --report: from a real ledger, a running server and a real recording to a file."""

from __future__ import annotations

import os
import shutil
import stat
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import trio

import agent.demo
from agent.calls.stepcode import encode
from agent.core import steps
from agent.ledger.sqlite import open_sqlite

if TYPE_CHECKING:
    from conftest import Run, Serve

VOICE = Path(agent.demo.__path__[0]) / "voices" / "adam_calm_then_angry.wav"
CALLER = "+15551234567"
SID = "CA00000000000000000000000000000001"
OTHER = "CB00000000000000000000000000000001"
RULES = """
[[rule]]
name = "house-rule"
emotions = ["angry"]
at_least = 0.8
for_s = 1.5
do = ["interrupt"]
"""
SETUP = steps.Setup(0.65, 500, (), 3.0, 3, 30.0, 50, 30, 0.5, 3.0, 6, 200, 0.9)


def event(t_ms: int, name: str, **fields: object) -> dict[str, Any]:
    return {"t": t_ms, "at": "2026-01-31T12:00:00.000Z", "callSid": SID, "event": name, **fields}


async def keep_a_call(folder: Path, call_sid: str = SID) -> None:
    """One call in a ledger, as the service keeps it: its events, and what decided."""
    angry = {"emotion": {"label": "angry", "score": 0.95}, "scores": {}, "source": "local", "quality": 0.9}
    happened = [
        event(0, "call.started", attach="tap", vapiCallId=None, caller="***67"),
        *(event(t, "audio.chunk", startMs=t - 1500, endMs=t, **angry) for t in range(2000, 4000, 200)),
        event(3710, "tts.cancelled", reason="emotion_escalation", heardMs=900),
        event(5000, "call.ended", outcome="hangup", durationMs=5000, summary={}),
    ]
    felt = steps.Felt("angry", 0.95, "rising", 5, 102.4, 0.9)
    with trio.fail_after(20):
        async with open_sqlite(folder, readings_days=36_500, calls_days=36_500) as ledger:
            ledger.begin(call_sid, caller=CALLER, model="local")
            rules = ledger.know(call_sid, "rules", RULES)
            fired = (steps.Fired("house-rule", 1.6, ("interrupt",)),)
            made = steps.Made(felt, fired, None, "Sorry.", None, False, ())
            ledger.keep(call_sid, encode(steps.Began(0, 100.0, steps.VERSION, "1", "local", "f" * 64, SETUP)))
            ledger.keep(call_sid, encode(steps.Asked(1, 103.7, 1, rules, made)))
            for each in happened:
                ledger.append(call_sid, msgspec.json.encode({**each, "callSid": call_sid}))
            await ledger.flush()


async def test_a_call_in_the_ledger_becomes_a_page_in_this_folder(run_here: Run, tmp_path: Path) -> None:
    await keep_a_call(tmp_path / "callmood-data")
    done = run_here("report", SID[-6:])
    assert (done.code, done.out.strip(), done.err) == (0, f"{SID}.html", "")
    page = (tmp_path / f"{SID}.html").read_text()
    assert page.startswith("<!doctype html>")
    assert "Call of ***67" in page
    assert CALLER[2:] not in page
    assert "Rule house-rule wanted it." in page
    assert "1.6 s, 1.5 s asked for" in page, "what the rule asked for, from the text that was in force"
    assert "0.95, 0.80 asked for" in page
    assert "those of the call" in page, "its own gate and act_at, not the settings of today"
    assert "was lost, or has been forgotten" not in page


async def test_a_page_is_for_its_owner_alone_and_replaces_the_one_before(run_here: Run, tmp_path: Path) -> None:
    await keep_a_call(tmp_path / "callmood-data")
    out = tmp_path / "mine.html"
    for _ in range(2):
        done = run_here("report", SID, "--out", "mine.html")
        assert (done.code, done.out.strip()) == (0, "mine.html")
        assert stat.S_IMODE(out.stat().st_mode) == 0o600
        assert out.read_text().count("<!doctype html>") == 1
        out.write_text("x" * 1_000_000)


async def test_an_id_that_names_no_call_or_several_is_one_sentence(run_here: Run, tmp_path: Path) -> None:
    nothing = run_here("report", SID)
    assert nothing.code == 1
    assert SID in nothing.sentence
    await keep_a_call(tmp_path / "callmood-data")
    await keep_a_call(tmp_path / "callmood-data", OTHER)
    unknown = run_here("report", "CAffff")
    assert unknown.code == 1
    assert "CAffff" in unknown.sentence
    several = run_here("report", SID[-6:])
    assert several.code == 2
    assert SID in several.sentence
    assert OTHER in several.sentence
    assert not await trio.Path(tmp_path / f"{SID}.html").exists()


async def test_a_page_that_cannot_be_written_is_one_sentence(run_here: Run, tmp_path: Path) -> None:
    await keep_a_call(tmp_path / "callmood-data")
    done = run_here("report", SID, "--out", "nowhere/page.html")
    assert done.code == 2
    assert "nowhere/page.html" in done.sentence


async def test_a_report_is_made_while_the_server_runs(run: Run, serve: Serve, tmp_path: Path) -> None:
    (tmp_path / "silence.ul").write_bytes(b"\xff" * 8000 * 2)
    service = serve()
    called = await trio.to_thread.run_sync(
        lambda: run("call", "silence.ul", "--url", service.url, TWILIO_AUTH_TOKEN=service.auth_token)
    )
    assert called.code == 0, called.err
    call_sid = next(word.strip(".,:") for word in called.out.split() if word.startswith("CA"))
    done = await trio.to_thread.run_sync(lambda: run("report", call_sid))
    assert done.code == 0, done.err
    page = (tmp_path / done.out.strip()).read_text()
    assert call_sid in page
    assert "Nothing could be read of the caller" in page


def test_a_recording_becomes_a_page_of_what_would_have_been_done(run: Run, tmp_path: Path) -> None:
    shutil.copy(VOICE, tmp_path / "call.wav")
    done = run("analyze", "call.wav", "--report", "out.html")
    assert (done.code, done.err) == (0, "")
    page = (tmp_path / "out.html").read_text()
    assert "<h1>call.wav</h1>" in page
    assert "The caller turned angry at" in page
    assert "What would have been done, and why" in page
    assert "would have been told" in page
    assert "Rule angry-transfer wanted it." in page
    assert page.count("<svg xmlns") == 2
    assert os.stat(tmp_path / "out.html").st_size < 200_000
