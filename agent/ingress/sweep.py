"""The sweep: one task that reads the lines of all calls, a few times a second each.

Being woken for a message costs several times what the message itself does. So nobody is woken: every 40 ms the sweep
asks each socket for what has come meanwhile, without waiting, and hands it over. A line through which the caller speaks
with the assistant is urgent, and asked every 10 ms. However much a socket has to say, it gives its share and no more;
the rest waits in the kernel, and behind that at the peer, and it is asked again 10 ms later, once what it gave has been
listened to: of a burst, as after a stall on the way, nothing is lost for coming too fast. And asking costs more than
what is said: a line that knows that there is nothing to gain by it yet sits rounds out, and a round that all sit out is
none. No more is read in one stretch than takes about a millisecond; then everybody else has their turn. Without lines
there are no rounds.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from math import ceil
from typing import Protocol

import trio

from ..rounds import BEAT_S, BEATS_A_ROUND, ROUND_S

SHARE = 8 * 1024
"""Bytes that one socket may give at a time: half a second of a call. A whole one may wait to be listened to."""
LAST_SHARES = 4
"""Of a line that gives way to a newer one."""
STRETCH = 64 * 1024
"""Bytes read before everybody else has their turn."""


class Swept(Protocol):
    """Who hears what a socket gives."""

    def hear(self, data: bytes, now: float) -> int:
        """Take what has come, at most `SHARE` bytes; empty: it has ended. `now`: seconds on the loop's clock. In which
        round from now it is to be asked again, 1 being the next; 0: that is enough. Never waits."""

    def keeps_up(self) -> bool:
        """Whether what was heard has been listened to, so that a burst may go on."""


@dataclass(slots=True, eq=False)
class _Seat:
    """One socket that is read."""

    socket: int
    line: Swept
    urgent: bool
    behind: bool = False
    """It gave its whole share: there may be more."""
    due: float = 0.0
    """When it is its turn again, where it is neither urgent nor behind: rounds that come late are as many fewer."""
    empty: bool = False
    """It is not to be read any more."""
    left: trio.Event = field(default_factory=trio.Event)
    bug: Exception | None = None


def _round_behind(beat: int) -> int:
    """The beat of the next round, half a round away at least: what is read sooner is not worth it."""
    return ((beat + BEATS_A_ROUND // 2) // BEATS_A_ROUND + 1) * BEATS_A_ROUND


class Sweep:
    """One for all lines: `run` is the task, `listen` the way in."""

    def __init__(
        self,
        *,
        behind: Callable[[int, int], None] = lambda *_: None,
        over: Callable[[float], None] = lambda _: None,
    ) -> None:
        """`behind` hears after every round how many lines have more to say than could be listened to, and of how
        many; `over` after that, when everybody whom the round has woken has had their turn, how late it began, in
        seconds."""
        self._report, self._over = behind, over
        self._seats: dict[_Seat, None] = {}
        self._pressing: dict[_Seat, None] = {}
        """Those that are urgent or behind."""
        self._urgent = 0
        self._came = trio.Event()
        """Somebody new has come to be read."""

    async def listen(self, socket: int, line: Swept, *, urgent: bool = False) -> None:
        """Have this socket read until its line says that it is enough. `socket`: a file descriptor that does not block
        and stays open meanwhile. What `hear` raises, this raises."""
        seat = _Seat(socket, line, urgent)
        self._seats[seat] = None
        self._urgent += urgent
        if urgent:
            self._pressing[seat] = None
        self._came.set()
        try:
            await seat.left.wait()
        finally:
            # Before anybody can close the socket: its number may be another's the moment after.
            seat.empty = True
            del self._seats[seat]
            self._pressing.pop(seat, None)
            self._urgent -= urgent
        if seat.bug is not None:
            raise seat.bug

    def look(self, line: Swept) -> None:
        """Read this line now, whether or not it is its turn: all that waits, but no more than a second or two."""
        for seat in [seat for seat in self._seats if seat.line is line]:
            now, shares = trio.current_time(), 0
            while not seat.empty and shares < LAST_SHARES and self._read(seat, now, now) == SHARE:
                shares += 1

    async def run(self) -> None:
        """Make the rounds, until cancelled."""
        last, round_due, behind = 0, 0, False
        while True:
            if not self._seats:
                await self._somebody_comes()
                round_due = 0
            beat = max(last + 1, int(trio.current_time() / BEAT_S))
            if not (self._urgent or behind):
                beat = max(beat, round_due)
            with trio.move_on_at(beat * BEAT_S):
                await self._somebody_comes()
                round_due = min(round_due, _round_behind(int(trio.current_time() / BEAT_S)))
                continue
            everybody = beat >= round_due
            late_s = trio.current_time() - (round_due or beat) * BEAT_S
            behind, last = await self._round(everybody), beat
            if everybody:
                round_due = max(_round_behind(beat), self._next_wanted())
                self._report(sum(seat.behind for seat in self._pressing), len(self._seats))
                for _ in range(2):  # in the first of these steps of the loop they run, but some of them after us
                    await trio.lowlevel.checkpoint()
                self._over(late_s)

    async def _somebody_comes(self) -> None:
        await self._came.wait()
        self._came = trio.Event()

    def _next_wanted(self) -> int:
        """The beat of the first round that not all sit out; 0: the next one."""
        if self._pressing or not self._seats:
            return 0
        return ceil(min([seat.due for seat in self._seats]) / ROUND_S) * BEATS_A_ROUND

    async def _round(self, everybody: bool) -> bool:
        """Read those whose turn it is; whether any of them is behind."""
        began = now = trio.current_time()
        lies_at = int(began / BEAT_S + 0.5) // BEATS_A_ROUND * ROUND_S  # if it is a little late, the next need not be
        read, behind = 0, False
        for seat in list(self._seats if everybody else self._pressing):
            if not (seat.urgent or seat.behind):
                if began < seat.due:
                    continue
            elif not (seat.urgent or seat.line.keeps_up()):
                continue
            if seat.empty:
                continue
            got = self._read(seat, now, lies_at)
            if (got == SHARE) != seat.behind:
                self._note(seat, behind=not seat.behind)
            behind = behind or seat.behind
            read += got
            if read >= STRETCH:
                await trio.lowlevel.checkpoint()
                now, read = trio.current_time(), 0
        return behind

    def _note(self, seat: _Seat, *, behind: bool) -> None:
        seat.behind = behind
        if behind:
            self._pressing[seat] = None
        elif not seat.urgent:
            self._pressing.pop(seat, None)

    def _read(self, seat: _Seat, now: float, round_at: float) -> int:
        """Pass on what has come; how many bytes that was."""
        try:
            data = os.read(seat.socket, SHARE)
        except BlockingIOError:
            seat.due = round_at
            return 0
        except OSError:  # reset
            data = b""
        try:
            rounds = seat.line.hear(data, now)
        except Exception as bug:  # of this line, and not the others' affair
            seat.bug, rounds = bug, 0
        seat.due = round_at + (rounds - 0.5) * ROUND_S
        if not rounds:
            seat.empty = True
            seat.left.set()
        return len(data)
