"""What the user wants done when: the rules file, read and checked. Pure: text in, a frozen RuleBook out.

Whatever is wrong is said in one sentence that names the file, the line and the key.
"""

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from string import Formatter
from typing import Any, NoReturn

from ..errors import ConfigError
from .emotion import Emotion, Mood, Trend
from .rulepage import Page, short

SORRY = "I'm sorry. Please go on, I'm listening."
"""What an assistant that is cut off says instead of going on, where the rule names nothing else."""

RULES_AT_MOST, TEXT_AT_MOST, LONGEST_S = 64, 2000, 3600.0
NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}", re.ASCII)
WORD = re.compile(r"[^\W\d_][\w-]{0,31}")
FIELDS = ("emotion", "score", "trend")
LEVELS = 16
_PART = r"""(?:[\w-]++|"[^"\n]*+"|'[^'\n]*+')[ \t]*+"""
_DEEP = re.compile(rf"(?<![\w.-])(?:{_PART}\.[ \t]*+){{{LEVELS}}}", re.ASCII)
"""A dotted key of so many parts."""
_SPEC = re.compile(r"[<>^]?\d{0,2}(\.\d{1,2})?[efgs%]?", re.ASCII)


@dataclass(frozen=True, slots=True)
class Template:
    """A note in the user's own words, with {emotion}, {score} and {trend}; known to be one that can be filled in."""

    text: str

    def fill(self, mood: Mood) -> str:
        values = {"emotion": mood.emotion.label, "score": mood.emotion.score, "trend": mood.trend.value}
        return self.text.format_map(values)


@dataclass(frozen=True, slots=True)
class Rule:
    """One `[[rule]]`. `*_s` are seconds."""

    name: str
    emotions: frozenset[str]
    at_least: float
    """The score from which it holds."""
    for_s: float = 0.0
    """How long it has to hold."""
    trend: Trend | None = None
    """None: any."""
    unless_quality_below: float = 0.0
    """A line poorer than this does not count as an angry caller."""
    cooldown_s: float = 60.0
    interrupt: bool = False
    context: Template | None = None
    """The note that goes out instead of the built-in one."""
    context_name: str = ""
    transfer: bool = False
    say: str = SORRY

    @property
    def actions(self) -> tuple[str, ...]:
        """What it does, as the file says it."""
        named = (self.interrupt and "interrupt", self.context and f"context:{self.context_name}")
        return tuple(action for action in (*named, self.transfer and "transfer") if action)


@dataclass(frozen=True, slots=True)
class RuleBook:
    """All rules, in the order of the file: where two want something else said, the first has it."""

    rules: tuple[Rule, ...] = ()
    templates: Mapping[str, Template] = field(default_factory=dict)
    text: str | None = field(default=None, compare=False, repr=False)
    """The file it was read from; None: it was made otherwise."""


def parse(text: str, *, act_at: float, file: str) -> RuleBook:
    """The rules in this text; `act_at` is the score of those that name none. Raises ConfigError."""
    page = Page(text, file)
    if _DEEP.search(text):  # the parser takes minutes for it
        raise ConfigError(f"{file} line 1: has a key of more than {LEVELS} parts, and a rules file needs two")
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        page.syntax(error)
    except (ValueError, RecursionError):  # a number of thousands of digits, or brackets in brackets in brackets
        raise ConfigError(f"{file} line 1: is not TOML we can read: its numbers or its depth are absurd") from None
    for key in table:
        if key not in ("rule", "context"):
            page.wrong(key, "is nothing of a rules file: it holds [[rule]] and [context]")
    templates = _templates(page, table.get("context", {}))
    written = table.get("rule", [])
    if not isinstance(written, list) or not all(isinstance(each, dict) for each in written):
        page.wrong("rule", "must be written as [[rule]], once for each")
    if len(written) > RULES_AT_MOST:
        page.wrong("rule", f"is there more than {RULES_AT_MOST} times: join some", at=RULES_AT_MOST)
    rules: list[Rule] = []
    for place, each in enumerate(written):
        rule = _Reader(page, place, each).rule(act_at, templates)
        if rule.name in {known.name for known in rules}:
            page.wrong("name", f'"{rule.name}" is the name of an earlier rule too: give it another', at=place)
        rules.append(rule)
    return RuleBook(tuple(rules), templates, text)


def _templates(page: Page, table: Any) -> dict[str, Template]:
    if not isinstance(table, dict):
        page.wrong("context", "must be a table: write [context] and a line for each note")
    templates = {}
    for name, text in table.items():
        if not NAME.fullmatch(name):
            page.wrong(name, "must be small letters, digits, - and _", table="context")
        problem = template_problem(text)
        if problem:
            page.wrong(name, problem, table="context")
        templates[name] = Template(text)
    return templates


