"""The rules file: what it may hold, and how a mistake is named."""

import re
import string
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.core.emotion import Emotion, Mood, Trend
from agent.core.rulebook import Rule, Template, parse, template_problem
from agent.errors import ConfigError
from agent.packaged import default_text

GOOD = """\
# two rules
[[rule]]
name = "cut"
emotions = ["angry"]
do = ["interrupt"]

[[rule]]
name = "pass-on"
emotions = ["angry", "genervt"]
at_least = 0.9
for_s = 2
trend = "falling"
unless_quality_below = 0.3
cooldown_s = 120
say = "One moment."
do = ["interrupt", "context:sorry", "transfer"]

[context]
sorry = "The caller is {emotion} ({score:.2f}, {trend}), {{really}}."
"""
ANGRY = Mood(Emotion("angry", 0.876), Trend.RISING, 5, 0.0, {"angry": 1.0})


def problem(text: str) -> str:
    """What is said of a file; always one sentence."""
    with pytest.raises(ConfigError) as refused:
        parse(text, act_at=0.85, file="rules.toml")
    message = str(refused.value)
    assert "\n" not in message
    return message


def test_a_rule_is_read_with_its_defaults_and_with_everything_it_may_say() -> None:
    book = parse(GOOD, act_at=0.8, file="rules.toml")
    sorry = Template("The caller is {emotion} ({score:.2f}, {trend}), {{really}}.")
    assert book.rules == (
        Rule("cut", frozenset({"angry"}), 0.8, interrupt=True),
        Rule(
            "pass-on",
            frozenset({"angry", "genervt"}),
            0.9,
            2.0,
            Trend.FALLING,
            0.3,
            120.0,
            interrupt=True,
            context=sorry,
            context_name="sorry",
            transfer=True,
            say="One moment.",
        ),
    )
    assert book.rules[1].actions == ("interrupt", "context:sorry", "transfer")
    assert sorry.fill(ANGRY) == "The caller is angry (0.88, rising), {really}."


def test_the_shipped_rules_are_those_the_interface_promises() -> None:
    cut, passed = parse(default_text("rules.toml") or "", act_at=0.85, file="rules.toml").rules
    assert (cut.name, cut.at_least, cut.for_s, cut.cooldown_s, cut.actions) == (
        "angry-interrupt",
        0.85,
        0.0,
        15.0,
        ("interrupt",),
    )
    assert passed.emotions == cut.emotions == {"angry", "frustrated"}
    assert (passed.name, passed.at_least, passed.for_s, passed.trend) == ("angry-transfer", 0.85, 1.0, Trend.RISING)
    assert (passed.unless_quality_below, passed.cooldown_s) == (0.3, 120.0)
    assert passed.actions == ("interrupt", "context:apologise", "transfer")
    assert passed.context is not None
    assert passed.context.fill(ANGRY) == (
        "Caller state: angry (0.88, rising). Acknowledge it in one short sentence, then help. "
        "Replaces earlier caller-state notes."
    )


def test_a_file_without_rules_is_a_wish_too() -> None:
    assert parse("", act_at=0.85, file="rules.toml").rules == ()


