"""Other thresholds and times, weighed on calls that were decided for real: which decisions that somebody marked wrong
would not have come, and what else would have changed.

Each call keeps the rules and thresholds it had, changed by the same amounts. What cannot be known counts against a
change: where the caller went to a human the record ends, and a decision that a change delays past that is open. A
decision nobody marked counts as right, which is as true as somebody looks at them.

A change is suggested only where it is sure, taking every call as one chance and every change tried as one more way to
be wrong (Bonferroni): that it takes away more than half of what was marked, and spoils little of the rest.
"""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import product

from ..core.emotion import ANGER
from ..core.following import Act, Deed, Replay
from ..core.keeping import again
from ..core.record import Record
from ..core.rulebook import RuleBook
from ..core.steps import Forgotten, HandedOver, Setup, Took

AT_LEAST = (0.0, 0.05, 0.1, -0.05, -0.1)
FOR_S = (0.0, 0.5, 1.0, 2.0)
GATE = (0.0, 0.1)
MOST = 0.99
"""Up to where a threshold is raised: no score is surer."""
NEAR_MS = 10_000
"""A decision that comes this much sooner or later is still the same one; of transfers a call has one."""
HIGH_ANGER, LAST_S = 0.75, 10.0
"""A call that ends so soon after so much anger, and in which nobody was cut off or passed on, was possibly missed."""


@dataclass(frozen=True, slots=True)
class Change:
    """What is added to the thresholds and times that a call had."""

    at_least: float = 0.0
    """To every rule's, and so to `act_at`."""
    for_s: float = 0.0
    gate: float = 0.0

    def book(self, book: RuleBook) -> RuleBook:
        rules = (
            replace(
                rule,
                at_least=raised(rule.at_least, self.at_least),
                for_s=round(rule.for_s + self.for_s, 4) if self.for_s else rule.for_s,
            )
            for rule in book.rules
        )
        return replace(book, rules=tuple(rules))

    def setup(self, setup: Setup) -> Setup:
        return setup._replace(gate=raised(setup.gate, self.gate), act_at=raised(setup.act_at, self.at_least))

    @property
    def size(self) -> float:
        """How far it goes, in steps."""
        return abs(self.at_least) / 0.05 + self.for_s + abs(self.gate) / 0.1


NONE = Change()
CHANGES = tuple(Change(*each) for each in product(AT_LEAST, FOR_S, GATE))
"""The first one changes nothing."""


def raised(value: float, by: float) -> float:
    return round(min(max(0.0, value + by), max(value, MOST)), 4) if by else value


@dataclass(slots=True)
class Tally:
    """What one change does to many calls."""

    wrong: int = 0
    """Decisions that were marked; of these:"""
    wrong_gone: int = 0
    wrong_open: int = 0
    """It is not known what became of so many."""
    other: int = 0
    """Decisions that nobody marked; of these:"""
    other_kept: int = 0
    other_open: int = 0
    added: int = 0
    """Decisions that nobody has ever looked at."""
    later_ms: Counter[int] = field(default_factory=Counter)
    """Of those that are kept and were not marked: how much later, in tenths of a second."""
    wrong_calls: int = 0
    """Calls with a mark; of these:"""
    mended: int = 0
    """All that was marked is gone."""
    other_calls: int = 0
    """Calls with other decisions, or some that were added; of these:"""
    unspoiled: int = 0
    """All other decisions are kept, and none is added."""
    missed: int = 0
    """Calls that were possibly missed; of these:"""
    caught: int = 0
    """Somebody would have been cut off or passed on."""

    def add(self, decisions: Sequence[Deed], wrong: frozenset[int], result: Replay, *, missed: bool) -> None:
        """One call: its decisions, which of them were marked, and what came of it with the change."""
        fates, added = compared(decisions, result)
        marked = [fate for place, fate in enumerate(fates) if place in wrong]
        others = [fate for place, fate in enumerate(fates) if place not in wrong]
        kept = [fate.later_ms for fate in others if fate.later_ms is not None]
        self.wrong += len(marked)
        gone = [fate for fate in marked if fate.later_ms is None and not fate.open]
        self.wrong_gone += len(gone)
        self.wrong_open += sum(fate.open for fate in marked)
        self.other += len(others)
        self.other_kept += len(kept)
        self.other_open += sum(fate.open for fate in others)
        self.added += added
        self.later_ms.update(100 * round(each / 100) for each in kept)
        self.wrong_calls += bool(marked)
        self.mended += bool(marked) and len(gone) == len(marked)
        self.other_calls += bool(others or added)
        self.unspoiled += bool(others) and len(kept) == len(others) and not added
        self.missed += missed
        self.caught += missed and any(set(deed.kinds) & {"transfer", "interrupt"} for deed in result.replayed)

    def later(self) -> tuple[int, int, int] | None:
        """The least, the median and the most that kept decisions come later, milliseconds; None: there are none."""
        if not self.later_ms:
            return None
        half, seen = self.later_ms.total() / 2, 0
        for each in sorted(self.later_ms):
            seen += self.later_ms[each]
            if seen >= half:
                break
        return min(self.later_ms), each, max(self.later_ms)


