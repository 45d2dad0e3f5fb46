"""A server that serves the supervisor's page as ours does, and tells it of made-up calls.

For tests of the page, its pictures and its price: what it shows can be set at will, and it can fail on demand.

    wall = MadeWall(made_calls(500))
    async with trio.open_nursery() as nursery:
        await nursery.start(wall.run)
"""

import json
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import trio
from hypercorn.config import Config
from hypercorn.trio import serve
from quart import Response, abort, request
from quart_trio import QuartTrio

from ..calls.policy import policy
from ..core.instants import instant
from ..errors import BadRequest
from ..settings import Settings
from ..web import live
from ..web.access import Access
from ..web.house import move_in
from .made_calls import Json, MadeCall
from .made_timeline import at

TOKEN = "wall"  # noqa: S105
Orders = Callable[[str, Json], tuple[int, Json]]


class Transfers:
    """Somebody would take a call."""

    async def transfer(self, call_sid: str, destination: str) -> None:
        """Nothing is asked for: the page only has to know that it could be."""


def accept(call_sid: str, order: Json) -> tuple[int, Json]:
    return 202, {"status": "accepted"}


class MadeWall:
    """One server, on a port of loopback. Its fields may be changed from any thread while it runs."""

    def __init__(
        self, calls: dict[str, MadeCall], *, profile: str = "acoustic", transfer_to: str = "+15550100100"
    ) -> None:
        self.calls = calls
        self.settings = Settings(profile=profile, transfer_to=transfer_to)
        self.every_s = 1.0
        self.silent = False
        """The streams stay open, and say nothing."""
        self.access = Access(TOKEN)
        self.answer: Orders = accept
        """What is answered to an order."""
        self.orders: list[tuple[str, Json]] = []
        self.past: list[Json] = []
        """Finished calls, as they are listed."""
        self.ended: list[Json] = []
        """Entries of calls that have just ended, told with the next message."""
        self.port = 0
        self._stop = trio.Event()
        self._epoch = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def link(self) -> str:
        """The address that opens a session."""
        return f"{self.url}/live?token={TOKEN}"

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Serve until stopped. May run again afterwards, on the same port."""
        self._stop = trio.Event()
        config = Config()
        config.bind, config.accesslog, config.errorlog = [f"127.0.0.1:{self.port}"], None, None
        config.graceful_timeout = 0.1
        async with trio.open_nursery() as nursery:
            [bound] = await nursery.start(
                lambda **started: serve(self.app(), config, shutdown_trigger=self._stop.wait, **started)
            )
            self.port = int(bound.rpartition(":")[2])
            task_status.started()

    def stop(self) -> None:
        self._stop.set()

    def cut(self) -> None:
        """Break off the streams that are open."""
        self._epoch += 1

    def app(self) -> QuartTrio:
        app = QuartTrio(__name__, static_folder=None, template_folder=None)
        rules = policy(self.settings, transfers=Transfers())
        rooms: Any = SimpleNamespace(
            settings=self.settings, access=self.access, directory=SimpleNamespace(policy=rules)
        )
        move_in(app, rooms)
        app.register_blueprint(live.routes)
        app.register_error_handler(BadRequest, lambda error: (_error(error.code, str(error)), error.status))
        app.add_url_rule("/events", view_func=self._events)
        app.add_url_rule("/calls", view_func=self._list)
        app.add_url_rule("/calls/<call_sid>", view_func=self._one)
        app.add_url_rule("/calls/<call_sid>/actions", view_func=self._act, methods=["POST"])
        return app

    def message(self, *, full: bool) -> Json:
        """What the server says now. Every call has changed since the last second: the most there can be to draw."""
        now = datetime.now(UTC)
        entries = [call.entry(now, whole=full) for call in list(self.calls.values())]
        return {"calls": entries + ([] if full else self.ended), "at": instant(now), "live": len(entries), "full": full}

    async def _events(self) -> Response:
        self.access.require(request.headers, request.cookies)
        call_sid = request.args.get("call")
        if call_sid is not None and call_sid not in self.calls:
            abort(404)
        stream = self._wall() if call_sid is None else self._follow(self.calls[call_sid])
        response = Response(stream, content_type="text/event-stream")
        response.timeout = None
        return response

    async def _wall(self) -> AsyncIterator[bytes]:
        full, epoch = True, self._epoch
        while not self._stop.is_set() and self._epoch == epoch:
            if not self.silent:
                yield _data(self.message(full=full))
                full, self.ended = False, []
            await self._pause()

    async def _follow(self, call: MadeCall) -> AsyncIterator[bytes]:
        told, epoch = 0, self._epoch
        while not self._stop.is_set() and self._epoch == epoch:
            if not self.silent:
                now = datetime.now(UTC)
                events = at(call, now)
                for place, event in enumerate(events[told:], told + 1):
                    yield f"id: {place}\n".encode() + _data(event)
                told = len(events)
                yield b"event: entry\n" + _data({"at": instant(now), "call": call.entry(now)})
            await self._pause()

    async def _pause(self) -> None:
        with trio.move_on_after(self.every_s):
            await self._stop.wait()

    async def _list(self) -> Json:
        self.access.require(request.headers, request.cookies)
        now = datetime.now(UTC)
        ended = request.args.get("state") == "ended"
        return {"calls": self.past if ended else [call.entry(now) for call in self.calls.values()]}

    async def _one(self, call_sid: str) -> Json:
        self.access.require(request.headers, request.cookies)
        if (call := self.calls.get(call_sid)) is None:
            abort(404)
        now = datetime.now(UTC)
        return {**call.entry(now), "timeline": at(call, now)}

    async def _act(self, call_sid: str) -> tuple[Json, int]:
        self.access.require(request.headers, request.cookies)
        order = json.loads(await request.get_data())
        self.orders.append((call_sid, order))
        status, body = self.answer(call_sid, order)
        return body, status


def _data(what: object) -> bytes:
    return b"data: " + json.dumps(what).encode() + b"\n\n"


def _error(code: str, message: str) -> Json:
    return {"error": {"code": code, "message": message}}
