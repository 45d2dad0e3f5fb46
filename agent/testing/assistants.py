"""An assistant that remembers what it was told, and fails when told to."""

from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

import trio

from ..core.context import ContextUpdate, CutOff
from ..errors import AssistantRefused, AssistantUnavailable, CallGone
from .faults import Fault, FaultPlan, Faulty

KEEP_TOLD = 10_000


@dataclass(frozen=True, slots=True)
class Told:
    """One thing that was accepted."""

    call_sid: str
    what: ContextUpdate | str
    """A note, or the sentence of an interruption."""
    at: float
    """Loop time."""


class RecordingSession:
    """One call's way to it."""

    def __init__(self, assistant: "RecordingAssistant", call_sid: str) -> None:
        self._assistant = assistant
        self._call_sid = call_sid

    async def tell(self, update: ContextUpdate) -> None:
        await self._assistant.accept(self._call_sid, update)

    async def cut_off(self, sentence: str) -> CutOff | None:
        await self._assistant.accept(self._call_sid, sentence)
        return self._assistant.cut


class RecordingAssistant(Faulty):
    """Shared by many calls. Faults: `stall`, `delay`, `unavailable`, `refused`, `gone`, `crash`, `refuse_open`."""

    def __init__(self, *, name: str = "recording") -> None:
        self.name = name
        self.told: deque[Told] = deque(maxlen=KEEP_TOLD)
        self.attempts = 0
        """Updates offered, accepted or not."""
        self.cut: CutOff | None = None
        """What it knows of a turn that is cut off."""
        self._arrived = trio.Event()
        self._faults = FaultPlan("stall", "delay", "unavailable", "refused", "gone", "crash", "refuse_open")

    @asynccontextmanager
    async def open(self, call_sid: str) -> AsyncIterator[RecordingSession]:
        await trio.lowlevel.checkpoint()
        if fault := self._faults.take("refuse_open"):
            raise AssistantUnavailable("The recording assistant does not open.", retry_after=fault.retry_after)
        yield RecordingSession(self, call_sid)

    async def wait_for(self, predicate: Callable[[Told], bool]) -> Told:
        """The first update told, past or to come, for which it holds."""
        while True:
            arrived = self._arrived
            for told in self.told:
                if predicate(told):
                    return told
            await arrived.wait()

    async def accept(self, call_sid: str, what: ContextUpdate | str) -> None:
        """Suffer the fault of the day, or remember what was said."""
        await trio.lowlevel.checkpoint()
        self.attempts += 1
        fault = self._faults.take("stall", "delay", "unavailable", "refused", "gone", "crash")
        await _suffer(fault)
        self.told.append(Told(call_sid, what, trio.current_time()))
        self._arrived.set()
        self._arrived = trio.Event()


async def _suffer(fault: Fault | None) -> None:
    if fault is None:
        return
    match fault.kind:
        case "stall":
            await trio.sleep_forever()
        case "delay":
            await trio.sleep(fault.seconds)
        case "unavailable":
            raise AssistantUnavailable("The recording assistant does not answer.", retry_after=fault.retry_after)
        case "refused":
            raise AssistantRefused("The recording assistant refuses.")
        case "gone":
            raise CallGone("The call ended at the recording assistant.")
        case _:
            raise RuntimeError("the recording assistant crashes")
