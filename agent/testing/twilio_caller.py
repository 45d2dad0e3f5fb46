"""A caller on the line: everything Twilio does for one incoming call, against any server, without an account.

    caller = TwilioCaller("http://127.0.0.1:3000", auth_token="secret")
    result = await caller.call(load_telephone("angry.wav"))

It posts the signed voice webhook, follows the TwiML, opens the signed WebSocket, sends the frames on an absolute
20 ms schedule, and reports with signed callbacks. All pacing is on Trio's clock, so that a test or a demo can run it
faster. It connects to `server` and nowhere else, whatever public host the TwiML names: the addresses in it are what is
signed and asked for, as through a tunnel.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from secrets import token_hex
from typing import Literal
from urllib.parse import urlsplit

import trio

from ..errors import BadMessage
from ..http import httpx
from ..telephony import twiml
from ..telephony.twiml import StreamPlan
from . import twilio_messages as messages
from .pace import Pace, SendLog
from .sockets import Closed, HandshakeRefused, open_socket
from .twilio_requests import Requests
from .twilio_stream import CallerStream, Received

VOICE_PATH = "/voice/incoming"
CALL_STATUS_PATH = "/twilio/call-status"

Ending = Literal["stop", "close", "reset", "silent"]
"""How the caller leaves: hanging up, closing without a `stop`, RST, or half-open for `HALF_OPEN_S`."""
HALF_OPEN_S = 30.0
"""How long a silent caller keeps the connection, while the server finds out by itself."""


@dataclass(frozen=True, slots=True)
class Placed:
    """The answer to the voice webhook."""

    status: int | None
    """None: no answer in time."""
    twiml: str
    plan: StreamPlan | None
    """The stream to open; None when the TwiML asks for none of the server's."""
    error: str | None = None
    """Why the caller hears an application error instead."""


@dataclass(frozen=True, slots=True)
class CallResult:
    """What one call came to."""

    call_sid: str
    status: int | None
    """Of the voice webhook."""
    twiml: str
    stream: StreamPlan | None
    """None: the caller went to the verb that the TwiML falls back to."""
    closed: Closed | None = None
    """How the media stream ended; None when it stayed open."""
    frames_sent: int = 0
    frames_lost: int = 0
    max_lag_s: float = 0.0
    received: tuple[Received, ...] = ()
    log: SendLog = field(default_factory=SendLog, repr=False)
    """When each frame was sent."""
    error: str | None = None

    @property
    def ok(self) -> bool:
        """Answered with TwiML, and the stream neither refused nor broken off by the server."""
        return self.error is None and (self.closed is None or self.closed.by == "caller" or self.closed.code == 1000)


