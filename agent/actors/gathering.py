"""Speech is looked for in the sound of many calls at once, which costs each a fraction of what it would alone.

A decoder has a seat here, and goes on as soon as it has said that there is something to be judged. The lines of all
calls are read in rounds: behind each, once every decoder that it woke has had its turn, all that has gathered is
judged, and the decoders are told. Where the sweep reads no lines there are no rounds, and a clock takes their place.
Few calls are judged at once: there is nothing to gain by waiting. All windows of a round come together, so the engine
finds them together as well.
"""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

import structlog
import trio

from ..core.speech import MOST, Speech, SpeechGate, judge
from ..rounds import ROUND_S

log = structlog.get_logger()

WITHOUT_S: Final = 1.0
"""After so long without a round there are none, and the clock's own ticks tell how late everybody is."""
FEW: Final = 8
"""So many calls do not wait for each other."""


class Seat:
    """One call's place."""

    __slots__ = ("_done", "_fault", "_found", "_gathering", "gate")

    def __init__(self, gathering: "Gathering", gate: SpeechGate, found: Callable[[Speech], None]) -> None:
        self._gathering, self.gate, self._found = gathering, gate, found
        self._fault: Exception | None = None
        self._done: trio.Event | None = None

    def heard(self) -> None:
        """The gate has heard more: have it judged, now or with others. Raises what judging at once raises."""
        if not (self.gate.pending and self._gathering.expect(self)):
            self.judge()

    async def judged(self) -> None:
        """Return when there is nothing more to be judged. Raises what judging, or being told of it, raised."""
        if self._gathering.expects(self):
            self._done = trio.Event()
            await self._done.wait()
        if self._fault is not None:
            raise self._fault

    def judge(self) -> None:
        """By itself."""
        while self.gate.pending:
            judge((self.gate,))
        self.tell()

    def tell(self) -> None:
        """Say what was found."""
        self._found(self.gate.speech())

    def done(self, fault: Exception | None = None) -> None:
        """Nothing more is to be judged for now."""
        self._fault = self._fault or fault
        if self._done is not None:
            self._done.set()
            self._done = None


class Gathering:
    """All calls' gates. Without its `run`, or with few calls, each is judged as it comes."""

    def __init__(self, *, late: Callable[[float], None] = lambda _: None) -> None:
        """`late` hears with every round how long after its time it began, in seconds."""
        self._late = late
        self._waiting: dict[Seat, None] = {}
        self._since = 0.0
        """When the first of them came."""
        self._wanted, self._round = trio.Event(), trio.Event()
        self._running, self._calls = False, 0
        self._round_at = -math.inf

    @contextmanager
    def seat(self, gate: SpeechGate, found: Callable[[Speech], None]) -> Iterator[Seat]:
        """A place for a call's gate, for as long as the block lasts. `found`, a plain function, is told what there was
        in the sound that it has heard; not any more when the block is left."""
        seat = Seat(self, gate, found)
        self._calls += 1
        try:
            yield seat
        finally:
            self._calls -= 1
            self._waiting.pop(seat, None)

    def expect(self, seat: Seat) -> bool:
        """Judge this one with the others; False: it need not wait for them."""
        if not (self._running and self._calls > FEW):
            self._late(0.0)
            return False
        if not self._waiting:
            self._since = trio.current_time()
        self._waiting[seat] = None
        self._wanted.set()
        return True

    def expects(self, seat: Seat) -> bool:
        """It has not been judged yet."""
        return seat in self._waiting

    def round_over(self, late_s: float) -> None:
        """All lines have been read, beginning so long after it was time, and whoever that woke has had their turn."""
        self._round_at = trio.current_time()
        if self._calls > FEW:
            self._late(late_s)
        if self._waiting:
            self._round.set()

    async def run(self) -> None:
        """Judge what has gathered behind every round, until cancelled. Where there is nothing, nothing ticks."""
        self._running = True
        try:
            while True:
                await self._wanted.wait()
                due = (math.floor(self._since / ROUND_S) + 1) * ROUND_S
                with trio.move_on_at(due):
                    await self._round.wait()
                if self._round_at < due - WITHOUT_S:
                    self._late(trio.current_time() - due)
                self._wanted, self._round = trio.Event(), trio.Event()
                await self._judge_all()
        finally:
            self._running = False
            for seat in list(self._waiting):
                self._judge_alone(seat)

    async def _judge_all(self) -> None:
        """A few milliseconds at a time; then the others get their turn."""
        here = list(self._waiting)
        while here:
            some = [seat for seat in here[:MOST] if seat in self._waiting]
            self._judge(some)
            here = [*here[MOST:], *(seat for seat in some if seat in self._waiting)]
            if here:
                await trio.lowlevel.checkpoint()

    def _judge(self, seats: list[Seat]) -> None:
        """A block of each; those that have no other are told."""
        try:
            judge([seat.gate for seat in seats])
        except Exception:  # something is wrong with one of them, and no other call shall suffer from it
            log.exception("speech.failed")
            for seat in seats:
                self._judge_alone(seat)
            return
        for seat in seats:
            if not seat.gate.pending:
                self._finish(seat, seat.tell)

    def _judge_alone(self, seat: Seat) -> None:
        self._finish(seat, seat.judge)

    def _finish(self, seat: Seat, last_step: Callable[[], None]) -> None:
        """The last step for this seat. What it raises is its own call's bug, and raised there."""
        fault = None
        try:
            last_step()
        except Exception as bug:
            seat.gate.pending.clear()
            fault = bug
        del self._waiting[seat]
        seat.done(fault)
