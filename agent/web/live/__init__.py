"""The supervisor's page: who is on the line, and how they feel. Plain files, no build step, nothing from elsewhere.

In the folder `physical` lies the page for the profiles in which nobody's feelings are judged: no file of it names one.
"""

from importlib.resources import files

from quart import Blueprint, Response, abort, redirect, request
from werkzeug.wrappers import Response as Redirect

from ...calls.call import CALL_SID
from ..access import COOKIE
from ..house import house

routes = Blueprint("live", __name__)

_TYPES = {
    "icon.svg": "image/svg+xml",
    "live.css": "text/css; charset=utf-8",
    "live.js": "text/javascript; charset=utf-8",
    "call.js": "text/javascript; charset=utf-8",
    "parts.js": "text/javascript; charset=utf-8",
    "physical.css": "text/css; charset=utf-8",
    "physical.js": "text/javascript; charset=utf-8",
}
_POLICY = (
    "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


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
    return page(folder + "index.html", "text/html; charset=utf-8")


@routes.get("/live/static/<name>")
async def static(name: str) -> Response:
    """The page's own files. Open: they tell of no call."""
    if name not in _TYPES:
        abort(404)
    return page(f"physical/{name}" if name.startswith("physical.") else name, _TYPES[name])


def page(name: str, content_type: str) -> Response:
    reply = Response((files(__name__) / name).read_bytes(), content_type=content_type)
    reply.headers["Content-Security-Policy"] = _POLICY
    return reply
