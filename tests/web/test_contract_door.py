"""The one listening port: heads, bodies, keep-alive, many at once, and what the other side gets to see."""

from __future__ import annotations

import json
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import trio

from agent.ingress import door
from agent.ingress.door import Door, serve_door

if TYPE_CHECKING:
    from conftest import Callmood, Start

HEALTH = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"


async def test_a_request_is_answered_and_the_connection_said_to_close(callmood: Callmood) -> None:
    answer = await callmood.exchange(HEALTH)
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert b"\r\nconnection: close\r\n" in answer.lower()
    assert answer.endswith(b'{"status":"ok"}')


async def test_a_client_that_keeps_connections_alive_is_served_again_and_again(callmood: Callmood) -> None:
    for _ in range(20):
        assert (await callmood.get("/healthz", {"Connection": "keep-alive"})).status_code == 200


async def test_no_request_hides_behind_another_on_the_same_connection(callmood: Callmood) -> None:
    answer = await callmood.exchange(HEALTH + b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
    assert answer.count(b"HTTP/1.1 ") == 1
    assert b"callmood_calls_live" not in answer


async def test_a_head_in_many_pieces_is_put_together(callmood: Callmood) -> None:
    answer = await callmood.exchange(*[bytes([byte]) for byte in HEALTH], pause_s=0.002)
    assert answer.startswith(b"HTTP/1.1 200 ")


async def test_a_client_that_has_nothing_more_to_say_still_gets_its_answer(callmood: Callmood) -> None:
    """A client may close its sending side behind the request (RFC 9112, 9.6)."""
    async with await callmood.raw() as stream:
        await stream.send_all(HEALTH)
        await stream.send_eof()
        answer = b""
        async for piece in stream:
            answer += piece
    assert answer.startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize(
    "request_",
    [
        b"GET /healthz HTTP/1.1\r\nX: " + b"x" * 100_000,
        b"GET /" + b"x" * 100_000,
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"hello\r\n\r\n",
        b"\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nX\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nContent-Length: x\r\nHost: x\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nHost: x\r\n\x00: y\r\n\r\n",
    ],
)
async def test_what_is_no_proper_request_is_refused_and_nobody_else_notices(
    callmood: Callmood, request_: bytes
) -> None:
    with trio.fail_after(3):
        answer = await callmood.exchange(request_)
    assert not answer or answer.startswith(b"HTTP/1.1 4"), answer[:200]
    assert (await callmood.get("/healthz", {})).status_code == 200


async def test_a_head_that_is_too_large_is_431_in_the_shape_of_errors(callmood: Callmood) -> None:
    async with await callmood.raw() as stream:
        await stream.send_all(b"GET /healthz HTTP/1.1\r\nX: " + b"x" * 33_000)
        head, _, body = (await stream.receive_some()).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 431 ")
    assert set(json.loads(body)["error"]) == {"code", "message"}


async def test_a_head_that_trickles_in_holds_no_place(callmood: Callmood, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(door, "HEAD_S", 0.3)
    with trio.fail_after(5):
        async with await callmood.raw() as silent, await callmood.raw() as slow:
            await slow.send_all(b"GET /healthz HTTP/1.1\r\nX: x")
            assert b" 431 " in await slow.receive_some()
            assert await silent.receive_some() == b""


async def test_a_body_may_come_slowly_and_in_chunks(callmood: Callmood) -> None:
    head = (
        "POST /webhook/emotion HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n"
        f"Authorization: Bearer {callmood.ready.token}\r\n\r\n"
    )
    body = b'{"callSid":"CA1","emotion":{"label":"angry","score":0.9}}'
    chunks = [b"1\r\n%c\r\n" % byte for byte in body]
    answer = await callmood.exchange(head.encode(), *chunks, b"0\r\n\r\n", pause_s=0.005)
    assert answer.startswith(b"HTTP/1.1 404 "), answer


async def test_two_hundred_connections_at_once_are_all_answered(callmood: Callmood) -> None:
    answers: list[bytes] = []

    async def ask() -> None:
        answers.append(await callmood.exchange(HEALTH))

    async with trio.open_nursery() as nursery:
        for _ in range(200):
            nursery.start_soon(ask)
    assert [answer[:12] for answer in answers] == [b"HTTP/1.1 200"] * 200


async def test_idle_connections_do_not_keep_others_out(callmood: Callmood) -> None:
    async with AsyncExitStack() as stack:
        for _ in range(150):
            await stack.enter_async_context(await callmood.raw())
        assert (await callmood.get("/healthz", {})).status_code == 200


async def test_too_many_requests_in_flight_are_503_and_not_a_pile(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(door, "RELAYS", 4)
    callmood = await start()
    async with callmood.watch(), callmood.watch(), callmood.watch():
        answer = await callmood.exchange(HEALTH)
        assert answer.startswith(b"HTTP/1.1 503 ")
        assert (await callmood.caller().place()).status == 200  # there is always room for a caller
        asked = await callmood.exchange(b"POST /llm/chat/completions HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n")
        assert asked.startswith(b"HTTP/1.1 401 ")  # and for a model that is asked what to say
    with trio.fail_after(5):
        while not (await callmood.exchange(HEALTH)).startswith(b"HTTP/1.1 200 "):
            pass


# What stands behind the door gets to see.


async def seen_behind(request_: bytes, tmp_path: Path) -> bytes:
    """What a request looks like to the server behind the door."""
    seen = b""
    path = str(tmp_path / "upstream.sock")

    async def behind(stream: trio.SocketStream) -> None:
        nonlocal seen
        async with stream:
            while not seen.endswith(b"END"):
                seen += await stream.receive_some()
            await stream.send_all(b"HTTP/1.1 204 No Content\r\n\r\n")

    async def no_media(stream: trio.SocketStream, head: bytes, rest: bytes) -> None:
        raise AssertionError

    with trio.fail_after(5), trio.socket.socket(trio.socket.AF_UNIX) as listening:
        await listening.bind(path)
        listening.listen()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(trio.serve_listeners, behind, [trio.SocketListener(listening)])
            port = await nursery.start(
                lambda task_status: serve_door(Door(no_media, path), host="127.0.0.1", port=0, task_status=task_status)
            )
            async with await trio.open_tcp_stream("127.0.0.1", port) as stream:
                await stream.send_all(request_)
                async for _ in stream:
                    pass
            nursery.cancel_scope.cancel()
    return seen


async def test_the_peers_address_is_added_behind_what_was_forwarded(tmp_path: Path) -> None:
    seen = await seen_behind(
        b"POST /x HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 192.0.2.1\r\nx-forwarded-for: 192.0.2.2\r\n\r\nEND", tmp_path
    )
    forwarded = [line for line in seen.split(b"\r\n") if line.lower().startswith(b"x-forwarded-for:")]
    assert forwarded == [b"X-Forwarded-For: 192.0.2.1, 192.0.2.2, 127.0.0.1"]


async def test_the_rest_of_a_request_passes_unchanged_and_alone_on_its_connection(tmp_path: Path) -> None:
    body = b"\x00\r\n\r\n\xff" + b"x" * 300_000 + b"END"
    sent = b"POST /a%20b?c=%ff HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, Upgrade\r\nUpgrade: h2c\r\nX: y \r\n\r\n"
    seen = await seen_behind(sent + body, tmp_path)
    head, _, rest = seen.partition(b"\r\n\r\n")
    lines = head.split(b"\r\n")
    assert lines[0] == b"POST /a%20b?c=%ff HTTP/1.1"
    assert b"Host: a" in lines
    assert b"X: y " in lines
    assert [line for line in lines if line.lower().startswith((b"connection", b"upgrade"))] == [b"Connection: close"]
    assert rest == body
