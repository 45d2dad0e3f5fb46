"""Hypercorn, as a child of ours on a private unix socket, with its faults contained."""

import socket

import hypercorn.trio.run
import structlog
import trio
from hypercorn.config import Config
from hypercorn.events import Closed, RawData
from hypercorn.trio import serve as serve_http
from hypercorn.trio.tcp_server import TCPServer
from quart_trio import QuartTrio

from .app import finishing

log = structlog.get_logger()

LAST_ANSWERS_S = 1.0
ON_ITS_WAY = 16 * 1024
"""Bytes of an answer between Hypercorn and the door, which the system doubles: what a watcher is slow to take has not
been made yet."""


PIECE = 4096
"""Bytes of a request read at a time. Hypercorn takes a piece apart without a pause, and of chunks of one byte each even
these take milliseconds."""
LINES = 8 * 1024
"""Line ends in one request, of which every chunk has two: whoever sends more wants to keep us busy. Anybody may send a
body, whatever is answered to it."""


class ContainedServer(TCPServer):
    """Hypercorn's server of one connection. A broken request body can make it raise (it closes a stream on which it is
    still sending), and what it raises would otherwise end Hypercorn, and us with it."""

    async def run(self) -> None:
        self.stream.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, ON_ITS_WAY)
        try:
            await super().run()
        except* Exception as broken:
            log.warning("web.connection_failed", kinds=sorted({type(e).__name__ for e in broken.exceptions}))

    async def _read_data(self) -> None:
        lines, piece = 0, b"-"
        while piece and lines <= LINES:
            try:
                piece = bytes(await self.stream.receive_some(PIECE))
            except (trio.ClosedResourceError, trio.BrokenResourceError):
                break
            lines += piece.count(b"\r\n")
            await self.protocol.handle(RawData(piece))
        await self.protocol.handle(Closed())


# There is no public place to say so; the lock pins the version this was tried with.
hypercorn.trio.run.TCPServer = ContainedServer  # type: ignore[attr-defined]


class Web:
    """Hypercorn on the private socket, as a child of ours that can be told to finish."""

    def __init__(self, app: QuartTrio, upstream: str) -> None:
        self._app, self._upstream = app, upstream
        self._closing, self._closed = trio.Event(), trio.Event()

    async def serve(self, task_status: trio.TaskStatus[list[str]] = trio.TASK_STATUS_IGNORED) -> None:
        """Answer requests until closed."""
        await serve_http(
            finishing(self._app),  # type: ignore[arg-type]
            web_config(self._upstream),
            shutdown_trigger=self._closing.wait,
            task_status=task_status,
        )
        self._closed.set()

    async def close(self) -> None:
        """Let answers under way finish, for a moment."""
        self._closing.set()
        with trio.move_on_after(LAST_ANSWERS_S):
            await self._closed.wait()


def web_config(upstream: str) -> Config:
    """Hypercorn on the private socket."""
    config = Config()
    config.bind = [f"unix:{upstream}"]
    config.accesslog = None
    config.errorlog = None
    config.graceful_timeout = 0.5
    config.backlog = 1024  # a full one looks like a connection to us, and drops what is sent into it
    config.keep_alive_timeout = 5
    config.h11_max_incomplete_size = 64 * 1024
    return config
