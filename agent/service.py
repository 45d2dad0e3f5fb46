"""The root: opens ledger and engine, opens the call directory, and serves the door inside it.

The server is a child of the service, and a call is not a child of its socket. On shutdown the directory drains while
the door stays open, because the ends of calls come in through it.
"""

import secrets
import tempfile
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import structlog
import trio

from . import http, wiring
from .calls.broadcast import WATCHERS
from .calls.directory import CallDirectory, open_directory
from .calls.history import History
from .calls.policy import policy
from .calls.recovery import record_crashed, show_crashed
from .calls.wall import Wall
from .engines.streamed import StreamedEngine
from .errors import ConfigError
from .ingress.door import RELAYS, Door, bracketed, serve_door
from .ingress.media import MediaLines
from .ingress.relay import Relay
from .open_files import file_limit
from .rulefile import RuleFile
from .settings import Settings
from .settings_checks import check_built
from .signals import STOPS
from .telephony.twiml import Fallback
from .watchdog import Watchdog, lag
from .web.access import Access
from .web.app import create_app
from .web.house import House
from .web.metrics import Metrics
from .web.server import Web
from .web.vapi import UNPROVEN_LIMIT
from .workers.crew import Crew

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
    watchdog: Watchdog | None = None,
    listeners: Sequence[Callable[[Mapping[str, Any]], None]] = (),
    crew: Crew | None = None,
    task_status: trio.TaskStatus[Ready] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Serve until `stop` is set, then drain. Raises ConfigError when these settings cannot be served.

    `watchdog`: who counts the steps that block the loop; `listeners` are told of every event of every call. `crew`:
    the other workers, where there are any."""
    check_built(settings)
    if not settings.twilio_auth_token and not insecure and settings.attach != "listen":
        raise ConfigError("TWILIO_AUTH_TOKEN is not set: set it, or start with --insecure to accept unsigned requests")
    rules = RuleFile(settings.rules_file, act_at=settings.act_at)
    stop = trio.Event() if stop is None else stop
    token = settings.token.reveal() or secrets.token_urlsafe(24)
    # A pool for each of Vapi's two sides: new calls that stall must not keep notes to live ones waiting. A call has at
    # most a note and an interruption under way.
    control, calls, twilio = http.client(connections=2 * settings.max_calls), http.client(), http.client()
    models = http.client(connections=settings.max_calls)  # a call asks for one answer at a time
    async with wiring.ledger(settings, crew.ledger if crew else None) as ledger, control, calls, twilio, models:
        vapi, rest = wiring.vapi(settings, control), wiring.twilio_rest(settings, twilio)
        relays: dict[str, Relay] = {}
        engine, second = wiring.engine(settings), wiring.second_engine(settings)
        engines = [each for each in (engine, second) if each is not None]
        assistant = wiring.assistant(vapi, relays)
        shared = policy(settings, book=rules.current, transfers=wiring.transfers(settings, rest, vapi))
        async with (
            open_directory(engine, assistant, ledger, settings, shared, second) as directory,
            trio.open_nursery() as server,
        ):
            crashed = await record_crashed(ledger) if ledger.alone else {}
            if crashed:
                log.warning("calls.crashed", calls=len(crashed))
                server.start_soon(show_crashed, directory.broadcast, ledger, crashed)
            fallback = Fallback(settings.transfer_to or None, settings.vapi_sip_uri or None)
            house = House(
                settings=settings,
                directory=directory,
                history=History(directory, ledger, crew.live if crew else None),
                wall=Wall(directory, settings),
                ledger=ledger,
                vapi=vapi,
                vapi_auth=wiring.vapi_auth(settings),
                unproven=trio.CapacityLimiter(UNPROVEN_LIMIT),
                watching=trio.CapacityLimiter(WATCHERS),
                llm=wiring.llm(settings, models),
                signature=wiring.signature(settings),
                access=Access(token, settings.webhook_url),
                metrics=Metrics(
                    directory,
                    [each for each in engines if isinstance(each, StreamedEngine)],
                    engines=[each.name for each in engines],
                    store=ledger,
                    blocked=lambda: watchdog.barked if watchdog else 0,
                ),
                mode=wiring.mode(settings, calls, vapi, directory, server, fallback, rest, relays),
                fallback=fallback,
                siblings=crew,
            )
            directory.measures = house.metrics
            house.metrics.crashed(len(crashed))
            for listener in (house.metrics.note, *listeners):
                directory.broadcast.listen(listener)
            server.start_soon(lag, house.metrics.loop_lag.observe)
            server.start_soon(house.wall.run)
            server.start_soon(rules.watch, house.metrics.rules_reloaded)
            async with serving(house, host, server, crew) as port:
                task_status.started(Ready(f"http://{bracketed(host)}:{port}", token, directory))
                await stop.wait()
                await directory.drain()
            server.cancel_scope.cancel()


@asynccontextmanager
async def serving(house: House, host: str, server: trio.Nursery, crew: Crew | None) -> AsyncIterator[int]:
    """Door and web, open as long as the block lasts; the port they share."""
    with tempfile.TemporaryDirectory(prefix="callmood-") as folder:
        upstream = str(Path(folder) / "http.sock")
        web = Web(create_app(house), upstream)
        await server.start(web.serve)
        lines = MediaLines(house.directory, house.signature)
        server.start_soon(lines.sweep)
        door = Door(lines.serve, upstream, answers=answer_places(house.settings), files=file_limit())
        async with crew.joined(house, door, server) if crew else nullcontext():
            listeners = crew.listeners() if crew else ()
            yield await server.start(
                partial(serve_door, door, host=host, port=house.settings.port, listeners=listeners)
            )
        await web.close()


def answer_places(settings: Settings) -> int:
    """A call asks for one answer at a time, and begins the next before the one before it is taken back."""
    return max(RELAYS, 2 * settings.max_calls)


async def stop_on_signals(stop: trio.Event, quick: trio.CancelScope) -> None:
    """The first asks to drain; the second ends at once."""
    with trio.open_signal_receiver(*STOPS) as signals:
        async for number in signals:
            if stop.is_set():
                log.warning("service.stopping_at_once", signal=number)
                quick.cancel()
                return
            log.info("service.draining", signal=number)
            stop.set()
