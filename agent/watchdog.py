"""Who blocked the loop? A step of one task that takes long delays every call, and "slow" in a log helps nobody.

The instrument notes when a step begins (https://trio.readthedocs.io/en/stable/reference-lowlevel.html#instrument-api).
A thread beside the loop looks in several times a second; when it finds the same step still running, it reads from the
main thread's stack what it is doing right now, and says so once a step.
"""

import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import islice
from types import FrameType

import structlog
import trio

log = structlog.get_logger()

SLOW_S = 0.1
"""A step longer than this is named. Media frames come every 0.02 s, and a note has 0.15 s to be sent."""
LOOK_EVERY_S = 0.05
LAG_EVERY_S = 0.1
FRAMES = 4
"""Innermost stack frames that are named."""


class Watchdog(trio.abc.Instrument):
    """Give it to `trio.run(instruments=[…])` and keep it `watching` around the run."""

    def __init__(self, slow_s: float = SLOW_S) -> None:
        self._slow_s = slow_s
        self._step = 0
        self._since: float | None = None
        self._task = ""
        self._thread = threading.get_ident()
        self._stop = threading.Event()
        self.barked = 0
        """Steps named so far."""

    def before_task_step(self, task: trio.lowlevel.Task) -> None:
        self._task = task.name
        self._step += 1
        self._since = time.perf_counter()

    def after_task_step(self, task: trio.lowlevel.Task) -> None:
        self._since = None

    @contextmanager
    def watching(self) -> Iterator["Watchdog"]:
        """Look in from another thread for as long as the block lasts."""
        looking = threading.Thread(target=self._look, name="watchdog", daemon=True)
        looking.start()
        try:
            yield self
        finally:
            self._stop.set()
            looking.join(1.0)

    def _look(self) -> None:
        named = 0
        while not self._stop.wait(LOOK_EVERY_S):
            since, step, task = self._since, self._step, self._task
            if since is None or step == named or time.perf_counter() - since < self._slow_s:
                continue
            frame = sys._current_frames().get(self._thread)
            if frame is None or self._step != step:
                continue
            named = step
            self.barked += 1
            at = places(frame)
            del frame  # or all that it holds, a whole call perhaps, would live until the next step is named
            log.warning(
                "loop.blocked",
                task=task,
                at=at,
                ms=round(1000 * (time.perf_counter() - since)),
            )


def places(frame: FrameType) -> list[str]:
    """Where its innermost frames stand, the innermost last. `extract_stack` would read whole sources, and keep them."""
    steps = islice(traceback.walk_stack(frame), FRAMES)
    return [f"{at.f_code.co_filename}:{line} {at.f_code.co_name}" for at, line in steps][::-1]


async def lag(observe: Callable[[float], None]) -> None:
    """Tell several times a second how late the loop comes to what is due, in seconds, until cancelled: this is what
    every frame and every note waits for."""
    while True:
        due = trio.current_time() + LAG_EVERY_S
        await trio.sleep_until(due)
        observe(max(0.0, trio.current_time() - due))
