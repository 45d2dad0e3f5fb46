"""What breaks, when it breaks, and what becomes of it: one call that suffers, and one beside it that must not notice.

A row plays two calls on a jumping clock. Both ring, are heard for `TALK_S`, turn angry on the way, and their assistants
are told; engine and assistant take a moment for everything they do, so that each instant of `WHEN` falls into the
middle of something. At that instant something breaks for the first call alone.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any

import pytest
import structlog
import trio
from trio.testing import MockClock

from agent.calls.call import Call
from agent.calls.directory import CLOSING, LAST_SAVE_S, open_directory
from agent.core.emotion import Outcome
from agent.errors import LedgerUnavailable
from agent.ledger.memory import MemoryLedger
from agent.ports import Assistant
from agent.testing import Fault, RecordingAssistant, ScriptedEngine, ScriptedLine

from ..calls.stage import ANGRY, CALM, SETTINGS, VOICE, Stage
from ..calls.test_chaos import Split

RING_S = 1.0
"""From the webhook to the first sample."""
TALK_S = 5.0
SCRIPT = {0: CALM, 2000: ANGRY}
READ_S = 0.05
TELL_S = 0.4
NOTE_S = 2.6 + READ_S
"""After the first sample the assistant is told of the anger, when nothing is broken."""
WRAP_UP_S = 1.0
QUIET_S = 10.0
NEVER_CAME_S = 60.0

WHEN = {
    "ringing": 0.0,
    "first second": RING_S + 0.5,
    "mid-reading": RING_S + 1.0 + READ_S / 2,
    "publishing": RING_S + NOTE_S - 0.01,
    "hanging up": RING_S + NOTE_S - 0.01,
    "draining": RING_S + 1.0 + READ_S / 2,
}
"""Seconds after the webhook at which it breaks. Draining has begun shortly before."""
HANGING_UP_S = 2.82
"""What the caller says before hanging up in the middle of a reading and of a note."""


@dataclass
class Weather:
    """A `Pace` that changes while the line is open."""

    speed: float = 1.0
    loss: float = 0.0
    jitter_ms: float = 0.0
    seed: int = 1


class FaultyLedger(MemoryLedger):
    """Flushing suffers a fault; appending never fails, as the port promises."""

    def __init__(self) -> None:
        super().__init__()
        self.fault: Fault | None = None

    async def flush(self) -> None:
        match self.fault:
            case Fault("stall"):
                await trio.sleep_forever()
            case Fault("delay", seconds=seconds):
                await trio.sleep(seconds)
            case Fault("unavailable"):
                raise LedgerUnavailable("the ledger cannot be written (no space left on device)")


@dataclass
class Scene:
    """Everything the first call has of its own, and what a fault may be done to."""

    stage: Stage
    patch: pytest.MonkeyPatch
    nursery: trio.Nursery
    call: Call
    engine: ScriptedEngine
    assistant: RecordingAssistant
    ledger: FaultyLedger
    broken: bool = False
    """The fault is in force: for whatever else looks at it."""
    weather: Weather = field(default_factory=Weather)
    line_life: trio.CancelScope = field(default_factory=trio.CancelScope)
    lines: list[ScriptedLine] = field(default_factory=list)
    over_at: float = trio.current_time.__class__ and 0.0
    """When there was no more reason for the call to be there."""
