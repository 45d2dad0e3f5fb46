"""Alive, ready, and the numbers. Open to everyone: nothing here tells of a call."""

from quart import Blueprint, Response

from .house import house
from .replies import json_reply

routes = Blueprint("health", __name__)


@routes.get("/healthz")
async def alive() -> Response:
    return json_reply({"status": "ok"})


@routes.get("/readyz")
async def ready() -> Response:
    """503 while draining or full: a balancer should send the next call elsewhere."""
    directory = house().directory
    status = "draining" if directory.draining else "full" if directory.full else "ready"
    crew = house().crew
    if status == "full" and crew is not None and await crew.room_elsewhere():
        status = "ready"
    return json_reply({"status": status}, 200 if status == "ready" else 503)


@routes.get("/metrics")
async def metrics() -> Response:
    page, crew = house().metrics.page(), house().crew
    if crew is not None:
        page = await crew.page(page)
    return Response(page, content_type="text/plain; version=0.0.4; charset=utf-8")
