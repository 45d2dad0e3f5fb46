"""A language model on this machine: OpenAI-compatible, as strict as the real ones, and able to fail on demand.

    async with FakeLLM.serve() as llm:            # llm.url is the LLM_BASE_URL, llm.key the LLM_API_KEY
        llm.script = Script(words=("I", " am", " sorry."), pause_s=0.05)
        llm.fault = Fault("status", status=429, retry_after=2, times=1)
        …
        assert llm.asked[-1].body["messages"][-2]["role"] == "system"

Streams and plain answers, tool calls included: https://platform.openai.com/docs/api-reference/chat
"""

import json
import socket
import struct
from collections import deque
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Literal

import h11
import trio

from .faults import FaultPlan, Faulty
from .http_server import read_whole

KEY = "key-of-the-fake-llm"
KEPT = 1_000
LARGEST = 16 << 20
"""Bytes of a request."""

KNOWN = frozenset(
    {
        *("messages", "model", "stream", "stream_options", "temperature", "top_p", "max_tokens", "stop", "n", "seed"),
        *("max_completion_tokens", "tools", "tool_choice", "parallel_tool_calls", "presence_penalty", "user"),
        *("frequency_penalty", "logit_bias", "response_format"),
    }
)
"""What a request may hold; anything else is refused, as OpenAI does."""
ROLES = ("system", "developer", "user", "assistant", "tool", "function")
_JSON = ("Content-Type", "application/json")


@dataclass(frozen=True, slots=True)
class Script:
    """What the model answers, and how it goes about it."""

    words: tuple[str, ...] = ("I", " am", " listening", ".")
    """The pieces of a streamed answer; together the plain one."""
    tool: tuple[str, str] | None = None
    """Name and arguments (JSON) of a tool it wants called instead."""
    think_s: float = 0.0
    """Before its first byte."""
    pause_s: float = 0.0
    """Between pieces."""
    breaks: Literal["reset", "stall"] | None = None
    """What happens instead of the rest after `breaks_after` pieces."""
    breaks_after: int = 2


@dataclass(slots=True)
class Asked:
    """One request that was let in, and what became of it."""

    body: dict[str, Any]
    raw: bytes
    headers: Mapping[str, str]
    at: float
    """Loop time."""
    sent: bytearray = field(default_factory=bytearray)
    """The answer's body, as far as it was sent."""
    left: bool = False
    """Whoever asked has gone before the end."""

    @property
    def notes(self) -> list[str]:
        """The system messages behind the first message."""
        return [message["content"] for message in self.body["messages"][1:] if message["role"] == "system"]


class FakeLLM(Faulty):
    """Open one with `FakeLLM.serve`."""

    def __init__(self) -> None:
        self.key = KEY
        self.script = Script()
        self.asked: deque[Asked] = deque(maxlen=KEPT)
        self.refused: deque[str] = deque(maxlen=KEPT)
        """Why requests were not let in."""
        self.connections = 0
        """Open now."""
        self._faults = FaultPlan("stall", "delay", "status", "reset", "garbage")
        self._changed = trio.Event()
        self._port = 0

    @classmethod
    @asynccontextmanager
    async def serve(cls) -> "AsyncIterator[FakeLLM]":
        """Serve on a free loopback port until the end of the block."""
        llm = cls()
        async with trio.open_nursery() as nursery:
            listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
            llm._port = listeners[0].socket.getsockname()[1]
            nursery.start_soon(trio.serve_listeners, llm._serve, listeners)
            yield llm
            nursery.cancel_scope.cancel()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}/v1"

    async def until_asked(self, times: int = 1) -> Asked:
        """The newest request, once so many have come."""
        while len(self.asked) < times:
            await self._changed.wait()
        return self.asked[-1]

    async def until_left(self, asked: Asked) -> None:
        """Return when whoever asked this has gone before the end of the answer."""
        while not asked.left:
            await self._changed.wait()

    def _change(self) -> None:
        self._changed.set()
        self._changed = trio.Event()

    # --- HTTP ---

    async def _serve(self, stream: trio.SocketStream) -> None:
        self.connections += 1
        connection = h11.Connection(h11.SERVER)
        try:
            async with stream:
                while (request := await read_whole(connection, stream, LARGEST)) is not None:
                    await self._answer(connection, stream, *request)
                    connection.start_next_cycle()
        except* (trio.BrokenResourceError, trio.ClosedResourceError, h11.ProtocolError):
            pass  # whoever asked has gone, or a fault has ended the connection
        finally:
            self.connections -= 1

    async def _answer(
        self, connection: h11.Connection, stream: trio.SocketStream, head: h11.Request, raw: bytes
    ) -> None:
        headers = {name.decode(): value.decode("latin-1") for name, value in head.headers}
        status, wrong, body = self._check(head.target.decode(), headers, raw)
        if wrong:
            self.refused.append(wrong)
            await stream.send_all(_whole(connection, status, error_body(wrong, status)))
            return
        asked = Asked(body, raw, headers, trio.current_time())
        self.asked.append(asked)
        self._change()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._watch, stream, asked, nursery.cancel_scope)
            await self._speak(connection, stream, asked)
            nursery.cancel_scope.cancel()
        if asked.left:
            raise trio.BrokenResourceError("the asker has gone")

    async def _watch(self, stream: trio.SocketStream, asked: Asked, speaking: trio.CancelScope) -> None:
        """Notice that the asker leaves while it is being answered."""
        try:
            gone = not await stream.receive_some(1)
        except trio.BrokenResourceError:
            gone = True
        if gone:
            asked.left = True
            self._change()
            speaking.cancel()

    def _check(self, target: str, headers: Mapping[str, str], raw: bytes) -> tuple[int, str, dict[str, Any]]:
        if target != "/v1/chat/completions":
            return 404, f"Invalid URL {target}", {}
        if headers.get("authorization") != f"Bearer {self.key}":
            return 401, "Incorrect API key provided", {}
        try:
            body = json.loads(raw)
        except ValueError:
            body = None
        if not isinstance(body, dict):
            return 400, "We could not parse the JSON body of your request", {}
        return (400, wrong, body) if (wrong := problem(body)) else (200, "", body)

    async def _speak(self, connection: h11.Connection, stream: trio.SocketStream, asked: Asked) -> None:
        fault, script = self._faults.take("stall", "delay", "status", "reset", "garbage"), self.script
        if fault is not None and fault.kind == "status":
            wait = () if fault.retry_after is None else (("Retry-After", f"{fault.retry_after:g}"),)
            asked.sent += error_body("The server had an error.", fault.status)
            await stream.send_all(_whole(connection, fault.status, bytes(asked.sent), *wait))
            return
        if fault is not None and fault.kind != "delay":
            await _fail(stream, fault.kind)
        await trio.sleep(script.think_s + (fault.seconds if fault is not None else 0.0))
        if not asked.body.get("stream"):
            asked.sent += plain(script)
            await stream.send_all(_whole(connection, 200, bytes(asked.sent)))
            return
        kind = ("Content-Type", "text/event-stream; charset=utf-8")
        await stream.send_all(_sent(connection, h11.Response(status_code=200, headers=[kind, ("x-request-id", "r1")])))
        for place, piece in enumerate(streamed(script)):
            if script.breaks is not None and place == script.breaks_after:
                await _fail(stream, script.breaks)
            await trio.sleep(script.pause_s if place else 0.0)
            asked.sent += piece
            await stream.send_all(_sent(connection, h11.Data(data=piece)))
        await stream.send_all(_sent(connection, h11.EndOfMessage()))


