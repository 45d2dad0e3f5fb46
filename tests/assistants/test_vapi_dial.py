"""Dialling Vapi's sockets: only where Vapi is, and whatever answers there is over in a bounded time."""

import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
import trio

from agent.assistants.vapi import BadControlUrl
from agent.assistants.vapi_dial import checked_socket_url, dialled
from agent.errors import AssistantRefused, AssistantUnavailable, CallGone

Peer = Callable[[trio.SocketStream], Awaitable[None]]


@asynccontextmanager
async def peer(behaviour: Peer) -> AsyncIterator[str]:
    """Somebody at an address, who behaves like this to whoever connects."""
    async with trio.open_nursery() as nursery:
        [listener] = await trio.open_tcp_listeners(0, host="127.0.0.1")

        async def serve(stream: trio.SocketStream) -> None:
            async with stream:
                try:
                    await stream.receive_some()
                    await behaviour(stream)
                except trio.BrokenResourceError:
                    pass

        nursery.start_soon(trio.serve_listeners, serve, [listener])
        yield f"ws://127.0.0.1:{listener.socket.getsockname()[1]}/listen"
        nursery.cancel_scope.cancel()


def answering(data: bytes) -> Peer:
    async def answer(stream: trio.SocketStream) -> None:
        await stream.send_all(data)

    return answer


async def resetting(stream: trio.SocketStream) -> None:
    stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


async def stalling(stream: trio.SocketStream) -> None:
    await trio.sleep_forever()


async def endless_body(stream: trio.SocketStream) -> None:
    await stream.send_all(b"HTTP/1.1 500 No\r\nContent-Length: 1000000000000\r\n\r\n")
    while True:
        await stream.send_all(bytes(65_536))


async def endless_head(stream: trio.SocketStream) -> None:
    await stream.send_all(b"HTTP/1.1 101 Switching Protocols\r\n")
    while True:
        await stream.send_all(b"X-A: b\r\n" * 1000)


@pytest.mark.parametrize(
    ("behaviour", "error"),
    [
        (answering(b""), AssistantUnavailable),
        (resetting, AssistantUnavailable),
        (answering(b"\x16\x03\x01 no HTTP \x00\xff\r\n\r\n"), AssistantUnavailable),
        (answering(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n"), AssistantUnavailable),
        (answering(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"), AssistantUnavailable),
        (
            answering(b"HTTP/1.1 302 Found\r\nLocation: ws://x/\r\nContent-Length: 0\r\n\r\n"),
            AssistantUnavailable,
        ),
        (answering(b"HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n"), AssistantUnavailable),
        (answering(b"HTTP/1.1 401 No\r\nContent-Length: 0\r\n\r\n"), AssistantRefused),
        (answering(b"HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n"), CallGone),
        (endless_body, AssistantUnavailable),
        (endless_head, AssistantUnavailable),
    ],
    ids=["end", "reset", "garbage", "half", "200", "302", "503", "401", "404", "endless body", "endless head"],
)
async def test_whoever_is_no_socket_of_vapis_is_an_error_of_ours(behaviour: Peer, error: type[Exception]) -> None:
    with trio.fail_after(5):
        async with peer(behaviour) as address:
            with pytest.raises(error) as raised:
                async with dialled(address, message_limit=1000):
                    raise AssertionError("nothing was opened")
            assert address not in str(raised.value)


async def test_nobody_there_is_an_outage() -> None:
    async with peer(resetting) as address:
        pass
    with trio.fail_after(5), pytest.raises(AssistantUnavailable):
        async with dialled(address, message_limit=1000):
            raise AssertionError("nothing was opened")


async def test_patience_ends_a_handshake_that_stalls() -> None:
    async with peer(stalling) as address:
        with trio.fail_after(5), trio.move_on_after(0.05) as patience:
            async with dialled(address, message_limit=1000):
                raise AssertionError("nothing was opened")
        assert patience.cancelled_caught


@pytest.mark.parametrize("url", ["wss://phone-call.vapi.ai/1/transport", "WSS://a.b.vapi.ai/1/transport?x=1"])
def test_vapis_own_sockets_may_be_dialled(url: str) -> None:
    assert checked_socket_url(url) == "wss" + url[3:]


def test_a_named_host_may_be_dialled_without_tls_and_no_other() -> None:
    assert checked_socket_url("ws://127.0.0.1:9/x", ("127.0.0.1",)) == "ws://127.0.0.1:9/x"
    assert checked_socket_url("ws://127.0.0.1:9/x", ("127.0.0.1:9",)) == "ws://127.0.0.1:9/x"
    for other in ("ws://127.0.0.2:9/x", "ws://phone.vapi.ai/x", "ws://127.0.0.1.example.com/x"):
        with pytest.raises(BadControlUrl):
            checked_socket_url(other, ("127.0.0.1",))


@pytest.mark.parametrize(
    "url",
    [
        "",
        "phone.vapi.ai/x",
        "https://phone.vapi.ai/x",
        "wss:phone.vapi.ai/x",
        "wss://vapi.ai.example.com/x",
        "wss://examplevapi.ai/x",
        "wss://a:b@phone.vapi.ai/x",
        "wss://phone.vapi.ai:444/x",
        "wss://phone.vapi.ai%2eexample.com/x",
        "wss://example.com#phone.vapi.ai",
        "wss://example.com\\.vapi.ai/x",
        "wss://[::1]/x",
        "none://phone.vapi.ai/x",
        "wss://phone.vapi.ai\n.example.com/x",
    ],
)
def test_any_other_address_is_refused(url: str) -> None:
    with pytest.raises(BadControlUrl):
        checked_socket_url(url, ("127.0.0.1",))
