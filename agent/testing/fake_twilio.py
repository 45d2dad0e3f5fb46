"""Twilio's REST API on this machine, for calls that a `TwilioCaller` makes: strict, and failing on demand.

async with FakeTwilio.serve(auth_token="…") as twilio:
    call = twilio.take(caller)                # the caller is on the line, and a call of this account
    plan = await call.next_stream()           # what was asked for over REST …
    async with caller.stream(plan): …         # … and is opened by whoever plays the caller
    await call.dial_ends("busy")              # whom its TwiML dials does not answer: it asks what comes next
    twilio.fault = Fault("status", status=429, times=2)
"""

import json
from base64 import b64encode
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from secrets import token_hex
from urllib.parse import parse_qsl
from xml.etree import ElementTree as ET

import trio

from ..telephony.twiml import StreamPlan
from . import twilio_contract as contract
from .faults import Fault, FaultPlan
from .http_server import HttpRequest, HttpResponse, HttpServer, Misbehaviour
from .twilio_caller import TwilioCaller
from .twilio_contract import No
from .twilio_requests import Requests

KEEP = 10_000
JSON = (("Content-Type", "application/json"),)
_MISBEHAVIOURS = {"stall": Misbehaviour.STALL, "reset": Misbehaviour.RESET, "garbage": Misbehaviour.GARBAGE}


@dataclass(slots=True)
class LiveCall:
    """One call of the account, as Twilio sees it."""

    caller: TwilioCaller
    executing: str = field(default="", repr=False)
    """The TwiML it was last told to go on with, over REST or in answer to a question of its own."""
    over: bool = False
    streams: dict[str, StreamPlan] = field(default_factory=dict)
    """Every stream asked for over REST, by its name."""
    _asked: deque[StreamPlan] = field(default_factory=deque)
    _changed: trio.Event = field(default_factory=trio.Event)

    async def next_stream(self) -> StreamPlan:
        """The next stream asked for, past or to come."""
        while not self._asked:
            await self._changed.wait()
        return self._asked.popleft()

    async def told(self) -> str:
        """The TwiML it was told to go on with, past or to come; empty when it was hung up."""
        while not self.executing and not self.over:
            await self._changed.wait()
        return self.executing

    @property
    def dials(self) -> str | None:
        """Whom its TwiML dials."""
        dial = self._dial()
        return None if dial is None else "".join(dial.itertext())

    async def dial_ends(self, status: str) -> str:
        """Whoever is dialled hangs up (`completed`) or does not answer (`busy`, `no-answer`, `failed`, `canceled`): the
        TwiML that Twilio is told to go on with, which is empty where nobody was to be asked."""
        dial = self._dial()
        action = None if dial is None else dial.get("action")
        answer = None
        if action is not None:
            caller = self.caller
            requests = Requests(caller.server, action, caller.auth_token, caller.http)
            form = [*caller.who.voice_form("in-progress"), ("DialCallStatus", status), ("DialCallSid", "CA" + "0" * 32)]
            answer = await requests.post(action, form)
        self.go_on("" if answer is None or answer.status_code != 200 else answer.text)
        return self.executing

    def go_on(self, twiml: str) -> None:
        self.executing = twiml
        self.over = not twiml or [verb.tag for verb in ET.fromstring(twiml)][-1:] == ["Hangup"]
        self._note()

    def start(self, name: str, plan: StreamPlan) -> None:
        self.streams[name] = plan
        self._asked.append(plan)
        self._note()

    def _dial(self) -> ET.Element | None:
        return ET.fromstring(self.executing).find("Dial") if self.executing else None

    def _note(self) -> None:
        self._changed.set()
        self._changed = trio.Event()


