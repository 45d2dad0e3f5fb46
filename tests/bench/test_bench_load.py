"""The load keeps its schedule, loses nothing, and says how late it was."""

import socket
from base64 import b64decode
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import msgspec
import pytest
import trio
import trio.testing
from wsproto.connection import Connection, ConnectionType
from wsproto.events import CloseConnection, Event, Ping, Pong, TextMessage

from agent.bench import callers
from agent.bench import load as load_module
from agent.bench.dialling import Dialled, Server
from agent.bench.frames import conversation
from agent.bench.load import EVERY_S, SLOTS, Load, calling
from agent.core.audio import MediaFrame
from agent.errors import CallmoodError
from agent.telephony.twilio import LineEnded, LineStarted, MediaStream
from agent.testing.http_server import HttpRequest, HttpResponse, HttpServer, Upgrade
from agent.testing.sockets import ClientSocket

Chunks = Callable[[], list[int]]


class FarEnd:
    """Where a call of the load arrives: the other end of a pair of sockets."""

    def __init__(self, number: int) -> None:
        ours, self.socket = socket.socketpair()
        for each in (ours, self.socket):
            each.setblocking(False)
        self.dialled = Dialled(
            f"CA{number:012x}" + "0" * 20, f"MZ{number:032x}", ours, Connection(ConnectionType.CLIENT)
        )
        self._protocol = Connection(ConnectionType.SERVER)
        self._begun = ""

    def events(self) -> list[Event]:
        try:
            while data := self.socket.recv(1 << 20):
                self._protocol.receive_data(data)
        except BlockingIOError:
            pass
        return list(self._protocol.events())

    def chunks(self) -> list[int]:
        said = []
        for event in self.events():
            if isinstance(event, TextMessage):
                self._begun += event.data
                if event.message_finished:
                    said.append(msgspec.json.decode(self._begun))
                    self._begun = ""
        return [int(message["media"]["chunk"]) for message in said if message["event"] == "media"]

    def say(self, event: Event) -> None:
        self.socket.send(self._protocol.send(event))

    def leave(self) -> None:
        self.socket.close()


@pytest.fixture
def far_ends(monkeypatch: pytest.MonkeyPatch) -> list[FarEnd]:
    """What the load dials, in order."""
    found: list[FarEnd] = []

    async def dial(server: object, http: object) -> Dialled:
        found.append(FarEnd(len(found)))
        return found[-1].dialled

    monkeypatch.setattr(load_module, "dial", dial)
    return found


@asynccontextmanager
async def open_load(calls: int, far_ends: list[FarEnd]) -> AsyncIterator[Load]:
    with trio.fail_after(100):
        async with calling(Server("http://127.0.0.1:1")) as load:
            await load.resize(calls)
            try:
                yield load
            finally:
                for far_end in far_ends:
                    far_end.leave()


@asynccontextmanager
async def open_unread_load(far_ends: list[FarEnd]) -> AsyncIterator[Load]:
    """One call, of which the server has taken nothing for so long that frames are kept back."""
    async with open_load(1, far_ends) as load:
        [caller] = load.callers
        caller.line.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        await trio.sleep(10.0)
        assert caller.backlog
        yield load


async def test_each_call_sends_a_frame_every_20_ms_from_the_first_on(
    far_ends: list[FarEnd], autojump_clock: trio.testing.MockClock
) -> None:
    async with open_load(3, far_ends):
        before = [far_end.chunks() for far_end in far_ends]
        await trio.sleep(2.0)
        for far_end, first in zip(far_ends, before, strict=True):
            then = far_end.chunks()
            assert [*first, *then] == list(range(1, len(first) + len(then) + 1))
            assert 99 <= len(then) <= 101


async def test_calls_begin_one_after_the_other(far_ends: list[FarEnd], autojump_clock: trio.testing.MockClock) -> None:
    async with open_load(5, far_ends):
        sent = [len(far_end.chunks()) for far_end in far_ends]
        assert sent == sorted(sent, reverse=True)
        assert sent[0] - sent[-1] == pytest.approx(4 * EVERY_S / 0.02, abs=1)


