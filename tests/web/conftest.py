"""The whole service on a loopback port, with a fake Vapi beside it, for tests that look at it from outside.

    async def test_…(start):
        callmood = await start(max_calls=1)
        async with callmood.on_the_line() as line: …

Real sockets and a real clock. What takes longer than LONGEST_S fails by itself.
"""

from __future__ import annotations

import json
import random
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import pytest
import trio

from agent.http import client, httpx
from agent.service import Ready, run_service
from agent.settings import Secret, Settings
from agent.telephony.signature import SIGNATURE_HEADER, sign
from agent.telephony.twiml import StreamPlan
from agent.testing import CallerStream, FakeCall, FakeTwilio, FakeVapi, Hook, Pace, TwilioCaller
from agent.testing.sockets import Closed
from agent.workers.crew import Crew

if TYPE_CHECKING:
    from playwright.sync_api import Browser

LONGEST_S = 15
AUTH_TOKEN = "twilio-auth-token-of-the-tests"
TOKEN = "token-of-the-tests"
VAPI_SECRET = "vapi-secret-of-the-tests"
BEARER = {"Authorization": f"Bearer {TOKEN}"}

Json = dict[str, Any]


@dataclass
class Line:
    """One caller on the line."""

    caller: TwilioCaller
    plan: StreamPlan
    stream: CallerStream

    @property
    def call_sid(self) -> str:
        return self.caller.call_sid