def template_problem(text: Any) -> str | None:
    """Why this cannot be a note; None: it can."""
    if not isinstance(text, str) or not 0 < len(text.strip()) <= TEXT_AT_MOST:
        return f"must be a text of at most {TEXT_AT_MOST} characters"
    try:
        parts = list(Formatter().parse(text))
    except ValueError:
        return "has a brace that does not close: write {{ for a brace that is meant"
    for _, name, spec, conversion in parts:
        if name is None:
            continue
        if name not in FIELDS or conversion:
            shown = name if name.isprintable() else short(name)
            return f"cannot hold {{{shown}}}: use {{emotion}}, {{score}} or {{trend}}"
        if not _SPEC.fullmatch(spec or ""):
            return f"cannot write {name} as {spec!r}: use something like {{score:.2f}}"
    try:
        Template(text).fill(Mood(Emotion("angry", 0.9), Trend.RISING, 3, 0.0))
    except ValueError:
        return "has a field in a form that does not suit it: use something like {score:.2f}"
    return None


class _Reader:
    """Reads one `[[rule]]`, key by key; what is left over is unknown."""

    def __init__(self, page: Page, place: int, table: Mapping[str, Any]) -> None:
        self._page, self._place, self._left = page, place, dict(table)

    def rule(self, act_at: float, templates: Mapping[str, Template]) -> Rule:
        name = self._text("name", NAME, "must be small letters, digits, - and _, and be there")
        emotions = self._emotions()
        at_least, for_s = self._number("at_least", act_at, 1.0), self._number("for_s", 0.0, LONGEST_S)
        quality = self._number("unless_quality_below", 0.0, 1.0)
        cooldown_s = self._number("cooldown_s", 60.0, 24 * LONGEST_S)
        trend, say, actions = self._trend(), self._say(), self._actions(templates)
        for key in self._left:
            self._wrong(key, "is not a key of a rule: remove it or correct its name")
        return Rule(
            name,
            emotions,
            at_least,
            for_s,
            trend,
            quality,
            cooldown_s,
            interrupt="interrupt" in actions,
            context=templates.get(actions.get("context", "")),
            context_name=actions.get("context", ""),
            transfer="transfer" in actions,
            say=say,
        )

    def _wrong(self, key: str, problem: str) -> NoReturn:
        self._page.wrong(key, problem, at=self._place)

    def _text(self, key: str, form: re.Pattern[str], problem: str) -> str:
        value = self._left.pop(key, None)
        if not isinstance(value, str) or not form.fullmatch(value):
            self._wrong(key, problem)
        return value

    def _number(self, key: str, default: float, largest: float) -> float:
        value = self._left.pop(key, default)
        if isinstance(value, bool) or not isinstance(value, int | float):
            self._wrong(key, f"must be a number, not {short(value)}")
        if not 0 <= value <= largest:  # a NaN lies nowhere
            self._wrong(key, f"must lie between 0 and {largest:g}, not {short(value)}")
        return float(value)

    def _emotions(self) -> frozenset[str]:
        value = self._left.pop("emotions", None)
        if not isinstance(value, list) or not value:
            self._wrong("emotions", 'must be a list of words, like ["angry", "frustrated"], and be there')
        for word in value:
            if not isinstance(word, str) or not WORD.fullmatch(word) or word != word.lower():
                self._wrong("emotions", f"must hold words in small letters, not {short(word)}")
        return frozenset(value)

    def _trend(self) -> Trend | None:
        value = self._left.pop("trend", "any")
        if value not in ("rising", "falling", "any"):
            self._wrong("trend", f"must be rising, falling or any, not {short(value)}")
        return None if value == "any" else Trend(value)

    def _say(self) -> str:
        value = self._left.pop("say", SORRY)
        if not isinstance(value, str) or not 0 < len(value.strip()) <= TEXT_AT_MOST:
            self._wrong("say", f"must be a sentence of at most {TEXT_AT_MOST} characters")
        return value

    def _actions(self, templates: Mapping[str, Template]) -> dict[str, str]:
        """By kind, with the name of the note."""
        value = self._left.pop("do", None)
        if not isinstance(value, list) or not value:
            self._wrong("do", 'must be a list of interrupt, context:NAME and transfer, like ["interrupt"]')
        actions: dict[str, str] = {}
        for action in value:
            kind, colon, name = action.partition(":") if isinstance(action, str) else ("", "", "")
            if kind in actions:
                self._wrong("do", f"names {kind} twice")
            if kind not in ("interrupt", "context", "transfer") or bool(colon) != (kind == "context"):
                self._wrong("do", f"must hold interrupt, context:NAME or transfer, not {short(action)}")
            if colon and name not in templates:
                self._wrong("do", f"names context:{name}, and [context] has no {name}: write it there")
            actions[kind] = name
        return actions
