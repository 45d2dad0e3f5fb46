"""What a call costs behind its socket: real calls in one process, real speech, and no socket.

Trio's clock jumps, so a run takes as long as its work. What is measured is the CPU time of the loop's thread and of the
ledger's, by stage: a few functions are timed from outside for as long as the run lasts.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import trio
import trio.testing

from ..actors import gathering
from ..calls.directory import CallDirectory, open_directory
from ..calls.timeline import CallTimeline
from ..core.audio import MediaFrame
from ..core.emotion import Outcome
from ..engines.local import LocalEngine, session
from ..engines.local.model import Model
from ..ports import Ledger
from ..settings import Settings
from ..testing import RecordingAssistant
from ..testing.pace import FRAME_BYTES, FRAME_MS

TICKS_A_SECOND = 1000 // FRAME_MS
WARM_UP_S = 4.0
"""Until every call is in the midst of it."""


@dataclass(slots=True)
class Split:
    """Milliseconds of CPU per call and second, by stage; what is no other stage's is the tree's."""

    stages: dict[str, float] = field(default_factory=dict)
    batch: float = 0.0
    """Calls in the engine's batches, on average."""
    gathered: float = 0.0
    """The same where speech is looked for."""
    events: float = 0.0
    """Lines of the timeline per call and second."""

    @property
    def total(self) -> float:
        return sum(self.stages.values())


class Stopwatch:
    """CPU seconds by stage. What is timed inside of something else counts once, for the innermost."""

    def __init__(self) -> None:
        self.spent: dict[str, float] = {}
        self.sizes: dict[str, list[int]] = {}
        self._inner: list[float] = []

    def clear(self) -> None:
        self.spent.clear()
        self.sizes.clear()

    @contextmanager
    def timed(self, owner: Any, name: str, stage: str, size: Callable[..., int] | None = None) -> Iterator[None]:
        """Count this function's time for the stage, as long as the block lasts."""
        real = getattr(owner, name)

        def measured(*args: Any, **kwargs: Any) -> Any:
            began = time.thread_time()
            self._inner.append(0.0)
            try:
                return real(*args, **kwargs)
            finally:
                took = time.thread_time() - began
                self.spent[stage] = self.spent.get(stage, 0.0) + took - self._inner.pop()
                if self._inner:
                    self._inner[-1] += took
                if size is not None:
                    self.sizes.setdefault(stage, []).append(size(*args, **kwargs))

        setattr(owner, name, measured)
        try:
            yield
        finally:
            setattr(owner, name, real)


class Silent:
    """A line that is not there."""

    def hang_up(self, code: int, reason: str) -> None: ...


def measure(
    sound: bytes,
    *,
    calls: int = 100,
    seconds: float = 10.0,
    settings: Settings | None = None,
    ledger: Callable[[], AbstractAsyncContextManager[Ledger]],
) -> Split:
    """So many calls for so long, each somewhere else in `sound` (mu-law, as long as it likes: it is repeated)."""
    watch, split = Stopwatch(), Split()
    with ExitStack() as timing:
        judge_size: Callable[..., int] = len
        timing.enter_context(watch.timed(gathering, "judge", "speech", judge_size))
        timing.enter_context(watch.timed(session, "hop", "features", lambda _, memory, *rest: len(memory)))
        timing.enter_context(watch.timed(Model, "judge", "model"))
        timing.enter_context(watch.timed(LocalEngine, "judge", "batching"))
        timing.enter_context(watch.timed(CallTimeline, "record", "timeline"))
        chosen = replace(settings or Settings(), max_calls=calls + 1)
        clock = trio.testing.MockClock(autojump_threshold=0)
        trio.run(_run, sound, calls, seconds, chosen, ledger, watch, split, clock=clock)
    return split


async def _run(
    sound: bytes,
    calls: int,
    seconds: float,
    settings: Settings,
    ledger: Callable[[], AbstractAsyncContextManager[Ledger]],
    watch: Stopwatch,
    split: Split,
) -> None:
    async with (
        ledger() as kept,
        open_directory(LocalEngine(), RecordingAssistant(), kept, settings) as directory,
    ):
        callers = _callers(directory, sound, calls)
        await _speak(callers, WARM_UP_S, kept)
        watch.clear()
        began, mine, events = time.process_time(), time.thread_time(), _events(directory)
        feeding = await _speak(callers, seconds, kept)
        loop_s, all_s = time.thread_time() - mine, time.process_time() - began
        per = 1000 / (calls * seconds)
        split.stages = {stage: spent * per for stage, spent in watch.spent.items()}
        split.stages["tree"] = (loop_s - feeding - sum(watch.spent.values())) * per
        split.stages["ledger's thread"] = max(0.0, all_s - loop_s) * per
        split.gathered = float(np.mean(watch.sizes.get("speech", [0])))
        split.batch = float(np.mean(watch.sizes.get("features", [0])))
        split.events = (_events(directory) - events) / (calls * seconds)
        for caller in callers:
            caller.hang_up(directory)


def _events(directory: CallDirectory) -> int:
    return sum(call.timeline.counts.total() for call in directory)


@dataclass(slots=True)
class Caller:
    """One call's line: says its part of the sound, a frame a tick."""

    sid: str
    mailbox: Any
    line: Silent
    sound: bytes
    at: int
    frames: int = 0

    def speak(self, now: float) -> None:
        payload = self.sound[self.at : self.at + FRAME_BYTES]
        self.mailbox.hear(self.line, MediaFrame(self.frames + 2, FRAME_MS * self.frames, payload, now))
        self.at = (self.at + FRAME_BYTES) % (len(self.sound) - FRAME_BYTES)
        self.frames += 1

    def hang_up(self, directory: CallDirectory) -> None:
        self.mailbox.disconnect(self.line)
        if (call := directory.find(self.sid)) is not None:
            call.end(Outcome.HANGUP)


def _callers(directory: CallDirectory, sound: bytes, calls: int) -> list[Caller]:
    chance, callers = np.random.default_rng(2), []
    for number in range(calls):
        call = directory.register(f"CA{number}", caller="+15550100001")
        assert call is not None
        call.attach_assistant("vapi")
        line = Silent()
        call.mailbox.connect(line, 1)
        at = int(chance.integers(0, len(sound) // FRAME_BYTES - 1)) * FRAME_BYTES
        callers.append(Caller(call.call_sid, call.mailbox, line, sound, at))
    return callers


async def _speak(callers: list[Caller], seconds: float, ledger: Ledger) -> float:
    """Everybody, each at a place of their own in a hop; returns the CPU seconds it took to make the frames."""
    spent, began = 0.0, trio.current_time()
    for tick in range(round(seconds * TICKS_A_SECOND)):
        before = time.thread_time()
        for number, caller in enumerate(callers):
            if caller.frames or tick >= number % 10:
                caller.speak(trio.current_time())
        spent += time.thread_time() - before
        await trio.sleep_until(began + (tick + 1) / TICKS_A_SECOND)
        if tick % TICKS_A_SECOND == 0:
            await ledger.flush()  # its thread gets no time where the clock jumps
    return spent
