"""A media stream by hand: every bit of its frames is the attacker's."""

import os
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from urllib.parse import urlsplit

import trio

from agent.telephony.signature import SIGNATURE_HEADER, sign
from agent.telephony.twiml import StreamPlan
from agent.testing import TwilioCaller
from agent.testing import twilio_messages as messages

from .table import Breach
from .target import Target

TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10
MASK = b"\x01\x02\x03\x04"


def frame(opcode: int, payload: bytes = b"", *, fin: bool = True, reserved: int = 0, masked: bool = True) -> bytes:
    """One frame (RFC 6455, 5.2); `reserved` are its three reserved bits."""
    head = bytes([(0x80 if fin else 0) | reserved << 4 | opcode])
    return head + length_of(len(payload), masked=masked) + (masking(payload) if masked else payload)


def length_of(length: int, *, masked: bool = True) -> bytes:
    bit = 0x80 if masked else 0
    if length < 126:
        return bytes([bit | length])
    if length < 65_536:
        return bytes([bit | 126]) + struct.pack("!H", length)
    return bytes([bit | 127]) + struct.pack("!Q", length)


def masking(payload: bytes) -> bytes:
    key = (MASK * (len(payload) // 4 + 1))[: len(payload)]
    return MASK + (int.from_bytes(payload) ^ int.from_bytes(key)).to_bytes(len(payload))


class RawLine:
    """An open stream."""

    def __init__(self, target: Target, stream: trio.SocketStream, head: bytes, behind: bytes) -> None:
        self.target, self.stream, self.head = target, stream, head
        self.stream_sid = "MZ" + os.urandom(16).hex()
        self.sequence = 1
        self._received = bytearray(behind)

    async def send(self, data: bytes) -> bool:
        """Whether the server still takes bytes."""
        try:
            await self.stream.send_all(data)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            return False
        return True

    async def say(self, text: str) -> bool:
        return await self.send(frame(TEXT, text.encode("utf-8", "surrogatepass")))

    async def greet(self, caller: TwilioCaller, plan: StreamPlan) -> None:
        """`connected` and `start`."""
        await self.say(messages.CONNECTED)
        await self.say(messages.start(caller.who, plan, self.stream_sid, self.sequence))

    def media(self, payload: bytes, at_ms: int) -> bytes:
        """The next frame of audio, ready to be sent."""
        self.sequence += 1
        return frame(TEXT, messages.media(self.stream_sid, self.sequence, self.sequence, at_ms, payload).encode())

    async def read(self) -> None:
        """Take everything that comes, for ever, and forget it."""
        with suppress(trio.BrokenResourceError, trio.ClosedResourceError):
            while await self.stream.receive_some(65_536):
                pass

    async def closing(self, patience_s: float) -> tuple[int, str] | None:
        """The server's close; (1006, "") where it hung up without a word; None where it did not."""
        with trio.move_on_after(patience_s):
            while True:
                for opcode, payload in self._frames():
                    if opcode == CLOSE:
                        code = struct.unpack("!H", payload[:2])[0] if len(payload) >= 2 else 1005
                        return code, payload[2:].decode(errors="replace")
                try:
                    piece = await self.stream.receive_some(65_536)
                except (trio.BrokenResourceError, trio.ClosedResourceError):
                    piece = b""
                if not piece:
                    return 1006, ""
                self.target.note(piece)
                self._received += piece
        return None

    def _frames(self) -> list[tuple[int, bytes]]:
        """The whole frames received; a server's are short and unmasked."""
        found = []
        while len(self._received) >= 2 and len(self._received) >= 2 + (length := self._received[1] & 0x7F):
            if length > 125:
                raise Breach("the server sent a long frame on a line it has nothing to say on")
            found.append((self._received[0] & 0x0F, bytes(self._received[2 : 2 + length])))
            del self._received[: 2 + length]
        return found


@asynccontextmanager
async def asked_for(
    target: Target, caller: TwilioCaller, plan: StreamPlan, *, signature: str | None = None, extra: str = ""
) -> AsyncIterator[RawLine]:
    """A stream's socket after its handshake. Raises Breach where that is refused."""
    url = urlsplit(plan.url)
    signature = sign(target.markers.auth_token, plan.url) if signature is None else signature
    head = (
        f"GET {url.path} HTTP/1.1\r\nHost: {url.netloc}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
        f"{SIGNATURE_HEADER}: {signature}\r\n{extra}\r\n"
    )
    async with await target.connect() as stream:
        await stream.send_all(head.encode())
        answer = b""
        with trio.move_on_after(5):
            while b"\r\n\r\n" not in answer and (piece := await stream.receive_some()):
                answer += piece
        got, _, behind = answer.partition(b"\r\n\r\n")
        if b" 101 " not in got[:20]:
            raise Breach(f"the handshake of {caller.call_sid} was answered with {got[:60]!r}")
        yield RawLine(target, stream, got, behind)


@asynccontextmanager
async def open_line(target: Target) -> AsyncIterator[RawLine]:
    """A call of the attacker's own, with its stream open and begun; the call is ended behind it."""
    caller = target.caller()
    plan = await placed(target, caller)
    try:
        async with asked_for(target, caller, plan) as line:
            await line.greet(caller, plan)
            yield line
    finally:
        with trio.CancelScope(shield=True, deadline=trio.current_time() + 3):
            await end(target, caller)


async def placed(target: Target, caller: TwilioCaller) -> StreamPlan:
    answer = await caller.place()
    if answer.plan is None:
        raise Breach(f"a call could not be placed: {answer.error}")
    target.stream_tokens.add(answer.plan.parameters["token"])
    return answer.plan


async def closing(
    target: Target, caller: TwilioCaller, plan: StreamPlan, *, signature: str | None = None
) -> tuple[int, str] | None:
    """How the server closes a stream that is asked for and begun; None when it lets it be."""
    async with asked_for(target, caller, plan, signature=signature) as line:
        await line.greet(caller, plan)
        return await line.closing(7.0)


async def end(target: Target, *callers: TwilioCaller) -> None:
    """Their calls are over, says the carrier."""
    for caller in callers:
        await target.signed("/twilio/call-status", [("CallSid", caller.call_sid), ("CallStatus", "completed")])
