"""A media stream over a real socket: swept while it is plain, read in the ordinary way from the first odd frame on."""

import os
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from agent.actors.gathering import Gathering
from agent.actors.overload import Load
from agent.calls.mailbox import Mailbox
from agent.core.audio import MediaFrame
from agent.core.emotion import Outcome
from agent.ingress import sweep
from agent.ingress.faults import LIMIT as UNREADABLE_LIMIT
from agent.ingress.media import MediaLines
from agent.ports import Line
from agent.telephony.signature import SignatureCheck

TEXT, BINARY, CLOSE, PING = 1, 2, 8, 9
MASK = b"\x81\xfe\x00\x7f"
HEAD = (
    b"GET /audio-stream/CA1 HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
)
START = (
    b'{"event":"start","sequenceNumber":"1","streamSid":"MZ1","start":{"streamSid":"MZ1","callSid":"CA1","tracks":'
    b'["inbound"],"mediaFormat":{"encoding":"audio/x-mulaw","sampleRate":8000,"channels":1},'
    b'"customParameters":{"token":"good"}}}'
)


def frame(opcode: int, payload: bytes, *, final: bool = True, masked: bool = True) -> bytes:
    size = len(payload)
    bit = 0x80 if masked else 0
    head = bytes([bit | size]) if size < 126 else bytes([bit | 126]) + struct.pack("!H", size)
    body = MASK + bytes(byte ^ MASK[place % 4] for place, byte in enumerate(payload)) if masked else payload
    return bytes([final << 7 | opcode]) + head + body


def media(number: int) -> bytes:
    """Message `number` of a stream whose first has 2, in a plain frame."""
    return frame(TEXT, media_text(number))


def media_text(number: int) -> bytes:
    return (
        b'{"event":"media","sequenceNumber":"%d","media":{"track":"inbound","chunk":"%d","timestamp":"%d",'
        b'"payload":"f/8="},"streamSid":"MZ1"}' % (number, number - 1, 20 * (number - 2))
    )


class Call:
    """A call as its lines see it."""

    def __init__(self) -> None:
        self.call_sid, self.relay, self.stream_sid = "CA1", None, None
        self.mailbox = Mailbox()
        self.mailbox.sink = self.hear
        self.heard: list[int] = []
        self.keys: list[str] = []
        self.gone = trio.Event()
        self.outcome: Outcome | None = None

    def hear(self, frame: MediaFrame) -> None:
        self.heard.append(frame.sequence)

    def redeem(self, token: str) -> int | None:
        return self.mailbox.serial + 1 if token == "good" else None

    def key_pressed(self, digit: str) -> None:
        self.keys.append(digit)

    def line_ended(self, line: Line) -> None:
        self.mailbox.disconnect(line)
        self.gone.set()

    def end(self, outcome: Outcome) -> None:
        self.outcome = outcome


@dataclass
class House:
    """A listener that knows one call."""

    call: Call = field(default_factory=Call)
    draining: bool = False
    port: int = 0
    load: Load = field(default_factory=Load)
    gathering: Gathering = field(default_factory=Gathering)

    def with_line(self, call_sid: str) -> Call | None:
        return self.call if call_sid == "CA1" else None

    async def open(self) -> trio.SocketStream:
        stream = await trio.open_tcp_stream("127.0.0.1", self.port)
        await stream.send_all(HEAD)
        answer = b""
        while not answer.endswith(b"\r\n\r\n"):
            answer += await stream.receive_some(1)
        assert answer.startswith(b"HTTP/1.1 101 ")
        return stream

    async def until_heard(self, *numbers: int) -> None:
        while self.call.heard != list(numbers):  # noqa: ASYNC110 - a list has no event
            await trio.sleep(0.005)


@pytest.fixture
async def house(nursery: trio.Nursery) -> AsyncIterator[House]:
    house = House()
    lines = MediaLines(house, SignatureCheck(None, None))  # type: ignore[arg-type]

    async def serve(stream: trio.SocketStream) -> None:
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            head += await stream.receive_some(1)
        async with stream:
            await lines.serve(stream, head, b"")

    listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
    house.port = listeners[0].socket.getsockname()[1]
    nursery.start_soon(lines.sweep)
    nursery.start_soon(trio.serve_listeners, serve, listeners)
    with trio.fail_after(10):
        yield house


