"""When a caller's anger turned, and by how much. Pure.

The belief is followed from extreme to extreme: a turn is a way of at least SWING that is not taken back by as much.
A single reading that stands alone is no extreme: each is the median of itself and its neighbours. The turn begins when
the belief leaves the level it came from, not at that level's lowest point, which may lie long before.
"""

from collections.abc import Iterable, Sequence
from itertools import pairwise
from statistics import median

from .facts import Sample, Turn

SWING = 0.3
"""Of belief. Less is the ordinary unrest of a voice."""
_EDGE = 0.15
"""The share of the way that still belongs to either level."""

Point = tuple[int, float]
"""A moment in ms, and the belief then."""


def turning_points(samples: Iterable[Sample]) -> list[Turn]:
    """The turns of a call, in order; readings in time order."""
    points = smoothed([(each.t_ms, each.anger) for each in samples if each.says])
    ends = extremes([value for _, value in points])
    return [_turn(points[start : end + 1]) for start, end in pairwise(ends)]


def smoothed(points: Sequence[Point]) -> list[Point]:
    """Each with the median of itself and its neighbours; the outermost as they are."""
    inner = [(b[0], median((a[1], b[1], c[1]))) for a, b, c in zip(points, points[1:], points[2:], strict=False)]
    return [*points[:1], *inner, *points[-1:]] if len(points) > 1 else list(points)


def extremes(values: Sequence[float], swing: float = SWING) -> list[int]:
    """Where the values turned: each place is at least `swing` away from the one before, lows and highs in turn. Fewer
    than two places: they never went so far."""
    low = high = 0
    found: list[int] = []
    heading = 0
    """1: the last place is a low, and the top so far is `high`; -1: the other way round."""
    for at, value in enumerate(values):
        if heading >= 0 and value > values[high]:
            high = at
        if heading <= 0 and value < values[low]:
            low = at
        if heading <= 0 and value - values[low] >= swing:
            found.append(low)
            heading, high = 1, at
        elif heading >= 0 and values[high] - value >= swing:
            found.append(high)
            heading, low = -1, at
    return [*found, high if heading > 0 else low] if heading else []


def _turn(way: Sequence[Point]) -> Turn:
    """From the last point near where it began to the first after that near where it ended."""
    (_, before), (_, after) = way[0], way[-1]
    edge = _EDGE * abs(after - before)
    left = max(at for at, (_, value) in enumerate(way) if abs(value - before) <= edge)
    came = min(at for at, (_, value) in enumerate(way) if at >= left and abs(value - after) <= edge)
    return Turn(way[left][0], way[came][0], before, after)
