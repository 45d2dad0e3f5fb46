"""Thresholds and times are set in the text of a rules file, and nothing else of it changes."""

from dataclasses import replace

import pytest

from agent.core.rulebook import RuleBook, parse
from agent.errors import ConfigError
from agent.evaluation.rule_values import values, with_values
from agent.evaluation.weighing import Change
from agent.packaged import default_text

ACT_AT = 0.85


def parsed(text: str, act_at: float = ACT_AT) -> RuleBook:
    return parse(text, act_at=act_at, file="rules.toml")


def test_the_packaged_rules_are_changed_where_they_name_a_value_and_their_comments_stay() -> None:
    text = default_text("rules.toml")
    assert text is not None
    change = Change(at_least=0.05, for_s=1.0)
    changed = with_values(text, change.book(parsed(text)), 0.9)
    assert parsed(changed, 0.9).rules == change.book(parsed(text)).rules
    before, after = text.splitlines(), changed.splitlines()
    assert [line for line in after if line not in before] == ["for_s = 1", "at_least = 0.9", "for_s = 2"]
    assert len(after) == len(before) + 1, "the first rule names its time now"


def test_a_time_that_was_added_to_is_written_as_it_is_read() -> None:
    text = '[[rule]]\nname = "a"\nemotions = ["angry"]\nfor_s = 0.07\ndo = ["interrupt"]\n'
    book = Change(for_s=0.5).book(parsed(text))
    assert with_values(text, book, ACT_AT) == text.replace("0.07", "0.57"), "0.07 + 0.5 is a little more in binary"


def test_a_rule_that_names_no_score_goes_on_following_the_setting() -> None:
    text = '[[rule]]\nname = "a"\nemotions = ["angry"]\ndo = ["interrupt"]\n'
    book = Change(at_least=0.05).book(parsed(text))
    assert values(text, book) == [{}]
    assert with_values(text, book, 0.9) == text


@pytest.mark.parametrize(
    "text",
    [
        'rule = [{name = "a", emotions = ["angry"], for_s = 1, do = ["interrupt"]}]\n',
        '[[rule]]\nname = "a"\nemotions = ["angry"]\ndo = ["interrupt"]\nsay = """\n[[rule]]\nfor_s = 3"""\nfor_s=1\n',
    ],
)
def test_a_file_that_cannot_be_changed_line_by_line_is_left_to_its_owner(text: str) -> None:
    book = parsed(text)
    later = RuleBook(tuple(replace(rule, for_s=2.0) for rule in book.rules))
    with pytest.raises(ConfigError, match="by hand"):
        with_values(text, later, ACT_AT)


def test_a_note_that_looks_like_a_rule_is_not_changed_unnoticed() -> None:
    note = '[context]\nnote = """\n[[rule]]\nfor_s = 9\n"""\n'
    text = note + '[[rule]]\nname = "a"\nemotions = ["angry"]\nfor_s = 1\ndo = ["interrupt"]\n'
    with pytest.raises(ConfigError, match="by hand"):
        with_values(text, parsed(text), ACT_AT)
