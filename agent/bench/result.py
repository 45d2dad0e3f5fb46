"""How thoroughly a bench is run, and everything that it finds."""

import os
import platform
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from . import measure
from .pipeline import Split
from .step import Step

SPEED = 20
"""Times real time: how a long call is made short."""


@dataclass(frozen=True, slots=True)
class Plan:
    """How thoroughly; seconds."""

    window_s: float
    settle_s: float
    search_s: float
    """For the search for the most calls: no new number is tried after that."""
    length_s: float
    """Of the long call, in its own time."""
    warm_s: float
    """Of it, before it is looked at: what all calls share fills up, the events kept for watchers above all."""


QUICK = Plan(window_s=5, settle_s=2, search_s=45, length_s=540, warm_s=300)
USUAL = Plan(window_s=8, settle_s=3, search_s=300, length_s=1200, warm_s=400)
LONG = Plan(window_s=15, settle_s=4, search_s=600, length_s=4200, warm_s=600)


@dataclass(slots=True)
class Result:
    """Everything that was found. What was not run is empty."""

    machine: dict[str, Any] = field(default_factory=dict)
    steps: list[Step] = field(default_factory=list)
    carried: int = 0
    too_many: int | None = None
    ingress: Step | None = None
    sampled: Step | None = None
    places: list[tuple[str, str, float]] = field(default_factory=list)
    """Stage, place in the code, and seconds of CPU in `sampled`."""
    inside: Split | None = None
    """The same without sockets, in one process whose clock jumps."""
    length: list[tuple[float, Step]] = field(default_factory=list)
    """Minutes into the call, and what it cost from there."""
    workers: dict[tuple[int, int], Step] = field(default_factory=dict)
    """By how many there were, and calls; one worker comes first."""
    peers: dict[str, list[tuple[Step, int]] | str] = field(default_factory=dict)
    """By name: what each run cost, and the memory held before the calls; or why it was not run."""


def described(cores: Sequence[int]) -> dict[str, Any]:
    """The machine, as far as figures depend on it."""
    models = [
        line.partition(":")[2].strip() for line in measure.lines("/proc/cpuinfo") if line.startswith("model name")
    ]
    return {
        "processor": models[0] if models else platform.machine(),
        "cores": len(cores),
        "python": platform.python_version(),
        "load1": round(os.getloadavg()[0], 1),
    }
