"""What a report says was done, why, and what came of it: from events, and from the decisions behind them."""

from __future__ import annotations

from typing import Any

import pytest
from told import chunks, event, samples

from agent.calls.stepcode import encode
from agent.core import keeping, steps
from agent.core.rules import Decision, Fired
from agent.reporting.decisions import recorded
from agent.reporting.deeds import deeds
from agent.reporting.facts import Bar, Deed, RuleFired, Why
from agent.reporting.heard import samples as read_from
from agent.reporting.heard import speech, states

BAR = Bar(0.7, 0.85)
RULES = """
[[rule]]
name = "cut"
emotions = ["angry"]
at_least = 0.8
for_s = 1.5
do = ["interrupt"]
"""


def told(t_ms: int, **fields: object) -> dict[str, Any]:
    known = {"dominantEmotion": "angry", "score": 0.9, "trend": "rising", "bargeInDetected": False, "via": "control"}
    return event(t_ms, "context.updated", **{**known, **fields})


def why(t_ms: int, *does: str, rules: tuple[RuleFired, ...] = ()) -> Why:
    return Why(t_ms, frozenset(does), rules, "angry", 0.9, "rising", 0.8, "a note")  # type: ignore[arg-type]


def cut(held_s: float = 1.2) -> RuleFired:
    return RuleFired("cut", frozenset({"interrupt"}), held_s, 0.8, 1.5)


def evidence(deed: Deed) -> dict[str, str]:
    return dict(deed.evidence)


def test_deeds_are_numbered_in_the_order_in_which_they_happened() -> None:
    happened = [told(1000), event(2000, "tts.cancelled", reason="emotion_escalation", heardMs=500), told(3000)]
    found = deeds(happened, [], [], BAR)
    assert [(each.number, each.t_ms, each.kind) for each in found] == [
        (1, 1000, "note"),
        (2, 2000, "interrupt"),
        (3, 3000, "note"),
    ]


def test_the_record_of_a_decision_says_which_rule_for_how_long_and_against_what() -> None:
    happened = [event(2100, "tts.cancelled", reason="emotion_escalation", heardMs=500)]
    [deed] = deeds(happened, [why(2000, "interrupt", "note", rules=(cut(),))], [], BAR)
    assert deed.reason == "Rule cut wanted it."
    assert evidence(deed) == {
        "held for": "1.2 s, 1.5 s asked for",
        "score": "0.90, 0.80 asked for",
        "trend": "rising",
        "quality of the line": "0.80",
    }


def test_a_rule_is_not_named_for_what_another_part_of_its_decision_did() -> None:
    happened = [event(2090, "tts.cancelled", reason="emotion_escalation"), told(2100, bargeInDetected=True)]
    _, note = deeds(happened, [why(2000, "interrupt", "note", rules=(cut(),))], [], BAR)
    assert note.reason == "It was decided together with the interruption."
    assert note.note == "a note"


def test_a_decision_explains_one_deed_of_its_kind_and_not_the_next() -> None:
    first, second = deeds([told(2100), told(2500)], [why(2000, "note")], [], BAR)
    assert first.reason
    assert second.reason == ""


def test_a_decision_of_long_ago_or_of_later_explains_nothing() -> None:
    [deed] = deeds([told(20_000)], [why(2000, "note"), why(21_000, "note")], [], BAR)
    assert deed.reason == ""


def test_a_newer_decision_takes_the_place_of_one_that_was_never_told() -> None:
    later = Why(3000, frozenset({"note"}), (), "frustrated", 0.75, "steady")
    [deed] = deeds([told(3100)], [why(2000, "note"), later], [], BAR)
    assert "frustrated" in deed.reason


def test_without_a_record_the_readings_say_for_how_long_such_anger_was_heard() -> None:
    read = samples([0.1, 0.9, 0.9, 0.9, 0.9, 0.9, 0.9])
    [deed] = deeds([event(1400, "tts.cancelled", reason="emotion_escalation")], [], read, BAR)
    assert deed.reason == ""
    assert evidence(deed)["at 0.85 or more for"] == "1.0 s"
    assert evidence(deed)["score"] == "0.90, 0.85 to act"


def test_an_operator_is_named_and_no_rule() -> None:
    happened = [
        event(1000, "tts.cancelled", reason="operator"),
        event(2000, "escalation.started", rule="operator", action="transfer", destination="***11"),
    ]
    for deed in deeds(happened, [why(900, "interrupt", "transfer", rules=(cut(),))], [], BAR):
        assert deed.reason == "Somebody at the screen wanted it."


def test_what_the_gateway_told_was_asked_for_by_the_model() -> None:
    [deed] = deeds([told(2100, via="llm", latencyMs=12.4)], [why(2000, "note")], [], BAR)
    assert deed.reason == "The model was about to answer."
    assert evidence(deed)["latency"] == "12 ms"
    assert deed.result == "accepted, in the prompt of its next answer"


@pytest.mark.parametrize(
    ("ending", "result", "failed"),
    [
        ([event(3500, "escalation.done", rule="r", action="transfer")], "done, 1.5 s later", False),
        (
            [event(2300, "escalation.failed", rule="r", action="transfer", reason="busy")],
            "failed, 0.3 s later: busy",
            True,
        ),
        ([], "not known: nothing more was said of it", False),
    ],
)
def test_a_transfer_is_one_deed_with_what_became_of_it(ending: list[dict[str, Any]], result: str, failed: bool) -> None:
    begun = event(2000, "escalation.started", rule="r", action="transfer", destination="***11")
    [deed] = deeds([begun, *ending], [], [], BAR)
    assert (deed.result, deed.failed) == (result, failed)


