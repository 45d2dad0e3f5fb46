"""Stitched calls: the same for the same seed, calm until the turn, and counted as they should be."""

import numpy as np
import pytest
from made import hearing, readings, voice, write

from agent.core.emotion import Emotion
from agent.evaluation import conversations
from agent.evaluation.conditions import CONDITIONS
from agent.evaluation.conversations import judge_call, ordinary, sound_of, turning, unique_hours
from agent.evaluation.folds import by_corpus, by_speaker
from agent.evaluation.manifest import Row
from agent.evaluation.runner import Ear, Heard, hear_all
from agent.settings import Settings
from agent.testing import ScriptedEngine

EAR = Ear(ScriptedEngine, CONDITIONS["telephone"], {})


@pytest.fixture
def rows(tmp_path) -> list[Row]:
    """Two actors, a channel of ordinary calls, and a noise."""
    found = []

    def add(name: str, label: str, speaker: str, corpus: str, intensity: str = "") -> None:
        audio = voice(2.0, 120 + 7 * len(found), len(found))
        path = write(tmp_path / f"{name}.wav", audio)
        found.append(Row(path.name, path, label, speaker, corpus, intensity=intensity))

    for speaker in ("a", "b"):
        for at in range(5):
            add(f"{speaker}{at}", "neutral", speaker, "acted")
        for at in range(3):
            add(f"{speaker}x{at}", "angry", speaker, "acted", "strong" if speaker == "a" else "normal")
        add(f"{speaker}d", "", speaker, "acted")
    for at in range(5):
        add(f"call{at}", "", "channel", "calls")
    write(tmp_path / "dog.wav", np.random.default_rng(1).normal(0, 0.1, 24_000))
    return [*found, Row("dog.wav", tmp_path / "dog.wav", "noise", "", "dogs")]


def test_ordinary_calls_hold_calm_and_unlabelled_talk_and_nothing_else(rows):
    plans = ordinary(rows, hours=0.4)
    assert len(plans) * conversations.ORDINARY_MS == 0.4 * 3_600_000
    assert {plan.voice for plan in plans} == {"a", "b", "channel"}
    for plan in plans:
        labels = {row.label for row in plan.before}
        assert labels == ({""} if plan.voice == "channel" else {"neutral"}), "no actor's disgust, and no anger"
        assert not plan.after
    assert unique_hours(plans) == pytest.approx((15 * 2 + 3) / 3600)


def test_a_turning_call_is_its_own_voice_and_only_of_the_kind_asked_for(rows):
    strong, mild = turning(rows, "strong anger", each=2), turning(rows, "mild anger", each=2)
    assert [plan.voice for plan in strong] == ["a", "a"]
    assert [plan.voice for plan in mild] == ["b", "b"]
    assert all(row.speaker == "a" and row.angry for plan in strong for row in plan.after)
    assert turning(rows, "joy") == []


def test_a_call_sounds_the_same_every_time_and_another_seed_is_another_call(rows):
    plan, other = ordinary(rows, 0.1, seed=1)[0], ordinary(rows, 0.1, seed=2)[0]
    once = sound_of(plan, EAR)
    assert (sound_of(plan, EAR) == once).all()
    assert len(once) == 8 * conversations.ORDINARY_MS
    assert len(sound_of(other, EAR)) != len(once) or (sound_of(other, EAR) != once).any()


def test_the_turn_comes_where_the_plan_says(rows):
    [plan, *_] = turning(rows, "strong anger")
    samples = sound_of(plan, Ear(ScriptedEngine, CONDITIONS["wide"], {}))
    angry = conversations.load(plan.after[0].path)
    start = 8 * plan.turn_ms
    heard = samples[start : start + len(angry)] / 32768.0
    assert np.corrcoef(heard, angry)[0, 1] > 0.9
    assert np.corrcoef(samples[start - len(angry) : start] / 32768.0, angry)[0, 1] < 0.5


def test_delay_counts_speech_and_not_pauses_from_the_turn_on(rows):
    plan = turning(rows, "strong anger")[0]
    said = readings(*[("neutral", 0.9)] * 20, *[("angry", 0.95)] * 20, from_ms=plan.turn_ms - 4000)
    call = judge_call(plan, hearing(said), Settings())
    assert not call.false(call.interrupted_ms)
    # These readings bring 200 ms of speech each, whatever the time between them.
    read = sum(plan.turn_ms < reading.end_ms <= call.interrupted_ms[0] for reading in said)
    assert call.delay_ms(call.interrupted_ms) == 200 * read
    assert call.delay_ms(()) is None


def test_an_alarm_before_the_turn_is_false_and_gives_no_delay(rows):
    plan = turning(rows, "strong anger")[0]
    call = judge_call(plan, hearing(readings(*[("angry", 0.95)] * 20)), Settings())
    assert call.false(call.interrupted_ms) == 1
    assert call.delay_ms(call.interrupted_ms) is None


def test_conversations_are_heard_as_clips_are(rows):
    plans = turning(rows, "strong anger", each=1)
    engine = ScriptedEngine({0: Emotion("neutral", 0.9), conversations.TURN_MS: Emotion("angry", 0.95)})
    [result] = hear_all(plans, Ear(lambda: engine, CONDITIONS["telephone"], {}), sound=sound_of, workers=1)
    assert isinstance(result, Heard)
    call = judge_call(result.row, result.hearing, Settings())
    assert not call.false(call.interrupted_ms)
    delay = call.delay_ms(call.interrupted_ms)
    assert delay is not None
    assert 0 < delay < 3000


def test_no_speaker_is_in_training_and_test_of_one_fold(rows):
    many = [
        Row(f"{s}{n}", rows[0].path, "angry", f"{c}{s}", c)
        for c in ("x", "y", "tess")
        for s in range(12)
        for n in (1, 2)
    ]
    folds = by_speaker(many)
    assert len(folds) == 5
    for fold in folds:
        assert not {row.voice for row in fold.train} & {row.voice for row in fold.test}
        assert all(row.corpus != "tess" for row in fold.train), "its licence allows no derivatives"
        for corpus in ("x", "y"):
            assert 2 <= len({row.voice for row in fold.test if row.corpus == corpus}) <= 3
    assert sorted(row.name + row.corpus for fold in folds for row in fold.test) == sorted(
        r.name + r.corpus for r in many
    )
    assert by_speaker(many) == folds


def test_a_corpus_left_out_is_in_nobodys_training(rows):
    folds = by_corpus([*rows, Row("z", rows[0].path, "angry", "z", "tess")])
    assert [fold.name for fold in folds] == ["without-acted", "without-tess"]
    for fold in folds:
        assert {row.corpus for row in fold.test} == {fold.name.removeprefix("without-")}
        assert not {row.corpus for row in fold.train} & {fold.name.removeprefix("without-"), "tess"}
