"""Where a call's line leaves what it heard. The line and its call know each other by this alone.

The line hands over each frame and never waits. Frames travel on in blocks of a hop, so that whoever hears them has
something to do with each. They are counted on the media clock from the first one kept, so that a window never waits for
a block to fill; one second of blocks may pile up, then the oldest pays (five where there is a relay). A relay, where
there is one, gets each frame at once, and gets it also while nobody may listen: then no frame goes any further. Either
side learns of the other's end through it: a line that is gone closes the mailbox, and a call that is over hangs the
line up; but a relay's line, through which the caller speaks with the assistant, stays until the relay releases it. A
newer line takes over from an older one (Twilio may open a second socket for one call); the older is hung up and no
longer heard.
"""

from collections.abc import Callable
from math import inf

import trio

from ..actors.channels import Inbox, Outbox, WhenFull, open_channel
from ..core.audio import SAMPLES_PER_MS, Block, MediaFrame
from ..core.frames import BLOCK_MS
from ..ports import Line
from ..rounds import ROUND_S, round_after

BLOCKS_A_SECOND = 1000 // BLOCK_MS
OF_A_RELAY = 5 * BLOCKS_A_SECOND
"""Blocks that may pile up where a burst cannot be held back, for whoever speaks with the caller wants all of it now."""
FRAMES_A_BLOCK = 50
"""At most; only a carrier with a broken clock gets there."""
EARLY_MS = 5
"""A frame may come so much sooner than any before it."""
CATCH_UP_S = 0.1
"""In which more is listened to than a line hands over in one go."""
FORGETS_MS = 0.2
"""Each time that something comes: carriers' clocks are not ours, and a delay may last."""

SUPERSEDED = (1008, "Superseded")


