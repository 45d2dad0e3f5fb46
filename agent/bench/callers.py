"""The calls of the load: what each has still to say, and those whose turn comes at the same moment.

Nothing here waits. A socket that takes no more keeps its call's frames back, in order, until it does.
"""

import time
from array import array
from collections import deque
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field

import numpy as np
import trio
from wsproto.events import CloseConnection, TextMessage
from wsproto.utilities import LocalProtocolError

from ..testing import twilio_messages as messages
from ..testing.pace import FRAME_MS
from .dialling import Dialled
from .frames import CHANGES, STREAM_SID, Bytes, Numbers, Rows, fill

AHEAD = 10
"""Turns whose messages are made at once: numpy costs the same for ten as for one."""
BACKLOG = 1 << 20
"""Bytes a server may leave unread of one call before it counts as lost."""


@dataclass(eq=False, slots=True)
class Caller:
    """One call of the load."""

    line: Dialled
    slot: "Slot"
    first: int
    """Turn of its first frame."""
    backlog: bytearray = field(default_factory=bytearray)
    """What the server has not taken yet."""
    lost: bool = False
    """The server closed it, or takes nothing any more."""

    @property
    def call_sid(self) -> str:
        return self.line.call_sid

    def sent_at(self, end_ms: int) -> float | None:
        """When the frame was sent that ends at this place of the call; seconds as in `time.time`. None: not yet."""
        place = self.first + end_ms // FRAME_MS - 1 - self.slot.base
        return self.slot.sent_at[place] if 0 <= place < len(self.slot.sent_at) else None

    def send(self, data: bytes | memoryview) -> None:
        """Never waits."""
        if self.lost:
            return
        sent = 0
        if not self.backlog or self._flush():
            sent = self._give(data)
        if sent < len(data):
            self.backlog += data[sent:]
            self.lost |= len(self.backlog) > BACKLOG

    def hang_up(self) -> None:
        """`stop`, and the beginning of the closing handshake."""
        line, sequence = self.line, self.slot.base + len(self.slot.sent_at) - self.first + 2
        stop = messages.stop(messages.Identity("", line.call_sid, "", ""), line.stream_sid, sequence)
        with suppress(LocalProtocolError):  # the server was first
            self.send(line.protocol.send(TextMessage(stop)) + line.protocol.send(CloseConnection(1000)))

    def close(self) -> None:
        self.lost = True
        trio.lowlevel.notify_closing(self.line.socket)
        self.line.socket.close()

    def _flush(self) -> bool:
        del self.backlog[: self._give(bytes(self.backlog))]
        return not self.backlog

    def _give(self, data: bytes | memoryview) -> int:
        try:
            return self.line.socket.send(data)
        except BlockingIOError:
            return 0
        except OSError:
            self.lost = True
            return 0


class Slot:
    """The calls whose frames are due at the same moment of every turn. Their messages are made some turns ahead."""

    def __init__(self, sounds: Bytes, random: np.random.Generator) -> None:
        self.callers: list[Caller] = []
        self.base = 0
        """The turn in which `sent_at` begins."""
        self.sent_at = array("d")
        self._sounds, self._random = sounds, random
        self._ready: deque[list[tuple[Rows, int, list[int]]]] = deque()
        """For each turn to come: messages, where this turn's begin, and the places of their callers."""

    def change(self, callers: Iterable[Caller]) -> None:
        """From now on these are its calls."""
        self.callers = list(callers)
        if not self.callers:
            self.sent_at = array("d")
        self._ready.clear()
        self._first = np.array([caller.first for caller in self.callers], np.int64)
        # Nobody is at the same place of the talk.
        self._offset = np.array([int(caller.call_sid[2:14], 16) for caller in self.callers], np.int64)
        sids = "".join(caller.line.stream_sid for caller in self.callers).encode()
        self._sids = np.frombuffer(sids, np.uint8).reshape(len(self.callers), STREAM_SID)

    def send(self, turn: int) -> int:
        """What is due of each call in this turn, and how much that was; turns follow each other."""
        if not self._ready:
            self._prepare(turn)
        if not self.sent_at:
            self.base = turn
        self.sent_at.append(time.time())
        due = self._ready.popleft()
        for rows, row, places in due:
            at = row * rows.stride
            for place in places:
                self.callers[place].send(rows.data[at : at + rows.size])
                at += rows.stride
        return sum(len(places) for *_, places in due)

    def _prepare(self, turn: int) -> None:
        chunks = np.arange(turn, turn + AHEAD)[:, None] - self._first + 1
        eras = np.searchsorted(CHANGES, chunks, side="right")
        everybody = np.arange(len(self.callers))
        if chunks.min() > 0 and eras.min() == eras.max():
            rows = self._rows(chunks.ravel(), np.tile(everybody, AHEAD))
            self._ready.extend([(rows, n * len(everybody), everybody.tolist())] for n in range(AHEAD))
            return
        some = [everybody[(eras[0] == era) & (chunks[0] > 0)] for era in np.unique(eras[0])]
        self._ready.append([(self._rows(chunks[0, who], who), 0, who.tolist()) for who in some if len(who)])

    def _rows(self, chunks: Numbers, who: Numbers) -> Rows:
        """All of these chunks have as many digits."""
        sounds = self._sounds[(self._offset[who] + chunks) % len(self._sounds)]
        return fill(chunks, self._sids[who], sounds, self._random)
