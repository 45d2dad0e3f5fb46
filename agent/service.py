"""The root: opens ledger and engine, opens the call directory, and serves the door inside it.

The server is a child of the service, and a call is not a child of its socket. On shutdown the directory drains while
the door stays open, because the ends of calls come in through it.
"""

import secrets
import signal
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import hypercorn.trio.run
import structlog
import trio
from hypercorn.config import Config
from hypercorn.trio import serve as serve_http
from hypercorn.trio.tcp_server import TCPServer
from quart_trio import QuartTrio

from . import http, wiring
from .calls.directory import CallDirectory, open_directory
from .calls.history import History
from .calls.recovery import record_crashed
from .errors import ConfigError
from .ingress.door import Door, serve_door
from .ingress.media import MediaLines
from .settings import Settings, check_built
from .web.access import Access
from .web.app import create_app, finishing
from .web.house import House
from .web.metrics import Metrics
from .web.tap import Tap

LAST_ANSWERS_S = 1.0

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Ready:
    """A service that listens."""

    url: str
    token: str
    directory: CallDirectory

    @property
    def live_url(self) -> str:
        return f"{self.url}/live?token={self.token}"


async def run_service(
    settings: Settings,
    *,
    host: str = "127.0.0.1",
    insecure: bool = False,
    stop: trio.Event | None = None,
    task_status: trio.TaskStatus[Ready] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Serve until `stop` is set, then drain. Raises ConfigError when these settings cannot be served."""
    check_built(settings)
    if not settings.twilio_auth_token and not insecure:
        raise ConfigError("TWILIO_AUTH_TOKEN is not set: set it, or start with --insecure to accept unsigned requests")
    stop = trio.Event() if stop is None else stop
    token = settings.token.reveal() or secrets.token_urlsafe(24)
    # A pool for each of Vapi's two sides: new calls that stall must not keep notes to live ones waiting. A call has at
    # most a note and an interruption under way.
    control, calls = http.client(connections=2 * settings.max_calls), http.client()
    async with wiring.ledger(settings) as ledger, control, calls:
        vapi = wiring.vapi(settings, control)
        async with (
            open_directory(wiring.engine(settings), vapi, ledger, settings) as directory,
            trio.open_nursery() as server,
        ):
            history = History(await ledger.milestones())
            if ledger.alone and (crashed := await record_crashed(history, ledger)):
                log.warning("calls.crashed", calls=crashed)
            tap = Tap(wiring.vapi_calls(settings, calls), vapi, directory, server)
            house = House(
                settings=settings,
                directory=directory,
                history=history,
                ledger=ledger,
                vapi=vapi,
                signature=wiring.signature(settings),
                access=Access(token, settings.webhook_url),
                metrics=Metrics(directory),
                tap=tap if settings.attach == "tap" else None,
            )
            directory.broadcast.listen(house.history.note)
            directory.broadcast.listen(house.metrics.note)
            async with serving(house, host, server) as port:
                task_status.started(Ready(f"http://{bracketed(host)}:{port}", token, directory))
                await stop.wait()
                await directory.drain()
            server.cancel_scope.cancel()


@asynccontextmanager
async def serving(house: House, host: str, server: trio.Nursery) -> AsyncIterator[int]:
    """Door and web, open as long as the block lasts; the port they share."""
    with tempfile.TemporaryDirectory(prefix="callmood-") as folder:
        upstream = str(Path(folder) / "http.sock")
        web = Web(create_app(house), upstream)
        await server.start(web.serve)
        door = Door(MediaLines(house.directory, house.signature).serve, upstream)
        yield await server.start(partial(serve_door, door, host=host, port=house.settings.port))
        await web.close()


class ContainedServer(TCPServer):
    """Hypercorn's server of one connection. A broken request body can make it raise (it closes a stream on which it is
    still sending), and what it raises would otherwise end Hypercorn, and us with it."""

    async def run(self) -> None:
        try:
            await super().run()
        except* Exception as broken:
            log.warning("web.connection_failed", kinds=sorted({type(e).__name__ for e in broken.exceptions}))


hypercorn.trio.run.TCPServer = ContainedServer  # type: ignore[misc]  # there is no public place to say so


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


def bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


async def stop_on_signals(stop: trio.Event, quick: trio.CancelScope) -> None:
    """The first SIGTERM or SIGINT asks to drain; the second ends at once."""
    with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        async for number in signals:
            if stop.is_set():
                log.warning("service.stopping_at_once", signal=number)
                quick.cancel()
                return
            log.info("service.draining", signal=number)
            stop.set()
