"""How long a caller took to calm down after something was done. Pure, and careful with what is not known: a caller who
was not heard any more has not calmed down."""

from bisect import bisect_right
from collections.abc import Sequence

from .facts import Recovery, Sample

HALF = 0.5
STAYS_MS = 1000
"""The belief has to stay below for so long: one doubtful reading calms nobody. Where the call ends sooner, what was
heard last counts."""
REMEMBERED_MS = 10_000
"""A belief older than this says nothing about the caller at the moment of an action."""


def recovery(samples: Sequence[Sample], t_ms: int, gate: float) -> Recovery:
    """What became of the anger after `t_ms`; readings in time order."""
    place = bisect_right(samples, t_ms, key=lambda each: each.t_ms)
    after = samples[place:]
    before = next((each for each in reversed(samples[:place]) if each.says), None)
    last = next((each for each in reversed(after) if each.says), None)
    return Recovery(
        None if before is None or t_ms - before.t_ms > REMEMBERED_MS else before.anger,
        0.0 if last is None else (last.t_ms - t_ms) / 1000,
        None if last is None else last.anger,
        _until_below(after, t_ms, gate),
        _until_below(after, t_ms, HALF),
    )


def _until_below(after: Sequence[Sample], t_ms: int, level: float) -> float | None:
    """Seconds until the first reading below the level that none in the next second takes back."""
    since: int | None = None
    for each in after:
        if since is not None and each.t_ms - since > STAYS_MS:
            break
        if not each.says:
            continue
        if each.anger >= level:
            since = None
        elif since is None:
            since = each.t_ms
    return None if since is None else (since - t_ms) / 1000
