"""A line without a socket: frames, on Trio's clock, straight into a call's mailbox."""

from typing import Protocol

import trio

from ..core.audio import MediaFrame
from ..ports import Line
from .pace import Pace, Schedule, frames_of

FIRST_FRAME_SEQUENCE = 2
"""Twilio's `start` is message 1."""


class Mailbox(Protocol):
    """What a line needs of a call."""

    def connect(self, line: Line, serial: int) -> bool: ...
    def hear(self, line: Line, frame: MediaFrame) -> None: ...
    def disconnect(self, line: Line) -> bool: ...


class ScriptedLine:
    """One line that says this audio once. Jumping clocks are welcome: nothing here touches the network."""

    def __init__(self, mulaw: bytes, pace: Pace | None = None) -> None:
        self._mulaw = mulaw
        self._pace = pace or Pace()
        self._playing = trio.CancelScope()
        self.hung_up: tuple[int, str] | None = None
        """Close code and reason, when the call ended it."""
        self.max_lag_s = 0.0
        """How late a frame was handed over at the most: were the call to hold the line up, it would show here."""

    def hang_up(self, code: int, reason: str) -> None:
        """The call no longer wants to hear it."""
        self.hung_up = self.hung_up or (code, reason)
        self._playing.cancel(reason="the call has hung up")

    async def play(self, mailbox: Mailbox, serial: int = 1, *, hold: bool = False) -> bool:
        """Connect, say everything on schedule, hang up; True: it was the line that counted. With `hold` the line goes
        quiet instead, until the call ends it. Lost frames leave a hole."""
        if not mailbox.connect(self, serial):
            return False
        with self._playing:
            await self._speak(mailbox)
            if hold:
                await trio.sleep_forever()
        return mailbox.disconnect(self)

    async def _speak(self, mailbox: Mailbox) -> None:
        started_at = trio.current_time()
        schedule = Schedule(self._pace)
        for payload in frames_of(self._mulaw):
            slot = schedule.next()
            await trio.sleep_until(started_at + slot.at_s)
            now = trio.current_time()
            self.max_lag_s = max(self.max_lag_s, now - started_at - slot.at_s)
            if not slot.lost:
                mailbox.hear(self, MediaFrame(FIRST_FRAME_SEQUENCE + slot.index, slot.media_ms, payload, now))
