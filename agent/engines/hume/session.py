"""One call's connection to Hume: audio out at the pace of speech, measurements in, and never a wait for the call.

A connection that is lost is not mended in here: `read` says so, and whoever supervises the engine opens another, with
its backoff and its budget. There is no resumption (a new connection is a new session), and nothing is sent again.
"""

from collections import deque
from contextlib import suppress
from typing import Final

import structlog
import trio
from trio_websocket import ConnectionClosed, WebSocketConnection

from ...core.audio import Gap, PcmChunk, Window
from ...core.emotion import EmotionReading
from ...errors import EngineRefused, EngineUnavailable
from ..allowance import Allowance, ShareSpent
from ..streaming import FRAME_MS, Framer, VendorClock
from . import messages
from .expressions import Expressions, dominant
from .messages import Complaint, Configured, Created, Goodbye, Measurement

log = structlog.get_logger()

CONFIGURED_S: Final = 5.0
SEND_S: Final = 2.0
"""How long one frame of audio may take to be taken, and a ping to be answered."""
PAUSE_S: Final = 0.5
"""After being told that we send too fast."""
SILENT_MS: Final = 5_000
"""Speech sent and not measured, beyond the measurement timer, after which a vendor that answers pings is stalled."""
WAITING: Final = 8
"""Measurements not yet read. A newer one is worth more."""


class HumeSession:
    """What the call sees of it: `hear` and `read`. The tasks `converse`, `speak` and `ping` do the rest."""

    def __init__(self, call_sid: str, allowance: Allowance, expressions: Expressions, *, timer_ms: int) -> None:
        self._call_sid, self._allowance, self._expressions = call_sid, allowance, expressions
        self._timer_ms = timer_ms
        self._framer, self._clock = Framer(), VendorClock()
        self._heard = trio.Event()
        self.configured = trio.Event()
        """Hume has taken the configuration: it is there, and it knows us."""
        self._measured: deque[EmotionReading] = deque(maxlen=WAITING)
        self._paused_until = 0.0
        self._unanswered_ms = 0
        self._judged_to_ms = 0
        self._complaint: Complaint | None = None
        self._goodbye: Goodbye | None = None
        self.fault: EngineUnavailable | EngineRefused | None = None
        """Why there is nothing more to come."""

    # --- what the call calls ---

    def hear(self, sound: PcmChunk | Gap) -> None:
        """Take the next sound. Never waits; without a connection the oldest is let go."""
        if self.fault is None:
            self._framer.hear(sound)
            self._heard.set()

    async def read(self, window: Window) -> EmotionReading | None:
        """The oldest measurement not yet told; None while there is none. Raises what the connection ended with."""
        await trio.lowlevel.checkpoint()
        if self._measured:
            return self._measured.popleft()
        self._unanswered_ms += max(0, min(window.end_ms - self._judged_to_ms, window.speech_ms))
        self._judged_to_ms = window.end_ms
        if self._unanswered_ms > self._timer_ms + SILENT_MS:
            self.end(EngineUnavailable("Hume takes audio and measures nothing"))
        if self.fault is not None:
            raise self.fault
        return None

    def forget(self) -> None:
        """Nothing that was heard is kept."""
        self._framer.forget()
        self._measured.clear()

    def end(self, fault: EngineUnavailable | EngineRefused) -> None:
        """There is nothing more to come. The first reason is the one that counts."""
        self.fault = self.fault or fault

    # --- its tasks ---

    async def converse(self, socket: WebSocketConnection) -> None:
        """Configure the session, and take what Hume says until it is over."""
        try:
            while not isinstance(self._goodbye, Goodbye):
                await self._take(socket, messages.read(await socket.get_message()))
        except ConnectionClosed as closed:
            code = closed.reason.code if closed.reason is not None else 1006
            self.end(messages.ended(code, self._complaint, self._goodbye))

    async def _take(self, socket: WebSocketConnection, event: messages.Event) -> None:
        match event:
            case Created():
                await socket.send_message(messages.session_update(self._timer_ms))
            case Configured():
                self._framer.skip()  # what was heard while connecting is old, and nothing is sent in a burst
                self.configured.set()
            case Measurement():
                self._unanswered_ms = 0
                self._measure(event)
            case Complaint():
                self._complain(event)
            case Goodbye():
                self._goodbye = event
                self.end(messages.ended(1000, self._complaint, event))
            case _:
                self._unanswered_ms = 0

    def _measure(self, measurement: Measurement) -> None:
        start_ms = self._clock.media_ms(measurement.audio_start_ms)
        end_ms = self._clock.media_ms(measurement.audio_end_ms)
        heard_at = self._clock.heard_at(measurement.audio_end_ms)
        if end_ms is None or heard_at is None:
            log.warning("hume.measured_nothing_we_sent", call=self._call_sid)
            return
        scores = self._expressions.scores(measurement.expressions)
        spoken_ms = measurement.audio_end_ms - measurement.audio_start_ms
        reading = EmotionReading(
            dominant(scores),
            "hume",
            max(0, end_ms - spoken_ms) if start_ms is None else start_ms,
            end_ms,
            heard_at,
            scores=scores,
        )
        self._measured.append(reading)

    def _complain(self, complaint: Complaint) -> None:
        self._complaint = complaint
        log.warning("hume.complained", call=self._call_sid, code=complaint.code)
        if complaint.code in ("rate_limited", "invalid_audio_frame"):
            self._clock.refused_last()
        if complaint.code == "rate_limited":
            self._paused_until = trio.current_time() + PAUSE_S
            self._framer.skip()

    async def speak(self, socket: WebSocketConnection) -> None:
        """Send what is heard, a frame every 100 ms at the most, until the share of this call is used up."""
        with trio.move_on_after(CONFIGURED_S):
            await self.configured.wait()
        if not self.configured.is_set():
            self.end(EngineUnavailable("Hume did not open a session in time"))
        due_at = 0.0
        while self.fault is None:
            await trio.sleep_until(max(due_at, self._paused_until))
            frame = self._framer.take()
            if frame is None:
                self._heard = trio.Event()
                await self._heard.wait()
                continue
            if not self._allowance.spend(self._call_sid, FRAME_MS):
                self.end(ShareSpent("this call's share of Hume's time is used up: raise hume_seconds_per_call"))
                return
            due_at = trio.current_time() + FRAME_MS / 1000
            self._clock.accepted(frame)
            await self._send(socket, frame.pcm)

    async def _send(self, socket: WebSocketConnection, pcm: bytes) -> None:
        with trio.move_on_after(SEND_S) as patience, suppress(ConnectionClosed):
            await socket.send_message(pcm)
        if patience.cancelled_caught:  # half a frame is on the wire: this connection is of no more use
            self.end(EngineUnavailable("Hume takes no more audio"))

    async def ping(self, socket: WebSocketConnection, every_s: float) -> None:
        """A connection can look alive long after it is dead."""
        with suppress(ConnectionClosed):
            while self.fault is None:
                await trio.sleep(every_s)
                with trio.move_on_after(SEND_S) as patience:
                    await socket.ping()
                if patience.cancelled_caught:
                    self.end(EngineUnavailable("Hume does not answer pings"))
