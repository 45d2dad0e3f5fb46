"""The sweep: one task that reads the lines of all calls, a few times a second each.

Being woken for a message costs several times what the message itself does. So nobody is woken: every 40 ms the sweep
asks each socket for what has come meanwhile, without waiting, and hands it over. A line through which the caller speaks
with the assistant is urgent, and asked every 10 ms. However much a socket has to say, it gives its share and no more;
the rest waits in the kernel, and behind that at the peer, and it is asked again 10 ms later, once what it gave has been
listened to: of a burst, as after a stall on the way, nothing is lost for coming too fast. No more is read in one
stretch than takes about a millisecond; then everybody else has their turn. Without lines there are no rounds.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

import trio

BEAT_S = 0.01
"""Between two rounds of those that are urgent or behind."""
BEATS_A_ROUND = 4
"""Between two rounds of all."""
SHARE = 8 * 1024
"""Bytes that one socket may give at a time: half a second of a call. A whole one may wait to be listened to."""
STRETCH = 32 * 1024
"""Bytes read before everybody else has their turn."""


class Swept(Protocol):
    """Who hears what a socket gives."""

    def hear(self, data: bytes, now: float) -> bool:
        """Take what has come, at most `SHARE` bytes; empty: it has ended. `now`: seconds on the loop's clock. Whether
        to go on. Never waits."""

    def keeps_up(self) -> bool:
        """Whether what was heard has been listened to, so that a burst may go on."""


@dataclass(slots=True, eq=False)
class _Seat:
    """One socket that is read."""

    line: Swept
    urgent: bool
    behind: bool = False
    """It gave its whole share: there may be more."""
    left: trio.Event = field(default_factory=trio.Event)
    bug: Exception | None = None


class Sweep:
    """One for all lines: `run` is the task, `listen` the way in."""

    def __init__(self, *, behind: Callable[[int, int], None] = lambda *_: None) -> None:
        """`behind` hears after every round how many lines have more to say than could be listened to, and of how
        many."""
        self._report = behind
        self._seats: dict[int, _Seat] = {}
        self._urgent = 0
        self._occupied = trio.Event()

    async def listen(self, socket: int, line: Swept, *, urgent: bool = False) -> None:
        """Have this socket read until its line says that it is enough. `socket`: a file descriptor that does not block
        and stays open meanwhile. What `hear` raises, this raises."""
        seat = self._seats[socket] = _Seat(line, urgent)
        self._urgent += urgent
        self._occupied.set()
        try:
            await seat.left.wait()
        finally:
            # Before anybody can close the socket: its number may be another's the moment after.
            del self._seats[socket]
            self._urgent -= urgent
        if seat.bug is not None:
            raise seat.bug

    async def run(self) -> None:
        """Make the rounds, until cancelled."""
        beat, round_due, behind = 0, 0, False
        while True:
            if not self._seats:
                self._occupied = trio.Event()
                await self._occupied.wait()
            beat = max(beat + 1, int(trio.current_time() / BEAT_S))
            if not (self._urgent or behind):
                beat = max(beat, round_due)
            await trio.sleep_until(beat * BEAT_S)
            everybody = beat >= round_due
            if everybody:
                round_due = beat + BEATS_A_ROUND
            behind = await self._round(everybody)
            if everybody:
                self._report(sum(seat.behind for seat in self._seats.values()), len(self._seats))

    async def _round(self, everybody: bool) -> bool:
        """Read those whose turn it is; whether any of them is behind."""
        now, read, behind = trio.current_time(), 0, False
        for socket, seat in list(self._seats.items()):
            its_turn = seat.urgent or (seat.line.keeps_up() if seat.behind else everybody)
            if not its_turn or self._seats.get(socket) is not seat or seat.left.is_set():
                continue
            got = self._read(socket, seat, now)
            seat.behind = got == SHARE
            behind = behind or seat.behind
            read += got
            if read >= STRETCH:
                await trio.lowlevel.checkpoint()
                now, read = trio.current_time(), 0
        return behind

    def _read(self, socket: int, seat: _Seat, now: float) -> int:
        """Pass on what has come; how many bytes that was."""
        try:
            data = os.read(socket, SHARE)
        except BlockingIOError:
            return 0
        except OSError:  # reset
            data = b""
        try:
            goes_on = seat.line.hear(data, now)
        except Exception as bug:  # of this line, and not the others' affair
            seat.bug, goes_on = bug, False
        if not goes_on:
            seat.left.set()
        return len(data)