@pytest.mark.parametrize(
    ("old", "new", "line", "key"),
    [
        ('name = "pass-on"', 'name = "cut"', 8, "name"),
        ('name = "pass-on"', 'name = "Pass on"', 8, "name"),
        ('name = "pass-on"\n', "", 7, "name"),
        ('["angry", "genervt"]', '["angry", "Genervt"]', 9, "emotions"),
        ('["angry", "genervt"]', "[]", 9, "emotions"),
        ('["angry", "genervt"]', '"angry"', 9, "emotions"),
        ('["angry", "genervt"]', "[1]", 9, "emotions"),
        ("at_least = 0.9", "at_least = 85", 10, "at_least"),
        ("at_least = 0.9", "at_least = nan", 10, "at_least"),
        ("at_least = 0.9", "at_least = inf", 10, "at_least"),
        ("at_least = 0.9", "at_least = true", 10, "at_least"),
        ("at_least = 0.9", f"at_least = 1{'0' * 400}", 10, "at_least"),
        ("at_least = 0.9", "at_least = 2026-01-01", 10, "at_least"),
        ("for_s = 2", "for_s = -1", 11, "for_s"),
        ("for_s = 2", "for = 2", 11, "for"),
        ('trend = "falling"', 'trend = "steady"', 12, "trend"),
        ('trend = "falling"', "trend = []", 12, "trend"),
        ("unless_quality_below = 0.3", "unless_quality_below = 3", 13, "unless_quality_below"),
        ("cooldown_s = 120", 'cooldown_s = "long"', 14, "cooldown_s"),
        ('say = "One moment."', 'say = " "', 15, "say"),
        ('"transfer"]', '"tranfer"]', 16, "do"),
        ('"transfer"]', '"transfer:me"]', 16, "do"),
        ('"transfer"]', '"transfer", "transfer"]', 16, "do"),
        ('"transfer"]', '"transfer", 7]', 16, "do"),
        ("context:sorry", "context:sory", 16, "do"),
        ("context:sorry", "context", 16, "do"),
        ("[context]", "[contexts]", 18, "contexts"),
        ("{trend}", "{mood}", 19, "sorry"),
        ("{trend}", "{trend.__class__}", 19, "sorry"),
        ("{trend}", "{trend!r}", 19, "sorry"),
        ("{trend}", "{}", 19, "sorry"),
        ("{trend}", "{0}", 19, "sorry"),
        ("{trend}", "{score[0]}", 19, "sorry"),
        ("{trend}", "{trend:.2f}", 19, "sorry"),
        ("{score:.2f}", "{score:999999999}", 19, "sorry"),
        ("{score:.2f}", "{score:{trend}}", 19, "sorry"),
        ("{trend}", "{trend", 19, "sorry"),
        ("{trend}", "}", 19, "sorry"),
        ("sorry =", '"Sorry !" =', 19, "Sorry !"),
        ("for_s = 2", '"for\\n" = 2', 7, "'for"),
        ("for_s = 2", f"for_s = 1{'0' * 5000}", 1, ""),
        ("# two rules", "rules = 1", 1, "rules"),
        ('["interrupt"]', '["interrupt"', 7, ""),
        ("for_s = 2", "for_s = ", 11, "for_s"),
        ("for_s = 2", "at_least = 2", 11, "at_least"),
    ],
)
def test_a_mistake_is_named_with_its_file_its_line_and_its_key(old: str, new: str, line: int, key: str) -> None:
    assert old in GOOD
    message = problem(GOOD.replace(old, new))
    assert message.startswith(f"rules.toml line {line}: {key}"), message


def test_a_heading_inside_a_text_of_several_lines_is_none() -> None:
    text = 'say = """\n[[rule]]\nname = "x"\n"""\n'
    longer = GOOD.replace('say = "One moment."\n', text) + '\n[[rule]]\nname = "third"\nemotions = 1\n'
    assert problem(longer).startswith("rules.toml line 26: emotions")


def test_rules_in_a_row_of_their_own_are_read_and_named_as_well() -> None:
    line = 'rule = [{name = "a", emotions = ["sad"], do = ["interrupt"]}'
    assert len(parse(line + "]", act_at=0.85, file="rules.toml").rules) == 1
    assert problem(line + ', {name = "a"}]').startswith("rules.toml line 1: emotions")


@pytest.mark.parametrize("text", ["rule = 1", "[rule]\nname='a'", "context = 1", "a=" + "[" * 5000, "[[rule]]\n" * 65])
def test_a_file_of_another_shape_is_refused(text: str) -> None:
    assert re.match(r"rules.toml line \d+: ", problem(text))


@given(st.text(max_size=80))
def test_whatever_is_written_is_read_or_refused(text: str) -> None:
    with suppress(ConfigError):
        parse(text, act_at=0.85, file="rules.toml")


@given(st.text(st.sampled_from("{}:!.[]" + "emotionscrd" + string.digits), max_size=30))
def test_a_note_that_is_accepted_can_be_filled_in_for_any_mood(text: str) -> None:
    if template_problem(text) is None:
        for score in (0.0, 0.5, 1.0):
            Template(text).fill(Mood(Emotion("genervt", score), Trend.STEADY, 0, 0.0))
