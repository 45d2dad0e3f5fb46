"""One call at the fake Vapi: an assistant that speaks in turns, is cut off when told to, and reports by webhook.

Kept simple: nobody listens, so turns begin and end when a test or a demo says so. Only what was asked for over the
control address (`say`) begins by itself and takes as long as the words take to say.
"""

from collections import deque
from collections.abc import Callable, Coroutine, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

import trio

from ..http import httpx
from .vapi_contract import Auth, CallFacts, auth_headers
from .vapi_listen import ListenSocket
from .vapi_transport import Transport

WEBHOOK_PATIENCE_S = 20.0
"""`server.timeoutSeconds`, by default. There are no retries (https://docs.vapi.ai/server-url)."""
WEBHOOK_PATH = "/webhook/vapi"
SPEECH_S_PER_CHARACTER = 0.06
"""About 165 words a minute."""
TONE = b"\x2a"
"""A sample of what a call over a websocket hears of a `say`."""
KEEP_TURNS = 1_000
MAX_WAITING = 16

Later = Callable[[Callable[[], Coroutine[Any, Any, object]]], None]
"""Starts a task that outlives the request which asked for it."""


@dataclass(frozen=True, slots=True)
class Hook:
    """Where a call's server messages go."""

    url: str
    """The server URL; an origin alone means its `/webhook/vapi`."""
    secret: str
    auth: Auth = "secret"

    @property
    def address(self) -> httpx.URL:
        url = httpx.URL(self.url)
        return url.copy_with(path=WEBHOOK_PATH) if url.path == "/" else url


@dataclass(slots=True)
class Turn:
    """One stretch of the assistant speaking. Times are the loop's."""

    number: int
    """Counted from 0."""
    started_at: float
    text: str = ""
    source: Literal["model", "force-say"] = "model"
    """`force-say`: asked for over the control address."""
    stopped_at: float | None = None
    cut: bool = False
    """Whether a `say` of ours ended it."""

    @property
    def heard_ms(self) -> int | None:
        """How much of it the caller heard; None while it goes on."""
        return None if self.stopped_at is None else round((self.stopped_at - self.started_at) * 1000)


class FakeCall:
    """What a test does to a call, and what the control address does to it."""

    def __init__(self, facts: CallFacts, hook: Hook | None, http: httpx.AsyncClient, later: Later) -> None:
        self.facts = facts
        self.hook = hook
        self.ended = False
        self.turns: deque[Turn] = deque(maxlen=KEEP_TURNS)
        self.undelivered = 0
        """Webhooks that were answered with an error, or not at all."""
        self.listen = ListenSocket()
        """Who listens to it."""
        self.transport = Transport()
        """Who speaks with it over its websocket, where it was made for that."""
        self._http = http
        self._later = later
        self._waiting: deque[str] = deque(maxlen=MAX_WAITING)  # a `say` that lets the assistant finish first
        self._status = "in-progress"
        self._turn_count = 0

    @property
    def speaking(self) -> bool:
        return bool(self.turns) and self.turns[-1].stopped_at is None

    # The assistant.

    async def start_turn(self, text: str = "") -> None:
        """The model begins to speak; what it was saying is over."""
        if self.speaking:
            await self._report(self._stop())
        await self._report(self._begin(text, "model"))

    async def stop_turn(self) -> None:
        """It has said everything; a waiting `say` comes next. Does nothing while nobody speaks."""
        if self.speaking:
            await self._report(self._stop())
            if self._waiting:
                self._say(self._waiting.popleft())

    async def end(self, reason: str = "customer-ended-call") -> None:
        """The call is over: the control address is gone."""
        if not self.ended:
            self._hang_up()
            await self.send_status_update("ended", endedReason=reason)

    # Webhooks.

    async def send_status_update(self, status: str, **fields: object) -> httpx.Response | None:
        self._status = status
        return await self.send("status-update", status=status, **fields)

    async def send_speech_update(
        self, role: Literal["assistant", "user"], status: Literal["started", "stopped"], turn: int | None = None
    ) -> httpx.Response | None:
        """`turn`: the present one, unless said otherwise."""
        number = max(0, self._turn_count - 1) if turn is None else turn
        return await self.send("speech-update", role=role, status=status, turn=number)

    async def send(self, type_: str, **fields: object) -> httpx.Response | None:
        """A server message of any type. None: nobody answered, or this call has no hook."""
        if self.hook is None:
            return None
        now = datetime.now(UTC)
        body = self.facts.webhook(type_, self._status, now, fields)
        headers = {"Content-Type": "application/json", **auth_headers(self.hook.auth, self.hook.secret, body, now)}
        answer: httpx.Response | None = None
        with trio.move_on_after(WEBHOOK_PATIENCE_S):
            with suppress(httpx.TransportError):
                answer = await self._http.post(self.hook.address, content=body, headers=headers)
        self.undelivered += answer is None or not answer.is_success
        return answer

    # The control address.

    def obey(self, message: Mapping[str, Any]) -> None:
        """What an accepted control message changes. At once; the webhooks that follow from it are sent later."""
        match message:
            case {"type": "say", "content": str(text)}:
                if self.speaking and not message.get("interruptAssistantEnabled", False):
                    self._waiting.append(text)
                else:
                    self._replace_speech(text)
            case {"type": "end-call"}:
                self._hang_up()
                self._later(lambda: self.send_status_update("ended", endedReason="assistant-ended-call"))
            case {"type": "transfer", "destination": destination}:
                self._hang_up()
                self._later(lambda: self._forward(destination))

    def _replace_speech(self, text: str) -> None:
        self._say(text, instead_of=self._stop(cut=True) if self.speaking else None)

    def _say(self, text: str, *, instead_of: Turn | None = None) -> None:
        turn = self._begin(text, "force-say")
        self._later(lambda: self._speak(turn, instead_of))
        if self.transport.connected.is_set():
            self._later(lambda: self.transport.say(TONE * round(len(text) * SPEECH_S_PER_CHARACTER * 8000)))

    async def _speak(self, turn: Turn, instead_of: Turn | None) -> None:
        if instead_of is not None:
            await self._report(instead_of)
        await self.send_speech_update("assistant", "started", turn.number)
        await trio.sleep_until(turn.started_at + len(turn.text) * SPEECH_S_PER_CHARACTER)
        if turn.stopped_at is None:
            await self.stop_turn()

    async def _report(self, turn: Turn) -> None:
        status: Literal["started", "stopped"] = "started" if turn.stopped_at is None else "stopped"
        await self.send_speech_update("assistant", status, turn.number)

    async def _forward(self, destination: Mapping[str, object]) -> None:
        await self.send_status_update("forwarding", destination=destination)
        await self.send_status_update("ended", endedReason="assistant-forwarded-call")

    def _begin(self, text: str, source: Literal["model", "force-say"]) -> Turn:
        turn = Turn(self._turn_count, trio.current_time(), text, source)
        self._turn_count += 1
        self.turns.append(turn)
        return turn

    def _stop(self, *, cut: bool = False) -> Turn:
        turn = self.turns[-1]
        turn.stopped_at = trio.current_time()
        turn.cut = cut
        if cut:
            self.transport.hush()
        return turn

    def _hang_up(self) -> None:
        if self.speaking:
            self._stop()
        self._waiting.clear()
        self.ended = True
        self._later(self.transport.close)
