"""Thresholds and times of a rules file, set in its text: comments and order stay as they are."""

import re
import tomllib

from ..core.rulebook import RuleBook, parse
from ..errors import ConfigError

_RULE = re.compile(r"\s*\[\[\s*rule\s*\]\]\s*(#.*)?")
_TABLE = re.compile(r"\s*\[")
_KEY = re.compile(r"(\s*(at_least|for_s)\s*=\s*)[^\s#]+")


def values(text: str, book: RuleBook) -> list[dict[str, float]]:
    """What each rule of this text has to name so that it is as in `book`, rule by rule: `at_least` where it names one
    itself, `for_s` where it is not 0."""
    written = tomllib.loads(text).get("rule", [])
    return [
        ({"at_least": rule.at_least} if "at_least" in found else {})
        | ({"for_s": rule.for_s} if rule.for_s or "for_s" in found else {})
        for found, rule in zip(written, book.rules, strict=True)
    ]


def with_values(text: str, book: RuleBook, act_at: float) -> str:
    """The text with these values. Raises ConfigError where that cannot be done line by line."""
    left, lines, place, in_rule = values(text, book), list[str](), -1, False
    written = tomllib.loads(text).get("rule", [])
    for line in text.splitlines(keepends=True):
        if _TABLE.match(line):
            in_rule = _RULE.fullmatch(line.rstrip()) is not None
            place += in_rule
            new = left[place].keys() - written[place].keys() if in_rule and place < len(left) else set()
            lines += [line, *(f"{name} = {left[place][name]:g}\n" for name in sorted(new))]
        elif in_rule and (key := _KEY.match(line)) and place < len(left) and key[2] in left[place]:
            lines.append(f"{key[1]}{left[place][key[2]]:g}{line[key.end() :]}")
        else:
            lines.append(line)
    changed = "".join(lines)
    made = parse(changed, act_at=act_at, file="the rules file")
    if made.rules != book.rules or made.templates != parse(text, act_at=act_at, file="the rules file").templates:
        raise ConfigError(
            "the rules file is written in a way that cannot be changed line by line: set the values by hand"
        )
    return changed