# --- what is accepted, and what is answered ---


def problem(body: Mapping[str, Any]) -> str:
    """What is wrong with a request; empty when it is accepted."""
    if unknown := sorted(set(body) - KNOWN):
        return f"Unrecognized request argument supplied: {unknown[0]}"
    messages = body.get("messages")
    if not isinstance(messages, list) or not messages or not isinstance(body.get("model"), str):
        return "Missing required parameter: messages and model"
    open_calls: set[str] = set()
    for message in messages:
        role = message.get("role") if isinstance(message, dict) else None
        if role not in ROLES:
            return "Invalid value for role"
        if role == "tool":
            if message.get("tool_call_id") not in open_calls:
                return "messages with role 'tool' must be a response to a preceding message with 'tool_calls'"
            open_calls.discard(message["tool_call_id"])
            continue
        if open_calls:
            return "An assistant message with 'tool_calls' must be followed by tool messages"
        open_calls = {call["id"] for call in message.get("tool_calls") or ()}
    return ""


def error_body(message: str, status: int) -> bytes:
    kind = "invalid_request_error" if status < 429 else "server_error"
    return json.dumps({"error": {"message": message, "type": kind, "param": None, "code": None}}, indent=4).encode()


def _delta(delta: Mapping[str, Any], finish: str | None = None) -> bytes:
    choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
    chunk = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1764000000, "model": "m"}
    return b"data: " + json.dumps({**chunk, "choices": [choice]}).encode() + b"\n\n"


def streamed(script: Script) -> Iterator[bytes]:
    """The events of a streamed answer."""
    yield _delta({"role": "assistant", "content": "" if script.tool is None else None})
    if script.tool is None:
        for word in script.words:
            yield _delta({"content": word})
    else:
        name, arguments = script.tool
        yield _delta({"tool_calls": [{"index": 0, "id": "call_1", "type": "function", "function": {"name": name}}]})
        for at in range(0, len(arguments), 7):
            yield _delta({"tool_calls": [{"index": 0, "function": {"arguments": arguments[at : at + 7]}}]})
    yield _delta({}, "stop" if script.tool is None else "tool_calls")
    yield b"data: [DONE]\n\n"


def plain(script: Script) -> bytes:
    """The same in one."""
    message: dict[str, Any] = {"role": "assistant", "content": "".join(script.words)}
    if script.tool is not None:
        function = {"name": script.tool[0], "arguments": script.tool[1]}
        message = {"role": "assistant", "content": None, "tool_calls": [{"id": "call_1", "function": function}]}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    return json.dumps({"id": "chatcmpl-1", "object": "chat.completion", "choices": [choice]}).encode()


# --- bytes ---


def _sent(connection: h11.Connection, event: h11.Response | h11.Data | h11.EndOfMessage) -> bytes:
    return connection.send(event) or b""


def _whole(connection: h11.Connection, status: int, body: bytes, *headers: tuple[str, str]) -> bytes:
    head = h11.Response(status_code=status, headers=[_JSON, *headers, ("Content-Length", str(len(body)))])
    events = (head, h11.Data(data=body), h11.EndOfMessage())
    return b"".join(_sent(connection, event) for event in events)


async def _fail(stream: trio.SocketStream, kind: str) -> None:
    """Never returns: stall until the asker leaves, or end the connection."""
    if kind == "stall":
        await trio.sleep_forever()
    if kind == "garbage":
        await stream.send_all(b"\x16\x03\x01 this is not HTTP \x00\xff\r\n\r\n")
    else:
        stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    await stream.aclose()
    raise trio.ClosedResourceError