@dataclass(slots=True)
class TwilioCaller:
    """One phone, one call."""

    server: str = "http://127.0.0.1:3000"
    """Where to connect."""
    public_origin: str | None = None
    """What the server believes its address to be, and what is signed; None: `server`."""
    auth_token: str | None = field(default=None, repr=False)
    """None sends no signature."""
    from_: str = "+15550100001"
    to: str = "+15550100100"
    call_sid: str = field(default_factory=lambda: "CA" + token_hex(16))
    account_sid: str = field(default_factory=lambda: "AC" + token_hex(16))
    http: httpx.AsyncClient | None = field(default=None, repr=False)
    """A client shared by many callers; None opens one for each request, as Twilio's many machines do."""

    @property
    def who(self) -> messages.Identity:
        return messages.Identity(self.account_sid, self.call_sid, self.from_, self.to)

    @property
    def origin(self) -> str:
        return (self.public_origin or self.server).rstrip("/")

    @property
    def _requests(self) -> Requests:
        return Requests(self.server, self.origin + VOICE_PATH, self.auth_token, self.http)

    async def place(self) -> Placed:
        """The call comes in: the voice webhook, and what its TwiML asks for."""
        answer = await self._requests.post(VOICE_PATH, self.who.voice_form("ringing"))
        if answer is None:
            return Placed(None, "", None, f"{self.server} did not answer the voice webhook: start it, or name another.")
        if answer.status_code == 403:
            return Placed(
                403, "", None, "Its signature was refused (403): set TWILIO_AUTH_TOKEN and WEBHOOK_URL as there."
            )
        if answer.status_code != 200:
            return Placed(answer.status_code, "", None, f"The voice webhook answered {answer.status_code}.")
        try:
            plan = twiml.read_stream(answer.text)
            return Placed(200, answer.text, plan if plan is not None and self._is_ours(plan) else None)
        except (BadMessage, ValueError) as error:  # ValueError: a URL that is none
            return Placed(200, answer.text, None, f"The TwiML cannot be followed: {error}")

    @asynccontextmanager
    async def stream(
        self, plan: StreamPlan, pace: Pace | None = None, *, greet: bool = True
    ) -> AsyncIterator[CallerStream]:
        """Open the stream, say `connected` and `start` (unless not to `greet`), and hang up at the end of the block.

        Raises HandshakeRefused. What the block itself raises comes in a group."""
        target, headers = self._requests.upgrade(url := self._requests.stream_url(plan.url))
        async with open_socket(self.server, target, host=url.netloc, headers=headers) as socket:
            stream = CallerStream(socket, self.who, plan, pace or Pace())
            async with trio.open_nursery() as nursery:
                nursery.start_soon(stream.run)
                nursery.start_soon(self._report, plan, stream, "stream-started")
                if greet:
                    await stream.greet()
                yield stream
                await stream.hang_up()
                stream.leave()
            await self._report(plan, stream, "stream-stopped")

    async def complete(self, duration_s: float) -> httpx.Response | None:
        """The call status callback: the call is over."""
        form = self.who.completed_form(duration_s, datetime.now(UTC))
        return await self._requests.post(CALL_STATUS_PATH, form)

    async def call(
        self, mulaw: bytes, pace: Pace | None = None, *, ending: Ending = "stop", callbacks: bool = True
    ) -> CallResult:
        """The whole call, from the webhook to the last callback. It ends early when the server closes the stream."""
        began = trio.current_time()
        placed = await self.place()
        result = CallResult(self.call_sid, placed.status, placed.twiml, placed.plan, error=placed.error)
        if placed.plan is not None:
            result = await self._talk(result, placed.plan, mulaw, pace or Pace(), ending)
        if callbacks and placed.error is None:
            await self.complete(trio.current_time() - began)
        return result

    async def _talk(self, result: CallResult, plan: StreamPlan, mulaw: bytes, pace: Pace, ending: Ending) -> CallResult:
        try:
            async with self.stream(plan, pace) as stream:
                await stream.play(mulaw)
                await _leave(stream, ending)
        except HandshakeRefused as refusal:
            return replace(result, error=str(refusal))
        return replace(
            result,
            closed=stream.closed,
            frames_sent=stream.frames_sent,
            frames_lost=stream.frames_lost,
            max_lag_s=stream.max_lag_s,
            received=tuple(stream.received),
            log=stream.log,
        )

    async def _report(self, plan: StreamPlan, stream: CallerStream, event: str) -> None:
        """The stream status callback, where the TwiML asks for one."""
        if plan.status_callback:
            form = self.who.stream_form(stream.stream_sid, event, datetime.now(UTC))
            await self._requests.post(plan.status_callback, form)

    def _is_ours(self, plan: StreamPlan) -> bool:
        """Whether the stream goes to the server, and not to the assistant's platform the call was handed to. The host
        says so, or, where the server has a public name of which this caller was not told, the call's id in the path."""
        url = self._requests.stream_url(plan.url)
        return url.netloc in (urlsplit(self.origin).netloc, urlsplit(self.server).netloc) or self.call_sid in url.path


async def _leave(stream: CallerStream, ending: Ending) -> None:
    match ending:
        case "stop":
            await stream.hang_up()
        case "close":
            await stream.hang_up(stop=False)
        case "reset":
            await stream.reset()
        case "silent":
            stream.fall_silent()
            await trio.sleep(HALF_OPEN_S)
