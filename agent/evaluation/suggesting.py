"""Which change to suggest after weighing them, how sure that is, and what it would take to be sure."""

from collections.abc import Mapping
from dataclasses import dataclass

from .metrics import binomial_lower, binomial_upper, needed_to_show
from .weighing import CHANGES, NONE, Change, Tally

GONE, SPOILED = 0.5, 0.1
"""Of the calls with a mark more than this share must surely be mended, and of the others less than that spoiled."""
CONFIDENCE = 1 - 0.05 / (2 * (len(CHANGES) - 1))
"""Of each of the two bounds, so that all of them together hold with 95 %."""
MOST_CALLS = 100_000


@dataclass(frozen=True, slots=True)
class Suggestion:
    """What comes of weighing."""

    change: Change | None
    """The best that was tried; None: none takes anything away that was marked without taking much else."""
    sure: bool
    says: str
    """How sure, in a sentence or two."""


def suggested(tallies: Mapping[Change, Tally]) -> Suggestion:
    """Of what was tried, the change that mends most calls, among those that spoil few; the smallest of equals."""
    now = tallies[NONE]
    if not now.wrong_calls:
        return Suggestion(None, False, f"Too few marks: no decision is marked wrong. {_needed_at_least()}")
    better = [
        change
        for change, tally in tallies.items()
        if tally.mended and tally.other_calls - tally.unspoiled <= SPOILED * tally.other_calls
    ]
    if not better:
        return Suggestion(None, False, "Nothing that was tried takes away what was marked and leaves the rest.")
    best = max(better, key=lambda change: (tallies[change].mended, tallies[change].unspoiled, -change.size))
    return _judged(best, tallies[best])


def _judged(change: Change, tally: Tally) -> Suggestion:
    spoiled = tally.other_calls - tally.unspoiled
    mends = binomial_lower(tally.mended, tally.wrong_calls, CONFIDENCE)
    spoils = binomial_upper(spoiled, tally.other_calls, CONFIDENCE)
    known = (
        f"With 95 % certainty, for all that was tried together, it mends more than {100 * mends:.0f} % of calls with a "
        f"wrong decision, and spoils less than {100 * spoils:.0f} % of the others."
    )
    if mends > GONE and spoils < SPOILED:
        return Suggestion(change, True, known)
    wanted = f"To be sure it takes more than {100 * GONE:.0f} % and less than {100 * SPOILED:.0f} %:"
    few = []
    if mends <= GONE:
        few.append(_more_marks(tally.mended / tally.wrong_calls))
    if spoils >= SPOILED:
        share = spoiled / tally.other_calls if tally.other_calls else 0.0
        needed = needed_to_show(SPOILED, share, CONFIDENCE, MOST_CALLS)
        few.append(
            f"about {needed} calls with other decisions are needed, if {100 * share:.0f} % of them are spoiled"
            if needed < MOST_CALLS
            else "it spoils too many others, and more calls would hardly change that"
        )
    marks = "Too few marks. " if mends <= GONE else ""
    return Suggestion(change, False, f"{marks}{known} {wanted} {'; '.join(few)}.")


def _more_marks(share: float) -> str:
    needed = marks_needed(share)
    if needed is None:
        return "it mends too few of them, and more marks would hardly change that"
    return f"about {needed} calls with marks are needed, if {100 * share:.0f} % of them are mended"


def _needed_at_least() -> str:
    return f"About {marks_needed(1.0)} calls with marks are needed to be sure of anything."


def marks_needed(share: float) -> int | None:
    """How many calls with marks it takes to be sure of a change that mends this share of them; None: no number does."""
    needed = needed_to_show(1 - GONE, 1 - share, CONFIDENCE, MOST_CALLS)
    return needed if needed < MOST_CALLS else None
