"""One step of the bench: so many calls for so many seconds, and what they cost."""

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import trio

from ..errors import CallmoodError
from ..http import client, httpx
from . import measure
from .load import Load
from .measure import Spread
from .readings import WRITTEN_S, Ages, ages
from .server import Running

LAG_MS = 150
"""From the last frame of a hop to the reading made of it: what a call may have to wait for at most, p99."""
LATE_MS = 20
"""A load that was later than this (p99) says nothing about its server's times."""
WAITED = 0.10
"""Of the time, waiting for a processor that others had, where there was room on it."""
BUSY = 0.9
METRICS_S = 20.0
"""How long an overloaded server may think about its own numbers."""

TROUBLES: Mapping[str, tuple[str, str]] = {
    "droppedMs": ("callmood_audio_missing_ms_total", 'cause="dropped"'),
    "fallbacks": ("callmood_readings_total", 'source="fallback"'),
    "degraded": ("callmood_events_total", 'event="analyzer.degraded"'),
}
"""What a service that cannot keep up says of itself: a metric and one of its labels."""


@dataclass(frozen=True, slots=True)
class Step:
    """What so many calls cost."""

    calls: int
    seconds: float
    cpu_s: float
    """Used by the server in that time."""
    memory_kb: int
    """Held by the server of its own, at the end."""
    messages: int
    """Sent to it."""
    late: Spread | None = None
    """Milliseconds: the load's own lateness."""
    load_core: float = 0.0
    """Share of a core that the load itself needed."""
    waited: float = 0.0
    """Share of the time in which the server waited for a processor: that of its processes which waited most."""
    workers: int = 1
    """Among which the work was shared."""
    lost: int = 0
    """Calls that ended by themselves."""
    ages: Ages = field(default_factory=lambda: Ages(None, None, None))
    troubles: Mapping[str, float] = field(default_factory=dict)

    @property
    def core(self) -> float:
        """Cores that the server used."""
        return self.cpu_s / self.seconds

    @property
    def busiest(self) -> float:
        """Share of its core that a worker used, as far as they shared evenly."""
        return self.core / self.workers

    @property
    def cpu_ms(self) -> float:
        """Milliseconds of CPU for a second of one call."""
        return 1000 * self.core / self.calls

    @property
    def us_a_message(self) -> float:
        return 1e6 * self.cpu_s / max(1, self.messages)

    @property
    def disturbed(self) -> bool:
        """The machine was too busy with something else for times to mean anything."""
        return (self.late is not None and self.late.p99 > LATE_MS) or (self.waited > WAITED and self.busiest < BUSY)

    @property
    def shed(self) -> bool:
        """Calls ended by themselves, or not all of their sound was read."""
        return self.lost > 0 or any(self.troubles.values())

    @property
    def kept_up(self) -> bool:
        """Every call was heard and read in time."""
        reading = self.ages.reading
        return reading is not None and reading.p99 < LAG_MS and not self.shed

    def as_json(self) -> dict[str, Any]:
        figures: dict[str, Any] = {
            "calls": self.calls,
            "seconds": round(self.seconds, 1),
            "cores": round(self.core, 3),
            "cpuMsPerCallSecond": round(self.cpu_ms, 3),
            "cpuUsPerMessage": round(self.us_a_message, 2),
            "memoryKb": self.memory_kb,
            "keptUp": self.kept_up if self.ages.reading or self.troubles else None,
            "disturbed": self.disturbed,
            "waited": round(self.waited, 3),
            "loadCores": round(self.load_core, 3),
            "lost": self.lost,
            **self.troubles,
        }
        spreads = {"frameAgeMs": self.ages.frame, "windowToDecisionMs": self.ages.decision}
        spreads |= {"frameToReadingMs": self.ages.reading, "sendLagMs": self.late}
        return figures | {name: each.as_json() if each else None for name, each in spreads.items()}


async def take(
    running: Running, load: Load, calls: int, *, settle_s: float, window_s: float, aged: bool = True
) -> Step:
    """Have so many calls, let them settle, and measure; without `aged` costs alone. Raises CallmoodError when the
    server takes no more."""
    await load.resize(calls)
    await trio.sleep(settle_s)
    return await (window if aged else costs)(running, load, window_s)


async def window(running: Running, load: Load, window_s: float) -> Step:
    """Measure what is going on: what it costs, and how old what is known of it is."""
    before, since = await troubles(running), time.time()
    step = await costs(running, load, window_s)
    until, after = time.time(), await troubles(running)
    await trio.sleep(WRITTEN_S)
    look = partial(ages, running.folder / "callmood-data", load.callers, since, until)
    return replace(
        step,
        ages=await trio.to_thread.run_sync(look),
        troubles={name: after[name] - before[name] for name in TROUBLES},
    )


async def costs(running: Running, load: Load, window_s: float) -> Step:
    """Measure what is going on, from outside alone."""
    load.lateness()
    began, own_s, sent, (cpu_s, waited_s) = time.monotonic(), time.process_time(), load.sent, _counted(running)
    await trio.sleep(window_s)
    seconds, (now_cpu_s, now_waited_s) = time.monotonic() - began, _counted(running)
    return Step(
        calls=len(load.callers),
        seconds=seconds,
        cpu_s=now_cpu_s - cpu_s,
        memory_kb=measure.memory_kb(measure.family(running.pid)),
        messages=load.sent - sent,
        late=load.lateness(),
        load_core=(time.process_time() - own_s) / seconds,
        waited=max(now_waited_s[pid] - waited_s.get(pid, 0.0) for pid in now_waited_s) / seconds,
        lost=load.lost,
    )


def _counted(running: Running) -> tuple[float, dict[int, float]]:
    """Seconds of CPU so far, and of waiting for it by process."""
    family = measure.family(running.pid)
    return measure.cpu_s(family), {pid: measure.waited_s(pid) for pid in family}


async def troubles(running: Running) -> dict[str, float]:
    """What the service says of its own troubles so far. Raises CallmoodError when it says nothing any more."""
    page = ""
    with trio.move_on_after(METRICS_S):
        async with client() as http:
            try:
                page = (await http.get(running.server.url + "/metrics")).text
            except httpx.HTTPError as fault:
                raise CallmoodError(f"the server does not answer ({type(fault).__name__})") from None
    if not page:
        raise CallmoodError("the server does not answer in time")
    return {name: total(page, metric, label) for name, (metric, label) in TROUBLES.items()}


def total(page: str, metric: str, label: str) -> float:
    """The sum of a metric's values over everything that has this label."""
    rows = [line.rpartition(" ") for line in page.splitlines() if line.startswith(metric + "{")]
    return math.fsum(float(value) for name, _, value in rows if label in name)
