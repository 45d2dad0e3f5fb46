"""Who needs somebody, and why, as the screen says it: by the rules in force, and in plain words."""

import re
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.core.attention import OFF, attention, lasting
from agent.core.curve import Anger
from agent.core.emotion import LABELS
from agent.core.levels import AT_ONCE_MS, FAILED_S, LOUDER_DB, ORDER, STALE_S, Bar, anger_at
from agent.core.rulebook import Rule
from agent.core.seen import Facts, Off, Voice

ANGRY = frozenset({"angry", "frustrated"})
RULES = (
    Rule("interrupt", ANGRY, 0.85, interrupt=True),
    Rule("transfer", ANGRY, 0.9, for_s=1.0, unless_quality_below=0.3, transfer=True),
)
BAR = Bar(gate=0.7, act_at=0.85, window_s=3.0, min_samples=3, rules=RULES)
CALM = Facts(label="neutral", score=0.95, anger=Anger(0.05, 0.02, 0.1), samples=6, quality=0.8)
ANGRY_CALLER = replace(CALM, label="angry", score=0.9, anger=Anger(0.9, 0.88, 0.95), label_s=12.0)
SOME = replace(CALM, score=0.7, anger=Anger(0.4, 0.3, 0.45))
PHYSICAL = Facts(physical=True, voice=Voice(0.0, 4.2, 0), quality=0.8)


def level(facts: Facts, bar: Bar = BAR) -> str:
    return attention(facts, bar).level


def test_of_rules_for_anger_the_first_to_act_counts_and_without_any_the_setting() -> None:
    glad = Rule("glad", frozenset({"happy"}), 0.5, interrupt=True)
    assert anger_at((glad, *RULES), 0.7) == 0.85
    assert anger_at((glad,), 0.7) == 0.7
    assert replace(BAR, rules=(glad, *RULES)).anger_at == 0.85


@pytest.mark.parametrize(
    ("facts", "expected", "why"),
    [
        (CALM, "ok", "Calm; clear line; high confidence"),
        (Facts(), "calibrating", "Not enough speech yet"),
        (replace(SOME, trend="falling", trend_s=33), "ok", "Calming for 30 s; clear line; high confidence"),
        (replace(CALM, trend="falling", trend_s=33), "ok", "Calm; clear line; high confidence"),
        (SOME, "ok", "Some anger; clear line; high confidence"),
        (replace(SOME, label=""), "ok", "Some anger; clear line; medium confidence"),
        (replace(CALM, label="sad", label_s=21), "ok", "Sad for 20 s; clear line; high confidence"),
        (replace(SOME, trend="rising", trend_s=44), "watch", "Rising for 40 s; clear line; high confidence"),
        (ANGRY_CALLER, "help", "Angry for 10 s; clear line; high confidence"),
        (replace(ANGRY_CALLER, trend="rising"), "help", "Angry for 10 s, rising; clear line; high confidence"),
        (replace(ANGRY_CALLER, label_s=1.0), "help", "Angry just now; clear line; high confidence"),
        (
            replace(ANGRY_CALLER, score=0.75, anger=Anger(0.75, 0.6, 0.8), quality=0.5),
            "watch",
            "Angry for 10 s; fair line; medium confidence",
        ),
        (
            replace(ANGRY_CALLER, anger=Anger(0.8, 0.3, 0.95), quality=0.2),
            "unsure",
            "Can't tell: readings differ; poor line; low confidence",
        ),
        (replace(CALM, abstained="poor_line"), "unsure", "Can't tell: the line is too poor; high confidence"),
        (
            replace(CALM, impaired=True, silent_s=12.0),
            "unsure",
            "Can't tell: the analysis is impaired; clear line; last heard 10 s ago; low confidence",
        ),
        (replace(CALM, off="withdrawn"), "off", "Consent withdrawn: not analysed"),
        (replace(ANGRY_CALLER, off="human"), "off", "With a human: not analysed"),
        (
            replace(CALM, escalation="under way"),
            "help",
            "Being passed on to a human; clear line; high confidence",
        ),
        (
            replace(CALM, escalation="failed", escalated_s=10),
            "help",
            "Could not be passed on to a human; clear line; high confidence",
        ),
    ],
)
def test_every_state_has_its_level_and_one_plain_sentence(facts: Facts, expected: str, why: str) -> None:
    found = attention(facts, BAR)
    assert (found.level, found.why) == (expected, why)


def test_the_level_of_help_is_that_of_the_rules_in_force_and_no_constant() -> None:
    higher = replace(BAR, rules=tuple(replace(rule, at_least=0.95) for rule in RULES))
    lower = replace(BAR, rules=(Rule("early", frozenset({"sad"}), 0.5, interrupt=True),))
    assert level(ANGRY_CALLER) == "help"
    assert level(ANGRY_CALLER, higher) == "watch"
    assert level(replace(CALM, label="sad", score=0.6), lower) == "help"
    assert level(ANGRY_CALLER, replace(BAR, rules=())) == "watch", "nothing would be done about it"
    assert level(replace(CALM, anger=Anger(0.6, 0.5, 0.69))) == "ok"
    assert level(replace(CALM, anger=Anger(0.6, 0.5, 0.69)), replace(BAR, gate=0.55)) == "watch"


