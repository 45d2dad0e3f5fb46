"""What follows from a run: the figures that are shown, and the whole of it as JSON."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import median
from typing import Any

import numpy as np

from .peers import YARDSTICK
from .result import SPEED, Result
from .stages import STAGES
from .step import LAG_MS, Step

Place = tuple[str, str, float]
"""Stage, place in the code, milliseconds of CPU for a second of one call."""


FULL = 0.95
"""Of a core."""


@dataclass(frozen=True, slots=True)
class Compared:
    """One server beside the others, the middle of its runs."""

    name: str
    why_not: str | None = None
    """It was not run."""
    calls: int = 0
    us: float = 0.0
    """CPU for a message."""
    ratio: float | None = None
    """Of this to the yardstick's; None: there is none."""
    kb: float = 0.0
    """A call, over the empty server."""
    late: bool = False
    """It used all of its core: what it did not come to is not counted."""
    disturbed: bool = False
    """Something else used its core in every run: who comes late reads several messages at once, which is cheaper."""


def a_call_kb(steps: Sequence[Step]) -> float | None:
    """Memory for one more call: the slope over numbers of calls that were carried. None: there are too few."""
    carried = {step.calls: step.memory_kb for step in steps if step.kept_up}
    if len(carried) < 2:
        return None
    return float(np.polyfit(list(carried), list(carried.values()), 1)[0])


def stages(result: Result) -> dict[str, float]:
    """Milliseconds of CPU for a second of one call, by stage."""
    found = dict.fromkeys(STAGES, 0.0)
    for stage, _, ms in places(result):
        found[stage] += ms
    return found


def places(result: Result) -> list[Place]:
    """The same by place in the code, the most expensive first."""
    whole = sum(seconds for *_, seconds in result.places)
    if result.sampled is None or not whole:
        return []
    return [(stage, where, result.sampled.cpu_ms * seconds / whole) for stage, where, seconds in result.places]


def long_call(result: Result) -> list[tuple[float, float, int]]:
    """Minutes into a call, milliseconds of CPU for a second of it, and the memory of the server in kB."""
    return [(minute, step.cpu_ms / SPEED, step.memory_kb) for minute, step in result.length]


def growth_kb(result: Result) -> float | None:
    """By how much a call grew while it was looked at: the median of the slopes from look to look, for what is taken
    once and kept is no growth, whenever that is. None: too few."""
    if len(result.length) < 2:
        return None
    pairs = pairwise(long_call(result))
    slope = median((later_kb - kb) / (later - minute) for (minute, _, kb), (later, _, later_kb) in pairs)
    return slope * watched_minutes(result) / result.length[0][1].calls


def watched_minutes(result: Result) -> float:
    """From the first look at a long call to the last."""
    return result.length[-1][0] - result.length[0][0] if result.length else 0.0


def compared(result: Result) -> list[Compared]:
    """Ourselves and the others, cheapest first; those that were not run last."""
    yardstick = result.peers.get(YARDSTICK)
    of = None if isinstance(yardstick, str | None) else _middle(YARDSTICK, yardstick, None).us
    found = [
        Compared(name, runs) if isinstance(runs, str) else _middle(name, runs, of)
        for name, runs in result.peers.items()
    ]
    return sorted(found, key=lambda each: (each.why_not is not None, each.us))


def _middle(name: str, runs: Sequence[tuple[Step, int]], of: float | None) -> Compared:
    """Of the runs that nothing disturbed, where there are any."""
    counted = [run for run in runs if not run[0].disturbed] or runs
    us = median(step.us_a_message for step, _ in counted)
    return Compared(
        name,
        calls=counted[0][0].calls,
        us=us,
        ratio=None if of is None else us / of,
        kb=median((step.memory_kb - empty_kb) / step.calls for step, empty_kb in counted),
        late=max(step.core for step, _ in counted) > FULL,
        disturbed=counted[0][0].disturbed,
    )


def as_json(result: Result) -> dict[str, Any]:
    """Everything, in camel case; times in milliseconds unless their name says otherwise."""
    memory, growth = a_call_kb(result.steps), growth_kb(result)
    return {
        "machine": result.machine,
        "callsPerCore": result.carried if result.steps else None,
        "tooManyCalls": result.too_many,
        "lagMs": LAG_MS,
        "memoryKbPerCall": None if memory is None else round(memory, 1),
        "growthKbPerCall": None if growth is None else round(growth, 1),
        "growthMinutes": round(watched_minutes(result), 1),
        "steps": [step.as_json() for step in result.steps],
        "audioAlone": result.ingress.as_json() if result.ingress else None,
        "cpuMsPerCallSecond": {stage: round(ms, 4) for stage, ms in stages(result).items()},
        "behindTheSocket": result.inside
        and {
            "cpuMsPerCallSecond": {stage: round(ms, 4) for stage, ms in result.inside.stages.items()},
            "callsPerBatch": round(result.inside.batch, 1),
        },
        "longCall": [
            {"minute": round(minute, 1), "cpuMsPerCallSecond": round(ms, 3), "memoryKb": kb}
            for minute, ms, kb in long_call(result)
        ],
        "workers": [{"workers": count, **step.as_json()} for (count, _), step in result.workers.items()],
        "peers": [
            {"name": each.name, "notRun": each.why_not}
            if each.why_not
            else {
                "name": each.name,
                "calls": each.calls,
                "cpuUsPerMessage": round(each.us, 2),
                "ratio": None if each.ratio is None else round(each.ratio, 3),
                "kbPerCall": round(each.kb, 1),
                "disturbed": each.disturbed,
            }
            for each in compared(result)
        ],
        "profile": [
            {"stage": stage, "place": where, "cpuMsPerCallSecond": round(ms, 4)}
            for stage, where, ms in places(result)[:50]
        ],
    }