@asynccontextmanager
async def on_the_line(house: House) -> AsyncIterator[trio.SocketStream]:
    async with await house.open() as stream:
        await stream.send_all(frame(TEXT, START) + media(2))
        await house.until_heard(2)
        yield stream


async def closing(stream: trio.SocketStream) -> tuple[int, bytes]:
    """Code and reason of the close frame; 1006 without one."""
    data = b""
    with trio.fail_after(5):
        try:
            while piece := await stream.receive_some():
                data += piece
                if data[0] == 0x88 and len(data) >= 2 + data[1]:
                    break
        except trio.BrokenResourceError:
            pass
    return (struct.unpack("!H", data[2:4])[0], data[4:]) if data[:1] == b"\x88" else (1006, data)


async def test_frames_are_heard_in_order_however_the_network_cuts_them(house: House) -> None:
    async with on_the_line(house) as stream:
        data = b"".join(media(number) for number in range(3, 9))
        for at in range(0, len(data), 97):
            await stream.send_all(data[at : at + 97])
            await trio.sleep(0.015)
        await house.until_heard(*range(2, 9))


async def test_what_comes_in_one_piece_with_start_is_heard(house: House) -> None:
    async with await house.open() as stream:
        await stream.send_all(frame(TEXT, b'{"event":"connected"}') + frame(TEXT, START) + media(2) + media(3))
        await house.until_heard(2, 3)


ODD = {
    "a ping": frame(PING, b"z"),
    "a message in fragments": frame(TEXT, media_text(3)[:50], final=False) + frame(0, media_text(3)[50:]),
    "fragments with a ping between": frame(TEXT, b'{"event":', final=False) + frame(PING, b"") + frame(0, b'"new"}'),
    "binary": frame(BINARY, b"\x00\x01"),
}


@pytest.mark.parametrize("what", ODD)
async def test_behind_an_odd_frame_the_line_is_heard_on(house: House, what: str) -> None:
    async with on_the_line(house) as stream:
        await stream.send_all(ODD[what] + media(4) + media(5)[:60])
        await trio.sleep(0.1)
        await stream.send_all(media(5)[60:] + media(6))
        heard = [2, 3, 4, 5, 6] if what == "a message in fragments" else [2, 4, 5, 6]
        await house.until_heard(*heard)


async def test_three_seconds_of_audio_that_come_at_once_after_a_stall_are_all_listened_to(house: House) -> None:
    listened: list[int] = []

    async def listen() -> None:
        async for block in house.call.mailbox.blocks:
            await trio.sleep(0.02)  # somebody slow
            listened.extend(frame.sequence for frame in block.frames)

    async with on_the_line(house) as stream, trio.open_nursery() as nursery:
        nursery.start_soon(listen)
        sound = b'"payload":"' + b"f/9/" * 53 + b'fw=="'
        burst = [media_text(number).replace(b'"payload":"f/8="', sound) for number in range(3, 153)]
        await stream.send_all(b"".join(frame(TEXT, text) for text in burst))
        await house.until_heard(*range(2, 153))
        house.call.mailbox.close()
    assert house.call.mailbox.dropped == 0
    assert listened == list(range(2, 153))


async def test_a_ping_is_answered_on_a_line_that_is_swept(house: House) -> None:
    async with on_the_line(house) as stream:
        await stream.send_all(frame(PING, b"still there?"))
        with trio.fail_after(5):
            assert await stream.receive_some() == b"\x8a\x0cstill there?"


@pytest.mark.parametrize(
    ("sent", "code"),
    [
        (frame(TEXT, b"{}", masked=False), 1002),
        (frame(TEXT, b"\xff\xff"), 1007),
        (frame(3, b"{}"), 1002),
        (frame(CLOSE, b"\x03\xe8"), 1000),
        (frame(CLOSE, b"\x0f\xa0"), 4000),
        (frame(TEXT, b"x" * 60_000, final=False) + frame(0, b"x" * 60_000), 1009),
        (frame(TEXT, b"no JSON") * UNREADABLE_LIMIT, 1008),
    ],
)
async def test_a_line_is_closed_with_the_code_that_says_why_although_its_peer_goes_on_sending(
    house: House, sent: bytes, code: int
) -> None:
    async with on_the_line(house) as stream:
        await stream.send_all(sent + media(9) * 100)
        assert (await closing(stream))[0] == code
        await house.call.gone.wait()
    assert house.call.heard == [2], "behind the end nothing counts"


