"""What the system says of a process and its children: CPU, memory, and how long it had to wait for a processor.

Read from /proc (https://docs.kernel.org/filesystems/proc.html), which is Linux's alone.
"""

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..errors import ConfigError

TICK_S = 1 / os.sysconf("SC_CLK_TCK")


def check_machine() -> None:
    """Raises ConfigError where nothing could be measured."""
    if not Path("/proc/self/status").is_file() or not hasattr(os, "sched_setaffinity"):
        raise ConfigError("bench reads what processes cost from /proc, which only Linux has: run it there")


def family(pid: int) -> list[int]:
    """The process and all its descendants, itself first."""
    found = [pid]
    for each in found:  # grows as it goes
        for thread in _listed(f"/proc/{each}/task"):
            found += [int(child) for child in _text(f"/proc/{each}/task/{thread}/children").split()]
    return found


def cpu_s(pids: Iterable[int]) -> float:
    """Seconds of CPU that they have used, in user and kernel, ended threads included."""
    return TICK_S * sum(_ticks(pid) for pid in pids)


def _ticks(pid: int) -> int:
    fields = _text(f"/proc/{pid}/stat").rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12]) if fields else 0


def memory_kb(pids: Iterable[int], name: str = "RssAnon") -> int:
    """What they hold in memory of their own; `VmRSS`: with the pages of files, libraries above all."""
    total = 0
    for pid in pids:
        for line in lines(f"/proc/{pid}/status"):
            if line.startswith(name + ":"):
                total += int(line.split()[1])
    return total


def waited_s(pid: int) -> float:
    """Seconds in which its main thread could have run and had no processor; 0 where the kernel does not count."""
    return 1e-9 * int((_text(f"/proc/{pid}/schedstat").split() or ["0", "0"])[1])


def pin(pid: int, cores: Iterable[int]) -> None:
    """Keep every thread of these processes on these cores; threads and children to come inherit it."""
    wanted = set(cores)
    for each in family(pid):
        for thread in _listed(f"/proc/{each}/task"):
            try:
                os.sched_setaffinity(int(thread), wanted)
            except ProcessLookupError:
                continue  # ended meanwhile


@dataclass(frozen=True, slots=True)
class Spread:
    """Percentiles of a figure, in the figure's unit."""

    p50: float
    p99: float
    n: int

    def as_json(self) -> dict[str, float]:
        return {"p50": round(self.p50, 1), "p99": round(self.p99, 1), "n": self.n}


def spread(values: Sequence[float], weights: Sequence[int] | None = None) -> Spread | None:
    """The smallest values that half and 99 of a hundred are not above; None for none. A weight says how many times a
    value counts."""
    if not len(values):
        return None
    order = np.argsort(values)
    ranked = np.asarray(values, dtype=np.float64)[order]
    counted = np.cumsum(np.ones(len(ranked)) if weights is None else np.asarray(weights, dtype=np.float64)[order])
    places = [int(np.searchsorted(counted, share * counted[-1] - 1e-9)) for share in (0.5, 0.99)]
    return Spread(float(ranked[places[0]]), float(ranked[places[1]]), int(counted[-1]))


def lines(path: str) -> list[str]:
    """Of a file of the system's; none where there is no such file, or its process has ended."""
    return _text(path).splitlines()


def _listed(path: str) -> list[str]:
    try:
        return os.listdir(path)
    except OSError:
        return []  # ended meanwhile


def _text(path: str) -> str:
    try:
        return Path(path).read_text()
    except OSError:
        return ""
