"""Who blocked the loop? A step of one task that takes long delays every call, and "slow" in a log helps nobody.

A thread beside the loop looks in several times a second, at the main thread's stack. In one pass of the loop each task
has one turn at most; so the same task found in the same pass, again and again for too long, is one step that blocks. It
is said once, with what it is doing right now. The instrument only tells passes apart, for whoever is told of every step
has a share of every step (https://trio.readthedocs.io/en/stable/reference-lowlevel.html#instrument-api).
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
"""A step that was seen for so long is named. Media frames come every 0.02 s, and a note has 0.15 s to be sent."""
LOOK_EVERY_S = 0.05
"""How much longer it may have lasted by then."""
LAG_EVERY_S = 0.25
FRAMES = 4
"""Innermost stack frames that are named."""
_LOOP = "unrolled_run"
"""Trio's function that gives the tasks their turns: right above it in the stack is the task's own, but for moments."""


class Watchdog(trio.abc.Instrument):
    """Give it to `trio.run(instruments=[…])` and keep it `watching` around the run."""

    def __init__(self, slow_s: float = SLOW_S) -> None:
        self._slow_s = slow_s
        self._passes, self._pass_began = 0, 0.0
        self._waits = True
        self._thread = threading.get_ident()
        self._stop = threading.Event()
        self.barked = 0
        """Steps named so far."""

    def before_io_wait(self, timeout: float) -> None:
        self._waits = True

    def after_io_wait(self, timeout: float) -> None:
        self._pass_began = time.perf_counter()
        self._passes += 1
        self._waits = False

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
        seen: tuple[int, int] | None = None
        since, named, looked = 0.0, False, time.perf_counter()
        while not self._stop.wait(LOOK_EVERY_S):
            now, before, passes = time.perf_counter(), looked, self._passes
            looked = now
            step = None if self._waits else self._stack()[1]
            if step is None or seen != (passes, id(step)):
                seen, named = None if step is None else (passes, id(step)), False
                # Where nobody could look all the while, a call into C kept the interpreter: this step's, most likely.
                kept_out = now - before >= LOOK_EVERY_S + self._slow_s
                since = max(before, self._pass_began) if kept_out else now
            if step is not None and not named and now - since >= self._slow_s:
                named = self._name(step, passes, now - since)
            del step  # or all that it holds, a whole call perhaps, would live until the next look

    def _stack(self) -> tuple[FrameType | None, FrameType | None]:
        """Of the main thread: where it is, and the outermost frame of the task that has its turn; None: none has."""
        here = at = sys._current_frames().get(self._thread)
        outer = None
        while at is not None and at.f_code.co_name != _LOOP:
            at, outer = at.f_back, at
        return here, None if at is None else outer

    def _name(self, step: FrameType, passes: int, ran_s: float) -> bool:
        """Say what it is doing; False: it has ended meanwhile."""
        here, still = self._stack()
        if here is None or still is not step or self._passes != passes:
            return False
        self.barked += 1
        log.warning("loop.blocked", task=_name_of(step), at=places(here), ms=round(1000 * ran_s))
        return True


def _name_of(step: FrameType) -> str:
    """The task's, as Trio makes it where it is given none."""
    return f"{step.f_globals.get('__name__', '')}.{step.f_code.co_qualname}"


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