class FakeTwilio:
    """Open one with `FakeTwilio.serve`."""

    def __init__(self, auth_token: str) -> None:
        self.account_sid = "AC" + token_hex(16)
        self.auth_token = auth_token
        self.tls_only = False
        """Streams must be asked for as wss, as at Twilio; for tests on this machine, ws will do."""
        self.requests: deque[tuple[str, dict[str, str]]] = deque(maxlen=KEEP)
        """Path and form of every request, refused or not, the newest last."""
        self.refused: deque[No] = deque(maxlen=KEEP)
        self._calls: dict[str, LiveCall] = {}
        self._faults = FaultPlan("stall", "delay", "status", "reset", "garbage", "refuse")
        self._server = HttpServer(self._answer)

    @classmethod
    @asynccontextmanager
    async def serve(cls, *, auth_token: str) -> "AsyncIterator[FakeTwilio]":
        """Serve on a free loopback port until the end of the block."""
        twilio = cls(auth_token)
        async with trio.open_nursery() as nursery:
            await nursery.start(twilio._server.run)
            yield twilio
            nursery.cancel_scope.cancel(reason="the fake Twilio is no longer needed")

    @property
    def url(self) -> str:
        return self._server.url

    @property
    def fault(self) -> Fault | None:
        """Suffered by requests from now on; None: everything works."""
        return self._faults.fault

    @fault.setter
    def fault(self, fault: Fault | None) -> None:
        self._faults.fault = fault
        if fault is not None and fault.kind == "refuse":
            self._server.refuse()
        else:
            self._server.accept()

    def take(self, caller: TwilioCaller) -> LiveCall:
        """This caller's call is one of the account's, and in progress."""
        caller.account_sid = self.account_sid
        call = self._calls[caller.call_sid] = LiveCall(caller)
        return call

    async def _answer(self, request: HttpRequest) -> HttpResponse | Misbehaviour:
        fault = self._faults.take("stall", "delay", "status", "reset", "garbage", path=request.path)
        if fault is not None and fault.kind in _MISBEHAVIOURS:
            return _MISBEHAVIOURS[fault.kind]
        headers: tuple[tuple[str, str], ...] = JSON
        if fault is not None and fault.kind == "delay":
            await trio.sleep(fault.seconds)
        if fault is not None and fault.kind == "status":
            answer: No | dict[str, str] = contract.BY_STATUS.get(fault.status, No(fault.status, 20500, "Error"))
            wait = () if fault.retry_after is None else (("Retry-After", f"{fault.retry_after:g}"),)
            headers = JSON + wait
        else:
            answer = self._serve(request)
        if isinstance(answer, No):
            self.refused.append(answer)
            return HttpResponse(answer.status, answer.body, headers)
        return HttpResponse(201 if "/Streams" in request.path else 200, json.dumps(answer).encode(), headers)

    def _serve(self, request: HttpRequest) -> No | dict[str, str]:
        form = dict(parse_qsl(request.body.decode(), keep_blank_values=True))
        self.requests.append((request.path, form))
        wanted = b64encode(f"{self.account_sid}:{self.auth_token}".encode()).decode()
        if request.header("authorization") != f"Basic {wanted}":
            return contract.AUTHENTICATE
        if (request.header("content-type") or "").partition(";")[0] != "application/x-www-form-urlencoded":
            return contract.invalid("the body is no form")
        below = f"/2010-04-01/Accounts/{self.account_sid}/Calls/"
        call_sid, _, resource = request.path.removeprefix(below).removesuffix(".json").partition("/")
        call = self._calls.get(call_sid)
        spelt = request.path == f"{below}{call_sid}{'/' if resource else ''}{resource}.json"
        if request.method != "POST" or call is None or not spelt or resource not in ("", "Streams"):
            return contract.NOT_FOUND
        if call.over:
            return contract.NOT_IN_PROGRESS
        return self._stream(call, form) if resource else self._update(call, form)

    def _update(self, call: LiveCall, form: dict[str, str]) -> No | dict[str, str]:
        twiml = contract.update(form)
        if isinstance(twiml, No):
            return twiml
        call.go_on(twiml)
        return {"sid": call.caller.call_sid, "status": "completed" if call.over else "in-progress"}

    def _stream(self, call: LiveCall, form: dict[str, str]) -> No | dict[str, str]:
        plan = contract.stream(form, tls=self.tls_only)
        if isinstance(plan, No):
            return plan
        sid = "MZ" + token_hex(16)
        name = form.get("Name", sid)
        if name in call.streams or len(call.streams) >= contract.MOST_STREAMS:
            return contract.invalid("Name")
        call.start(name, plan)
        return {"sid": sid, "call_sid": call.caller.call_sid, "name": name, "status": "in-progress"}
