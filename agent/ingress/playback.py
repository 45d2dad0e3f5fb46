"""What the caller has really heard of the assistant: pure arithmetic.

Twilio buffers whatever it is given and plays it in order, so that queued is not heard. Marks say what was: one is sent
behind every fifth of a second of sound, and comes back when everything before it has been played. Between two marks
the clock tells the rest, never beyond a mark that has not come back. Positions are bytes of mu-law (8 a millisecond)
counted from the first one ever given to a line; times are the loop's, in seconds.

A turn of the assistant's is sound without a longer pause. Where its platform says when turns begin and end, a pause in
the middle does not end one; but neither does a platform that has finished speaking, while there is sound to be heard.
"""

from collections import deque
from dataclasses import dataclass
from math import inf
from typing import Literal

BYTES_A_MS = 8
MARK_BYTES = 200 * BYTES_A_MS
PAUSE_S = 0.5
"""So long without sound, everything heard, and a turn is over."""
ANNOUNCED_PAUSE_S = 10.0
"""The same while the platform says that it goes on: the word that ends it may have been lost."""
MARKS_LATE_S = 3.0
"""So long after everything must have been played by the clock, a mark that is still out will not come back."""
STARTS_KEPT = 8
MARKS_KEPT = 1000
"""Of those a carrier never returns, the oldest are given up: more than wait in two minutes of sound."""

_SILENCE = b"\xff\x7f\xfe\x7e"
"""Digital silence, of which a platform may send any amount between turns."""


@dataclass(frozen=True, slots=True)
class Cut:
    """A turn that was broken off."""

    heard_ms: int
    sent_ms: int
    """How much of it there was, as far as it came."""
    complete: bool
    """Nothing more would have come."""


class Playback:
    """One call's. The line may change: `restart` says so."""

    def __init__(self) -> None:
        self.sent = 0
        """Position behind what the line was given."""
        self._known, self._known_at = 0, -inf  # a position heard for sure, and when
        self._until = -inf  # when everything the line was given will have been played, by the clock
        self._marks: deque[tuple[str, int]] = deque(maxlen=MARKS_KEPT)
        self._marked = 0
        self._named = 0
        self._starts: deque[int] = deque(maxlen=STARTS_KEPT)  # of turns; the present one is the last that was reached
        self._end = 0
        self._sound_at = -inf
        self._word: Literal["", "started", "stopped"] = ""  # the platform's last one on the present turn

    # --- what the line is given, and says ---

    def send(self, piece: bytes, now: float) -> None:
        """The line is given this."""
        if self.heard(now) >= self.sent:
            self._known, self._known_at = self.sent, now
        if piece.strip(_SILENCE):
            if not self.speaking:
                self._starts.append(self.sent)
                self._word = "started" if self._word == "started" else ""
            self._end, self._sound_at = self.sent + len(piece), now
        self.sent += len(piece)
        self._until = max(self._until, now) + len(piece) / (1000 * BYTES_A_MS)

    @property
    def unmarked(self) -> int:
        """Bytes sent since the last mark."""
        return self.sent - self._marked

    def mark(self) -> str:
        """The name of a mark for everything sent so far."""
        self._named += 1
        self._marked = self.sent
        self._marks.append((name := str(self._named), self.sent))
        return name

    def played(self, name: str, now: float) -> None:
        """A mark came back. One that is not, or no longer, waited for says nothing."""
        if any(name == known for known, _ in self._marks):
            while self._marks:
                known, position = self._marks.popleft()
                self._known, self._known_at = position, now
                if known == name:
                    self._until = max(self._until, now + (self.sent - position) / (1000 * BYTES_A_MS))
                    return

    def restart(self, now: float) -> None:
        """Another line, or an emptied one: nothing sent before will be heard any more."""
        self._marks.clear()
        self._marked = self._known = self._end = self.sent
        self._known_at = self._until = now

    def heard(self, now: float) -> int:
        """The position the caller has heard up to."""
        limit = self._marks[0][1] if self._marks else self.sent
        return round(min(limit, self._known + self._by_the_clock(now)))

    def ahead(self, now: float) -> int:
        """Bytes that wait at the carrier, by the clock alone: a carrier that returns no marks is not waited for."""
        return round(max(0, self.sent - self._known - self._by_the_clock(now)))

    def finished(self, now: float) -> bool:
        """Everything sent has been heard, or nobody will say so any more: not every carrier returns its marks."""
        return self.heard(now) >= self.sent or self._marks_lost(now)

    def _marks_lost(self, now: float) -> bool:
        return now >= self._until + MARKS_LATE_S

    def _by_the_clock(self, now: float) -> float:
        return (now - self._known_at) * 1000 * BYTES_A_MS

    # --- turns ---

    @property
    def speaking(self) -> bool:
        return bool(self._starts)

    def announce(self, *, started: bool, waiting: int = 0) -> None:
        """The platform says that a turn began or ended; `waiting`: bytes on their way to `send`."""
        if started and self._word == "stopped" and self.speaking:
            self._starts.append(self.sent + waiting)
        self._word = "started" if started else "stopped"

    def settle(self, now: float) -> None:
        """Let a turn end of which everything has been heard."""
        pause_s = ANNOUNCED_PAUSE_S if self._word == "started" else PAUSE_S
        heard_out = self.heard(now) >= self._end or self._marks_lost(now)
        if self.speaking and now - self._sound_at >= pause_s and heard_out:
            self._starts.clear()

    def heard_ms(self, now: float) -> int | None:
        """How much of the present turn has been heard; None while there is none."""
        if not self.speaking:
            return None
        heard = self.heard(now)
        while len(self._starts) > 1 and self._starts[1] <= heard and self._starts[1] < self._end:
            self._starts.popleft()
        return max(0, min(heard, self._end) - self._starts[0]) // BYTES_A_MS

    def cut(self, now: float, *, waiting: int) -> Cut | None:
        """Break the present turn off, `waiting` bytes of which were still to be sent. None while there is none."""
        heard_ms = self.heard_ms(now)
        if heard_ms is None:
            return None
        sent_ms = (self._end + waiting - self._starts[0]) // BYTES_A_MS
        cut = Cut(heard_ms, sent_ms, complete=self._word == "stopped")
        self._starts.clear()
        self._word = ""
        self.restart(now)
        return cut
