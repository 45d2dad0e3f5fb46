"""The web application: its routes, and how it says no."""

import math
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any

import structlog
import trio
from quart import Response, request
from quart_trio import QuartTrio
from werkzeug.exceptions import HTTPException

from ..errors import BadRequest, LedgerUnavailable
from . import actions, debug, events, gateway, health, listing, live, readings, twilio, vapi
from .house import House, house, move_in
from .replies import json_reply

log = structlog.get_logger()

BODY_LIMIT = 10 * 1024 * 1024
"""Bytes: Vapi sends the whole assistant and transcript along. Other routes have smaller limits of their own."""
BODY_S = 30
"""How long a body may take to arrive."""

LAST_PART_S = 10.0
"""How long the end of an answer may take to be taken."""

ASGIApp = Callable[[dict[str, Any], Callable[..., Any], Callable[[Any], Awaitable[None]]], Awaitable[None]]

_CODES = {404: "not_found", 405: "method_not_allowed", 408: "too_slow", 413: "too_large"}
_WHILE_DRAINING = ("/voice/incoming", "/twilio/", "/webhook/", "/llm/", "/healthz", "/readyz", "/metrics")
"""What live calls need in order to end well; everything else is refused while draining."""


def create_app(rooms: House) -> QuartTrio:
    """The application for one house."""
    app = QuartTrio("agent.web", static_folder=None, template_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = BODY_LIMIT
    app.config["BODY_TIMEOUT"] = BODY_S
    move_in(app, rooms)
    for blueprint in (
        twilio.routes,
        vapi.routes,
        gateway.routes,
        readings.routes,
        listing.routes,
        actions.routes,
        events.routes,
        live.routes,
        health.routes,
        debug.routes,
    ):
        app.register_blueprint(blueprint)
    app.before_request(_admit)
    app.after_request(_harden)
    app.register_error_handler(BadRequest, _refuse)
    app.register_error_handler(LedgerUnavailable, _unavailable)
    app.register_error_handler(HTTPException, _refuse_http)
    app.register_error_handler(Exception, _fail)
    return app


def finishing(app: QuartTrio) -> ASGIApp:
    """The application as Hypercorn runs it, except that the end of an answer cannot be cancelled.

    Hypercorn closes the connection inside the application's task, right after the last part of the body; and Quart-Trio
    cancels that task as soon as it hears that the answer is complete. Without this the connection stays open for good.
    """

    async def run(scope: dict[str, Any], receive: Callable[..., Any], send: Callable[[Any], Awaitable[None]]) -> None:
        async def finish(message: dict[str, Any]) -> None:
            last = message["type"] == "http.response.body" and not message.get("more_body")
            with trio.CancelScope(deadline=trio.current_time() + LAST_PART_S if last else math.inf, shield=last):
                await send(message)

        async with AsyncExitStack() as exits:  # what an answer is made of lives as long as its request
            await app({**scope, gateway.EXITS: exits}, receive, finish)  # type: ignore[arg-type]

    return run


async def _admit() -> None:
    if house().directory.draining and not request.path.startswith(_WHILE_DRAINING):
        raise BadRequest("The service is shutting down: try again shortly.", status=503, code="draining")
    if request.method not in ("GET", "HEAD", "OPTIONS"):
        house().access.require_same_origin(request.headers)


async def _harden(response: Response) -> Response:
    response.headers.setdefault("Cache-Control", "no-store")
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers["Referrer-Policy"] = "no-referrer"
    return response


async def _refuse(error: BadRequest) -> Response:
    house().metrics.refused(error.code)
    reply = json_reply({"error": {"code": error.code, "message": str(error)}}, error.status)
    if error.status == 401:
        reply.headers["WWW-Authenticate"] = "Bearer"
    return reply


async def _unavailable(error: LedgerUnavailable) -> Response:
    return json_reply({"error": {"code": "ledger_unavailable", "message": str(error)}}, 503)


async def _refuse_http(error: HTTPException) -> Response:
    status = error.code or 500
    return await _refuse(BadRequest(f"{error.name}.", status=status, code=_CODES.get(status, "bad_request")))


async def _fail(error: Exception) -> Response:
    log.error("web.failed", path=request.path, exc_info=error)
    body: dict[str, Any] = {"error": {"code": "internal", "message": "Something of ours failed; the log says what."}}
    return json_reply(body, 500)
