"""Engines over the network on the command line: recordings uploaded, keys tried, and what leaves the machine said."""

from __future__ import annotations

import json
import shutil
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import trio

import agent.demo
from agent.cli.questions import QUESTIONS, is_asked
from agent.cli.serve import leaves
from agent.testing.fake_hume import FakeHume
from agent.testing.fake_oruk import FakeOruk

if TYPE_CHECKING:
    from conftest import Done, Run

VOICE = Path(agent.demo.__path__[0]) / "voices" / "emma_calm_then_angry.wav"
KEY = "hume-key-of-the-tests"


async def analyzed(run: Run, folder: Path, hume: FakeHume, *args: str, **env: str) -> Done:
    shutil.copy(VOICE, folder / "call.wav")
    known = {"HUME_BASE_URL": hume.url, "HUME_API_KEY": hume.key, **env}
    with trio.fail_after(50):
        return await trio.to_thread.run_sync(partial(run, "analyze", "call.wav", "--engine", "hume", *args, **known))


# analyze.


async def test_a_recording_is_uploaded_to_hume_and_read_on_its_own_clock(run: Run, tmp_path: Path) -> None:
    async with FakeHume.serve(lambda start_ms, end_ms: [("anger", 0.9 if end_ms > 9000 else 0.1)]) as hume:
        done = await analyzed(run, tmp_path, hume, "--json", "--report", "out.html")
    assert (done.code, done.err) == (0, "")
    *readings, summary = [json.loads(line) for line in done.out.splitlines()]
    assert [reading["endMs"] for reading in readings] == list(range(3000, summary["durationMs"] + 1, 3000))
    assert {reading["source"] for reading in readings} == {"hume"}
    assert summary["firstAngryMs"] == 15_000, "in a window of ten seconds, where readings are few"
    assert summary["firstActedMs"] == 15_000
    assert summary["notes"] == 2, "calm first, then angry"
    assert (tmp_path / "out.html").stat().st_size > 1000
    assert hume.key not in done.out


@pytest.mark.parametrize(("fault", "named"), [("unauthorized", "HUME_API_KEY"), ("refuse", "503"), ("throttle", "429")])
async def test_a_hume_that_will_not_is_one_sentence(run: Run, tmp_path: Path, fault: str, named: str) -> None:
    async with FakeHume.serve() as hume:
        hume.fault = fault  # type: ignore[assignment]
        done = await analyzed(run, tmp_path, hume)
    assert done.code == 1
    assert named in done.sentence
    assert hume.key not in done.err


@pytest.mark.parametrize("engine", ["oruk", "hybrid", "magic"])
def test_an_engine_that_reads_no_recordings_is_one_sentence(run_here: Run, engine: str) -> None:
    done = run_here("analyze", "call.wav", "--engine", engine)
    assert done.code == 2
    assert engine in done.sentence


def test_without_a_key_nothing_is_uploaded_and_the_key_is_named(run_here: Run, tmp_path: Path) -> None:
    shutil.copy(VOICE, tmp_path / "call.wav")
    done = run_here("analyze", "call.wav", "--engine", "hume")
    assert done.code == 2
    assert "HUME_API_KEY" in done.sentence


# doctor.


async def doctor(run: Run, **env: str) -> Done:
    with trio.fail_after(50):
        return await trio.to_thread.run_sync(partial(run, "doctor", "--online", **env))


async def test_doctor_says_that_the_keys_work_and_nothing_is_billed_for_it(run: Run) -> None:
    async with FakeHume.serve() as hume, FakeOruk.serve() as oruk:
        env = {"HUME_BASE_URL": hume.url, "HUME_API_KEY": hume.key, "CALLMOOD_ENGINE": "hybrid"}
        done = await doctor(run, **env, ORUK_BASE_URL=oruk.url, ORUK_API_KEY=oruk.key)
        assert "ok   Hume accepts the key and opens a session" in done.out
        assert "ok   oruk accepts the key and opens a session" in done.out
        assert hume.audio_bytes == 0
        assert [session.configured for session in hume.sessions] == [1]
    assert "only while our own engine is in doubt" in done.out
    assert hume.key not in done.out


@pytest.mark.parametrize(
    ("fault", "mend"), [("unauthorized", "HUME_API_KEY="), ("refuse", "doctor --online"), ("drop", "")]
)
async def test_doctor_says_what_a_hume_that_does_not_open_would_need(run: Run, fault: str, mend: str) -> None:
    async with FakeHume.serve() as hume:
        hume.fault = fault  # type: ignore[assignment]
        done = await doctor(run, HUME_BASE_URL=hume.url, HUME_API_KEY=hume.key)
    about = [line for line in done.out.splitlines() if "Hume" in line]
    assert len(about) == 1
    assert about[0].startswith("fix: " if mend else "ok ")
    assert mend in about[0]


@pytest.mark.parametrize(
    ("engine", "costs"), [("hume", "60 s of audio"), ("oruk", "60 s of audio"), ("hybrid", "doubt")]
)
def test_doctor_says_what_a_minute_costs(run_here: Run, engine: str, costs: str) -> None:
    done = run_here("doctor", CALLMOOD_ENGINE=engine, HUME_API_KEY=KEY, ORUK_API_KEY=KEY)
    [line] = [line for line in done.out.splitlines() if "a minute of a call sends" in line]
    assert costs in line
    assert "120 s a call" in line


def test_a_key_that_is_missing_is_one_thing_to_mend_with_the_command_that_asks_for_it(run_here: Run) -> None:
    done = run_here("doctor", CALLMOOD_ENGINE="hybrid")
    [line] = [line for line in done.out.splitlines() if "HUME_API_KEY" in line]
    assert line.startswith("fix: ")
    assert "read -rp 'HUME_API_KEY='" in line


# init and serve.


@pytest.mark.parametrize(("engine", "asked"), [("local", False), ("hume", True), ("hybrid", True), ("oruk", False)])
def test_the_key_is_asked_for_where_the_engine_needs_it(engine: str, asked: bool) -> None:
    [question] = [question for question in QUESTIONS if question.name == "HUME_API_KEY"]
    assert is_asked(question, {"CALLMOOD_ENGINE": engine}) == asked
    assert question.secret


def test_serve_says_when_voices_leave_the_machine() -> None:
    assert leaves("local", told=False).startswith("No voice leaves this machine")
    assert leaves("hume", told=True).startswith("Callers' voices are sent to Hume;")
    assert leaves("hybrid", told=True).startswith("Callers' voices are sent to Hume while our own engine is in doubt")
    assert leaves("oruk", told=True).startswith("Callers' voices are sent to oruk")
