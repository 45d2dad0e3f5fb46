"""Many recordings: in order, whatever becomes of one of them, and the same from any number of processes."""

from dataclasses import replace

import numpy as np
import pytest
from made import angry_engine, voice, write

from agent.core.emotion import Emotion
from agent.errors import CallmoodError
from agent.evaluation.clips import judge
from agent.evaluation.conditions import CONDITIONS
from agent.evaluation.manifest import Row
from agent.evaluation.runner import Ear, Heard, Unreadable, hear_all, without_secrets
from agent.settings import Secret, Settings
from agent.testing import Fault, ScriptedEngine


@pytest.fixture
def rows(tmp_path) -> list[Row]:
    found = []
    for at in range(4):
        path = write(tmp_path / f"{at}.wav", voice(3.0 + at / 4, 130 + 20 * at, at))
        found.append(Row(path.name, path, "angry" if at % 2 else "neutral", f"s{at}", "c"))
    return found


def heard_by(engine) -> Ear:
    return Ear(lambda: engine, CONDITIONS["telephone"], {})


def test_one_file_that_cannot_be_read_costs_only_its_own_result(rows, tmp_path):
    (tmp_path / "1.wav").write_text("Dear sirs,")
    results = hear_all(rows, heard_by(ScriptedEngine()), workers=1)
    assert [type(result) for result in results] == [Heard, Unreadable, Heard, Heard]
    assert [result.row for result in results] == rows
    assert isinstance(results[1], Unreadable)
    assert "1.wav" in results[1].sentence


def test_an_engine_that_does_not_answer_once_costs_one_result(rows):
    engine = ScriptedEngine()
    engine.fault = Fault("unavailable", times=1)
    results = hear_all(rows, heard_by(engine), workers=1)
    assert [type(result) for result in results] == [Unreadable, Heard, Heard, Heard]


def test_a_bug_of_ours_is_not_taken_for_a_bad_file(rows):
    engine = ScriptedEngine()
    engine.fault = Fault("crash", times=1)
    with pytest.raises(RuntimeError, match="crashes"):
        hear_all(rows, heard_by(engine), workers=1)


def test_silence_clipping_offset_and_a_dead_line_give_results_and_no_alarm(tmp_path):
    made = {
        "silence": np.zeros(24_000),
        "clipped": np.sign(np.sin(np.arange(24_000) / 8)) * 0.99,
        "offset": np.full(24_000, 0.4),
        "short": np.zeros(3),
        "dead": np.concatenate((np.random.default_rng(1).normal(0, 0.1, 8000), np.zeros(16_000))),
    }
    rows = [Row(name, write(tmp_path / f"{name}.wav", audio), "noise", "", "c") for name, audio in made.items()]
    from agent.engines.local import LocalEngine

    for result in hear_all(rows, heard_by(LocalEngine()), workers=1):
        assert isinstance(result, Heard)
        clip = judge(result.row, result.hearing, Settings())
        assert not clip.alarms_ms
        assert np.isfinite([clip.score_out, clip.belief, *clip.scores]).all()


def test_two_processes_say_what_one_says(rows):
    many = [replace(row, name=f"{at} {row.name}") for at in range(14) for row in rows]
    ear = Ear(angry_engine, CONDITIONS["babble20"], {"babble": [voice(2, 200).astype(np.float32)] * 2})
    told: list[int] = []
    alone = hear_all(many, ear, workers=1, done=told.append)
    together = hear_all(many, ear, workers=2)
    assert sum(told) == len(many)
    assert len(together) == len(many) > 48, "or no process would have been started"
    for one, other in zip(alone, together, strict=True):
        assert isinstance(one, Heard)
        assert isinstance(other, Heard)
        assert one.row == other.row
        assert one.hearing.readings == other.hearing.readings
        assert judge(one.row, one.hearing, Settings()).alarms_ms


def test_a_process_that_dies_is_said_in_one_sentence(rows):
    many = [replace(row, name=f"{at} {row.name}") for at in range(14) for row in rows]
    with pytest.raises(CallmoodError, match="--workers 1"):
        hear_all(many, Ear(dies, CONDITIONS["telephone"], {}), workers=2)


def dies() -> ScriptedEngine:
    import os

    os._exit(1)


def test_secrets_do_not_travel_to_other_processes():
    settings = Settings(gate=0.6, token=Secret("hunter2"))
    sent = without_secrets(settings)
    assert (sent.gate, bool(sent.token)) == (0.6, False)


def test_the_scripted_voice_is_speech_to_the_gate(rows):
    """Or the tests above would test nothing."""
    [result, *_] = hear_all(rows[:1], heard_by(ScriptedEngine({0: Emotion("angry", 0.9)})), workers=1)
    assert isinstance(result, Heard)
    assert len(result.hearing.readings) > 5