def test_a_transfer_that_never_began_is_told_as_failed() -> None:
    [deed] = deeds([event(2000, "escalation.failed", rule="r", action="transfer", reason="nobody")], [], [], BAR)
    assert deed.failed
    assert "nobody" in deed.what
    assert deed.reason == "Rule r wanted it."


def test_a_note_that_was_tried_again_says_when_it_was_accepted() -> None:
    happened = [event(2000, "context.failed", reason="down", willRetry=True), told(4500)]
    failed, accepted = deeds(happened, [why(1900, "note")], [], BAR)
    assert failed.result == "failed, tried again, and accepted at 0:04.5"
    assert accepted.reason == failed.reason != "", "the same decision stands behind both"


def test_who_said_that_a_decision_was_wrong_is_heard_for_the_one_they_meant() -> None:
    happened = [told(1000), told(5000), event(6000, "decision.wrong", decidedT=1000), told(7000)]
    assert [each.wrong for each in deeds(happened, [], [], BAR)] == [True, False, False]
    assert [each.wrong for each in deeds([told(1000), told(5000), event(6000, "decision.wrong")], [], [], BAR)] == [
        False,
        True,
    ]


# Stretches.


def test_readings_without_an_opinion_are_stretches_of_their_own() -> None:
    happened = [
        *chunks(1500, [0.1] * 3, gated="calibrating"),
        *chunks(2100, [0.1] * 5),
        *chunks(3100, [0.5] * 3, gated="poor_line"),
    ]
    found = states(happened, read_from(happened), 10_000)
    assert [(each.kind, each.from_ms, each.to_ms) for each in found] == [
        ("calibrating", 0, 1900),
        ("poor_line", 2900, 3500),
    ]


def test_an_outage_lasts_until_that_engine_recovers_or_to_the_end() -> None:
    happened = [
        event(1000, "analyzer.degraded", engine="local", reason="slow"),
        event(1500, "analyzer.degraded", engine="hume", reason="gone"),
        event(1700, "analyzer.degraded", engine="local", reason="slower"),
        event(2000, "analyzer.recovered", engine="local"),
    ]
    found = [(each.from_ms, each.to_ms, each.words) for each in states(happened, [], 9000)]
    assert found == [(1000, 2000, "local: slow"), (1500, 9000, "hume: gone")]


def test_the_assistant_speaks_until_it_stops_or_is_cut_off_or_the_call_ends() -> None:
    happened = [
        event(1000, "tts.started"),
        event(2000, "tts.cancelled", reason="operator"),
        event(2010, "tts.stopped"),
        event(3000, "tts.started"),
        event(4000, "tts.stopped"),
        event(8000, "tts.started"),
    ]
    assert [(each.from_ms, each.to_ms) for each in speech(happened, 9000)] == [(1000, 2000), (3000, 4000), (8000, 9000)]


# From the steps that were recorded.

SETUP = steps.Setup(0.65, 500, (), 3.0, 3, 30.0, 50, 30, 0.5, 3.0, 6, 200, 0.9)


def a_record(made: steps.Made) -> list[bytes]:
    began = steps.Began(0, 100.0, steps.VERSION, "callmood 1", "local", "f" * 64, SETUP)
    return [encode(began), encode(steps.Asked(1, 102.5, 0, "hash of the rules", made))]


def a_decision(*fired: steps.Fired) -> steps.Made:
    felt = steps.Felt("angry", 0.9, "rising", 5, 102.4, 0.8)
    return steps.Made(felt, fired, "a note", "Sorry.", None, False, ())


def test_steps_tell_the_decision_its_rule_and_what_that_rule_asks_for() -> None:
    found = recorded(a_record(a_decision(steps.Fired("cut", 1.6, ("interrupt",)))), {"hash of the rules": RULES}.get)
    assert found.bar == Bar(0.65, 0.9, of_the_call=True)
    [decision] = found.whys
    assert (decision.t_ms, decision.does) == (2500, {"interrupt", "note"})
    assert decision.rules == (RuleFired("cut", frozenset({"interrupt"}), 1.6, 0.8, 1.5),)


def test_a_decision_whose_rules_were_not_kept_is_still_told_without_what_they_asked_for() -> None:
    found = recorded(a_record(a_decision(steps.Fired("cut", 1.6, ("interrupt",)))), lambda _: None)
    assert found.whys[0].rules == (RuleFired("cut", frozenset({"interrupt"}), 1.6),)


def test_steps_that_cannot_be_read_are_passed_over() -> None:
    begun, asked = a_record(a_decision())
    assert len(recorded([begun, b"\xff", b"", asked], lambda _: None).whys) == 1
    assert recorded([b"\xff"], lambda _: None).whys == ()
    assert recorded([], lambda _: None).bar is None


def test_what_the_rules_decided_and_what_a_step_says_of_it_are_the_same() -> None:
    from agent.core.context import ContextUpdate
    from agent.core.emotion import Emotion, Mood, Trend
    from agent.core.rulebook import parse
    from agent.reporting.decisions import of_recording

    mood = Mood(Emotion("angry", 0.9), Trend.RISING, 5, 102.4, quality=0.8)
    decision = Decision(mood, (Fired("cut", 1.6, ("interrupt",)),), ContextUpdate(mood, "a note"))
    made = keeping.made(decision)
    assert made is not None
    [kept] = recorded(a_record(made), {"hash of the rules": RULES}.get).whys
    assert of_recording(decision, 2500, parse(RULES, act_at=0.9, file="x").rules) == kept
