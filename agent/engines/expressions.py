"""From vendors' expressions to our labels, by a table that the user may change.

Hume's probabilities say how sure it is that an expression is there at all. They do not sum to 1, contradict each other,
and are absent below thresholds of their own; so a label's score is the highest among its names, and a voice in which
nothing was found is neutral.
"""

import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import msgspec
import structlog

from ..core.emotion import LABELS
from ..errors import ConfigError

log = structlog.get_logger()

PACKAGED: Final = Path(__file__).parents[1] / "defaults" / "expressions.toml"
UNSEEN_KEPT: Final = 1000
LONGEST_NAME: Final = 64
"""Characters. What is longer is no expression of anybody's."""
_SHOWN: Final = re.compile(r"[a-z][a-z ()/,-]*", re.ASCII)
"""What an unknown name may look like in our log: vendors could put words of the caller's, or our own key, there."""


class Score(msgspec.Struct, frozen=True):
    """How sure a vendor is that an expression is there: not how strong it is."""

    name: str
    probability: float


@dataclass(frozen=True, slots=True)
class Group:
    """What counts as one label."""

    names: frozenset[str]
    stems: tuple[str, ...]

    def holds(self, name: str) -> bool:
        return name in self.names or any(stem in name for stem in self.stems)


class Expressions:
    """The table, and which names it did not know."""

    def __init__(self, groups: Mapping[str, Group]) -> None:
        self._groups = dict(groups)
        self._known: dict[str, str | None] = {}
        self.unseen = 0
        """Expressions found that belong to no label."""

    def label_of(self, name: str) -> str | None:
        """The label a name belongs to: by its exact name before any stem."""
        if len(name) > LONGEST_NAME:
            return None
        name = name.strip().lower()
        if name not in self._known:
            exact = (label for label, group in self._groups.items() if name in group.names)
            stem = (label for label, group in self._groups.items() if group.holds(name))
            if len(self._known) >= UNSEEN_KEPT:
                return next(exact, None) or next(stem, None)
            label = self._known[name] = next(exact, None) or next(stem, None)
            if label is None:
                log.info("engine.unseen_expression", name=name if _SHOWN.fullmatch(name) else "not a name")
        return self._known[name]

    def scores(self, found: Iterable[Score]) -> dict[str, float]:
        """Over LABELS; the highest probability among each label's names."""
        scores = dict.fromkeys(LABELS, 0.0)
        for score in found:
            label = self.label_of(score.name)
            if label is None:
                self.unseen += 1
            elif 0.0 <= score.probability <= 1.0:
                scores[label] = max(scores[label], score.probability)
        scores["neutral"] = 1.0 - max(score for label, score in scores.items() if label != "neutral")
        return scores


def load(path: Path | None = None) -> Expressions:
    """The user's table where there is one, or the packaged one. Raises ConfigError naming the file and the key."""
    if path is None or not path.is_file():
        path = PACKAGED
    try:
        table = tomllib.loads(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"{path} cannot be read as TOML: {error}") from None
    for label, value in table.items():
        if label not in LABELS:
            raise ConfigError(f"{path}: [{label}] is not one of {', '.join(LABELS)}: remove it or correct its name")
        _check(path, label, value)
    groups = {
        label: Group(frozenset(_of(value, "names")), tuple(_of(value, "stems"))) for label, value in table.items()
    }
    return Expressions(groups)


def _check(path: Path, label: str, value: Any) -> None:
    wrong = not isinstance(value, dict) or set(value) - {"names", "stems"}
    if wrong or not all(isinstance(text, str) and text for key in value for text in _listed(value[key])):
        raise ConfigError(f"{path}: [{label}] takes names and stems, each a list of texts")


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [None]


def _of(value: Mapping[str, list[str]], key: str) -> list[str]:
    return [text.strip().lower() for text in value.get(key, [])]
