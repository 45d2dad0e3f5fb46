"""What came of weighing the ledger's calls, as a person reads it and as JSON."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from ..evaluation.suggesting import Suggestion
from ..evaluation.weighing import HIGH_ANGER, LAST_S, NONE, Change, Tally
from ..reporting.words import many
from .visible import visible

if TYPE_CHECKING:
    from .tune_ledger import Weighed

Said = tuple[str, str, str]


def lines_of(weighed: "Weighed", suggestion: Suggestion, shown: int) -> Iterator[str]:
    """The table before and after, how sure it is, and what was left out."""
    now = weighed.tallies[NONE]
    used = weighed.calls - weighed.skipped
    yield (
        f"{many(used, 'call')} decided again with {len(weighed.tallies)} settings: "
        f"{many(now.wrong, 'decision')} marked wrong, {now.other} not"
    )
    if weighed.strayed:
        yield f"{many(weighed.strayed, 'mark')} left aside: no rule decided what they mean"
    if suggestion.change is not None:
        yield ""
        yield f"{'':28}{'as it was':>12}  {_named(suggestion.change)}"
        for name, before, after in _rows(now, weighed.tallies[suggestion.change]):
            yield f"{name:28}{before:>12}  {after}"
    if now.missed:
        yield (
            f"possibly missed: {many(now.missed, 'call')} that ended within {LAST_S:g} s of anger of {HIGH_ANGER:g} or "
            "more, and nobody was cut off or passed on; who hung up, and why, the record does not say"
        )
    yield ""
    yield suggestion.says
    if not suggestion.sure:
        yield "Leave the settings as they are."
    for each in weighed.left_out[:shown]:
        yield visible(f"left out: {each}")
    if weighed.skipped > shown:
        where = "" if weighed.skipped > len(weighed.left_out) else " (--json has them)"
        yield f"left out: and {weighed.skipped - shown} more{where}"


def _named(change: Change) -> str:
    parts = (("at_least", change.at_least), ("for_s", change.for_s), ("gate", change.gate))
    return ", ".join(f"{name} {value:+g}" for name, value in parts if value)


def _rows(now: Tally, after: Tally) -> Iterator[Said]:
    yield "marked wrong, still made", str(now.wrong), str(after.wrong - after.wrong_gone - after.wrong_open)
    yield "  not to be known", "0", str(after.wrong_open)
    yield "others, still made", str(now.other), str(after.other_kept)
    yield "  not to be known", "0", str(after.other_open)
    yield "  later by", "-", _later(after)
    yield "made only now", "0", str(after.added)
    yield "calls with a mark, mended", "-", f"{after.mended} of {after.wrong_calls}"
    yield "other calls, unspoiled", "-", f"{after.unspoiled} of {after.other_calls}"
    if now.missed:
        yield "possibly missed, acted on", f"{now.caught} of {now.missed}", f"{after.caught} of {after.missed}"


def _later(tally: Tally) -> str:
    later = tally.later()
    if later is None:
        return "-"
    least, median, most = (f"{ms / 1000:.1f}" for ms in later)
    return f"{median} s in the middle ({least} to {most})"


def fields_of(weighed: "Weighed", suggestion: Suggestion) -> dict[str, Any]:
    """All of it, every change included."""
    return {
        "calls": weighed.calls,
        "leftOut": weighed.left_out,
        "marksLeftAside": weighed.strayed,
        "sure": suggestion.sure,
        "says": suggestion.says,
        "suggested": None if suggestion.change is None else _change(suggestion.change),
        "tried": [_change(change) | _figures(tally) for change, tally in weighed.tallies.items()],
    }


def _change(change: Change) -> dict[str, float]:
    return {"atLeast": change.at_least, "forS": change.for_s, "gate": change.gate}


def _figures(tally: Tally) -> dict[str, Any]:
    later = tally.later()
    return {
        "wrong": {"decisions": tally.wrong, "gone": tally.wrong_gone, "unknown": tally.wrong_open},
        "others": {"decisions": tally.other, "kept": tally.other_kept, "unknown": tally.other_open},
        "laterMs": None if later is None else dict(zip(("least", "median", "most"), later, strict=True)),
        "added": tally.added,
        "callsMarked": {"calls": tally.wrong_calls, "mended": tally.mended},
        "callsOther": {"calls": tally.other_calls, "unspoiled": tally.unspoiled},
        "possiblyMissed": {"calls": tally.missed, "actedOn": tally.caught},
    }
