"""From frames to sound: mu-law becomes samples, and what is missing becomes a gap, in order and on one media clock.

Sequence numbers tell that something is missing, timestamps tell how much. A carrier's clock that runs on without a
missing message is a pause; a clock that leaps absurdly is not believed beyond `MAX_GAP_MS`, so that no message can make
us account for hours.
"""

from collections.abc import Iterator
from typing import Literal

from . import mulaw
from .audio import SAMPLES_PER_MS, Block, Gap, MediaFrame, PcmChunk
from .frames import BLOCK_MS

MAX_GAP_MS = 10_000

_JITTER_MS = 60
"""Timestamps may wobble by this much without a message missing; contiguous frames are simply joined."""


class Assembler:
    """One call's frames in, chunks and gaps out; its output starts at 0 ms and leaves no hole and no overlap."""

    def __init__(self) -> None:
        self._line: int | None = None
        self._sequence = 0
        self._shift_ms = 0
        self._end = 0

    def push(self, block: Block, *, dropped: int = 0) -> Iterator[PcmChunk | Gap]:
        """The sound of one block. `dropped`: so many blocks we threw away ourselves since the last one."""
        pending, heard_at = bytearray(), block.heard_at
        for frame in block.frames:
            sequence, media_ms, payload, frame_heard_at = frame
            end_ms = (self._end + len(pending)) // SAMPLES_PER_MS
            # Nearly every frame just follows the last, within the jitter: then there is nothing to ask.
            next_in_line = block.line == self._line and sequence == self._sequence + 1
            if not (next_in_line and -_JITTER_MS <= media_ms + self._shift_ms - end_ms <= _JITTER_MS):
                gap = self._gap_before(block.line, frame, end_ms, dropped)
                if gap is not None:
                    if pending:
                        yield self._chunk(pending, heard_at)
                    yield gap
                    pending, dropped = bytearray(), 0
                    self._end = (gap.start_ms + gap.ms) * SAMPLES_PER_MS
            pending += payload
            self._sequence, heard_at = sequence, frame_heard_at
        if pending:
            yield self._chunk(pending, heard_at)

    def _chunk(self, payload: bytearray, heard_at: float) -> PcmChunk:
        chunk = PcmChunk(mulaw.decode(bytes(payload)), self._end // SAMPLES_PER_MS, heard_at)
        self._end += len(payload)
        return chunk

    def _gap_before(self, line: int, frame: MediaFrame, end_ms: int, dropped: int) -> Gap | None:
        """What is missing between the end of what we have and this frame; moves our clock onto the carrier's where they
        differ."""
        if line != self._line:
            # The first socket, or another took over: its clock starts anew, ours goes on.
            self._line, self._shift_ms = line, end_ms - frame.media_ms
            return None
        ahead_ms = frame.media_ms + self._shift_ms - end_ms
        skipped = frame.sequence - self._sequence > 1
        if ahead_ms < -_JITTER_MS:
            self._shift_ms -= ahead_ms
        if ahead_ms <= (0 if skipped else _JITTER_MS):
            return None
        believed_ms = MAX_GAP_MS + dropped * BLOCK_MS  # what we threw away ourselves has really been there
        if ahead_ms > believed_ms:
            self._shift_ms -= ahead_ms - believed_ms
            ahead_ms = believed_ms
        cause: Literal["lost", "dropped"] = "dropped" if dropped else "lost"
        return Gap(end_ms, ahead_ms, cause if skipped else "pause", frame.heard_at)
