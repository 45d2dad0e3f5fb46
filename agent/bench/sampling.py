"""`python -m agent.bench.sampling serve …`: the command line, and a record of what it spends its CPU on.

SIGUSR1 begins a record, SIGUSR2 ends it and writes it to `samples.json` in the working folder. In between a timer looks
at the stack every few milliseconds, at random: what happens on a schedule would otherwise be met always or never. What
is found waiting for something to happen does not count; the rest shares what the clock of the main thread says it has
used. Other threads share what is over, among those that are found at work.
"""

import json
import random
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import FrameType

from ..cli import main as callmood
from .stages import NOWHERE, Place, judged

EVERY_S = (0.001, 0.004)
SAMPLES = "samples.json"
WAITS = ("_io_epoll.py", "_io_kqueue.py")
"""Where Trio waits for the system."""


class Sampler:
    """Looks at this process. Made, begun and ended by the main thread."""

    def __init__(self) -> None:
        self._main: Counter[Place] = Counter()
        self._others: Counter[Place] = Counter()
        """How often each was met."""
        self._random = random.Random(5)
        self._main_s = self._process_s = 0.0
        self._wakes = -1

    def begin(self, *_: object) -> None:
        self._main.clear()
        self._others.clear()
        self._main_s, self._process_s = time.thread_time(), time.process_time()
        # A look must not wake the loop, which has been told to wake up at signals.
        self._wakes = signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGALRM, self._look)
        self._next()

    def _next(self) -> None:
        signal.setitimer(signal.ITIMER_REAL, self._random.uniform(*EVERY_S))

    def _look(self, _: int, frame: FrameType | None) -> None:
        if frame is not None and not frame.f_code.co_filename.endswith(WAITS):
            self._main[judged(_outwards(frame))] += 1
        own = threading.get_ident()
        for thread, top in sys._current_frames().items():
            if thread != own and (found := judged(_outwards(top))) != NOWHERE:
                self._others[found] += 1
        self._next()

    def end(self, *_: object) -> None:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, signal.SIG_IGN)
        signal.set_wakeup_fd(self._wakes)
        main_s = time.thread_time() - self._main_s
        found = shared(self._main, main_s)
        found.update(shared(self._others, time.process_time() - self._process_s - main_s))
        places = [(*place, seconds) for place, seconds in sorted(found.items(), key=lambda item: -item[1])]
        Path(SAMPLES + ".part").write_text(json.dumps(places))
        Path(SAMPLES + ".part").replace(SAMPLES)


def shared(met: Mapping[Place, int], seconds: float) -> Counter[Place]:
    """So many seconds, by how often each place was met."""
    looks = sum(met.values())
    return Counter({place: seconds * count / looks for place, count in met.items()})


def _outwards(frame: FrameType | None) -> Iterator[tuple[str, str]]:
    while frame is not None:
        yield frame.f_code.co_filename, frame.f_code.co_name
        frame = frame.f_back


def main() -> None:
    sampler = Sampler()
    signal.signal(signal.SIGUSR1, sampler.begin)
    signal.signal(signal.SIGUSR2, sampler.end)
    callmood()


if __name__ == "__main__":
    main()
