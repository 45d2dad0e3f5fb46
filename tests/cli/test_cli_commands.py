"""What a user types, and what comes of it: exit codes, and one sentence where something is wrong."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import wave
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from agent.ledger.store import Store
from agent.ledger.waiting import Beginning, Kind

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from conftest import Done, Run

EVENT = {"t", "at", "callSid", "event"}


def write_tone(path: Path, seconds: float = 1.0) -> Path:
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(16_000)
        file.writeframes(b"\x00\x10\x00\xf0" * int(8_000 * seconds))
    return path


def is_usage_error(done: Done, *names: str) -> None:
    assert done.code == 2
    assert not done.out
    assert "Traceback" not in done.err
    assert done.sentence.startswith("callmood: ")
    for name in names:
        assert name in done.sentence


# serve, when it cannot start.


def test_serve_without_the_auth_token_says_so_in_one_sentence(run: Run) -> None:
    is_usage_error(run("serve", "--port", "0"), "TWILIO_AUTH_TOKEN", "--insecure")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("CALLMOOD_TYPO", "1"),
        ("CALLMOOD_", "1"),
        ("PORT", "many"),
        ("PORT", "70000"),
        ("PORT", ""),
        ("PORT", "-1"),
        ("CALLMOOD_MAX_CALLS", "0"),
        ("CALLMOOD_MAX_CALLS", "lots"),
        ("CALLMOOD_ENGINE", "magic"),
        ("CALLMOOD_ATTACH", "glue"),
        ("CALLMOOD_PROFILE", "loud"),
        ("CALLMOOD_REQUIRE_NOTICE", "yes"),
        ("WEBHOOK_URL", "calls.example.com"),
        ("WEBHOOK_URL", "https://calls.example.com/path"),
        ("WEBHOOK_URL", "https://user:pass@calls.example.com"),
    ],
)
def test_a_setting_that_is_wrong_stops_the_start_and_is_named(run_here: Run, name: str, value: str) -> None:
    is_usage_error(run_here("serve", "--insecure", **{name: value}), name)


def test_a_name_that_is_no_setting_stops_the_start_and_is_named(run: Run) -> None:
    is_usage_error(run("serve", "--port", "0", CALLMOOD_TYPO="1", TWILIO_AUTH_TOKEN="x"), "CALLMOOD_TYPO")


@pytest.mark.parametrize(
    ("name", "value", "named"),
    [
        ("REDIS_URL", "redis://127.0.0.1", "REDIS_URL"),
    ],
)
def test_what_is_not_built_yet_stops_the_start_and_is_named(run: Run, name: str, value: str, named: str) -> None:
    is_usage_error(run("serve", "--insecure", "--port", "0", **{name: value}), named)


def test_a_secret_that_is_wrong_is_not_repeated(run_here: Run) -> None:
    done = run_here("serve", "--insecure", WEBHOOK_URL="https://name:hunter2@calls.example.com")
    assert "hunter2" not in done.err + done.out


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("gaet = 0.5", "gaet"),
        ("gate = 1.5", "gate"),
        ('gate = "high"', "gate"),
        ("window_s = 0", "window_s"),
        ("buffer_keep = 60", "buffer_keep"),
        ("[local]\nwindow = 3", "window"),
        ("gate = ", "callmood.toml"),
        ('token = "secret"', "token"),
        ("window_s = nan", "window_s"),
    ],
)
def test_a_settings_file_that_is_wrong_stops_the_start_and_is_named(
    run_here: Run, tmp_path: Path, text: str, named: str
) -> None:
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "callmood.toml").write_text(text)
    is_usage_error(run_here("serve", "--insecure", "--port", "0"), named)


def test_a_settings_file_that_is_not_there_is_named(run_here: Run) -> None:
    is_usage_error(run_here("serve", "--insecure", "--config", "nowhere.toml"), "nowhere.toml")


def test_a_dotenv_that_is_wrong_is_named_with_its_line_and_without_its_text(run_here: Run, tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("PORT=3000\nthe password is hunter2\n")
    done = run_here("serve", "--insecure")
    is_usage_error(done, ".env", "2")
    assert "hunter2" not in done.err


def test_a_port_that_is_taken_is_named(run: Run) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        is_usage_error(run("serve", "--insecure", "--port", port), port)


def test_a_folder_that_cannot_be_made_is_named(run: Run, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    done = run("serve", "--insecure", "--port", "0", CALLMOOD_DATA=str(tmp_path / "file" / "data"))
    assert done.code in (1, 2)
    assert "CALLMOOD_DATA" in done.sentence


@pytest.mark.parametrize("args", [("nonsense",), ("serve", "--nonsense"), ("call",), ("serve", "--port", "x"), ()])
def test_what_cannot_be_understood_is_exit_code_2_without_a_traceback(run_here: Run, args: tuple[str, ...]) -> None:
    done = run_here(*args)
    assert done.code == 2
    assert "Traceback" not in done.err


def test_help_names_every_command_that_is_built(run_here: Run) -> None:
    done = run_here("--help")
    assert done.code == 0
    for command in (
        *("demo", "serve", "call", "analyze", "calls", "show", "tail", "doctor", "init", "dev"),
        *("eval", "tune", "train", "rules"),
    ):
        assert command in done.out


# Files that are no audio.


@pytest.mark.parametrize("command", ["call", "analyze", "demo"])
@pytest.mark.parametrize("name", ["letter.wav", "letter.txt", "empty.wav", "empty.ul", "nowhere.wav", "folder.wav"])
def test_a_file_that_is_no_audio_is_one_sentence_with_its_name(
    run_here: Run, tmp_path: Path, command: str, name: str
) -> None:
    path = tmp_path / name
    if name.startswith("letter"):
        path.write_text("Dear sirs,")
    elif name.startswith("empty"):
        path.write_bytes(b"")
    elif name.startswith("folder"):
        path.mkdir()
    is_usage_error(run_here(command, name), name)


def test_the_sentence_about_an_unreadable_file_names_the_formats(run: Run, tmp_path: Path) -> None:
    (tmp_path / "letter.wav").write_text("Dear sirs,")
    done = run("call", "letter.wav")
    for name in ("WAV", "FLAC", ".ul", ".mulaw"):
        assert name in done.sentence


# analyze.


def test_analyze_json_is_readings_and_then_a_summary(run: Run, tmp_path: Path) -> None:
    write_tone(tmp_path / "tone.wav", 5)
    done = run("analyze", "tone.wav", "--json")
    assert done.code == 0, done.err
    *readings, summary = [json.loads(line) for line in done.out.splitlines()]
    for reading in readings:
        assert set(reading) >= EVENT
        assert reading["event"] == "audio.chunk"
    assert "tone.wav" in json.dumps(summary)


# demo.


def test_demo_json_prints_nothing_but_the_timeline_and_ends_with_the_call(run: Run, tmp_path: Path) -> None:
    """The keys of the user are not read: a wrong one does no harm."""
    (tmp_path / ".env").write_text("CALLMOOD_TYPO=1\nTWILIO_AUTH_TOKEN=the-users-own\n")
    done = run("demo", "--json", "--speed", "8", "--no-browser", CALLMOOD_TYPO="1")
    assert done.code == 0, done.err
    assert not done.err
    events = [json.loads(line) for line in done.out.splitlines()]
    for event in events:
        assert set(event) >= EVENT
    assert events[0]["event"] == "call.started"
    assert events[-1]["event"] == "call.ended"
    assert events[-1]["outcome"] == "hangup"
    assert len({event["callSid"] for event in events}) == 1
    assert {"tts.started", "audio.chunk"} <= {event["event"] for event in events}
    assert [path.name for path in tmp_path.iterdir()] == [".env"]


# doctor.


def test_doctor_has_a_line_for_each_thing_that_says_ok_or_how_to_mend_it(run: Run) -> None:
    done = run("doctor")
    assert done.code == 1
    assert not done.err
    lines = done.out.splitlines()
    assert all(line.startswith(("ok ", "fix: ")) for line in lines), lines
    assert any("TWILIO_AUTH_TOKEN" in line for line in lines if line.startswith("fix: "))
    assert any(line.startswith("ok ") for line in lines)


def test_doctor_is_content_when_everything_is_set(run: Run) -> None:
    done = run(
        "doctor",
        TWILIO_ACCOUNT_SID="AC" + "0a" * 16,
        TWILIO_AUTH_TOKEN="x" * 32,
        WEBHOOK_URL="https://calls.example.com",
        VAPI_SECRET="y" * 32,
        CALLMOOD_TOKEN="z" * 32,
        CALLMOOD_TRANSFER_TO="+15550100777",
    )
    assert done.code == 0, done.out
    assert all(line.startswith("ok ") for line in done.out.splitlines())
    for secret in ("x" * 32, "y" * 32, "z" * 32):
        assert secret not in done.out


def test_doctor_says_what_is_wrong_with_a_setting_instead_of_stopping(run: Run) -> None:
    done = run("doctor", CALLMOOD_TYPO="1")
    assert done.code == 1
    assert "CALLMOOD_TYPO" in done.out
    assert done.out.startswith("fix: ")


# The ledger, when there is none.


def test_calls_in_an_empty_folder_is_an_empty_list(run: Run, tmp_path: Path) -> None:
    done = run("calls", "--json")
    assert (done.code, done.out, done.err) == (0, "", "")
    done = run("calls")
    assert (done.code, done.err) == (
        0,
        "callmood: there is no ledger in callmood-data yet: is this the folder of the service?\n",
    )
    assert not list(tmp_path.iterdir()), "looking makes no folder"


def test_tail_says_that_there_is_nothing_yet_of_what_it_waits_for(
    run_here: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def nothing(folder: Path, call_sid: str) -> AsyncIterator[bytes]:
        for line in ():
            yield line

    monkeypatch.setattr("agent.ledger.reading.follow", nothing)
    assert "there is no ledger in callmood-data yet" in run_here("tail", "CA1").err
    (tmp_path / "callmood-data").mkdir()
    Store(tmp_path / "callmood-data").close()
    assert "waiting for CA1, of which the ledger has no call yet" in run_here("tail", "CA1").err
    assert run_here("tail").err == ""


def test_a_call_is_one_line_of_a_terminal_of_eighty_columns(run: Run, tmp_path: Path) -> None:
    sid, at = "CA" + "0d" * 16, "2026-01-31T12:00:00.000Z"
    mood = {"label": "frustrated", "score": 0.85, "trend": "rising"}
    folder = tmp_path / "callmood-data"
    folder.mkdir()
    common = {"t": 0, "at": at, "callSid": sid}
    events = (
        {**common, "event": "call.started", "attach": "tap", "vapiCallId": None, "caller": "***42"},
        {**common, "event": "call.ended", "outcome": "crashed", "durationMs": 1, "summary": {"mood": mood}},
    )
    store = Store(folder)
    store.write([(Kind.BEGIN, sid, Beginning("+15550100042", at, ""))])
    store.write([(Kind.LINE, sid, json.dumps(event, separators=(",", ":")).encode()) for event in events])
    store.close()
    done = run("calls", COLUMNS="80")
    [_, line] = [line for line in done.out.splitlines() if line.strip()]
    assert line.split() == [sid, "01-31", "12:00:00", "crashed", "***42", "frustrated", "0.85"]


def test_show_of_a_call_nobody_knows_is_one_sentence(run: Run) -> None:
    done = run("show", "CA1")
    assert done.code == 1
    assert "CA1" in done.sentence


def test_a_caller_who_came_back_under_the_same_id_has_two_calls_and_both_are_shown(run: Run, tmp_path: Path) -> None:
    folder = tmp_path / "callmood-data"
    folder.mkdir()
    store = Store(folder)
    for number in range(2):
        at = f"2026-01-31T12:00:0{number}.000Z"
        store.write([(Kind.BEGIN, "CA1", Beginning("+15550100042", at, ""))])
        event = {"t": 0, "at": at, "callSid": "CA1", "event": "audio.chunk", "n": number}
        store.write([(Kind.LINE, "CA1", json.dumps(event, separators=(",", ":")).encode())])
    store.close()
    assert [json.loads(line)["outcome"] for line in run("calls", "--json").out.splitlines()] == [None, "crashed"]
    latest, earlier, none = (run("show", "CA1", "--json", "--earlier", str(back)) for back in range(3))
    assert [json.loads(one.out)["n"] for one in (latest, earlier)] == [1, 0]
    assert "callmood show CA1 --earlier 1" in latest.sentence
    assert earlier.err == ""
    assert (none.code, "--earlier" in none.sentence) == (1, True)


@pytest.mark.parametrize(
    ("asked", "named"),
    [
        (("--quick", "--long"), "--long"),
        (("--only", "split", "--picture", "x.svg"), "--picture"),
        (("--json", "nowhere/x.json"), "nowhere"),
    ],
)
def test_what_bench_cannot_do_is_said_before_it_measures(run: Run, asked: tuple[str, ...], named: str) -> None:
    done = run("bench", *asked)
    assert done.code == 2
    assert named in done.sentence


# The log.


def test_the_log_of_a_fault_of_ours_holds_no_variables() -> None:
    """Locals are where tokens, addresses of control and words are when something breaks."""
    program = """
from agent.logs import configure
import structlog
configure()
def fail(secret):
    raise RuntimeError("a bug")
try:
    fail("hunter" + "2")
except RuntimeError as error:
    structlog.get_logger().error("web.failed", exc_info=error)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=30)
    assert json.loads(done.stderr)["event"] == "web.failed"
    assert "RuntimeError" in done.stderr
    assert "hunter2" not in done.stderr
