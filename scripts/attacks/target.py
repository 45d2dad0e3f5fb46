"""The server under attack: started with random secrets in a folder of its own, and looked at from outside."""

import json
import os
import re
import resource
import secrets
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlencode

import trio

from agent.audiofile import bundled_voice
from agent.groups import alone
from agent.http import client, httpx
from agent.telephony.signature import SIGNATURE_HEADER, sign
from agent.testing import FakeVapi, Hook, Pace, TwilioCaller

from .table import Breach

__all__ = ["FORM_TYPE", "Form", "Markers", "Server", "Target", "alone", "finals", "send_pieces"]

ROOT = Path(__file__).parents[2]
VOICE = bundled_voice()
HOSTILE_ADDRESS = "127.0.0.66"
"""Where strangers come from; everybody else is 127.0.0.1."""
FILES = 1024
"""The usual limit on a process's open files."""
FORM_TYPE = "application/x-www-form-urlencoded; charset=UTF-8"
ANSWER_S = 5.0
"""Within which a caller is answered, whatever else goes on: what is promised. Twilio itself waits 15 s."""
TOLD_S = 6.0
"""Within which an assistant is told of an angry caller."""
ALIVE_S = 3.0
"""Within which it says that it is alive, and after a fault is gone."""
CALL_S = 20.0
READY_S = 30.0
FINAL = re.compile(rb"HTTP/1\.[01] ([2-5]\d\d) ")

Form = list[tuple[str, str]]


def marker(name: str) -> str:
    """A secret that cannot stand anywhere by accident."""
    return f"{name}-{secrets.token_hex(12)}"


@dataclass(frozen=True, slots=True)
class Markers:
    """What must show nowhere: keys, and a caller's number."""

    auth_token: str = field(default_factory=lambda: marker("auth"))
    token: str = field(default_factory=lambda: marker("token"))
    vapi_secret: str = field(default_factory=lambda: marker("vapi"))
    others: Mapping[str, str] = field(
        default_factory=lambda: {
            name: marker("other")
            for name in ("VAPI_API_KEY", "VAPI_PUBLIC_KEY", "HUME_API_KEY", "LLM_API_KEY", "CALLMOOD_LLM_KEY")
        }
    )
    number: str = "+15557394"
    """How every caller's number begins."""
    planted: str = field(default_factory=lambda: marker("planted").replace("-", "!"))
    """Stands in what attackers write into fields that are nobody's to keep."""

    def environment(self, **more: str) -> dict[str, str]:
        kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
        known = {
            "PYTHONPATH": str(ROOT),
            "OPENBLAS_NUM_THREADS": "1",
            "TWILIO_AUTH_TOKEN": self.auth_token,
            "CALLMOOD_TOKEN": self.token,
            "VAPI_SECRET": self.vapi_secret,
            "CALLMOOD_ATTACH": "bridge",
            "LLM_BASE_URL": "http://127.0.0.1:9/v1",  # nobody is there
        }
        return kept | known | dict(self.others) | more

    def all(self) -> dict[str, str]:
        return {
            "the Twilio auth token": self.auth_token,
            "the token": self.token,
            "Vapi's secret": self.vapi_secret,
            "a caller's number": self.number,
            **{name: value for name, value in self.others.items()},
        }