async def test_calls_are_spread_over_the_20_ms(far_ends: list[FarEnd], autojump_clock: trio.testing.MockClock) -> None:
    async with open_load(2 * SLOTS, far_ends) as load:
        slots = {id(caller.slot) for caller in load.callers}
        assert len(slots) == SLOTS
        assert all(len(caller.slot.callers) == 2 for caller in load.callers)


async def test_a_load_that_was_held_up_skips_nothing_and_says_how_late_it_was(
    far_ends: list[FarEnd], autojump_clock: trio.testing.MockClock
) -> None:
    async with open_load(2, far_ends) as load:
        await trio.sleep(1.0)
        before = load.lateness()
        assert before is not None
        assert before.p99 == pytest.approx(0.0, abs=0.01)
        autojump_clock.jump(0.5)
        await trio.sleep(0.5)
        late = load.lateness()
        assert late is not None
        assert late.p99 > 400
        chunks, others = (far_end.chunks() for far_end in far_ends)
        assert chunks == list(range(1, len(chunks) + 1))
        assert len(chunks) >= 97, "the schedule is absolute: what was due meanwhile is sent"
        assert load.sent == len(chunks) + len(others)


async def test_it_knows_when_a_frame_was_sent_and_that_one_was_not_yet(
    far_ends: list[FarEnd], autojump_clock: trio.testing.MockClock
) -> None:
    async with open_load(1, far_ends) as load:
        await trio.sleep(1.01)
        [caller] = load.callers
        count = len(far_ends[0].chunks())
        last, following = caller.sent_at(20 * count), caller.sent_at(20 * (count + 1))
        assert last is not None
        assert following is None
        first = caller.sent_at(20)
        assert first is not None
        assert first <= last


async def test_calls_that_join_later_begin_at_their_own_first_chunk(
    far_ends: list[FarEnd], autojump_clock: trio.testing.MockClock
) -> None:
    async with open_load(SLOTS, far_ends) as load:
        for _ in range(120):
            await trio.sleep(0.1)
            newest = [far_end.chunks()[-1] for far_end in far_ends]
        assert min(newest) > 590, "their timestamps have five digits now"
        await load.resize(2 * SLOTS)
        await trio.sleep(1.0)
        for far_end in far_ends[SLOTS:]:
            assert far_end.chunks()[:5] == [1, 2, 3, 4, 5]
        older = far_ends[0].chunks()
        assert older == list(range(older[0], older[0] + len(older))), "the older ones went on undisturbed"


async def test_what_a_server_does_not_take_yet_comes_later_and_in_order(
    far_ends: list[FarEnd], autojump_clock: trio.testing.MockClock
) -> None:
    async with open_unread_load(far_ends) as load:
        [caller] = load.callers
        chunks: list[int] = []
        while caller.backlog:
            chunks += far_ends[0].chunks()
            await trio.sleep(0.02)
        chunks += far_ends[0].chunks()
        assert chunks == list(range(1, len(chunks) + 1))
        assert not caller.lost


async def test_what_is_kept_back_at_the_end_is_still_sent_before_the_call_hangs_up(
    far_ends: list[FarEnd], autojump_clock: trio.testing.MockClock
) -> None:
    async with open_unread_load(far_ends) as load:
        events: list[Event] = []
        async with trio.open_nursery() as nursery:
            nursery.start_soon(load.resize, 0)
            for _ in range(100):
                events += far_ends[0].events()
                await trio.sleep(0.02)
            far_ends[0].leave()
        texts = [event for event in events if isinstance(event, TextMessage) and event.message_finished]
        assert len(texts) == load.sent + 1, "every frame, and the stop"
        assert isinstance(events[-1], CloseConnection)