@pytest.mark.parametrize("swept", [True, False])
async def test_a_call_that_hangs_up_closes_its_line_whoever_reads_it(house: House, swept: bool) -> None:
    async with on_the_line(house) as stream:
        if not swept:
            await stream.send_all(frame(PING, b""))
            await stream.receive_some()
        house.call.mailbox.release(1001, "elsewhere")
        assert await closing(stream) == (1001, b"elsewhere")


async def test_who_broke_the_protocol_while_sending_is_not_cut_off_before_it_can_read_why(house: House) -> None:
    async with on_the_line(house) as stream:
        await stream.send_all(frame(TEXT, b"{}", masked=False) + media(9) * 100)
        assert (await closing(stream))[0] == 1002
        await stream.send_all(media(10))
        await stream.send_eof()
        assert await stream.receive_some() == b"", "an orderly end, and no reset"


async def test_a_newer_line_closes_the_older_one_that_is_being_swept(house: House) -> None:
    async with on_the_line(house) as older, await house.open() as newer:
        await newer.send_all(frame(TEXT, START))
        assert await closing(older) == (1008, b"Superseded")
        await newer.send_all(media(7))
        await house.until_heard(2, 7)


async def test_what_the_older_line_has_brought_by_then_is_heard_before_the_newer_one(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with on_the_line(house) as older, await house.open() as newer:
        monkeypatch.setattr(sweep, "BEAT_S", 1000.0)  # nobody's turn comes any more
        await trio.sleep(0.1)
        await older.send_all(media(3) + media(4))
        await newer.send_all(frame(TEXT, START))
        assert await closing(older) == (1008, b"Superseded")
        assert house.call.heard == [2, 3, 4]


async def test_a_peer_that_only_pings_and_never_reads_is_read_no_further(house: House) -> None:
    sent = 0
    async with on_the_line(house) as stream:
        with trio.move_on_after(3) as patience:
            while True:
                await stream.send_all(frame(PING, b"x" * 125) * 500)
                sent += 500 * 131
    assert patience.cancelled_caught
    assert sent < 30_000_000, "what waits is in the kernel's buffers"


async def test_empty_fragments_without_end_are_cut_off(house: House) -> None:
    async with on_the_line(house) as stream:
        with pytest.raises(trio.BrokenResourceError):  # noqa: PT012 - it may be any of them
            await stream.send_all(frame(TEXT, b"", final=False))
            while True:
                await stream.send_all(frame(0, b"", final=False) * 500)
        await house.call.gone.wait()


async def test_an_end_without_a_word_is_noticed_while_nothing_else_is_read(house: House) -> None:
    async with on_the_line(house) as stream:
        pass
    with trio.fail_after(5):
        await house.call.gone.wait()
    assert stream.socket.fileno() == -1


@pytest.mark.parametrize("what", ["a key", "sound"])
async def test_a_bug_of_ours_in_the_sweep_closes_this_line_with_1011(
    house: House, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    async with on_the_line(house) as stream:
        monkeypatch.setattr(house.call, "key_pressed", None)
        monkeypatch.setattr(house.call.mailbox, "hear", None)
        key = b'{"event":"dtmf","sequenceNumber":"3","streamSid":"MZ1","dtmf":{"digit":"1"}}'
        await stream.send_all(frame(TEXT, key) if what == "a key" else media(3))
        assert (await closing(stream))[0] == 1011
    assert house.call.outcome is Outcome.CRASHED


async def test_fifty_lines_leave_no_descriptor_open(house: House) -> None:
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(50):
        async with await house.open() as stream:
            await stream.send_all(frame(TEXT, START))
    await trio.sleep(0.2)
    await wait_all_tasks_blocked()
    assert len(os.listdir("/proc/self/fd")) <= before + 1