class Server:
    """`callmood serve` as a process."""

    def __init__(self, folder: Path, environment: Mapping[str, str], files: int = FILES) -> None:
        self.folder, self.log = folder, folder / "serve.err"
        with self.log.open("a") as errors:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "agent", "serve", "--port", "0"],
                cwd=folder,
                env=dict(environment),
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (files, files)),  # noqa: PLW1509
            )
        assert self.process.stdout is not None
        self.url = self.process.stdout.readline().strip().removeprefix("ready ")
        if not self.url.startswith("http://127.0.0.1:"):
            self.kill()
            raise Breach(f"the server did not start: {self.log.read_text()[:500]}")

    @property
    def memory(self) -> int:
        """Bytes of it that are in memory now."""
        pages = int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")

    @property
    def open_files(self) -> int:
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))

    def stop(self) -> tuple[int, str]:
        """Its exit code, and what it printed."""
        self.process.send_signal(signal.SIGTERM)
        try:
            out, _ = self.process.communicate(timeout=45)
        except subprocess.TimeoutExpired:
            self.kill()
            raise Breach("the server did not end within 45 s of SIGTERM") from None
        return self.process.returncode, out + self.log.read_text()

    def kill(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()


@dataclass
class Target:
    """A running server, and what can be done to it."""

    server: Server
    markers: Markers
    environment: Mapping[str, str]
    http: httpx.AsyncClient
    vapi: FakeVapi
    seconds: float
    """How long an attack that lasts goes on."""
    speed: float
    """Of the neighbour's call."""
    leaks: set[str] = field(default_factory=set)
    control_paths: set[str] = field(default_factory=set)
    """Of the control addresses, which are secrets too."""
    stream_tokens: set[str] = field(default_factory=set)
    callers: int = 0

    @classmethod
    @asynccontextmanager
    async def start(cls, folder: Path, *, seconds: float, speed: float) -> AsyncIterator[Self]:
        markers = Markers()
        async with FakeVapi.serve() as vapi, client() as http:
            host = vapi.url.removeprefix("http://")
            data = str(folder / "data")
            environment = markers.environment(VAPI_CONTROL_HOSTS=host, CALLMOOD_DATA=data, TMPDIR=str(folder))
            server, target = await trio.to_thread.run_sync(Server, folder, environment), None
            try:
                target = cls(server, markers, environment, http, vapi, seconds, speed)
                yield target
            finally:
                (target.server if target else server).kill()

    @property
    def is_dead(self) -> bool:
        return self.server.process.poll() is not None

    async def has_died(self) -> bool:
        """Whether the server is gone, or answers nothing any more; what is left of it is ended then."""
        with trio.move_on_after(ALIVE_S), suppress(httpx.TransportError):
            if (await self.http.get(self.url + "/healthz")).status_code == 200:
                return False
        with trio.move_on_after(ALIVE_S):
            while not self.is_dead:  # noqa: ASYNC110 - another process, which sends no event
                await trio.sleep(0.05)
        self.server.kill()
        return True

    async def restart(self) -> None:
        """Another server, on what the dead one has left."""
        self.server = await trio.to_thread.run_sync(Server, self.server.folder, self.environment)

    # Where it is.

    @property
    def url(self) -> str:
        return self.server.url

    @property
    def host(self) -> str:
        return self.url.removeprefix("http://")

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2])

    @property
    def bearer(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.markers.token}"}

    # Strangers, byte by byte.

    async def connect(self) -> trio.SocketStream:
        return await trio.open_tcp_stream("127.0.0.1", self.port, local_address=HOSTILE_ADDRESS)

    async def exchange(self, *pieces: bytes, pause_s: float = 0.0, patience_s: float = 4.0) -> bytes:
        """Send bytes as they are, and read until the server closes, or for `patience_s`."""
        data = bytearray()
        async with await self.connect() as stream:
            with trio.move_on_after(patience_s):
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(send_pieces, stream, pieces, pause_s)
                    with suppress(trio.BrokenResourceError):
                        async for piece in stream:
                            data += piece
                    nursery.cancel_scope.cancel()
        self.note(bytes(data))
        return bytes(data)

    def note(self, answer: bytes) -> None:
        """Look through an answer for what must show nowhere."""
        for name, value in self.markers.all().items():
            if value.encode() in answer:
                self.leaks.add(f"{name} in an answer")

    # Requests that are well-formed.

    async def get(self, path: str, headers: Mapping[str, str] | None = None) -> httpx.Response:
        return await self._noted(
            await self.http.get(self.url + path, headers=self.bearer if headers is None else headers)
        )

    async def post(self, path: str, content: bytes | str, headers: Mapping[str, str]) -> httpx.Response:
        return await self._noted(await self.http.post(self.url + path, content=content, headers=dict(headers)))

    async def _noted(self, answer: httpx.Response) -> httpx.Response:
        head = "".join(f"{name}: {value}\n" for name, value in answer.headers.items())
        self.note(head.encode() + answer.content)
        self.http.cookies.clear()
        return answer

    async def signed(
        self, path: str, form: Form, *, url: str | None = None, signed_form: Form | None = None, **headers: str
    ) -> httpx.Response:
        """A form with Twilio's signature: over another URL or another form, on demand."""
        signature = sign(self.markers.auth_token, url or self.url + path, form if signed_form is None else signed_form)
        known = {SIGNATURE_HEADER: signature, "Content-Type": FORM_TYPE}
        return await self.post(path, urlencode(form), known | {k.replace("_", "-"): v for k, v in headers.items()})

    async def emotion(self, call_sid: str, label: str, score: float = 0.95) -> httpx.Response:
        body = json.dumps({"callSid": call_sid, "emotion": {"label": label, "score": score}})
        return await self.post("/webhook/emotion", body, self.bearer)

    async def vapi_says(self, body: object, secret: str | None = None) -> httpx.Response:
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        return await self.post("/webhook/vapi", content, {"X-Vapi-Secret": secret or self.markers.vapi_secret})

    async def is_live(self, call_sid: str) -> bool:
        answer = await self.get(f"/calls/{call_sid}")
        return answer.status_code == 200 and answer.json()["state"] == "live"

    # Real calls.

    def caller(self, **more: Any) -> TwilioCaller:
        self.callers += 1
        number = f"{self.markers.number}{self.callers:04d}"
        known: dict[str, Any] = {"auth_token": self.markers.auth_token, "from_": number, "http": self.http}
        return TwilioCaller(self.url, **(known | more))

    async def real_call(self, seconds: float = 2.0) -> float:
        """An ordinary caller is answered, heard and told; returns how long the telling took. Raises Breach."""
        stage = "answered"
        with trio.move_on_after(CALL_S):
            caller, began = self.caller(), trio.current_time()
            placed = await caller.place()
            took = trio.current_time() - began
            if placed.plan is None or took > ANSWER_S:
                raise Breach(f"a caller was not answered: {placed.error or placed.twiml[:120]} after {took:.1f} s")
            self.stream_tokens.add(placed.plan.parameters["token"])
            assistant = self.vapi.call(caller.call_sid, hook=Hook(self.url, self.markers.vapi_secret))
            self.control_paths.add(assistant.facts.call_id + "/control")
            stage = "connected to its assistant"
            await assistant.send_status_update("in-progress")
            stage = "carried"
            async with caller.stream(placed.plan, Pace(speed=self.speed)) as stream:
                whole = await stream.play(VOICE[: int(8000 * seconds)])
                stage = "told"
                angry_since = trio.current_time()
                await self._be_told(caller.call_sid, assistant.facts.call_id)
                told_after = trio.current_time() - angry_since
            stage = "heard"
            await caller.complete(seconds)
            await assistant.end()
            await self._check_heard(caller.call_sid, whole)
            if told_after > TOLD_S:
                raise Breach(f"an assistant was told only after {told_after:.1f} s")
            return told_after
        raise Breach(f"a caller was not {stage} within {CALL_S:g} s")

    async def _be_told(self, call_sid: str, vapi_call_id: str) -> None:
        """Readings come in until the assistant has been told of them."""
        async with trio.open_nursery() as nursery:

            async def keep_reading() -> None:
                while True:
                    await self.emotion(call_sid, "angry")
                    await trio.sleep(0.02)

            nursery.start_soon(keep_reading)
            await self.vapi.wait_for(lambda message: message.call_id == vapi_call_id)
            nursery.cancel_scope.cancel()

    async def _check_heard(self, call_sid: str, whole: bool) -> None:
        while await self.is_live(call_sid):  # noqa: ASYNC110 - another process, which sends no event
            await trio.sleep(0.05)
        entry = (await self.get(f"/calls/{call_sid}")).json()
        events = entry["timeline"]
        heard = [event for event in events if event["event"] == "audio.chunk" and event["source"] == "local"]
        lost = sum(event["ms"] for event in events if event["event"] == "audio.gap")
        if not whole or not heard or lost or entry["outcome"] != "hangup":
            raise Breach(
                f"a caller was heard badly: {len(heard)} readings, {lost} ms lost, outcome {entry['outcome']}, "
                f"{'' if whole else 'not '}carried to the end"
            )

    # What it wrote.

    def faults(self, since: int) -> list[str]:
        """Lines of its log that tell of a bug of its own, after this many bytes of it."""
        written = self.server.log.read_bytes()[since:].decode(errors="replace")
        return [line[:300] for line in written.splitlines() if '"level": "error"' in line or "Traceback" in line]


async def send_pieces(stream: trio.SocketStream, pieces: Iterable[bytes], pause_s: float = 0.0) -> None:
    """Until the other side has had enough."""
    with suppress(trio.BrokenResourceError, trio.ClosedResourceError):
        for piece in pieces:
            await stream.send_all(piece)
            if pause_s:
                await trio.sleep(pause_s)


def finals(answer: bytes) -> list[int]:
    """The statuses of the answers in it, interim ones left out."""
    return [int(status) for status in FINAL.findall(answer)]
