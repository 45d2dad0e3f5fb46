"""A line without a socket: frames in blocks, on Trio's clock, straight into a call's mailbox."""

from collections.abc import Iterator
from typing import Protocol

import trio

from ..core.audio import Block, MediaFrame
from ..ports import Line
from .pace import Pace, Schedule, Slot, frames_of

FIRST_FRAME_SEQUENCE = 2
"""Twilio's `start` is message 1."""


class Mailbox(Protocol):
    """What a line needs of a call."""

    def connect(self, line: Line, serial: int) -> bool: ...
    def deliver(self, line: Line, block: Block) -> None: ...
    def disconnect(self, line: Line) -> bool: ...


class ScriptedLine:
    """One line that says this audio once. Jumping clocks are welcome: nothing here touches the network."""

    def __init__(self, mulaw: bytes, pace: Pace | None = None, *, frames_per_block: int = 5) -> None:
        self._mulaw = mulaw
        self._pace = pace or Pace()
        self._frames_per_block = frames_per_block
        self._playing = trio.CancelScope()
        self.hung_up: tuple[int, str] | None = None
        """Close code and reason, when the call ended it."""

    def hang_up(self, code: int, reason: str) -> None:
        """The call no longer wants to hear it."""
        self.hung_up = self.hung_up or (code, reason)
        self._playing.cancel(reason="the call has hung up")

    async def play(self, mailbox: Mailbox, serial: int = 1, *, hold: bool = False) -> None:
        """Connect, say everything on schedule, hang up. With `hold` the line goes quiet instead, until the call ends
        it. Blocks go out when their last frame is due; lost frames leave a hole."""
        if not mailbox.connect(self, serial):
            return
        try:
            with self._playing:
                await self._speak(mailbox)
                if hold:
                    await trio.sleep_forever()
        finally:
            mailbox.disconnect(self)

    async def _speak(self, mailbox: Mailbox) -> None:
        started_at = trio.current_time()
        for block in self._blocks():
            await trio.sleep_until(started_at + block[-1][0].at_s)
            if frames := _heard(block, trio.current_time()):
                mailbox.deliver(self, Block(frames))

    def _blocks(self) -> Iterator[list[tuple[Slot, bytes]]]:
        schedule = Schedule(self._pace)
        block: list[tuple[Slot, bytes]] = []
        for payload in frames_of(self._mulaw):
            block.append((schedule.next(), payload))
            if len(block) == self._frames_per_block:
                yield block
                block = []
        if block:
            yield block


def _heard(block: list[tuple[Slot, bytes]], heard_at: float) -> tuple[MediaFrame, ...]:
    return tuple(
        MediaFrame(FIRST_FRAME_SEQUENCE + slot.index, slot.media_ms, payload, heard_at)
        for slot, payload in block
        if not slot.lost
    )