@dataclass
class Callmood:
    """A running service, and what can be done to it."""

    ready: Ready
    settings: Settings
    http: httpx.AsyncClient
    vapi: FakeVapi
    stop: trio.Event
    returned: trio.Event = field(default_factory=trio.Event)
    """Set when `run_service` has returned."""

    @property
    def url(self) -> str:
        return self.ready.url

    @property
    def host(self) -> str:
        return self.url.removeprefix("http://")

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2])

    # Plain HTTP.

    async def get(self, path: str, headers: Mapping[str, str] = BEARER) -> httpx.Response:
        return await self.http.get(self.url + path, headers=headers)

    async def post(self, path: str, content: bytes | str = b"", headers: Mapping[str, str] = BEARER) -> httpx.Response:
        return await self.http.post(self.url + path, content=content, headers=headers)

    async def emotion(self, call_sid: str, label: str, score: float, **more: object) -> Json:
        """A reading from outside; the answer to it."""
        body = json.dumps({"callSid": call_sid, "emotion": {"label": label, "score": score}, **more})
        answer = await self.post("/webhook/emotion", body)
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    async def raw(self) -> trio.SocketStream:
        return await trio.open_tcp_stream("127.0.0.1", self.port)

    async def exchange(self, *pieces: bytes, pause_s: float = 0.0) -> bytes:
        """Send bytes as they are, and read until the server closes."""
        async with await self.raw() as stream:
            for piece in pieces:
                await stream.send_all(piece)
                await trio.sleep(pause_s)
            return await everything(stream)

    # Twilio.

    def caller(self, **more: Any) -> TwilioCaller:
        return TwilioCaller(self.url, **{"auth_token": AUTH_TOKEN, "http": self.http, **more})

    async def signed(
        self,
        path: str,
        form: list[tuple[str, str]],
        *,
        signed_as: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> httpx.Response:
        """A form with a signature over `signed_as` + path, which is where Twilio believes to have sent it."""
        url = (self.url if signed_as is None else signed_as) + path
        content_type = "application/x-www-form-urlencoded; charset=UTF-8"
        all_headers = {
            SIGNATURE_HEADER: sign(AUTH_TOKEN, url, form),
            "Content-Type": content_type,
            **(headers or {}),
        }
        return await self.post(path, urlencode(form), all_headers)

    async def stream_status(self, line: Line, event: str, stream_sid: str | None = None) -> httpx.Response:
        sid = stream_sid or line.stream.stream_sid
        form = [("AccountSid", line.caller.account_sid), ("CallSid", line.call_sid), ("StreamEvent", event)]
        return await self.signed("/twilio/stream-status", [*form, ("StreamSid", sid)])

    @asynccontextmanager
    async def on_the_line(self, caller: TwilioCaller | None = None, **more: Any) -> AsyncIterator[Line]:
        """A call whose stream is open and accepted; it hangs up at the end of the block."""
        caller = caller or self.caller(**more)
        placed = await caller.place()
        assert placed.plan is not None, placed
        async with self.open(caller, placed.plan) as line:
            await self.until(lambda: self.connected(line))
            yield line

    @asynccontextmanager
    async def open(self, caller: TwilioCaller, plan: StreamPlan, *, greet: bool = True) -> AsyncIterator[Line]:
        """A stream as the plan asks for it, but without Twilio's callbacks: tests send those themselves."""
        quiet_plan = replace(plan, status_callback=None)
        async with caller.stream(quiet_plan, Pace(speed=20), greet=greet) as stream:
            yield Line(caller, plan, stream)

    async def closing_of(self, caller: TwilioCaller, plan: StreamPlan, *, greet: bool = True) -> tuple[int, str]:
        """How the server closes a stream that it does not want."""
        async with self.open(caller, plan, greet=greet) as line:
            return code_and_reason(await line.stream.wait_closed())

    def connected(self, line: Line) -> bool:
        call = self.ready.directory.find(line.call_sid)
        return call is not None and call.stream_sid == line.stream.stream_sid

    # Vapi.

    def assistant(self, call_sid: str, secret: str = VAPI_SECRET) -> FakeCall:
        return self.vapi.call(call_sid, hook=Hook(self.url, secret))

    async def vapi_says(self, body: object, secret: str = VAPI_SECRET) -> httpx.Response:
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        return await self.post("/webhook/vapi", content, {"X-Vapi-Secret": secret})

    def told(self, kind: str) -> list[Json]:
        """The control messages of one type that arrived at Vapi."""
        return [message.body for message in self.vapi.messages if message.body["type"] == kind]

    # What became of it.

    async def until(self, holds: Callable[[], bool]) -> None:
        while not holds():  # noqa: ASYNC110 - what it looks at has no event of its own
            await trio.sleep(0.01)

    async def entry(self, call_sid: str) -> Json:
        answer = await self.get(f"/calls/{call_sid}")
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    async def ended(self, call_sid: str) -> Json:
        """The call's entry and timeline, once it has ended."""
        await self.until(lambda: self.ready.directory.find(call_sid) is None)
        return await self.entry(call_sid)

    async def event(self, call_sid: str, name: str) -> Json:
        """The first event of this name in a call's timeline, past or to come."""
        async with self.watch(f"?call={call_sid}") as events:
            async for _, event in events:
                if event["event"] == name:
                    return event
        raise AssertionError(f"the events ended before {name}")

    @asynccontextmanager
    async def watch(self, query: str = "", last: str | None = None) -> AsyncIterator[Events]:
        """`/events`, watched from when the block begins."""
        lines = [f"GET /events{query} HTTP/1.0", f"Host: {self.host}", f"Authorization: {BEARER['Authorization']}"]
        if last is not None:
            lines.append(f"Last-Event-ID: {last}")
        async with await self.raw() as stream:
            await stream.send_all("\r\n".join([*lines, "", ""]).encode("latin-1"))
            events = Events(stream)
            await events.open()
            yield events


class Events:
    """Server-sent events as pairs of id and JSON. Over HTTP/1.0, where a stream ends with its connection."""

    def __init__(self, stream: trio.SocketStream) -> None:
        self._stream = stream
        self._data = b""
        self.head = ""

    async def open(self) -> None:
        self.head = (await self._until(b"\r\n\r\n")).decode("latin-1")
        assert " 200 " in self.head.splitlines()[0], self.head
        assert "content-type: text/event-stream" in self.head.lower()
        while b"\n\n" not in self._data:  # the head may come before anybody watches; the first line does not
            await self._more()

    def __aiter__(self) -> Events:
        return self

    async def __anext__(self) -> tuple[str, Json]:
        while True:
            block = (await self._until(b"\n\n")).decode()
            fields = dict(line.split(": ", 1) for line in block.splitlines() if ": " in line and line[0] != ":")
            if "data" in fields:
                return fields.get("id", ""), json.loads(fields["data"])

    async def take(self, count: int) -> list[tuple[str, Json]]:
        return [await anext(self) for _ in range(count)]

    async def _more(self) -> None:
        piece = await self._stream.receive_some()
        if not piece:
            raise StopAsyncIteration
        self._data += piece

    async def _until(self, mark: bytes) -> bytes:
        while mark not in self._data:
            await self._more()
        taken, _, self._data = self._data.partition(mark)
        return taken


async def everything(stream: trio.SocketStream) -> bytes:
    """What comes until the end, however the end comes."""
    data = b""
    with suppress(trio.BrokenResourceError):
        async for piece in stream:
            data += piece
    return data


def code_and_reason(closed: Closed) -> tuple[int, str]:
    assert closed.by == "server", closed
    return closed.code, closed.reason


Start = Callable[..., Awaitable[Callmood]]


@asynccontextmanager
async def services(nursery: trio.Nursery, folder: Path, longest_s: float = LONGEST_S) -> AsyncIterator[Start]:
    """Starts services in this nursery, each with the settings it is given; what they write lies in the folder."""

    async def too_slow() -> None:
        with trio.fail_after(longest_s):
            await trio.sleep_forever()

    nursery.start_soon(too_slow)
    async with FakeVapi.serve() as vapi, client() as http:

        async def start_one(*, insecure: bool = False, crew: Crew | None = None, **changes: Any) -> Callmood:
            known: dict[str, Any] = {
                "port": 0,
                "data": str(folder / "data"),
                "token": Secret(TOKEN),
                "twilio_auth_token": Secret(AUTH_TOKEN),
                "vapi_secret": Secret(VAPI_SECRET),
                "vapi_control_hosts": ("127.0.0.1",),
                "wrap_up_s": 0.2,
                "drain_s": 0.2,
            }
            settings, stop = Settings(**{**known, **changes}), trio.Event()
            returned = trio.Event()

            async def run(task_status: trio.TaskStatus[Ready]) -> None:
                await run_service(settings, stop=stop, insecure=insecure, crew=crew, task_status=task_status)
                returned.set()

            return Callmood(await nursery.start(run), settings, http, vapi, stop, returned)

        yield start_one


@pytest.fixture
async def start(nursery: trio.Nursery, tmp_path: Path) -> AsyncIterator[Start]:
    """Starts services, each with the settings it is given."""
    async with services(nursery, tmp_path) as start_one:
        yield start_one


@pytest.fixture
async def callmood(start: Start) -> Callmood:
    """A service with the settings of the tests."""
    return await start()


@dataclass
class OwnPort:
    """Settings of a service that has to know its own address beforehand: where Twilio reaches it for callbacks."""

    port: int
    twilio: FakeTwilio

    def settings(self, **more: Any) -> dict[str, Any]:
        return {
            "port": self.port,
            "webhook_url": f"http://127.0.0.1:{self.port}",
            "twilio_account_sid": self.twilio.account_sid,
            "twilio_base_url": self.twilio.url,
            **more,
        }


@pytest.fixture
async def account() -> AsyncIterator[OwnPort]:
    """A Twilio account, and a port that nobody listens on yet."""
    async with FakeTwilio.serve(auth_token=AUTH_TOKEN) as twilio:
        yield OwnPort(free_port(), twilio)


def free_port() -> int:
    """One that nobody listens on, and that no connection of somebody else's is given by chance before we do."""
    while True:
        port = random.randrange(20_000, 32_000)
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """The machine's Chromium, one for all tests of a file."""
    from browsing import chromium

    with chromium() as started:
        yield started