class Mailbox:
    """One call's. `blocks` is the receiving end, for the decoder; `heard_at` the loop time of the newest frame."""

    def __init__(
        self,
        *,
        listening: Callable[[], bool] = lambda: True,
        on_line: Callable[[], None] = lambda: None,
        depth: int = BLOCKS_A_SECOND,
    ) -> None:
        """`depth`: blocks that may wait for the decoder."""
        self._listening, self._on_line = listening, on_line
        self._outbox: Outbox[Block]
        self.blocks: Inbox[Block]
        self._outbox, self.blocks = open_channel(Block, depth, WhenFull.DROP_OLDEST)
        self._line: Line | None = None
        self.serial = 0
        self._closed = self._unwanted = False
        self.connected, self.over = trio.Event(), trio.Event()
        self.heard_at = -inf
        self.sink: Callable[[MediaFrame], None] | None = None
        """A relay's: while it is set, the line is the relay's to hang up. Gets every frame, whoever listens."""
        self._frames: list[MediaFrame] = []
        self._origin_ms: int | None = None
        self._heard_ms = 0
        """Where on the line's clock the call's own begins; and how far that has come, when another line takes over."""
        self._cut_ms = 0  # the media time up to which these frames may go: a block ends with the one that gets there
        self._ahead_ms = -inf  # how far the line's clock has been ahead of the loop's at the most, lately

    def connect(self, line: Line, serial: int) -> bool:
        """Let this line speak for the call. False: a line with a newer token already does."""
        if serial <= self.serial or (self._closed and self.sink is None):
            return False
        if self._line is not None:
            self._line.hang_up(*SUPERSEDED)
        self._pass_on()
        self._origin_ms, self._ahead_ms = None, -inf
        self._line, self.serial = line, serial
        self.connected.set()
        self._on_line()
        return True

    def hear(self, line: Line, *frames: MediaFrame) -> None:
        """Take what was heard at one moment, in order. Ignored from a line that was superseded."""
        if line is not self._line:
            return
        if self.sink is not None:
            for frame in frames:
                self.sink(frame)
        if self._closed:
            return
        self.heard_at = heard_at = frames[-1].heard_at
        if not self._listening():
            return
        end_ms, waiting = 0, self._frames
        for frame in frames:
            _, media_ms, payload, _ = frame
            if not waiting:
                self._cut_ms = self._end_of_block(media_ms)
            waiting.append(frame)
            end_ms = media_ms + len(payload) // SAMPLES_PER_MS
            if end_ms >= self._cut_ms or len(waiting) == FRAMES_A_BLOCK:
                self._pass_on()
        self._ahead_ms = max(self._ahead_ms - FORGETS_MS, end_ms - 1000 * heard_at)

    def _end_of_block(self, media_ms: int) -> int:
        """Of the one that begins with a frame at this time."""
        if self._origin_ms is None:
            self._origin_ms = media_ms - self._heard_ms
        return media_ms + BLOCK_MS - (media_ms - self._origin_ms) % BLOCK_MS

    def idle_s(self, now: float) -> float:
        """For so long from now no block can become full, going by how soon the line's frames have come at the best:
        until then they may as well wait where they are. 0 where that is not known, or somebody wants each at once."""
        if self.sink is not None:
            return 0.0
        if self._unwanted:  # and so may all wait that nobody listens to, for one and the same round
            return round_after(now + ROUND_S / 2) - now
        if self._origin_ms is None:
            return 0.0
        cut_ms = self._cut_ms if self._frames else self._cut_ms + BLOCK_MS
        return max(0.0, (cut_ms - self._ahead_ms - EARLY_MS) / 1000 - now)

    def cut_later(self, ms: int) -> None:
        """Let blocks end so much later on the line's clock, by which less was heard than has passed."""
        if self._origin_ms is not None:
            self._origin_ms += ms
            self._cut_ms += ms

    def _pass_on(self) -> None:
        if self._frames:
            self._heard_ms = self._frames[-1].end_ms - (self._origin_ms or 0)
            self._outbox.offer(Block(tuple(self._frames), self.serial))
            self._frames.clear()

    def discard(self) -> None:
        """Throw away what waits to be listened to: nobody will listen any more."""
        self._unwanted = True
        self._frames.clear()
        self._outbox.discard()

    def disconnect(self, line: Line, *, another_follows: bool = False) -> bool:
        """This line is gone. True: it was the one that counts; nothing more will be heard unless another follows."""
        if line is not self._line:
            return False
        self._line = None
        if not another_follows:
            self.close()
        elif not self._closed:
            self._pass_on()
        return True

    @property
    def keeps_up(self) -> bool:
        """Whether what was passed on has been taken, all but a little: more would only push it out."""
        return self._closed or 2 * self._outbox.waiting <= BLOCKS_A_SECOND

    async def catch_up(self) -> None:
        """Wait a moment where much has come at once, as after a stall on the way: for a line that can, so that nothing
        of it is lost."""
        if not self.keeps_up:
            await trio.sleep(CATCH_UP_S)

    @property
    def has_line(self) -> bool:
        return self._line is not None

    def close(self) -> None:
        """Nothing more shall be heard, though the line may still be there."""
        if not self._closed:
            self._pass_on()
            self._closed = True
            self._outbox.close()
            self.connected.set()
            self.over.set()

    def hang_up(self, code: int, reason: str) -> None:
        """The call is over: so is its line, unless a relay holds it."""
        self.close()
        if self.sink is None:
            self._end_line(code, reason)

    def release(self, code: int, reason: str) -> None:
        """The relay has ended, and the line with it."""
        self.sink = None
        self._end_line(code, reason)

    def _end_line(self, code: int, reason: str) -> None:
        line, self._line = self._line, None
        if line is not None:
            line.hang_up(code, reason)

    @property
    def outbox(self) -> Outbox[Block]:
        """The sending end of `blocks`, for whoever looks in."""
        return self._outbox

    @property
    def held(self) -> int:
        """Frames of the block that is being filled."""
        return len(self._frames)

    @property
    def dropped(self) -> int:
        """Blocks lost because the decoder did not keep up."""
        return self._outbox.dropped
