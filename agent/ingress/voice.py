"""The assistant's voice on its way to the caller: what waits, what is sent, what is dropped when it is interrupted.

Bytes are passed on as they came, in pieces of at most 60 ms with a mark every 200 ms. So much may wait here and at the
carrier; then the assistant's socket is read no further. An interruption empties both, and what the assistant still
sends of that turn is dropped: until its platform says that a turn has ended or begun, or there is a pause in it.
"""

import re
from collections import deque
from collections.abc import Awaitable, Callable
from math import inf

import trio

from ..telephony.twilio_said import clear, mark, media
from .playback import BYTES_A_MS, MARK_BYTES, Cut, Playback

PIECE_BYTES = 60 * BYTES_A_MS
LINGER_S = 0.06
"""So long after its last sound a burst gets its last mark."""
WAITING_BYTES = 64 * 1024
AHEAD_BYTES = 120_000 * BYTES_A_MS
"""Two minutes of sound may wait at the carrier."""
TAKES_S = 5.0
"""A socket that takes nothing for so long is broken."""
DROP_S = 4.0
"""How long after an interruption the interrupted turn's sound may still come, at the most."""
DROP_PAUSE_S = 0.2
"""A pause like this in it, and what comes next is the next turn's."""
MS_A_CHARACTER = 60
"""Of speech, about: how long a turn is of which only the text is known."""
POLL_S = 0.02


class Voice:
    """One call's. `on_turn` hears whether the caller is hearing a turn of the assistant's; often, and repeatedly."""

    def __init__(self, on_turn: Callable[[bool], None]) -> None:
        self._on_turn = on_turn
        self._queue: deque[bytes] = deque()
        self._waiting = 0
        self._changed, self._taken = trio.Event(), trio.Event()
        self._playback = Playback()
        self._clear_due, self._cleared = False, trio.Event()
        self._dropping_until = self._dropped_at = -inf

    async def put(self, message: bytes) -> None:
        """The assistant says this. Waits while too much does already."""
        if not message or self._drops(trio.current_time()):
            return
        self._queue.append(message)
        self._waiting += len(message)
        self._wake()
        while self._waiting > WAITING_BYTES:
            await self._taken.wait()

    async def play(self, stream_sid: str, send: Callable[[str], Awaitable[None]]) -> None:
        """Give it to a line, as messages of the carrier's. Returns when that takes nothing any more."""
        self._playback.restart(trio.current_time())
        self._clear_due = False
        while True:
            message = self._next_message(stream_sid) or await self._awaited(stream_sid)
            if message is None:
                continue
            with trio.move_on_after(TAKES_S) as patience:
                await send(message)
            if patience.cancelled_caught:
                return
            if not self._clear_due:
                self._cleared.set()

    def _next_message(self, stream_sid: str) -> str | None:
        playback, now = self._playback, trio.current_time()
        if self._clear_due:
            self._clear_due = False
            return clear(stream_sid)
        if playback.unmarked >= MARK_BYTES:
            return mark(stream_sid, playback.mark())
        if not self._queue or playback.ahead(now) > AHEAD_BYTES:
            return None
        piece = self._cut_piece()
        playback.send(piece, now)
        self.settle()
        return media(stream_sid, piece)

    async def _awaited(self, stream_sid: str) -> str | None:
        """Wait for more; the mark that follows where a burst has ended."""
        longest_s = LINGER_S if self._playback.unmarked else POLL_S if self._queue else inf
        with trio.move_on_after(longest_s) as pause:
            await self._changed.wait()
        if pause.cancelled_caught and self._playback.unmarked:
            return mark(stream_sid, self._playback.mark())
        return None

    def _cut_piece(self) -> bytes:
        """The next of what waits: what came as one message is cut into equal pieces."""
        message = self._queue.popleft()
        if len(message) > PIECE_BYTES:
            size = -(-len(message) // -(-len(message) // PIECE_BYTES))
            self._queue.appendleft(message[size:])
            message = message[:size]
        self._waiting -= len(message)
        self._note_taken()
        return message

    def _wake(self) -> None:
        self._changed.set()
        self._changed = trio.Event()

    def _note_taken(self) -> None:
        self._taken.set()
        self._taken = trio.Event()

    # --- what became of it ---

    def played(self, mark: str) -> None:
        """The line says that everything before this mark has been heard."""
        self._playback.played(mark, trio.current_time())
        self.settle()

    def stop(self) -> None:
        """There is nobody to hear it any more."""
        self._queue.clear()
        self._waiting = 0
        self._note_taken()
        self._playback.restart(trio.current_time())

    async def wait_heard(self) -> None:
        """Returns when everything the assistant has said has been heard, or never will be."""
        while self._waiting or not self._playback.finished(trio.current_time()):  # noqa: ASYNC110
            await trio.sleep(POLL_S)

    @property
    def speaking(self) -> bool:
        return self._playback.speaking

    def heard_ms(self) -> int | None:
        return self._playback.heard_ms(trio.current_time())

    def turn(self, *, started: bool) -> None:
        """The platform says that a turn began or ended."""
        self._dropping_until = -inf
        self._playback.announce(started=started, waiting=self._waiting)
        self.settle()

    def settle(self) -> None:
        """See whether a turn is over. To be called now and then."""
        self._playback.settle(trio.current_time())
        self._on_turn(self._playback.speaking)

    def flush(self) -> Cut | None:
        """Silence it at once: the carrier is told to forget what it has not played, and the rest of this turn is
        dropped. None, and nothing is done, while there is nothing to be heard."""
        now = trio.current_time()
        cut = self._playback.cut(now, waiting=self._waiting)
        if cut is None:
            return None
        self._queue.clear()
        self._waiting = 0
        self._clear_due, self._dropping_until, self._dropped_at = True, now + DROP_S, now
        self._cleared = trio.Event()
        self._note_taken()
        self._wake()
        self.settle()
        return cut

    async def wait_cleared(self) -> None:
        """Returns when the carrier has been told of the last `flush`."""
        await self._cleared.wait()

    def _drops(self, now: float) -> bool:
        """Whether what comes now is of the turn that was interrupted."""
        if now >= self._dropping_until or now - self._dropped_at >= DROP_PAUSE_S:
            self._dropping_until = -inf
            return False
        self._dropped_at = now
        return True


def unheard(text: str, cut: Cut) -> str:
    """The words of a turn that the caller has not heard, by the share of it that they have: of all there was, or, where
    more would have come, of what so many characters take to say."""
    whole_ms = cut.sent_ms if cut.complete else max(cut.sent_ms, MS_A_CHARACTER * len(text))
    place = round(len(text) * cut.heard_ms / max(1, whole_ms))
    begun = re.match(r"\S*", text[place:]) if place and not text[place - 1 : place].isspace() else None
    return text[place + (begun.end() if begun else 0) :].strip()