async def test_a_server_that_takes_nothing_at_all_has_lost_the_call(
    far_ends: list[FarEnd], autojump_clock: trio.testing.MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(callers, "BACKLOG", 100_000)
    async with open_load(1, far_ends) as load:
        load.callers[0].line.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        await trio.sleep(60.0)
        assert load.lost == 1
        assert len(load.callers[0].backlog) < 101_000


async def test_a_ping_is_answered_and_a_close_is_a_lost_call(
    far_ends: list[FarEnd], autojump_clock: trio.testing.MockClock
) -> None:
    async with open_load(1, far_ends) as load:
        await trio.sleep(0.1)
        far_ends[0].say(Ping(b"there?"))
        await trio.sleep(0.1)
        assert [bytes(event.payload) for event in far_ends[0].events() if isinstance(event, Pong)] == [b"there?"]
        assert load.lost == 0
        far_ends[0].say(CloseConnection(1011, "no"))
        await trio.sleep(0.1)
        assert load.lost == 1
        await load.resize(1)
        assert load.lost == 0
        assert len(far_ends) == 2, "another takes its place"


async def test_a_ping_that_comes_after_the_hanging_up_is_left_and_the_servers_close_is_waited_for(
    far_ends: list[FarEnd], autojump_clock: trio.testing.MockClock
) -> None:
    async with open_load(1, far_ends) as load, trio.open_nursery() as nursery:
        nursery.start_soon(load.resize, 0)
        await trio.sleep(0.1)
        far_ends[0].say(Ping(b"there?"))
        await trio.sleep(0.1)
        heard = far_ends[0].events()
        assert isinstance(heard[-1], CloseConnection), "and no answer"
        far_ends[0].say(heard[-1].response())


class Listener:
    """A plain WebSocket server that understands Twilio's messages."""

    def __init__(self) -> None:
        self.heard: list[list[object]] = []
        self.status: int | None = None

    async def answer(self, request: HttpRequest) -> Upgrade | HttpResponse:
        return Upgrade(self.listen) if self.status is None else HttpResponse(self.status)

    async def listen(self, socket: ClientSocket) -> None:
        stream, heard = MediaStream(), []
        self.heard.append(heard)
        async for message in socket.messages():
            heard.append(stream.feed(message, trio.current_time()))


@asynccontextmanager
async def listening(listener: Listener) -> AsyncIterator[Server]:
    server = HttpServer(listener.answer)
    async with trio.open_nursery() as nursery:
        await nursery.start(server.run)
        yield Server(server.url)
        nursery.cancel_scope.cancel()


async def test_over_real_sockets_each_call_is_a_whole_media_stream() -> None:
    listener = Listener()
    with trio.fail_after(20):
        async with listening(listener) as server, calling(server, speed=10) as load:
            await load.resize(3)
            before = load.sent
            while load.sent < before + 300:  # noqa: ASYNC110 - it counts, and tells nobody
                await trio.sleep(0.01)
    talk = b"".join(b64decode(bytes(frame)) for frame in conversation()) * 2
    begins = set()
    assert len(listener.heard) == 3
    for heard in listener.heard:
        assert isinstance(heard[1], LineStarted)
        assert isinstance(heard[-1], LineEnded), "it hung up as Twilio does"
        assert not any(isinstance(event, LineEnded) for event in heard[:-1])
        sound = [event for event in heard if isinstance(event, MediaFrame)]
        assert [frame.media_ms for frame in sound] == [20 * n for n in range(len(sound))]
        assert all(len(frame.payload) == 160 for frame in sound)
        assert len(sound) > 50
        begin = talk.find(b"".join(frame.payload for frame in sound))  # two frames alone may lie in it more than once
        assert begin >= 0, "it talks on"
        begins.add(begin)
    assert len(begins) == 3, "and nobody is where another is"


async def test_a_refused_handshake_is_one_sentence() -> None:
    listener = Listener()
    listener.status = 503
    with trio.fail_after(20):
        async with listening(listener) as server:
            with pytest.raises(CallmoodError, match="refused a WebSocket: 503"):
                async with calling(server) as load:
                    await load.resize(1)
