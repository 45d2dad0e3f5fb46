"""Many clips in a few figures: who counts for what, and how sure it is."""

import math
from dataclasses import replace

import numpy as np
import pytest
from made import clip

from agent.evaluation.speakers import drawn_weights, interval
from agent.evaluation.summary import Table, false_alarms, grouped, summarised


def test_noise_is_no_voice_to_rank_and_a_clip_without_label_is():
    clips = [
        clip("angry", 0.6),
        clip("neutral", 0.2, said="neutral"),
        clip("", 0.9),
        clip("noise", 0.95),
    ]
    summary = summarised(clips, draws=0)
    assert summary["auc"] == 0.5, "0.6 above 0.2, below the unlabelled 0.9; the noise at 0.95 is not asked"
    assert summary["recall_at_4"] == 0.0
    assert sum(map(sum, (row.values() for row in summary["confusion_matrix"].values()))) == 2


def test_frustrated_is_angry_where_the_labels_do_not_tell_them_apart():
    said = [clip("angry", 0.9, said="frustrated"), clip("neutral", 0.1, said="neutral")]
    assert summarised(said, draws=0)["uar"] == 1.0
    apart = summarised([*said, clip("frustrated", 0.9, said="frustrated")], draws=0)
    assert apart["uar"] == pytest.approx(2 / 3, abs=1e-4), "now angry is missed"
    assert apart["confusion_matrix"]["angry"]["frustrated"] == 1


def test_a_clip_without_an_opinion_is_missed_unless_something_has_to_be_said_of_every_clip():
    unsure = replace(clip("happy", 0.1, said="happy"), gated="calibrating")
    clips = [unsure, clip("neutral", 0.1, said="neutral")]
    everything = np.ones(2, dtype=bool)
    assert Table(clips).uar(everything, 0).value == 0.5
    assert Table(clips).uar(everything, 0, forced=True).value == 1.0


def test_an_alarm_counts_as_false_in_everything_but_anger_noise_included():
    clips = [
        clip("noise", 0.1, alarms_ms=[500, 9000]),
        clip("", 0.1, alarms_ms=[700]),
        clip("happy", 0.1, said="happy"),
        clip("angry", 0.9, alarms_ms=[1500]),
        clip("angry", 0.9, alarms_ms=[2000, 7000], angry_from_ms=5000),
    ]
    found = false_alarms(clips, lambda c: c.alarms_ms)
    assert found.count == 4
    assert found.hours == pytest.approx(35_000 / 3_600_000)
    summary = summarised(clips, draws=0)
    assert summary["first_alarm_ms"] == {"alarms": 2, "median": 1750.0, "p95": 1975.0}
    assert summary["alarm_recall"] == 1.0
    assert summary["alarm_rate_not_angry"] == pytest.approx(2 / 3, abs=1e-4)


def test_what_cannot_be_had_is_null_and_not_nan():
    summary = summarised([clip("noise", 0.0)])
    for name in ("uar", "auc", "recall_at_1", "ece", "alarm_recall"):
        assert summary[name] is None
    assert summary["confusion_matrix"] == {}
    assert summarised([]) == {"clips": 0}


def test_an_interval_by_speaker_is_wider_than_one_by_clip():
    """Ten speakers, each always right or always wrong: ten facts, however many clips there are."""
    speakers = [f"s{at // 20}" for at in range(200)]
    right = np.array([at // 20 < 7 for at in range(200)], dtype=float)

    def share(weights: np.ndarray) -> float:
        return float((weights * right).sum() / weights.sum())

    by_speaker = interval(share, speakers)
    by_clip = interval(share, [str(at) for at in range(200)])
    assert by_speaker
    assert by_clip
    assert by_speaker[0] < 0.5 < by_clip[0] < 0.7 < by_clip[1] < 0.8 < by_speaker[1]


def test_too_few_speakers_give_no_interval_and_the_draw_is_the_same_every_time():
    assert interval(lambda weights: 1.0, ["a", "a", "b", "b"]) is None
    assert interval(lambda weights: math.nan, ["a", "b", "c"]) is None
    drawn = drawn_weights(["a", "b", "b", "c"], draws=50)
    assert (drawn[:, 1] == drawn[:, 2]).all(), "clips of one speaker come together"
    assert (drawn == drawn_weights(["a", "b", "b", "c"], draws=50)).all()


def test_intervals_hold_the_value_and_need_three_speakers():
    clips = [clip("angry", 0.5 + at / 40, speaker=f"s{at % 5}") for at in range(20)]
    clips += [clip("neutral", at / 25, said="neutral", speaker=f"s{at % 5}") for at in range(20)]
    summary = summarised(clips)
    low, high = summary["intervals"]["auc"]
    assert low <= summary["auc"] <= high
    assert "auc" not in summarised([one for one in clips if one.row.speaker in ("s0", "s1")])["intervals"]


def test_calibration_takes_anger_as_one():
    table = Table([clip("angry", 0.9, said="frustrated"), clip("happy", 0.2, said="happy"), clip("sad", 0.9)])
    assert table.correct().tolist() == [True, True, False]
    everything = np.ones(3, dtype=bool)
    assert table.ece(everything, draws=0).value == pytest.approx((2 * abs(0.5 - 0.9) + abs(1 - 0.8)) / 3)


def test_clips_without_a_column_are_in_no_group_of_it():
    clips = [clip("angry", 0.9, sex="f"), clip("angry", 0.9)]
    assert {name: len(some) for name, some in grouped(clips, "sex").items()} == {"f": 1}