@dataclass(frozen=True, slots=True)
class Fate:
    """What becomes of one decision."""

    later_ms: int | None
    """It comes so much later; None: it does not come."""
    open: bool = False
    """It may have come after the record's end."""


def compared(decisions: Sequence[Deed], result: Replay) -> tuple[list[Fate], int]:
    """The fate of each of these, and how many others came instead. A decision is kept while the strongest thing it did
    is still done about then; what is left of it otherwise is none that was added, and what it does beyond that is."""
    unused = acts_only(result.replayed)
    same = [_taken(unused, deed, deed.kinds[:1]) for deed in decisions]
    stronger = 0
    for deed, found in zip(decisions, same, strict=True):
        if found is None:
            _taken(unused, deed, deed.kinds[1:])
        else:
            stronger += found.kinds[0] != deed.kinds[0]
    fates = [_fate(deed, found, result.record_ends_ms) for deed, found in zip(decisions, same, strict=True)]
    return fates, stronger + len(unused)


def _taken(unused: list[Deed], deed: Deed, kinds: Sequence[Act]) -> Deed | None:
    """The nearest that did one of these about when this one did, which is used up by that."""
    near = [other for other in unused if set(kinds) & set(other.kinds) and abs(other.t_ms - deed.t_ms) <= _reach(deed)]
    if not near:
        return None
    nearest = min(near, key=lambda other: abs(other.t_ms - deed.t_ms))
    unused.remove(nearest)
    return nearest


def _fate(deed: Deed, same: Deed | None, ends_ms: int | None) -> Fate:
    if same is not None:
        return Fate(same.t_ms - deed.t_ms)
    return Fate(None, open=ends_ms is not None and deed.t_ms + _reach(deed) > ends_ms)


def _reach(deed: Deed) -> float:
    return math.inf if deed.kinds[0] == "transfer" else NEAR_MS


def acts_only(deeds: Sequence[Deed]) -> list[Deed]:
    """Those that did something."""
    return [deed for deed in deeds if deed.kinds]


def ends_in_anger(record: Record, decisions: Sequence[Deed]) -> bool:
    """Whether the call ended soon after high anger, and nobody had been cut off or passed on. Who hung up, and why, no
    record says."""
    strong: set[Act] = {"transfer", "interrupt"}
    if record.began is None or not record.steps or any(strong & set(deed.kinds) for deed in decisions):
        return False
    tracker, angry_at = record.began.setup.tracker(), -math.inf
    for step in record.steps:
        if isinstance(step, HandedOver | Forgotten):
            return False
        if isinstance(step, Took):
            tracker.take(again(step.reading), step.at)
            emotion = tracker.mood(step.at).emotion
            if emotion.label in ANGER and emotion.score >= HIGH_ANGER:
                angry_at = step.at
    return record.steps[-1].at - angry_at <= LAST_S
