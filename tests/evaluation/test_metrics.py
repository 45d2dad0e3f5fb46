"""Figures worked out by hand."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.evaluation import metrics

# Three angry clips and four others: 3 x 4 pairs. Out of order: 0.4 below 0.6 and 0.5; tied: 0.6 with 0.6.
SCORES = np.array([0.9, 0.6, 0.4, 0.6, 0.5, 0.3, 0.1])
ANGRY = np.array([True, True, True, False, False, False, False])


def test_auc_is_the_share_of_pairs_in_order_with_ties_counting_half():
    assert metrics.auc(SCORES, ANGRY) == pytest.approx((4 + 3.5 + 2) / 12)


def test_auc_of_one_value_for_all_is_a_half_and_of_one_kind_is_nothing():
    assert metrics.auc(np.ones(7), ANGRY) == 0.5
    assert math.isnan(metrics.auc(SCORES, np.zeros(7, dtype=bool)))


def test_recall_is_taken_at_the_lowest_threshold_that_keeps_to_the_rate():
    assert metrics.threshold_at(SCORES, ANGRY, 0.25) == pytest.approx(0.6)
    assert metrics.recall_at(SCORES, ANGRY, 0.25) == pytest.approx(2 / 3)
    assert metrics.recall_at(SCORES, ANGRY, 0.24) == pytest.approx(1 / 3), "0.6 is reached by one of four"
    assert metrics.recall_at(SCORES, ANGRY, 1.0) == 1.0


def test_recall_is_none_where_even_the_highest_score_is_a_false_alarm():
    assert metrics.threshold_at(np.ones(7), ANGRY, 0.04) == math.inf
    assert metrics.recall_at(np.ones(7), ANGRY, 0.04) == 0.0


def test_a_weight_of_two_is_the_same_clip_twice():
    weights = np.array([2.0, 1, 0, 1, 2, 1, 1])
    twice = np.repeat(np.arange(7), weights.astype(int))
    for figure in (metrics.auc, lambda s, p, w=None: metrics.recall_at(s, p, 0.2, w)):
        assert figure(SCORES, ANGRY, weights) == pytest.approx(figure(SCORES[twice], ANGRY[twice]))


@given(st.lists(st.tuples(st.integers(0, 9), st.booleans()), min_size=2, max_size=30))
def test_auc_agrees_with_counting_every_pair(clips):
    scores, angry = np.array([s for s, _ in clips], dtype=float), np.array([a for _, a in clips])
    pairs = [(a > b) + (a == b) / 2 for a in scores[angry] for b in scores[~angry]]
    found = metrics.auc(scores, angry)
    assert found == pytest.approx(np.mean(pairs)) if pairs else math.isnan(found)


@given(
    st.lists(st.tuples(st.integers(0, 9), st.booleans()), min_size=2, max_size=30),
    st.sampled_from([0.01, 0.04, 0.2, 0.5]),
)
def test_no_threshold_within_the_rate_finds_more(clips, rate):
    scores, angry = np.array([s for s, _ in clips], dtype=float), np.array([a for _, a in clips])
    allowed = [t for t in [*scores, math.inf] if not (~angry).any() or np.mean(scores[~angry] >= t) <= rate]
    found = metrics.recall_at(scores, angry, rate)
    if angry.any() and not angry.all():
        assert found == pytest.approx(max(np.mean(scores[angry] >= t) for t in allowed))


def test_uar_weighs_every_label_the_same_and_leaves_out_what_does_not_occur():
    # Label 0: 8 of 10 right; label 1: 1 of 2; label 2 does not occur.
    table = metrics.confusion(np.array([0] * 10 + [1, 1]), np.array([0] * 8 + [1, 2] + [1, 0]), 3)
    assert table.tolist() == [[8, 1, 1], [1, 1, 0], [0, 0, 0]]
    assert metrics.uar(table) == pytest.approx((0.8 + 0.5) / 2)
    assert math.isnan(metrics.uar(np.zeros((3, 3))))


def test_calibration_error_is_the_distance_from_what_was_claimed():
    # Two bins: 0.95 claimed four times and right three times; 0.55 claimed once and wrong.
    claimed = np.array([0.95, 0.95, 0.95, 0.95, 0.55])
    right = np.array([True, True, True, False, False])
    assert metrics.ece(claimed, right) == pytest.approx(0.8 * 0.2 + 0.2 * 0.55)
    assert metrics.ece(np.array([1.0, 0.0]), np.array([True, False])) == 0.0
    assert math.isnan(metrics.ece(np.zeros(0), np.zeros(0, dtype=bool)))


@pytest.mark.parametrize(
    ("count", "low", "high"), [(0, 0.0, 3.6889), (1, 0.0253, 5.5716), (5, 1.6235, 11.6683), (20, 12.2165, 30.8884)]
)
def test_the_bounds_of_a_count_are_those_of_the_tables(count, low, high):
    """Garwood's intervals, as in Ulm, American Journal of Epidemiology 131 (1990)."""
    assert metrics.poisson_interval(count) == pytest.approx((low, high), abs=2e-4)


def test_none_seen_is_the_rule_of_three():
    assert metrics.poisson_upper(0) == pytest.approx(-math.log(0.05))
    assert metrics.binomial_upper(0, 100) == pytest.approx(1 - 0.05 ** (1 / 100))
    assert metrics.binomial_upper(3, 3) == 1.0
    assert metrics.binomial_upper(2, 50) == pytest.approx(0.1206, abs=1e-4)


def test_how_many_it_takes_to_show_a_rate():
    needed = metrics.needed_to_show(0.02)
    assert needed == 149
    assert metrics.binomial_upper(0, needed) <= 0.02 < metrics.binomial_upper(0, needed - 1)
    assert metrics.needed_to_show(0.02, seen=0.01) > 500
    assert metrics.needed_to_show(0.02, seen=0.03, most=1000) == 1000
