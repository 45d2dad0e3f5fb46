"""What came of deciding again, as a person reads it and as JSON."""

from collections.abc import Iterator
from typing import Any

import msgspec

from ..core.following import Divergence, Replay
from ..core.steps import Made
from ..reporting.words import many
from ..whatif import COUNTED, Table, Tried, counted


def lines_of(tried: Tried, *, others: bool) -> Iterator[str]:
    """One call."""
    if tried.incomplete is not None:
        yield f"incomplete: {tried.incomplete}"
    replay = tried.replay
    if replay is None:
        return
    whose = "these rules" if others else "its own rules"
    before, now = counted(replay.recorded)["decisions"], counted(replay.replayed)["decisions"]
    yield (
        f"{tried.call_sid} by {whose}: {replay.lasted_s:.1f} s, {replay.readings} readings, "
        f"{many(before, 'decision')}, now {now}"
    )
    for each in replay.differences:
        yield from _difference(each)
    if replay.record_ends_ms is not None:
        yield (
            f"{replay.record_ends_ms / 1000:7.1f} s  the record ends: the caller went to a human here, and by these "
            "rules would not have"
        )
    if not replay.differences:
        yield "nothing differs"


def lines_of_table(table: Table, shown: int) -> Iterator[str]:
    """Many calls."""
    counts = f"{many(table.calls, 'call')}, {len(table.otherwise)} decided otherwise"
    yield f"{counts}, {len(table.incomplete)} incomplete (and left out)"
    yield f"{'':12}{'before':>8}{'after':>8}"
    for name in COUNTED:
        yield f"{name:12}{table.before[name]:8}{table.after[name]:8}"
    if table.record_ends:
        yield f"in {table.record_ends} the record ends: the caller went to a human, and by these rules would not have"
    yield from _some("otherwise", table.otherwise, shown)
    yield from _some("incomplete", table.incomplete, shown)


def object_of(tried: Tried, took_s: float) -> str:
    """One call as JSON."""
    began, replay = tried.record.began, tried.replay
    fields: dict[str, Any] = {"callSid": tried.call_sid, "incomplete": tried.incomplete}
    if began is not None:
        fields |= {"recordedBy": began.made_by, "engine": began.engine, "model": began.model}
    if replay is not None:
        fields |= _facts(replay) | {"speedup": _speedup(replay.lasted_s, took_s)}
    return msgspec.json.encode(fields).decode()


def object_of_table(table: Table, took_s: float) -> str:
    """Many calls as JSON."""
    fields = {
        "calls": table.calls,
        "before": {name: table.before[name] for name in COUNTED},
        "after": {name: table.after[name] for name in COUNTED},
        "otherwise": table.otherwise,
        "recordEnds": table.record_ends,
        "incomplete": table.incomplete,
        "durationMs": round(1000 * table.lasted_s),
        "speedup": _speedup(table.lasted_s, took_s),
    }
    return msgspec.json.encode(fields).decode()


def _facts(replay: Replay) -> dict[str, Any]:
    before, after = counted(replay.recorded), counted(replay.replayed)
    return {
        "durationMs": round(1000 * replay.lasted_s),
        "readings": replay.readings,
        "before": {name: before[name] for name in COUNTED},
        "after": {name: after[name] for name in COUNTED},
        "recordEndsMs": replay.record_ends_ms,
        "differences": [
            {"t": each.t_ms, "kind": each.kind, "recorded": _made(each.recorded), "replayed": _made(each.replayed)}
            for each in replay.differences
        ],
    }


def _made(made: Made | None) -> dict[str, Any] | None:
    if made is None:
        return None
    return {
        "mood": {"label": made.mood.label, "score": made.mood.score, "trend": made.mood.trend},
        "rules": [{"rule": each.rule, "heldS": each.held_s, "did": each.did} for each in made.fired],
        "note": made.note,
        "say": made.say,
        "transfer": made.transfer,
        "unheard": made.unheard,
        "overBudget": made.over_budget,
    }


def _difference(each: Divergence) -> Iterator[str]:
    at = f"{each.t_ms / 1000:7.1f} s  "
    if each.recorded is None or each.replayed is None:
        made = each.replayed if each.recorded is None else each.recorded
        assert made is not None
        yield f"{at}{each.kind:8} {_said(made)}"
    else:
        yield f"{at}{'before':8} {_said(each.recorded)}"
        yield f"{'':11}{'now':8} {_said(each.replayed)}"


def _said(made: Made) -> str:
    """One decision on a line."""
    rules = "; ".join(f"{each.rule} after {each.held_s:.2f} s ({', '.join(each.did)})" for each in made.fired)
    parts = [f"{made.mood.label} {made.mood.score:.2f} {made.mood.trend}", rules or "by no rule"]
    parts += [f'note "{made.note}"'] if made.note else []
    parts += [f'says "{made.say}"'] if made.say else []
    parts += ["nobody to tell"] if made.unheard else []
    parts += [f"spent: {', '.join(made.over_budget)}"] if made.over_budget else []
    return ": ".join(parts[:2]) + "".join(f", {part}" for part in parts[2:])


def _some(name: str, all_of_them: list[str], shown: int) -> Iterator[str]:
    for each in all_of_them[:shown]:
        yield f"{name}: {each}"
    if len(all_of_them) > shown:
        yield f"{name}: and {len(all_of_them) - shown} more (--json has all)"


def _speedup(lasted_s: float, took_s: float) -> float:
    """How many times faster than the call."""
    return round(lasted_s / max(took_s, 1e-9), 1)
