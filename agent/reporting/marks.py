"""Which decisions of a call somebody said were wrong. Pure: events of its timeline, and the decisions of its record.

A mark means an event of the timeline, the latest by its moment, as the report of a call takes it. That event came from
the latest decision before it that wanted such a thing; what an operator did came from none.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from ..core.following import Act, Deed
from .deeds import by_operator, kind_of
from .evidence import JOINED_MS, TOGETHER_MS
from .words import Event, number


@dataclass(frozen=True, slots=True)
class Marks:
    """What was marked in one call."""

    wrong: frozenset[int]
    """Places among its decisions."""
    strayed: int
    """Marks that mean none of them."""


def marks(events: Sequence[Event], decisions: Sequence[Deed]) -> Marks:
    """`events`: of one call, in order; `decisions`: those of its record, in order."""
    wrong: set[int] = set()
    strayed = 0
    for at, event in enumerate(events):
        if event.get("event") == "decision.wrong":
            place = _meant(events[:at], number(event.get("decidedT")), decisions)
            if place is None:
                strayed += 1
            else:
                wrong.add(place)
    return Marks(frozenset(wrong), strayed)


def _meant(before: Sequence[Event], decided_ms: float | None, decisions: Sequence[Deed]) -> int | None:
    for event in reversed(before):
        kind, t_ms = kind_of(event), number(event.get("t"))
        if kind is None or t_ms is None or (decided_ms is not None and t_ms > decided_ms + TOGETHER_MS):
            continue
        return None if by_operator(event) else _origin(kind, t_ms, decisions)
    return None


def _origin(kind: Act, t_ms: float, decisions: Sequence[Deed]) -> int | None:
    """The decision that an event of this kind came from."""
    for place in reversed(range(len(decisions))):
        deed = decisions[place]
        if kind in deed.kinds and 0 <= t_ms - deed.t_ms <= JOINED_MS:
            return place
    return None
