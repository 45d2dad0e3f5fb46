"""frames -> windows. Owns mu-law table and windows; feeds every sound to the ear; stops what holds no speech."""

from collections.abc import Callable
from typing import Protocol

from ..core.assembly import Assembler
from ..core.audio import Block, Gap, PcmChunk, Window
from ..core.frames import BLOCK_MS
from ..core.speech import Speech, SpeechGate
from ..core.windowing import Windower
from ..ports import Timeline
from .channels import Inbox, Outbox
from .gathering import Gathering
from .line_check import LineCheck
from .overload import Load, Share

LEFT_OVER_MS = 40
"""Where so much is left over behind a block, two frames at least, its last window waits for the next: the carrier's
clock has gone on by a little, and no sound is missing that would tell."""


class Ear(Protocol):
    """Whatever wants to hear every sound."""

    def hear(self, sound: PcmChunk | Gap) -> None:
        """Take the next one. Never waits, never fails."""


class Decoder:
    """One call's."""

    def __init__(
        self,
        ear: Ear,
        timeline: Timeline,
        *,
        listening: Callable[[], bool] = lambda: True,
        line_check: LineCheck | None = None,
        gathering: Gathering | None = None,
        share: Share | None = None,
    ) -> None:
        """`gathering`: where calls have their speech looked for together; `share`: this call's of the machine."""
        self._gathering, self._share = gathering or Gathering(), share or Share(Load(), "", timeline)
        self._ear, self._timeline, self._listening, self._line_check = ear, timeline, listening, line_check
        self._assembler, self._gate, self._windower = Assembler(), SpeechGate(), Windower()
        self._line = self._explained = 0
        """The newest block's line, and how many of those that were dropped have been said."""

    async def run(
        self,
        frames: Inbox[Block],
        windows: Outbox[Window],
        *,
        dropped: Callable[[], int],
        cut_later: Callable[[int], None] = lambda _: None,
    ) -> None:
        """Decode until the frames end. `dropped` counts the blocks thrown away in front of us, each of which is a gap.
        A block that was on its way when listening stopped is not looked at. `cut_later` hears by how many milliseconds
        blocks end too soon for the windows in them."""

        def found(speech: Speech) -> None:
            for window in self._windower.windows(speech):
                if window.speech_ms and self._listening() and self._share.takes(window):
                    windows.offer(window)

        with windows, self._gathering.seat(self._gate, found) as seat, self._share:
            async for block in frames:
                await seat.judged()  # of a burst, one after the other
                if self._listening() and self._share.takes_block():
                    self._decode(block, dropped() + self._share.unheard_blocks)
                    left_over_ms = self._gate.begun_ms
                    if block.span_ms >= BLOCK_MS and left_over_ms >= max(LEFT_OVER_MS, 2 * block.frames[-1].ms):
                        cut_later(BLOCK_MS - left_over_ms)
                del block  # or the last one would stay here as long as no other comes
                seat.heard()
            await seat.judged()
            if self._listening():
                self._say_dropped(dropped() + self._share.unheard_blocks)

    def _decode(self, block: Block, dropped: int) -> None:
        if self._line_check is not None:
            self._line_check.hear(block)
        if block.line != self._line:  # whose clock begins anew, and shows no hole
            self._line = block.line
            self._say_dropped(dropped)
        missing: dict[str, int] = {}
        for sound in self._assembler.push(block, dropped=max(0, dropped - self._explained)):
            if isinstance(sound, Gap) and sound.cause != "pause":
                missing[sound.cause] = missing.get(sound.cause, 0) + sound.ms
            self._ear.hear(sound)
            self._gate.hear(sound)
            self._windower.hear(sound)
        if "dropped" in missing:
            self._explained = dropped
        for cause, ms in missing.items():
            self._timeline.record("audio.gap", ms=ms, cause=cause)

    def _say_dropped(self, dropped: int) -> None:
        """What no hole will show any more."""
        if dropped > self._explained:
            self._timeline.record("audio.gap", ms=BLOCK_MS * (dropped - self._explained), cause="dropped")
            self._explained = dropped

    def forget(self) -> None:
        """Overwrite what is kept of the sound, and forget where speech was."""
        self._gate.forget()
        if self._line_check is not None:
            self._line_check.forget()
        self._windower = Windower()
