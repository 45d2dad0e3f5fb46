"""Connections that say nothing keep nobody else out."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest
import trio

from agent.ingress import door as doors
from agent.ingress.door import Door, serve_door

REQUEST = b"GET /healthz HTTP/1.1\r\nHost: here\r\n\r\n"


FORM = b"POST /voice/incoming HTTP/1.1\r\nHost: here\r\nContent-Length: 9\r\n\r\nCallSid=C"
CHUNKED = b"POST /voice/incoming HTTP/1.1\r\nHost: here\r\nTransfer-Encoding: chunked\r\n\r\n"


@asynccontextmanager
async def open_door(folder: Path, *, until: bytes = b"\r\n\r\n") -> AsyncIterator[int]:
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
            door = Door(nobody, path)
            port = await nursery.start(
                lambda task_status: serve_door(door, host="127.0.0.1", port=0, task_status=task_status)
            )
            yield port
            nursery.cancel_scope.cancel()


async def test_of_too_many_silent_connections_the_oldest_give_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doors, "STRANGERS", 3)
    with trio.fail_after(5):
        async with open_door(tmp_path) as port, AsyncExitStack() as sockets:

            async def connect() -> trio.SocketStream:
                return await sockets.enter_async_context(await trio.open_tcp_stream("127.0.0.1", port))

            silent = [await connect() for _ in range(3)]
            await trio.sleep(0.1)
            guest = await connect()
            await guest.send_all(REQUEST)
            assert (await guest.receive_some(4096)).startswith(b"HTTP/1.1 200")
            assert await silent[0].receive_some(1) == b"", "the oldest was closed"
            await silent[1].send_all(REQUEST)
            assert (await silent[1].receive_some(4096)).startswith(b"HTTP/1.1 200"), "the others may still speak"


async def asked(port: int, sockets: AsyncExitStack, request: bytes) -> trio.SocketStream:
    stream = await sockets.enter_async_context(await trio.open_tcp_stream("127.0.0.1", port))
    await stream.send_all(request)
    return stream


async def test_forms_that_come_slowly_take_no_place_of_those_that_are_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doors, "RELAYS", 4)
    with trio.fail_after(5):
        async with open_door(tmp_path, until=b"CallSid=C") as port, AsyncExitStack() as sockets:
            slow = [await asked(port, sockets, FORM[:-3]) for _ in range(20)]
            await trio.sleep(0.1)
            caller = await asked(port, sockets, FORM)
            assert (await caller.receive_some(4096)).startswith(b"HTTP/1.1 200")
            await slow[0].send_all(FORM[-3:])
            assert (await slow[0].receive_some(4096)).startswith(b"HTTP/1.1 200"), "slow is not too late"


async def test_a_form_that_does_not_come_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doors, "HEAD_S", 0.2)
    with trio.fail_after(5):
        async with open_door(tmp_path) as port, AsyncExitStack() as sockets:
            answer = await (await asked(port, sockets, FORM[:-3])).receive_some(4096)
    assert answer.startswith(b"HTTP/1.1 408")
    assert b"too long to arrive" in answer


async def test_places_kept_for_callers_are_not_for_those_who_do_not_say_how_much_will_come(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doors, "RELAYS", 4)
    with trio.fail_after(5):
        async with open_door(tmp_path, until=b"CallSid=C") as port, AsyncExitStack() as sockets:
            for _ in range(3):
                await asked(port, sockets, CHUNKED)
            await trio.sleep(0.1)
            one_more = await asked(port, sockets, CHUNKED)
            assert (await one_more.receive_some(4096)).startswith(b"HTTP/1.1 503")
            caller = await asked(port, sockets, FORM)
            assert (await caller.receive_some(4096)).startswith(b"HTTP/1.1 200")


async def test_who_leaves_in_the_middle_of_a_form_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doors, "RELAYS", 4)
    with trio.fail_after(5):
        async with open_door(tmp_path, until=b"CallSid=C") as port, AsyncExitStack() as sockets:
            for _ in range(5):
                gone = await asked(port, sockets, FORM[:-3])
                await gone.send_eof()
                assert await gone.receive_some(1) == b"", "it was closed, and asked of nobody"
