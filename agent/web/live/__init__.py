"""The supervisor's screen: who is on the line and needs somebody. Plain files, no build step, nothing from elsewhere.

The list of calls and the page of one call are two documents over the same small modules. In the folder `physical` lies
what differs for the profiles in which nobody's feelings are judged: no file that those pages load names one.
"""

from collections.abc import Mapping
from functools import cache
from html import escape
from importlib.resources import files
from pathlib import PurePosixPath

from quart import Blueprint, Response, abort, redirect, request
from werkzeug.wrappers import Response as Redirect

from ...calls.call import CALL_SID
from ...calls.policy import NoTransfers
from ...core.emotion import ANGER
from ..access import COOKIE
from ..house import house

routes = Blueprint("live", __name__)

_TYPES = {
    ".svg": "image/svg+xml",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".html": "text/html; charset=utf-8",
}
_VENDORED = {"uplot.js": "vendor/uplot/uPlot.iife.min.js", "uplot.css": "vendor/uplot/uPlot.min.css"}
_POLICY = (
    "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


@cache
def served() -> dict[str, str]:
    """The files that anybody may have, by the name they are asked for, and where in this folder they lie."""
    here = files(__name__)
    own = {entry.name: entry.name for entry in here.iterdir()}
    physical = {entry.name: f"physical/{entry.name}" for entry in (here / "physical").iterdir()}
    return {
        name: path
        for name, path in {**own, **physical, **_VENDORED}.items()
        if PurePosixPath(name).suffix in (".svg", ".css", ".js")
    }


@routes.get("/live")
@routes.get("/live/<call_sid>")
async def live(call_sid: str | None = None) -> Response | Redirect:
    """The page; `?token=` sets the cookie and leads to the address without it, so that it stays in no history."""
    if call_sid is not None and not CALL_SID.fullmatch(call_sid):
        abort(404)
    access = house().access
    if (token := request.args.get("token")) is not None and access.is_token(token):
        reply = redirect(request.path, 303)
        secure = request.headers.get("X-Forwarded-Proto", "").partition(",")[0].strip() == "https"
        reply.set_cookie(COOKIE, access.cookie, httponly=True, samesite="Strict", secure=secure, path="/")
        return reply
    access.require(request.headers, request.cookies)
    folder = "" if house().settings.profile == "acoustic" else "physical/"
    return page(folder + ("index.html" if call_sid is None else "call.html"), facts())


@routes.get("/live/static/<name>")
async def static(name: str) -> Response:
    """The page's own files. Open: they tell of no call."""
    if name not in served():
        abort(404)
    return page(served()[name])


def facts() -> dict[str, str]:
    """What the page has to know of this service before it has heard of any call."""
    settings, policy = house().settings, house().directory.policy
    able = bool(settings.transfer_to) and not isinstance(policy.transfers, NoTransfers)
    if settings.profile != "acoustic":
        return {"profile": settings.profile, "transfer": "yes" if able else "no"}
    acts = [rule.at_least for rule in policy.book().rules if rule.emotions & ANGER]
    return {"transfer": "yes" if able else "no", "act-at": str(min(acts, default=settings.act_at))}


def page(name: str, told: Mapping[str, str] | None = None) -> Response:
    """One file of this folder; `told` becomes `data-` attributes of its body."""
    body = _read(name)
    if told:
        attributes = "".join(f' data-{key}="{escape(value)}"' for key, value in told.items())
        body = body.replace(b"<body", b"<body" + attributes.encode(), 1)
    reply = Response(body, content_type=_TYPES[PurePosixPath(name).suffix])
    reply.headers["Content-Security-Policy"] = _POLICY
    return reply


@cache
def _read(name: str) -> bytes:
    return (files(__name__) / name).read_bytes()
