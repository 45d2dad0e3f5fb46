"""How angry a caller has sounded lately: the belief within its band, a point a second, and nothing unbounded."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from agent.core.curve import POINTS, READINGS_KEPT, Anger, Curve

WINDOW_S = 3.0


def test_the_band_goes_from_the_lowest_to_the_highest_single_reading_of_the_window() -> None:
    curve = Curve()
    for at, anger in ((0.0, 1.0), (4.0, 0.2), (5.0, 0.6), (6.0, 0.4)):
        curve.add(anger, at)
    assert curve.anger(WINDOW_S, believed=0.5) == Anger(0.5, 0.2, 0.6)


@given(st.lists(st.tuples(st.floats(0, 0.5), st.floats(0, 1)), max_size=40), st.none() | st.floats(0, 1))
def test_the_band_always_holds_the_belief(readings: list[tuple[float, float]], believed: float | None) -> None:
    curve, now = Curve(), 0.0
    for later, anger in readings:
        now += later
        curve.add(anger, now)
    found = curve.anger(WINDOW_S, believed)
    assert (found is None) == (not readings)
    if found is not None:
        assert 0 <= found.low <= found.p + 1e-9
        assert found.p - 1e-9 <= found.high <= 1


def test_without_a_mood_of_anger_the_newer_readings_weigh_more() -> None:
    curve = Curve()
    curve.add(0.0, 0.0)
    curve.add(0.9, 2.0)
    found = curve.anger(WINDOW_S, None)
    assert found is not None
    assert 0.6 < found.p < 0.9


def test_while_nothing_is_read_the_last_belief_holds_and_before_there_is_none() -> None:
    curve = Curve()
    assert curve.anger(WINDOW_S, None) is None
    for at, anger in ((1.0, 0.8), (2.0, 0.6)):
        curve.add(anger, at)
    last = curve.anger(WINDOW_S, None)
    assert last is not None
    assert curve.anger(WINDOW_S, None) == last
    curve.add(0.125, 60.0)
    assert (curve.anger(WINDOW_S, None), curve.samples) == (Anger(0.125, 0.125, 0.125), 3)
    curve.forget()
    assert (curve.anger(WINDOW_S, None), curve.samples) == (None, 0)


def test_a_second_has_one_point_and_a_minute_at_most_sixty_and_old_ones_are_not_shown() -> None:
    curve = Curve()
    for tenth in range(3000):
        curve.mark(100 * tenth, Anger(0.123, 0.1, 0.2))
    points = curve.points(299_900)
    assert len(points) == POINTS
    assert [after[0] - before[0] for before, after in pairwise(points)] == [1000] * (POINTS - 1)
    assert points[0][1:] == (0.12, 0.1, 0.2)
    assert curve.points(299_900 + 30_000)[0][0] > 299_900 - 30_000
    assert curve.points(10**7) == []


def test_a_flood_of_readings_costs_no_more_than_a_window_full() -> None:
    curve = Curve()
    for number in range(10_000):
        curve.add(2.0, number / 10_000)
    assert len(curve._readings) == READINGS_KEPT
    assert curve.anger(WINDOW_S, None) == Anger(1.0, 1.0, 1.0)
