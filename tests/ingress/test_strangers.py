"""Connections that say nothing keep nobody else out."""

from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from math import inf
from pathlib import Path

import pytest
import trio

from agent.ingress import door as doors
from agent.ingress.door import Door, serve_door
from agent.ingress.request import form_length

REQUEST = b"GET /healthz HTTP/1.1\r\nHost: here\r\n\r\n"
FORM = b"POST /voice/incoming HTTP/1.1\r\nHost: here\r\nContent-Length: 9\r\n\r\nCallSid=C"
EVENTS = b"GET /events HTTP/1.1\r\nHost: here\r\n\r\n"
ANSWER = b"POST /llm/chat/completions HTTP/1.1\r\nHost: here\r\n\r\n"


@asynccontextmanager
async def open_door(folder: Path, *, until: bytes = b"\r\n\r\n", files: float = inf) -> AsyncIterator[int]:
    """What is behind it answers when it has read so far."""

    async def answer(stream: trio.SocketStream) -> None:
        asked = b""
        while until not in asked and (piece := await stream.receive_some(4096)):
            asked += piece
        await stream.send_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        await stream.aclose()

    async def nobody(*_: object) -> None:
        raise AssertionError("no line was opened")

    path = str(folder / "upstream")
    with trio.socket.socket(trio.socket.AF_UNIX) as listener:
        await listener.bind(path)
        listener.listen(8)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(trio.serve_listeners, answer, [trio.SocketListener(listener)])
            door = Door(nobody, path, files=files)
            port = await nursery.start(
                lambda task_status: serve_door(door, host="127.0.0.1", port=0, task_status=task_status)
            )
            yield port
            nursery.cancel_scope.cancel()


async def asked(port: int, sockets: AsyncExitStack, request: bytes) -> trio.SocketStream:
    stream = await sockets.enter_async_context(await trio.open_tcp_stream("127.0.0.1", port))
    await stream.send_all(request)
    return stream


async def status(stream: trio.SocketStream) -> int:
    return int((await stream.receive_some(4096)).split(b" ")[1])


async def still_open(silent: Sequence[trio.SocketStream]) -> int:
    await trio.sleep(0.1)
    open_ = 0
    for stream in silent:
        with trio.move_on_after(0.01) as patience, suppress(trio.BrokenResourceError):
            await stream.receive_some(1)
        open_ += patience.cancelled_caught
    return open_


async def test_of_too_many_silent_connections_the_oldest_give_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doors, "STRANGERS", 3)
    with trio.fail_after(5):
        async with open_door(tmp_path) as port, AsyncExitStack() as sockets:
            silent = [await asked(port, sockets, b"") for _ in range(3)]
            await trio.sleep(0.1)
            guest = await asked(port, sockets, REQUEST)
            assert await status(guest) == 200
            assert await silent[0].receive_some(1) == b"", "the oldest was closed"
            await silent[1].send_all(REQUEST)
            assert await status(silent[1]) == 200, "the others may still speak"


async def test_where_few_files_may_be_open_some_are_left_for_calls(tmp_path: Path) -> None:
    with trio.fail_after(10):
        async with open_door(tmp_path, until=b"never", files=64) as port, AsyncExitStack() as sockets:
            silent = [await asked(port, sockets, b"") for _ in range(50)]
            assert await still_open(silent) == 48
            for _ in range(5):
                await asked(port, sockets, EVENTS)
            assert await status(await asked(port, sockets, EVENTS)) == 503, "whoever stays leaves some to others"
            await asked(port, sockets, REQUEST)
            assert await status(await asked(port, sockets, REQUEST)) == 503
            for _ in range(8):
                await asked(port, sockets, ANSWER)
            assert await status(await asked(port, sockets, ANSWER)) == 503
            assert await still_open(silent) < 7, "what is in flight leaves six places to those who say nothing"


