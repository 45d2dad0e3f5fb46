"""The supervisor's screen: who is on the line and needs somebody. Plain files, no build step, nothing from elsewhere.

The list of calls and the page of one call are two documents over the same small modules. In the folder `physical` lies
what those load instead in the profiles in which nobody's feelings are judged: no file that they load then names one.
"""

from functools import cache
from html import escape
from importlib.resources import files
from pathlib import PurePosixPath

from quart import Blueprint, Response, abort, redirect, request
from werkzeug.wrappers import Response as Redirect

from ...calls.call import CALL_SID
from ...calls.policy import NoTransfers
from ...calls.setup import setup
from ...core.levels import anger_at
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

_SCRIPTS = {"index.html": ("live.js", "physical.js"), "call.html": ("call.js", "measured.js")}
"""Of each page: the usual one, and the one where nobody's feelings are judged."""
_STYLE, _SCRIPT = '<link rel="stylesheet" href="/live/static/{}">', '<script type="module" src="/live/static/{}">'
_SAID = '<p id="said" class="unseen" role="status"></p>'
_PROFILE = '<p id="profile" class="hint profile">Nobody\'s feelings are judged here.</p>'


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
        onwards = redirect(request.path, 303)
        secure = request.headers.get("X-Forwarded-Proto", "").partition(",")[0].strip() == "https"
        onwards.set_cookie(COOKIE, access.cookie, httponly=True, samesite="Strict", secure=secure, path="/")
        return onwards
    access.require(request.headers, request.cookies)
    name = "index.html" if call_sid is None else "call.html"
    attributes = "".join(f' data-{key}="{escape(value)}"' for key, value in facts().items())
    text = document(name, physical=house().settings.profile != "acoustic")
    return reply(name, text.replace("<body", "<body" + attributes, 1).encode())


@routes.get("/live/static/<name>")
async def static(name: str) -> Response:
    """The page's own files. Open: they tell of no call."""
    if name not in served():
        abort(404)
    return reply(name, _read(served()[name]))


def facts() -> dict[str, str]:
    """What the page has to know of this service before it has heard of any call."""
    settings, policy = house().settings, house().directory.policy
    able = bool(settings.transfer_to) and not isinstance(policy.transfers, NoTransfers)
    if settings.profile != "acoustic":
        return {"profile": settings.profile, "transfer": "yes" if able else "no"}
    return {
        "transfer": "yes" if able else "no",
        "act-at": str(anger_at(policy.book().rules, settings.act_at)),
        "window-s": str(setup(settings).window_s),
    }


@cache
def document(name: str, *, physical: bool) -> str:
    """One of the two pages. Where nobody's feelings are judged it has another script, a style of its own, and a
    sentence that says so."""
    text = _read(name).decode()
    if not physical:
        return text
    usual, other = map(_SCRIPT.format, _SCRIPTS[name])
    text = text.replace(usual, f"{_STYLE.format('physical.css')}\n{other}")
    return text.replace(_SAID, f"{_SAID}\n  {_PROFILE}")


def reply(name: str, body: bytes) -> Response:
    """A file of this name."""
    response = Response(body, content_type=_TYPES[PurePosixPath(name).suffix])
    response.headers["Content-Security-Policy"] = _POLICY
    return response


@cache
def _read(name: str) -> bytes:
    return (files(__name__) / name).read_bytes()
