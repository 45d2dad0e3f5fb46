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
    siblings = house().siblings
    if status == "full" and siblings is not None and await siblings.room_elsewhere():
        status = "ready"
    return json_reply({"status": status}, 200 if status == "ready" else 503)


@routes.get("/metrics")
async def metrics() -> Response:
    page, siblings = house().metrics.page(), house().siblings
    if siblings is not None:
        page = await siblings.page(page)
    return Response(page, content_type="text/plain; version=0.0.4; charset=utf-8")
