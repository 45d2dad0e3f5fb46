"""A Vapi on this machine: control addresses that are as strict as the contract, faults on demand, and webhooks.

    async with FakeVapi.serve() as vapi:
        call = vapi.call("CA…", hook=Hook("http://127.0.0.1:3000/webhook/vapi", "secret"))
        await call.send_status_update("in-progress")
        message = await vapi.wait_for(lambda message: message.body["type"] == "say")
        vapi.fault = Fault("status", status=429, retry_after=2, times=3)

Vapi publishes neither the answer of its control address nor what becomes of it after the call
(https://docs.vapi.ai/calls/call-features): here it is 200 with an empty object, and 404.
"""

import json
from collections import deque
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import trio

from ..http import client, httpx
from .faults import Fault, FaultPlan
from .http_server import HttpRequest, HttpResponse, HttpServer, Misbehaviour, Upgrade
from .vapi_call import FakeCall, Hook
from .vapi_contract import CallFacts, error_body, new_call_problems, problems

KEEP_MESSAGES = 10_000
KEEP_CALLS = 5_000
JSON = (("Content-Type", "application/json"),)
PRIVATE_KEY = "private-key-of-the-fake-vapi"

_MISBEHAVIOURS = {"stall": Misbehaviour.STALL, "reset": Misbehaviour.RESET, "garbage": Misbehaviour.GARBAGE}
_MESSAGES = {401: "Invalid Key.", 404: "Not Found", 429: "Rate limit exceeded"}


@dataclass(frozen=True, slots=True)
class ControlMessage:
    """One accepted control message."""

    call_id: str
    body: dict[str, Any]
    at: float
    """Loop time."""


@dataclass(frozen=True, slots=True)
class Refused:
    """One request that Vapi would not have taken."""

    path: str
    status: int
    reason: str
    at: float


