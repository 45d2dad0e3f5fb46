"""What those we connect to may cost: each bound by itself, over real sockets where there is one."""

from __future__ import annotations

import gzip
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest
import trio
import trio.testing
from trio_websocket import ConnectionClosed, WebSocketConnection, serve_websocket

from agent import rulefile
from agent.cli.init import write
from agent.core.audio import MediaFrame
from agent.dialling import PARTS_LIMIT, dialled
from agent.errors import ConfigError
from agent.http import ANSWER_LIMIT, AnswerTooLarge, asked, client
from agent.ingress.playback import MARKS_KEPT, Playback
from agent.ingress.relay import BYTES_WAITING, Relay
from agent.rulefile import RuleFile

Serve = Callable[[trio.SocketStream], Awaitable[None]]

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
BOMB = gzip.compress(b" " * (20 * ANSWER_LIMIT))


@asynccontextmanager
async def somebody(serve: Serve) -> AsyncIterator[str]:
    """Who answers in this way, until the end of the block; where."""

    async def answer(stream: trio.SocketStream) -> None:
        with suppress(trio.BrokenResourceError, trio.ClosedResourceError):
            async with stream:
                while not (await stream.receive_some()).endswith(b"{}"):
                    pass
                await serve(stream)

    with trio.fail_after(20):
        async with trio.open_nursery() as nursery:
            listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
            nursery.start_soon(trio.serve_listeners, answer, listeners)
            yield f"http://127.0.0.1:{listeners[0].socket.getsockname()[1]}/"
            nursery.cancel_scope.cancel()


async def test_an_answer_without_an_end_is_not_read_to_its_end() -> None:
    sent = 0

    async def endless(stream: trio.SocketStream) -> None:
        nonlocal sent
        await stream.send_all(HEAD + b"Content-Length: 100000000000\r\n\r\n")
        while True:
            await stream.send_all(b"x" * 65_536)
            sent += 65_536

    async with somebody(endless) as url, client() as http:
        with pytest.raises(AnswerTooLarge):
            await asked(http, url, json={})
    assert sent < 100 * ANSWER_LIMIT


async def test_an_answer_that_is_packed_is_not_unpacked() -> None:
    async def bomb(stream: trio.SocketStream) -> None:
        length = f"Content-Encoding: gzip\r\nContent-Length: {len(BOMB)}\r\n\r\n"
        await stream.send_all(HEAD + length.encode() + BOMB)

    async with somebody(bomb) as url, client() as http:
        assert (await asked(http, url, json={})).content == BOMB


async def test_a_connection_is_used_again_after_an_answer_that_was_read() -> None:
    connections = 0

    async def polite(stream: trio.SocketStream) -> None:
        nonlocal connections
        connections += 1
        while True:
            await stream.send_all(HEAD + b"Content-Length: 2\r\n\r\n{}")
            asked_again = b""
            while not asked_again.endswith(b"{}"):
                if not (piece := await stream.receive_some()):
                    return
                asked_again += piece

    async with somebody(polite) as url, client() as http:
        for _ in range(3):
            assert (await asked(http, url, json={})).json() == {}
    assert connections == 1


async def test_a_message_of_endlessly_many_parts_ends_the_connection() -> None:
    async def fragments(request: object) -> None:
        socket: WebSocketConnection = await request.accept()  # type: ignore[attr-defined]
        with suppress(trio.BrokenResourceError, ConnectionClosed):
            await socket._stream.send_all(b"\x02\x00")
            while True:
                await socket._stream.send_all(b"\x00\x00" * 1000)

    with trio.fail_after(20):
        async with trio.open_nursery() as nursery:
            logging.getLogger("trio-websocket").setLevel(logging.ERROR)
            server = await nursery.start(serve_websocket, fragments, "127.0.0.1", 0, None)
            async with dialled(f"ws://127.0.0.1:{server.port}/", message_limit=1 << 18) as socket:
                with pytest.raises(ConnectionClosed):
                    await socket.get_message()
                assert len(socket._message_parts) < 2 * PARTS_LIMIT + 4096
            nursery.cancel_scope.cancel()


class Unheard:
    """A call of which only the relay is looked at."""

    def __init__(self) -> None:
        self.relay: Relay | None = None
        self.mailbox = self
        self.sink: object = None

    def assistant_turn(self, *, started: bool) -> None: ...


async def test_frames_far_too_long_end_a_relay_before_they_fill_the_memory() -> None:
    relay = Relay(Unheard())  # type: ignore[arg-type]
    for number in range(BYTES_WAITING // 8000 + 1):
        assert relay.parting is None
        relay.hear(MediaFrame(number, 20 * number, b"\xff" * 8000, trio.current_time()))
    assert relay.parting is not None
    assert relay.parting.how == "assistant lost"


def test_marks_that_never_come_back_are_given_up() -> None:
    playback = Playback()
    for number in range(3 * MARKS_KEPT):
        playback.send(b"\x55" * 160, number / 50)
        playback.mark()
    assert len(playback._marks) == MARKS_KEPT


def test_a_bug_in_reading_the_rules_keeps_those_in_force(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "rules.toml"
    rules = RuleFile(path, act_at=0.85)
    before = rules.book
    path.write_text("[context]\n")

    def bug(path: Path, *, act_at: float) -> None:
        raise RecursionError

    monkeypatch.setattr(rulefile, "read", bug)
    assert rules.refresh() == "bad"
    assert rules.book is before


def test_init_writes_nothing_through_a_link_that_leads_nowhere(tmp_path: Path) -> None:
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "rules.toml").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ConfigError):
        write(tmp_path, {"CALLMOOD_ATTACH": "tap"}, gateway=False)
    assert not (tmp_path / "elsewhere").exists()


def test_init_keeps_the_env_to_its_owner_wherever_its_link_leads(tmp_path: Path) -> None:
    elsewhere, env = tmp_path / "kept" / "env", tmp_path / ".env"
    elsewhere.parent.mkdir()
    elsewhere.write_text("A=1\n")
    elsewhere.chmod(0o644)
    env.symlink_to(elsewhere)
    write(tmp_path, {"VAPI_SECRET": "s"}, gateway=False)
    assert env.is_symlink()
    assert elsewhere.read_text() == "A=1\nVAPI_SECRET=s\n"
    assert elsewhere.stat().st_mode & 0o777 == 0o600
    assert sorted(path.name for path in elsewhere.parent.iterdir()) == ["env"]