def test_a_line_too_poor_for_a_rule_is_no_call_for_help_from_that_rule() -> None:
    only = replace(BAR, rules=RULES[1:])
    sure = replace(ANGRY_CALLER, score=0.95, anger=Anger(0.95, 0.92, 0.97))
    assert level(sure, only) == "help"
    assert level(replace(sure, quality=0.2), only) == "watch"


def test_a_caller_who_only_listens_is_not_rising_any_more_and_nobody_is_sure_of_them() -> None:
    listening = replace(SOME, trend="rising", trend_s=60.0, silent_s=STALE_S)
    found = attention(listening, BAR)
    assert (found.level, found.confidence) == ("ok", "low")
    assert "last heard 10 s ago" in found.why


def test_a_caller_whom_nobody_took_over_needs_help_for_a_while_and_as_long_as_they_are_angry() -> None:
    failed = replace(CALM, escalation="failed", escalated_s=FAILED_S)
    assert level(failed) == "ok"
    assert level(replace(failed, anger=Anger(0.75, 0.7, 0.8))) == "help"


def test_an_engine_that_is_down_says_nothing_against_readings_that_still_come() -> None:
    assert level(replace(CALM, impaired=True, silent_s=1.0)) == "ok"


@pytest.mark.parametrize(
    ("changed", "confidence"),
    [
        ({}, "high"),
        ({"quality": 0.5}, "medium"),
        ({"quality": 0.1}, "low"),
        ({"anger": Anger(0.1, 0.0, 0.4)}, "medium"),
        ({"anger": Anger(0.1, 0.0, 0.6)}, "low"),
        ({"samples": 2}, "low"),
        ({"silent_s": 11.0}, "low"),
        ({"quality": None}, "high"),
    ],
)
def test_confidence_comes_of_the_line_the_spread_and_how_much_was_heard(
    changed: dict[str, Any], confidence: str
) -> None:
    assert attention(replace(CALM, **changed), BAR).confidence == confidence


def test_whoever_needs_help_comes_first_then_the_angrier_then_those_who_are_rising() -> None:
    ranks = [
        attention(facts, BAR).rank
        for facts in (
            replace(CALM, off="stopped"),
            CALM,
            Facts(),
            replace(CALM, abstained="poor_line"),
            replace(SOME, trend="rising"),
            replace(ANGRY_CALLER, score=0.8, anger=Anger(0.8, 0.7, 0.9)),
            ANGRY_CALLER,
            replace(ANGRY_CALLER, trend="rising"),
            replace(ANGRY_CALLER, anger=Anger(1.0, 0.9, 1.0)),
            replace(ANGRY_CALLER, escalation="under way"),
            replace(ANGRY_CALLER, escalation="failed"),
        )
    ]
    assert ranks == sorted(set(ranks))


def test_durations_stand_still_between_their_steps() -> None:
    said = [lasting(seconds) for seconds in (0, 4.9, 5, 9.9, 14, 19, 29, 59, 60, 119, 3599, 7200)]
    assert said == ["", "", "5 s", "5 s", "10 s", "15 s", "20 s", "50 s", "1 min", "1 min", "59 min", "2 h"]
    assert len({lasting(tenths / 10) for tenths in range(36_000)}) < 70


@pytest.mark.parametrize(
    ("facts", "expected", "why"),
    [
        (PHYSICAL, "ok", "Nothing stands out; clear line; high confidence"),
        (replace(PHYSICAL, voice=None, quality=None), "calibrating", "Not enough speech yet"),
        (
            replace(PHYSICAL, voice=Voice(LOUDER_DB + 2, 5.1, 0)),
            "watch",
            "Louder than before by 8 dB, 5 syllables a second; clear line; high confidence",
        ),
        (
            replace(PHYSICAL, voice=Voice(0.0, 5.1, AT_ONCE_MS + 500)),
            "watch",
            "Both spoke at once for 1.5 s, 5 syllables a second; clear line; high confidence",
        ),
        (replace(PHYSICAL, quality=0.1), "unsure", "Can't tell: too poor a line; poor line; low confidence"),
    ],
)
def test_where_only_what_is_physical_is_measured_that_is_all_it_speaks_of(
    facts: Facts, expected: str, why: str
) -> None:
    found = attention(facts, BAR)
    assert (found.level, found.why) == (expected, why)


FEELINGS = re.compile("|".join([*LABELS, "anger", "calm", "mood", "emotion"]), re.IGNORECASE)


@given(
    voice=st.none() | st.builds(Voice, st.floats(-40, 40), st.floats(0, 12), st.integers(0, 3000)),
    off=st.sampled_from(["", *OFF]),
    quality=st.none() | st.floats(0, 1),
    silent_s=st.floats(0, 4000),
    impaired=st.booleans(),
    escalation=st.sampled_from(["", "under way", "failed"]),
    escalated_s=st.floats(0, 300),
)
def test_no_sentence_about_a_measured_voice_names_a_feeling(off: Off, **known: Any) -> None:
    found = attention(Facts(off=off, physical=True, **known), BAR)
    assert found.level in ORDER
    assert FEELINGS.search(found.why) is None, found.why