class FakeVapi:
    """Open one with `FakeVapi.serve`."""

    def __init__(self, http: httpx.AsyncClient, nursery: trio.Nursery, public_key: str | None) -> None:
        self.messages: deque[ControlMessage] = deque(maxlen=KEEP_MESSAGES)
        self.refused: deque[Refused] = deque(maxlen=KEEP_MESSAGES)
        self.created: deque[FakeCall] = deque(maxlen=KEEP_CALLS)
        """Calls asked for over REST, the newest last."""
        self.private_key_leaks = 0
        """How often the private key came to a control address. It must never."""
        self._http = http
        self._nursery = nursery
        self._public_key = public_key
        self._calls: dict[str, FakeCall] = {}
        self._faults = FaultPlan("stall", "delay", "status", "reset", "garbage", "refuse")
        self._arrived = trio.Event()
        self._server = HttpServer(self._answer)

    @classmethod
    @asynccontextmanager
    async def serve(cls, *, public_key: str | None = None) -> "AsyncIterator[FakeVapi]":
        """Serve on a free loopback port until the end of the block. With `public_key` every control request has to
        carry it as its bearer token (`controlAuthenticationEnabled`)."""
        async with client() as http, trio.open_nursery() as nursery:
            vapi = cls(http, nursery, public_key)
            await nursery.start(vapi._server.run)
            yield vapi
            nursery.cancel_scope.cancel(reason="the fake Vapi is no longer needed")

    @property
    def fault(self) -> Fault | None:
        """Suffered by requests from now on; None: everything works."""
        return self._faults.fault

    @fault.setter
    def fault(self, fault: Fault | None) -> None:
        self._faults.fault = fault
        if fault is None or fault.kind != "refuse":
            self._server.accept()
            return
        self._server.refuse()
        self._later(lambda: self._accept_again(fault))

    # Calls.

    @property
    def url(self) -> str:
        return self._server.url

    def call(self, call_sid: str = "", *, call_id: str | None = None, hook: Hook | None = None) -> FakeCall:
        """A call in progress, with a Vapi id of its own (a UUID) unless it is given one."""
        call_id = call_id or str(uuid4())
        if len(self._calls) >= KEEP_CALLS:
            self._calls.pop(next(iter(self._calls)))
        listen_url = f"ws://127.0.0.1:{self._server.port}/{call_id}/transport"
        facts = CallFacts(call_id, call_sid, f"{self.url}/{call_id}/control", listen_url)
        call = self._calls[call_id] = FakeCall(facts, hook, self._http, self._later)
        return call

    def control_url(self, call_id: str) -> str:
        """The control address of a call, which exists from now on."""
        call = self._calls.get(call_id) or self.call(call_id=call_id)
        return call.facts.control_url

    async def send_status_update(self, server_url: str, secret: str, call_sid: str, status: str) -> FakeCall:
        """The shortest way to tell a server of a call: one webhook, and the call it is about."""
        known = (call for call in self._calls.values() if call.facts.call_sid == call_sid)
        call = next(known, None) or self.call(call_sid)
        call.hook = Hook(server_url, secret)
        await call.send_status_update(status)
        return call

    # What came.

    async def wait_for(self, predicate: Callable[[ControlMessage], bool]) -> ControlMessage:
        """The first accepted message, past or to come, for which it holds."""
        while True:
            arrived = self._arrived
            for message in self.messages:
                if predicate(message):
                    return message
            await arrived.wait()

    async def _answer(self, request: HttpRequest) -> HttpResponse | Misbehaviour | Upgrade:
        fault = self._faults.take("stall", "delay", "status", "reset", "garbage", path=request.path)
        if fault is None:
            return self._serve(request)
        if fault.kind == "delay":
            await trio.sleep(fault.seconds)
            return self._serve(request)
        if fault.kind == "status":
            wait = () if fault.retry_after is None else (("Retry-After", f"{fault.retry_after:g}"),)
            body = error_body(fault.status, _MESSAGES.get(fault.status, "Internal server error"))
            return HttpResponse(fault.status, body, JSON + wait)
        return _MISBEHAVIOURS[fault.kind]

    def _serve(self, request: HttpRequest) -> HttpResponse | Upgrade:
        if (request.header("upgrade") or "").lower() == "websocket":
            return self._socket(request)
        return self._create(request) if request.path == "/call" else self._control(request)

    def _socket(self, request: HttpRequest) -> HttpResponse | Upgrade:
        """A call's listen socket, which asks for the public key where the control address does; or its transport."""
        if request.path.endswith("/websocket"):
            return self._transport(request)
        call = self._calls.get(request.path.strip("/").removesuffix("/transport"))
        status, reason = self._authorize(request)
        if status == 200 and (call is None or call.ended or not request.path.endswith("/transport")):
            status, reason = 404, "Not Found"
        if status == 200 and call is not None:
            return Upgrade(call.listen.serve)
        self._note_refusal(request, status, str(reason))
        return HttpResponse(status, error_body(status, reason), JSON)

    def _transport(self, request: HttpRequest) -> HttpResponse | Upgrade:
        call = self._calls.get(request.path.strip("/").removesuffix("/websocket"))
        if call in self.created and call is not None and not call.ended:
            return Upgrade(call.transport.serve)
        self._note_refusal(request, 404, "Not Found")
        return HttpResponse(404, error_body(404, "Not Found"), JSON)

    def _create(self, request: HttpRequest) -> HttpResponse:
        """A call that waits for its caller: the REST route, where the private key belongs."""
        try:
            body = json.loads(request.body)
        except ValueError:
            body = None
        wrong: str | list[str] = new_call_problems(body)
        status = 400 if wrong else 201
        if request.header("authorization") != f"Bearer {PRIVATE_KEY}":
            status, wrong = 401, "Invalid Key."
        if status != 201:
            self._note_refusal(request, status, str(wrong))
            return HttpResponse(status, error_body(status, wrong), JSON)
        call = self.call()
        self.created.append(call)
        created = call.facts.created_socket(body["transport"]) if "transport" in body else call.facts.created()
        return HttpResponse(201, json.dumps(created).encode(), JSON)

    def _control(self, request: HttpRequest) -> HttpResponse:
        if not request.header("user-agent"):
            self._note_refusal(request, 403, "no User-Agent")
            return HttpResponse(403, b"error code: 1010", (("Content-Type", "text/plain"),))
        call = self._calls.get(request.path.strip("/").removesuffix("/control"))
        exists = request.method == "POST" and request.path.endswith("/control") and call is not None and not call.ended
        status, reason = self._authorize(request)
        if status == 200:
            status, reason = self._take(request, call) if exists and call is not None else (404, "Not Found")
        if status == 200:
            return HttpResponse(200, b"{}", JSON)
        self._note_refusal(request, status, str(reason))
        return HttpResponse(status, error_body(status, reason), JSON)

    def _authorize(self, request: HttpRequest) -> tuple[int, str | list[str]]:
        authorization = request.header("authorization") or ""
        if PRIVATE_KEY in authorization:
            self.private_key_leaks += 1
            return 401, "Invalid Key. Hot tip, you may be using the private key instead of the public key."
        if self._public_key is not None and authorization != f"Bearer {self._public_key}":
            return 401, "Invalid Key."
        return 200, ""

    def _take(self, request: HttpRequest, call: FakeCall) -> tuple[int, str | list[str]]:
        if (request.header("content-type") or "").partition(";")[0].strip().lower() != "application/json":
            return 400, ["Content-Type must be application/json"]
        try:
            body = json.loads(request.body)
        except ValueError:
            return 400, "body is not valid JSON"
        if wrong := problems(body):
            return 400, wrong
        self.messages.append(ControlMessage(call.facts.call_id, body, trio.current_time()))
        self._arrived.set()
        self._arrived = trio.Event()
        call.obey(body)
        return 200, ""

    def _note_refusal(self, request: HttpRequest, status: int, reason: str) -> None:
        self.refused.append(Refused(request.path, status, reason, trio.current_time()))

    async def _accept_again(self, refusal: Fault) -> None:
        if refusal.until is not None:
            await trio.sleep_until(refusal.until)
            if self._faults.fault in (refusal, None):
                self.fault = None

    def _later(self, work: Callable[[], Coroutine[Any, Any, object]]) -> None:
        self._nursery.start_soon(work)
