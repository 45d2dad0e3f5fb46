"""The line of a call in attach mode `listen`: a socket that we dial, and dial again when it breaks.

Nothing is ever said on it. What it carries becomes frames in the call's mailbox, on a clock of our own. A socket that
does not come back ends the call, as a hang-up would; one that never came leaves the call unread, for Vapi's messages
say when it is over.
"""

from collections.abc import Sequence
from math import inf

import structlog
import trio
from trio_websocket import ConnectionClosed, WebSocketConnection

from ..actors.supervision import jittered
from ..assistants.vapi_dial import dialled
from ..assistants.vapi_listen import FRAME_MS, ListenedAudio, ListenShape
from ..calls.call import Call
from ..core.audio import MediaFrame
from ..core.emotion import Outcome
from ..errors import AssistantRefused, AssistantUnavailable, BadMessage, CallGone
from .faults import Faults

log = structlog.get_logger()

MESSAGE_LIMIT = 1 << 17
"""Bytes: two seconds of two channels."""
AHEAD_MS = 10_000
"""So much more sound than time may have passed. Who sends more has to wait: no more is read before its time."""
AT_ONCE = 25
"""Frames handed over before somebody must have listened to them: a message may hold more than may pile up."""
DIAL_S = 5.0
PONG_S = 10.0
"""How long the answer to a ping may take."""
ATTEMPTS = 5
"""Failures in a row, none with a frame in between."""
FIRST_BACKOFF_S = 0.25


class ListenLine:
    """One call's (`ports.Line`)."""

    def __init__(
        self, call: Call, address: str, shape: ListenShape, *, public_key: str = "", heartbeat_s: float = 30.0
    ) -> None:
        """`address`: checked. `heartbeat_s`: seconds between pings."""
        self._call, self._address = call, address
        self._public_key, self._heartbeat_s = public_key, heartbeat_s
        self._audio = ListenedAudio(shape)
        self._leaving = trio.CancelScope()
        self._joined = False
        self._failures = 0
        self._faults = Faults(call.call_sid)
        self._opened_at, self._sound_ms = trio.current_time(), 0
        self._heard_at = trio.current_time()

    def hang_up(self, code: int, reason: str) -> None:
        """The call is over. Vapi's socket is closed normally, whatever the code."""
        self._leaving.cancel()

    async def run(self, *, engine: str) -> None:
        """Listen until the call is over, or cannot be listened to."""
        reason = ""
        with self._leaving:
            try:
                reason = await self._listen()
            except Exception:
                log.exception("line.crashed", call=self._call.call_sid)
                self._call.end(Outcome.CRASHED)
        if self._leaving.cancelled_caught or self._call.over.is_set():
            return
        log.warning("listen.lost", call=self._call.call_sid, reason=reason)
        if self._joined and self._audio.doubt is None:
            self._call.line_ended(self)
        else:
            self._call.without_audio(engine, reason)

    async def _listen(self) -> str:
        """Dial, and dial again; why there is no more to be heard."""
        while True:
            try:
                reason, final = await self._once(), False
            except AssistantUnavailable as outage:
                reason, final = str(outage), False
            except (AssistantRefused, CallGone) as refusal:
                reason, final = str(refusal), True
            self._failures += 1
            spent = self._failures >= ATTEMPTS or self._faults.too_many
            if final or spent or self._audio.doubt is not None:
                return self._audio.doubt or reason
            backoff_s = FIRST_BACKOFF_S * 2.0 ** (self._failures - 1)
            await trio.sleep(jittered(backoff_s))

    async def _once(self) -> str:
        """One socket, from dialling to its end."""
        with trio.CancelScope(deadline=trio.current_time() + DIAL_S) as patience:
            async with dialled(self._address, public_key=self._public_key, message_limit=MESSAGE_LIMIT) as socket:
                patience.deadline = inf
                return await self._hear(socket)
        return "Vapi's socket did not open in time"

    async def _hear(self, socket: WebSocketConnection) -> str:
        """What one socket carries, until it ends; why it did."""
        reason, resumed = "Vapi's socket closed", self._joined
        self._opened_at, self._sound_ms = trio.current_time(), 0
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._ping, socket, nursery.cancel_scope)
            try:
                while self._audio.doubt is None and not self._faults.too_many:
                    message = await socket.get_message()
                    now = trio.current_time()
                    if resumed:
                        self._audio.missed(round(1000 * (now - self._heard_at)))
                        resumed = False
                    frames = self._read(message, now)
                    for at in range(0, len(frames), AT_ONCE):
                        self._call.mailbox.hear(self, *frames[at : at + AT_ONCE])
                        await self._call.mailbox.catch_up()
                    if (due_at := self._opened_at + (self._sound_ms - AHEAD_MS) / 1000) > now:
                        await trio.sleep_until(due_at)
                reason = "Vapi's socket sends what cannot be read"
            except ConnectionClosed:
                pass
            nursery.cancel_scope.cancel()
        return reason

    def _read(self, message: str | bytes, now: float) -> Sequence[MediaFrame]:
        """The frames in it. One that cannot be read is skipped and counted."""
        self._heard_at = now
        try:
            frames = self._audio.feed(message, now)
        except BadMessage as error:
            self._faults.add(str(error))
            return ()
        if frames and not self._joined:
            serial = self._call.redeem(self._call.issue_token())
            if serial is None or not self._call.mailbox.connect(self, serial):
                self._leaving.cancel()
            self._joined = True
        self._sound_ms += FRAME_MS * len(frames)
        if frames:
            self._failures = 0
            self._faults.made_up_for(len(frames))
        return frames

    async def _ping(self, socket: WebSocketConnection, listening: trio.CancelScope) -> None:
        """Find out about an end that was never said: behind tunnels neither a closing frame nor a FIN need arrive."""
        while True:
            await trio.sleep(self._heartbeat_s)
            with trio.move_on_after(PONG_S) as patience:
                try:
                    await socket.ping()
                except ConnectionClosed:
                    return
            if patience.cancelled_caught:
                log.warning("listen.unanswered", call=self._call.call_sid)
                listening.cancel()
                return
