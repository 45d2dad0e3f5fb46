"""One clip's result: what is said of it, when an alarm would have been raised, and when nothing is said."""

import numpy as np
import pytest
from made import hearing, readings, row, voice

from agent.core.emotion import LABELS, Gated
from agent.evaluation.acting import act, moments
from agent.evaluation.clips import judge, leading
from agent.evaluation.listening import listen
from agent.settings import Settings
from agent.testing import ScriptedEngine

CALM, CROSS = ("neutral", 0.9), ("angry", 0.95)
UNSURE = ("angry", 0.5)


def judged(*said, **settings):
    return judge(row(), hearing(readings(*said)), Settings(**settings))


def test_scores_are_the_mean_of_the_windows_and_sum_to_one():
    clip = judged(CALM, CALM, CROSS)
    assert sum(clip.scores) == pytest.approx(1.0)
    assert clip.scores[LABELS.index("angry")] == pytest.approx((0.95 + 2 * 0.02) / 3)
    assert (clip.label_out, clip.gated) == ("neutral", None)


def test_anger_leads_by_the_sum_of_both_kinds_and_is_named_by_the_larger():
    #         neutral happy sad fearful angry frustrated
    assert leading((0.4, 0.0, 0.1, 0.0, 0.2, 0.3)) == ("frustrated", 0.5)
    assert leading((0.6, 0.0, 0.0, 0.0, 0.3, 0.1)) == ("neutral", 0.6)
    assert leading(()) == ("neutral", 0.0)


def test_the_first_alarm_is_when_the_mood_has_reached_act_at_and_the_assistant_may_be_told():
    """The note that the caller is angry goes out first, and the interruption keeps the distance set for updates."""
    said = readings(*[CALM] * 5, *[CROSS] * 8)
    first = next(moment.at_ms for moment in moments(said, Settings()) if moment.anger >= 0.85)
    assert 2500 < first <= act(said, Settings(update_every_s=0.0)).interrupted_ms[0] <= first + 100
    assert first <= judged(*[CALM] * 5, *[CROSS] * 8).as_json()["first_alarm_ms"] <= first + 800
    assert judged(*[CROSS] * 12).alarms_ms
    assert judged(*[CROSS] * 12, act_at=0.96).alarms_ms == ()


def test_an_alarm_that_goes_on_counts_again_only_after_its_rest():
    acted = act(readings(*[CROSS] * 120), Settings())
    assert len(acted.interrupted_ms) == 2
    assert acted.interrupted_ms[1] - acted.interrupted_ms[0] >= 15_000


RISING = [*[CALM] * 20, *[CROSS] * 25]


def test_anger_that_stays_and_rises_is_escalated_once_and_not_before_a_second_is_over():
    acted = act(readings(*RISING), Settings())
    first = next(moment.at_ms for moment in acted.moments if moment.anger >= 0.85)
    assert len(acted.escalated_ms) == 1
    assert acted.escalated_ms[0] >= first + 1000


def test_anger_that_passes_within_the_second_is_not_escalated():
    acted = act(readings(*[CALM] * 20, *[CROSS] * 6, *[("neutral", 0.99)] * 30), Settings())
    assert any(moment.anger >= 0.85 for moment in acted.moments)
    assert not acted.escalated_ms


def test_what_waits_for_its_time_when_the_recording_ends_is_still_done():
    said = readings(*RISING)
    full = act(said, Settings()).escalated_ms[0]
    cut = tuple(reading for reading in said if reading.end_ms <= full - 400)
    assert act(cut, Settings()).escalated_ms


def test_a_clip_with_an_opinion_that_does_not_pass_the_gate_says_so():
    clip = judged(UNSURE, UNSURE, Gated.CALIBRATING)
    assert (clip.gated, clip.label_out, clip.opinion) == ("low_confidence", "angry", True)


def test_a_clip_without_an_opinion_names_the_reason_and_never_alarms():
    clip = judged(Gated.CALIBRATING, Gated.CALIBRATING, Gated.POOR_LINE)
    assert (clip.gated, clip.opinion, clip.alarms_ms) == ("calibrating", False, ())


def test_silence_is_too_short_and_has_no_scores():
    clip = judged()
    assert (clip.gated, clip.scores, clip.label_out, clip.score_out) == ("too_short", (), "neutral", 0.0)
    assert clip.as_json() == {
        "file": "a.wav",
        "label": "angry",
        "scores": {},
        "label_out": "neutral",
        "score_out": 0.0,
        "gated": "too_short",
        "first_alarm_ms": None,
    }


def test_an_alarm_before_the_turn_is_false_and_one_after_it_is_not():
    clip = judge(row(angry_from_ms=3000), hearing(readings(*[CROSS] * 120), 30_000), Settings())
    assert clip.alarms_ms[0] < 3000 < clip.alarms_ms[1]
    assert clip.false(clip.alarms_ms) == 1
    assert clip.first_true(clip.alarms_ms) == clip.alarms_ms[1]
    assert clip.calm_ms == 3000
    calm = judge(row("happy"), hearing(readings(*[CROSS] * 120), 30_000), Settings())
    assert (calm.false(calm.alarms_ms), calm.first_true(calm.alarms_ms), calm.calm_ms) == (2, None, 30_000)


async def test_a_recording_is_read_hop_by_hop_as_a_call_is():
    samples = (voice(4.05) * 32767).astype(np.int16)
    engine = ScriptedEngine()
    heard = await listen(samples, engine)
    ends = [reading.end_ms for reading in heard.readings]
    assert ends == sorted(ends)
    assert all(end % 200 == 0 for end in ends)
    assert ends[-1] == 4200, "the last words are judged with the hop they fall in"
    assert list(heard.spoken_ms) == sorted(heard.spoken_ms)
    assert 2000 < heard.spoken_ms[-1] <= 4200
    assert heard.duration_ms == 4050
    assert [session.heard_ms for session in engine.sessions] == [4250]


async def test_silence_asks_the_engine_nothing():
    heard = await listen(np.zeros(16_000, np.int16), ScriptedEngine())
    assert heard.readings == ()
