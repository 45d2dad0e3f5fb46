"""Why something was decided, in plain words."""

from agent.core.because import because
from agent.core.emotion import Emotion, Mood, Trend
from agent.core.rulebook import Rule
from agent.core.rules import Decision, Fired

MOOD = Mood(Emotion("angry", 0.912), Trend.RISING, 5, 0.0, {"angry": 1.0}, quality=0.8)
TRANSFER = Rule("angry-transfer", frozenset({"angry"}), 0.85, for_s=1.0, trend=Trend.RISING, unless_quality_below=0.3)


def test_a_rule_is_named_with_what_it_asked_for_and_what_there_was() -> None:
    decision = Decision(MOOD, (Fired("angry-transfer", 1.42, ("transfer",)),), transfer="angry-transfer")
    assert because(decision, (TRANSFER,)) == (
        "Rule angry-transfer: angry 0.91 (0.85 asked for), held for 1.4 s (1.0 s asked for, rising, on a line of 0.30 "
        "or better); rising; quality of the line 0.80."
    )


def test_a_rule_that_the_file_has_lost_meanwhile_is_still_named() -> None:
    decision = Decision(MOOD, (Fired("gone", 0.0, ("interrupt",)),))
    assert because(decision, ()) == "Rule gone: angry 0.91, held for 0.0 s; rising; quality of the line 0.80."


def test_a_note_of_no_rule_comes_of_what_is_believed_now() -> None:
    calm = Mood(Emotion("neutral", 0.8), Trend.STEADY, 5, 0.0)
    assert because(Decision(calm), (TRANSFER,)) == "What is believed of the caller has become neutral (0.80); steady."
