"""How many calls with marks it takes to be sure of a change to the rules."""

from agent.evaluation.metrics import binomial_lower
from agent.evaluation.suggesting import CONFIDENCE, GONE, marks_needed


def test_so_many_marks_are_enough_and_are_more_than_any_number_that_was_not() -> None:
    for calls in range(1, 40):
        for mended in range(calls // 2 + 1, calls + 1):
            needed = marks_needed(mended / calls)
            assert needed is not None
            mends = binomial_lower(int(mended / calls * needed + 1e-9), needed, CONFIDENCE)
            assert mends > GONE, (mended, calls)
            assert (binomial_lower(mended, calls, CONFIDENCE) > GONE) or needed > calls, (mended, calls)


def test_no_number_of_marks_shows_what_is_not_so_or_hardly() -> None:
    assert marks_needed(1.0) == 11
    assert marks_needed(GONE) is None
    assert marks_needed(0.3) is None
    assert marks_needed(0.501) is None, "more calls than anybody will ever mark"