async def test_forms_that_come_slowly_take_no_place_of_those_that_are_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doors, "RELAYS", 4)
    with trio.fail_after(5):
        async with open_door(tmp_path, until=b"CallSid=C") as port, AsyncExitStack() as sockets:
            slow = [await asked(port, sockets, FORM[:-3]) for _ in range(20)]
            await trio.sleep(0.1)
            assert await status(await asked(port, sockets, FORM)) == 200
            await slow[0].send_all(FORM[-3:])
            assert await status(slow[0]) == 200, "slow is not too late"


async def test_a_form_that_does_not_come_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doors, "HEAD_S", 0.2)
    with trio.fail_after(5):
        async with open_door(tmp_path) as port, AsyncExitStack() as sockets:
            answer = await (await asked(port, sockets, FORM[:-3])).receive_some(4096)
    assert answer.startswith(b"HTTP/1.1 408")
    assert b"too long to arrive" in answer


NOT_SAID = {
    "in chunks": b"Transfer-Encoding: chunked\r\n",
    "in chunks, and nothing": b"Content-Length: 0\r\nTransfer-Encoding: chunked\r\n",
    "when asked for it": b"Content-Length: 9\r\nExpect: 100-continue\r\n",
    "too much": b"Content-Length: 16385\r\n",
}


@pytest.mark.parametrize("how", NOT_SAID)
async def test_places_kept_for_callers_are_not_for_those_of_whom_more_is_to_come(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    monkeypatch.setattr(doors, "RELAYS", 4)
    to_come = b"POST /voice/incoming HTTP/1.1\r\nHost: here\r\n" + NOT_SAID[how] + b"\r\n"
    with trio.fail_after(5):
        async with open_door(tmp_path, until=b"CallSid=C") as port, AsyncExitStack() as sockets:
            for _ in range(3):
                await asked(port, sockets, to_come)
            await trio.sleep(0.1)
            assert await status(await asked(port, sockets, to_come)) == 503
            assert await status(await asked(port, sockets, FORM)) == 200


LENGTHS: dict[bytes, int | None] = {
    b"": 0,
    b"Content-Length: 9\r\n": 9,
    b"content-length:9 \r\n": 9,
    b"Content-Length: 9\r\nContent-Length: 9\r\n": 9,
    b"Content-Length: 0\r\nContent-Length: 9\r\n": None,
    b"Content-Length: 9, 9\r\n": None,
    b"Content-Length: -9\r\n": None,
    b"Content-Length:\r\n 9\r\n": None,
    b"Content-Length: 16384\r\n": 16384,
    b"Content-Length: 0\r\nTransfer-Encoding: chunked\r\n": None,
}


@pytest.mark.parametrize("fields", LENGTHS, ids=lambda fields: fields.decode().replace("\r\n", ";"))
def test_how_much_is_to_come_is_what_the_head_says_in_one_way_only(fields: bytes) -> None:
    assert form_length(b"POST /voice/incoming HTTP/1.1\r\nHost: here\r\n" + fields + b"\r\n") == LENGTHS[fields]


async def test_a_form_that_gives_way_is_told_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doors, "STRANGERS", 2)
    with trio.fail_after(5):
        async with open_door(tmp_path, until=b"CallSid=C") as port, AsyncExitStack() as sockets:
            slow = [await asked(port, sockets, FORM[:-3]) for _ in range(2)]
            await trio.sleep(0.1)
            assert await status(await asked(port, sockets, FORM)) == 200
            assert await status(slow[0]) == 503


async def test_who_leaves_in_the_middle_of_a_form_holds_nothing_any_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doors, "STRANGERS", 2)
    with trio.fail_after(5):
        async with open_door(tmp_path, until=b"CallSid=C") as port, AsyncExitStack() as sockets:
            stays = await asked(port, sockets, FORM[:-3])
            for _ in range(5):
                gone = await asked(port, sockets, FORM[:-3])
                await gone.send_eof()
                assert await gone.receive_some(1) == b"", "it was asked of nobody"
            await stays.send_all(FORM[-3:])
            assert await status(stays) == 200, "it did not have to give way"
