"""Who may: the bearer token and its cookie, and requests that another site made a browser send."""

import hashlib
import hmac
from collections.abc import Mapping
from urllib.parse import urlsplit

from werkzeug.datastructures import Headers

from ..core.sameness import same
from ..errors import BadRequest

COOKIE = "callmood"


class Access:
    """Checks requests against the one token of this service."""

    def __init__(self, token: str, public_origin: str = "") -> None:
        self._token = token
        self._public_host = urlsplit(public_origin).netloc.lower()
        self.cookie = hmac.new(token.encode(), b"callmood cookie", hashlib.sha256).hexdigest()
        """What the cookie carries: proof of the token, and not the token."""

    def is_token(self, offered: str | None) -> bool:
        return offered is not None and same(offered, self._token)

    def require(self, headers: Headers, cookies: Mapping[str, str]) -> None:
        """Raises BadRequest 401 without the token as bearer, or the cookie that `/live` sets."""
        scheme, _, offered = headers.get("Authorization", "").partition(" ")
        if scheme.lower() == "bearer" and self.is_token(offered.strip()):
            return
        if same(cookies.get(COOKIE, ""), self.cookie):
            return
        raise BadRequest(
            "This needs the token: send it as Authorization: Bearer, or open /live?token=… once.",
            status=401,
            code="unauthorized",
        )

    def require_same_origin(self, headers: Headers) -> None:
        """Raises BadRequest 403 for a request that a page of another origin made a browser send."""
        origin = headers.get("Origin")
        if origin is None:
            return
        hosts = {headers.get("Host", "").lower(), self._public_host}
        try:
            host = urlsplit(origin).netloc.lower()
        except ValueError:
            host = ""
        if not host or host not in hosts:
            raise BadRequest("This request comes from another site.", status=403, code="forbidden")
