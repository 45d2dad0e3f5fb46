"""Speech is looked for in the sound of many calls at once, which costs each a fraction of what it would alone.

Every decoder leaves its gate here and waits for the next tick. Few calls are judged at once: there is nothing to gain
by waiting. Right behind a tick come the windows of all its calls, so the engine finds them together as well.
"""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final
from weakref import WeakKeyDictionary

import structlog
import trio

from ..core.speech import MOST, Speech, SpeechGate, judge

log = structlog.get_logger()

TICK_S: Final = 0.04
"""Nobody waits longer: the sound has taken five times as long to come."""
FEW: Final = 8
"""So many calls do not wait for each other."""


class Gathering:
    """All calls' gates. Without its `run`, or with few calls, each is judged as it comes."""

    def __init__(self, *, late: Callable[[float], None] = lambda _: None) -> None:
        """`late` hears with every tick how long after its time it came, in seconds."""
        self._late = late
        self._waiting: list[SpeechGate] = []
        self._since = 0.0
        """When the first of them came."""
        self._wanted = trio.Event()
        self._next_tick = trio.lowlevel.ParkingLot()
        self._faults: WeakKeyDictionary[SpeechGate, Exception] = WeakKeyDictionary()
        self._running, self._calls = False, 0

    @contextmanager
    def attended(self) -> Iterator[None]:
        """A call's gate will come from time to time, for as long as the block lasts."""
        self._calls += 1
        try:
            yield
        finally:
            self._calls -= 1

    async def speech(self, gate: SpeechGate) -> Speech:
        """What is in the sound that this gate has heard. Raises what its judging raised."""
        if gate.pending:
            if self._running and self._calls > FEW:
                if not self._waiting:
                    self._since = trio.current_time()
                self._waiting.append(gate)
                self._wanted.set()
                await self._next_tick.park()
                if (fault := self._faults.pop(gate, None)) is not None:
                    raise fault
            else:
                self._late(0.0)
                while gate.pending:
                    judge((gate,))
        return gate.speech()

    async def run(self) -> None:
        """Judge what has gathered at every tick, until cancelled. Where there is nothing, nothing ticks."""
        self._running = True
        try:
            while True:
                await self._wanted.wait()
                due = (math.floor(self._since / TICK_S) + 1) * TICK_S
                await trio.sleep_until(due)
                self._late(max(0.0, trio.current_time() - due))
                await self._tick()
        finally:
            self._running = False
            self._next_tick.unpark_all()

    async def _tick(self) -> None:
        """A few milliseconds at a time; then the others get their turn."""
        gates, self._waiting, self._wanted = self._waiting, [], trio.Event()
        here, self._next_tick = self._next_tick, trio.lowlevel.ParkingLot()
        try:
            while gates:
                some = gates[:MOST]
                self._judge(some)
                gates = [*gates[MOST:], *(gate for gate in some if gate.pending)]
                if gates:
                    await trio.lowlevel.checkpoint()
        finally:
            here.unpark_all()

    def _judge(self, gates: list[SpeechGate]) -> None:
        try:
            judge(gates)
            return
        except Exception:  # something is wrong with one of them, and no other call shall suffer from it
            log.exception("speech.failed")
        for gate in gates:
            try:
                while gate.pending:
                    judge((gate,))
            except Exception as fault:  # its own call's bug, and raised there
                gate.pending.clear()
                self._faults[gate] = fault
