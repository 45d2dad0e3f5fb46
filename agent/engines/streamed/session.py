"""One call's connection to a vendor: audio out at the pace of speech, facts in, and never a wait for the call.

A connection that is lost is not mended in here: `read` says so, and whoever supervises the engine opens another, with
its backoff and its budget. Nothing is ever sent again.
"""

from collections import deque
from collections.abc import Mapping
from contextlib import suppress
from typing import Final

import structlog
import trio
from trio_websocket import ConnectionClosed, WebSocketConnection

from ...core.audio import Gap, PcmChunk, Window
from ...core.emotion import ANGER, Emotion, EmotionReading
from ...errors import EngineRefused, EngineUnavailable
from .allowance import Allowance, ShareSpent
from .dialect import Alive, Dialect, Fact, FrameRefused, Measured, Over, Ready, Send, Vendor
from .framing import FRAME_MS, Framer, VendorClock

log = structlog.get_logger()

CONFIGURED_S: Final = 5.0
SEND_S: Final = 2.0
"""How long one frame of audio may take to be taken, and a ping to be answered."""
PAUSE_S: Final = 0.5
"""After being told that we send too fast."""
ASIDE_S: Final = 0.02
"""After sound has come, before it is made into frames: our own engine judges the same sound first."""
ASIDE: Final = 10
"""Sounds, a second of them, that may wait so."""
WAITING: Final = 8
"""Measurements not yet read. A newer one is worth more."""


class StreamedSession:
    """What the call sees of it: `hear` and `read`. The tasks `converse`, `speak` and `ping` do the rest."""

    def __init__(self, call_sid: str, vendor: Vendor, allowance: Allowance) -> None:
        self._call_sid, self._vendor, self._allowance = call_sid, vendor, allowance
        self._dialect: Dialect = vendor.dialect()
        self._framer, self._clock = Framer(), VendorClock()
        self._sounds: deque[PcmChunk | Gap] = deque()
        """Heard, and not yet made into frames."""
        self._heard, self.ready = trio.Event(), trio.Event()
        self._measured: deque[EmotionReading] = deque(maxlen=WAITING)
        self._paused_until = 0.0
        self._unanswered_ms = self._judged_to_ms = 0
        self._measured_unsent = False
        self.fault: EngineUnavailable | EngineRefused | None = None
        """Why there is nothing more to come."""

    # --- what the call calls ---

    def hear(self, sound: PcmChunk | Gap) -> None:
        """Take the next sound. Never waits; without a connection the oldest is let go."""
        if self.fault is None:
            self._sounds.append(sound)
            if len(self._sounds) > ASIDE:
                self._make_frames()
            self._heard.set()

    def _make_frames(self) -> None:
        while self._sounds:
            self._framer.hear(self._sounds.popleft())

    async def read(self, window: Window) -> EmotionReading | None:
        """The oldest measurement not yet told; None while there is none. Raises what the connection ended with."""
        await trio.lowlevel.checkpoint()
        if self._measured:
            return self._measured.popleft()
        self._unanswered_ms += max(0, min(window.end_ms - self._judged_to_ms, window.speech_ms))
        self._judged_to_ms = window.end_ms
        if self._unanswered_ms > self._vendor.quiet_ms:
            self.end(EngineUnavailable(f"{self._vendor.title} takes audio and says nothing"))
        if self.fault is not None:
            raise self.fault
        return None

    @property
    def dropped_ms(self) -> int:
        """Audio that was not sent, because the vendor did not keep up or was not there yet."""
        return self._framer.dropped_ms

    def forget(self) -> None:
        """Nothing that was heard is kept."""
        self._sounds.clear()
        self._framer.forget()
        self._measured.clear()

    def end(self, fault: EngineUnavailable | EngineRefused) -> None:
        """There is nothing more to come. The first reason is the one that counts."""
        self.fault = self.fault or fault

    # --- its tasks ---

    async def converse(self, socket: WebSocketConnection) -> None:
        """Take what the vendor says until it is over."""
        try:
            while self.fault is None:
                for fact in self._dialect.feed(await socket.get_message()):
                    await self._take(socket, fact)
        except ConnectionClosed as closed:
            self.end(self._dialect.closed(closed.reason.code if closed.reason is not None else 1006))

    async def _take(self, socket: WebSocketConnection, fact: Fact) -> None:
        match fact:
            case Send(text):
                await socket.send_message(text)
            case Ready():
                self._make_frames()
                self._framer.skip()  # what was heard while connecting is old, and nothing is sent in a burst
                self.ready.set()
            case Measured():
                self._unanswered_ms = 0
                self._keep(fact)
            case FrameRefused(too_fast):
                self._clock.refused_last()
                if too_fast:
                    self._paused_until = trio.current_time() + PAUSE_S
                    self._make_frames()
                    self._framer.skip()
            case Over(error):
                self.end(error)
            case Alive():
                self._unanswered_ms = 0

    def _keep(self, measured: Measured) -> None:
        end_ms, heard_at = self._clock.media_ms(measured.end_ms), self._clock.heard_at(measured.end_ms)
        if end_ms is None or heard_at is None or not 0 <= measured.start_ms <= measured.end_ms:
            if not self._measured_unsent:
                log.warning("engine.measured_what_was_not_sent", engine=self._vendor.name)
            self._measured_unsent = True
            return
        start_ms = self._clock.media_ms(measured.start_ms)
        spoken_ms = measured.end_ms - measured.start_ms
        self._measured.append(
            EmotionReading(
                dominant(measured.scores),
                self._vendor.source,
                max(0, end_ms - spoken_ms) if start_ms is None else start_ms,
                end_ms,
                heard_at,
                scores=measured.scores,
            )
        )

    async def speak(self, socket: WebSocketConnection) -> None:
        """Send what is heard, a frame every 100 ms at the most, until the share of this call is used up."""
        with trio.move_on_after(CONFIGURED_S):
            await self.ready.wait()
        if not self.ready.is_set():
            self.end(EngineUnavailable(f"{self._vendor.title} did not open a session in time"))
        due_at = 0.0
        while self.fault is None:
            await trio.sleep_until(max(due_at, self._paused_until))
            self._make_frames()
            frame = self._framer.take()
            if frame is None:
                self._heard = trio.Event()
                await self._heard.wait()
                await trio.sleep(ASIDE_S)
                continue
            if not self._allowance.spend(self._call_sid, FRAME_MS):
                self.end(ShareSpent(self._allowance.spent))
                return
            due_at = trio.current_time() + FRAME_MS / 1000
            self._clock.accepted(frame)
            await self._send(socket, frame.pcm)

    async def _send(self, socket: WebSocketConnection, pcm: bytes) -> None:
        with trio.move_on_after(SEND_S) as patience, suppress(ConnectionClosed):
            await socket.send_message(pcm)
        if patience.cancelled_caught:  # half a frame is on the wire: this connection is of no more use
            self.end(EngineUnavailable(f"{self._vendor.title} takes no more audio"))

    async def ping(self, socket: WebSocketConnection) -> None:
        """A connection can look alive long after it is dead."""
        with suppress(ConnectionClosed):
            while self.fault is None:
                await trio.sleep(self._vendor.ping_s)
                with trio.move_on_after(SEND_S) as patience:
                    await socket.ping()
                if patience.cancelled_caught:
                    self.end(EngineUnavailable(f"{self._vendor.title} does not answer pings"))


def dominant(scores: Mapping[str, float]) -> Emotion:
    """The label with the highest score; among equals, anger, which it would be worse to miss."""
    label = max(scores, key=lambda name: (scores[name], name in ANGER))
    return Emotion(label, min(1.0, scores[label]))
