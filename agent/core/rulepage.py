"""The text of a rules file, for finding the line of what is wrong in it.

A TOML parser tells the line of a broken syntax only. Where a value makes no sense, its line is found in the text again:
the n-th `[[rule]]`, and in it the key. Texts of several lines are passed over.
"""

import re
import tomllib
from dataclasses import dataclass
from typing import Any, NoReturn

from ..errors import ConfigError


@dataclass(frozen=True, slots=True)
class Page:
    """The text, for finding the line of what is wrong in it."""

    text: str
    file: str

    def syntax(self, error: tomllib.TOMLDecodeError) -> NoReturn:
        problem, _, place = str(error).partition(" (at ")
        found = re.match(r"line (\d+)", place)
        lines = self.text.splitlines()
        line = int(found[1]) if found else max(1, len(lines))
        key = re.match(r"\s*([\w-]+)\s*=", lines[line - 1]) if line <= len(lines) else None
        where = f" {key[1]}" if key else ""
        raise ConfigError(f"{self.file} line {line}:{where} is not TOML: {problem}") from None

    def wrong(self, key: str, problem: str, *, at: int | None = None, table: str = "") -> NoReturn:
        """Raises ConfigError for a key: of the n-th rule, of a table, or at the top."""
        name = key if key.isprintable() else ascii(key)
        raise ConfigError(f"{self.file} line {self.line_of(key, at, table)}: {name} {problem}")

    def line_of(self, key: str, at: int | None, table: str) -> int:
        """The line of a key; where it is not there, that of the rule or table it is missing in."""
        rule, best, quoted = -1, 1, ""
        here = at is None and not table
        for number, raw in enumerate(self.text.splitlines(), 1):
            inside, quoted = bool(quoted), _open_quote(raw, quoted)
            if inside:
                continue
            if header := re.match(r"\s*(\[\[?)\s*\"?([\w-]+)\"?\s*\]", raw):
                is_rule = header[2] == "rule"
                rule += is_rule
                here = is_rule and rule == at if at is not None else header[2] == (table or key)
                best = number if here else best
            elif here and re.match(rf"\s*([\"']?){re.escape(key)}\1\s*[=.]", raw):
                return number
            elif at is not None and re.match(r"\s*rule\s*=", raw):
                best = number
        return best


def _open_quote(line: str, quoted: str) -> str:
    """The triple quote that is still open at the end of a line which began inside `quoted`."""
    while True:
        marks = [quoted] if quoted else ['"""', "'''"]
        found = [(line.index(mark), mark) for mark in marks if mark in line]
        if not found:
            return quoted
        place, mark = min(found)
        line, quoted = line[place + 3 :], "" if quoted else mark


def short(value: Any) -> str:
    try:
        text = ascii(value)
    except (ValueError, RecursionError):  # thousands of digits or of levels
        text = "that"
    return text if len(text) <= 60 else f"{text[:60]}…"
