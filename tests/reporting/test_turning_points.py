"""When a mood turned, and how long it took to turn back: on series of readings that are made up."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from told import samples

from agent.reporting.facts import Recovery, Turn
from agent.reporting.recovery import recovery
from agent.reporting.sentences import recovered, turned
from agent.reporting.turning import SWING, extremes, turning_points

CALM, ANGRY = [0.1] * 10, [0.9] * 10

# Turning points.


def test_a_turn_begins_when_the_calm_ends_and_not_at_the_calmest_moment() -> None:
    [turn] = turning_points(samples([0.1, 0.02, 0.02, 0.1, 0.1, 0.1, 0.5, 0.9, 0.9, 0.9]))
    assert (turn.from_ms, turn.to_ms) == (1200, 1600), (
        "the sixth reading is the last calm one, the eighth the first angry"
    )
    assert (turn.before, turn.after) == (0.02, 0.9)


def test_each_way_there_and_back_is_a_turn_of_its_own() -> None:
    there, back = turning_points(samples([*CALM, *ANGRY, *CALM]))
    assert (there.before, there.after, back.before, back.after) == (0.1, 0.9, 0.9, 0.1)
    assert there.to_ms <= back.from_ms


def test_a_single_reading_that_stands_alone_turns_nothing() -> None:
    assert turning_points(samples([*CALM, 0.95, *CALM])) == []


@pytest.mark.parametrize("state", ["calibrating", "poor_line", "fallback", "too_short"])
def test_readings_without_an_opinion_turn_nothing(state: str) -> None:
    unread = [replace(each, state=state) for each in samples(ANGRY, 3000)]
    assert turning_points([*samples(CALM), *unread, *samples(CALM, 6000)]) == []


def test_a_reading_that_was_not_sure_enough_still_tells_which_way_it_goes() -> None:
    unsure = [replace(each, state="low_confidence") for each in samples(ANGRY, 3000)]
    assert len(turning_points([*samples(CALM), *unsure])) == 1


@given(st.lists(st.floats(0, 1), max_size=60))
def test_extremes_alternate_and_are_a_swing_apart(values: list[float]) -> None:
    places = extremes(values)
    heights = [values[place] for place in places]
    ways = [b - a for a, b in itertools.pairwise(heights)]
    assert places == sorted(set(places))
    assert all(abs(way) >= SWING - 1e-9 for way in ways)
    assert all(a * b < 0 for a, b in itertools.pairwise(ways))
    if values and max(values) - min(values) < SWING:
        assert places == []


@given(st.lists(st.floats(0, 1), min_size=1, max_size=60))
def test_between_two_extremes_nothing_goes_beyond_them(values: list[float]) -> None:
    places = extremes(values)
    for start, end in itertools.pairwise(places):
        low, high = sorted((values[start], values[end]))
        assert all(low <= value <= high for value in values[start : end + 1])


@given(st.lists(st.floats(0, 1), max_size=60))
def test_a_turn_never_ends_before_it_began(values: list[float]) -> None:
    for turn in turning_points(samples(values)):
        assert turn.from_ms <= turn.to_ms


def test_a_turn_is_told_with_how_far_it_went() -> None:
    assert turned(Turn(1000, 3500, 0.1, 0.85)) == "anger rose from 0.10 to 0.85, by 0.75, within 2.5 s"
    assert turned(Turn(1000, 1200, 0.9, 0.4)) == "anger fell from 0.90 to 0.40, by 0.50, within 0.2 s"


# Recovery.

GATE = 0.7


def test_recovery_counts_from_the_action_to_the_first_reading_below() -> None:
    read = samples([*ANGRY, 0.6, 0.6, *CALM])
    found = recovery(read, t_ms=2000, gate=GATE)
    assert found.before == 0.9
    assert (found.below_gate_s, found.below_half_s) == pytest.approx((0.2, 0.6))
    assert recovered(found, GATE) == "below 0.70 after 0.2 s, below 0.50 after 0.6 s"


def test_a_dip_shorter_than_a_second_is_no_recovery() -> None:
    found = recovery(samples([*ANGRY, *[0.1] * 4, *ANGRY]), t_ms=2000, gate=GATE)
    assert (found.below_gate_s, found.below_half_s) == (None, None)
    assert recovered(found, GATE).startswith("did not fall below 0.70 in the 2.8 s still read")


def test_a_relapse_after_more_than_a_second_is_a_recovery_all_the_same() -> None:
    found = recovery(samples([*ANGRY, *[0.1] * 7, *ANGRY]), t_ms=2000, gate=GATE)
    assert found.below_gate_s == pytest.approx(0.2)


def test_one_who_only_calms_down_a_little_is_below_the_gate_and_not_below_half() -> None:
    found = recovery(samples([*ANGRY, *[0.6] * 10]), t_ms=2000, gate=GATE)
    assert found.below_gate_s is not None
    assert found.below_half_s is None
    assert "did not fall below 0.50" in recovered(found, GATE)


def test_a_caller_who_was_not_read_any_more_has_not_calmed_down() -> None:
    found = recovery(samples(ANGRY), t_ms=2000, gate=GATE)
    assert found == Recovery(0.9, 0.0, None)
    assert "not known" in recovered(found, GATE)


def test_readings_without_an_opinion_are_no_recovery() -> None:
    poor = [replace(each, state="poor_line") for each in samples(CALM, 2200)]
    assert recovery([*samples(ANGRY), *poor], t_ms=2000, gate=GATE).below_gate_s is None


def test_where_the_caller_was_calm_nothing_is_said_of_recovery() -> None:
    found = recovery(samples([*CALM, *CALM]), t_ms=2000, gate=GATE)
    assert recovered(found, GATE) == "there was little anger then (0.10)"


def test_a_belief_of_long_ago_does_not_tell_how_the_caller_was() -> None:
    assert recovery(samples(ANGRY), t_ms=60_000, gate=GATE).before is None
