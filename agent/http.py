"""The one place that names the HTTP client.

It is httpx2, the maintained line of httpx with the same API. The pool of httpx 0.28 loses a slot for good whenever
Trio cancels a request that is still connecting, and cancel scopes are how patience works here (`HTTP/1.1` only for
the same reason: HTTP/2 and cancellation do not get on in either line). One client per upstream, opened once and kept
warm: making one costs tens of milliseconds, and a handshake with a control host more than the request itself.

    from .http import client, httpx
"""

import re
import ssl
from collections.abc import AsyncGenerator, Mapping
from functools import cache
from typing import Any

import httpx2 as httpx
import msgspec
import trio

from . import __version__

__all__ = ["USER_AGENT", "asked", "client", "finish", "httpx", "json_object", "retry_after"]

USER_AGENT = f"callmood/{__version__}"

KEEPALIVE_S = 300.0
"""How long an idle connection is kept. Calls are quiet for minutes, and the default of 5 s would make every update
pay for a new handshake."""

ANSWER_LIMIT = 512 * 1024
"""Bytes of an answer that is read whole: a call at Vapi, with its assistant in it, has some ten thousand."""


class AnswerTooLarge(httpx.HTTPError):
    """Somebody answers without an end."""


@cache
def trusted() -> ssl.SSLContext:
    """The certificate authorities we believe, read once: it takes tens of milliseconds."""
    return httpx.create_ssl_context(trust_env=False)


def client(*, connections: int = 100, **kwargs: Any) -> httpx.AsyncClient:
    """A client for one upstream, with at most so many connections to it at once; other keywords are those of
    `httpx.AsyncClient` and win over what is set here.

    No timeout: callers write `with trio.move_on_after(...)`. No proxies or credentials from the environment, no
    redirects: a control message or a secret goes where it was addressed, or nowhere.
    """
    defaults: dict[str, Any] = {
        "http1": True,
        "http2": False,
        "limits": httpx.Limits(max_connections=connections, max_keepalive_connections=20, keepalive_expiry=KEEPALIVE_S),
        "trust_env": False,
        "verify": trusted(),
        "follow_redirects": False,
        "timeout": None,
    }
    headers = httpx.Headers({"User-Agent": USER_AGENT})
    headers.update(kwargs.pop("headers", None))
    return httpx.AsyncClient(headers=headers, **{**defaults, **kwargs})


async def asked(
    client: httpx.AsyncClient, url: str, *, method: str = "POST", auth: httpx.Auth | None = None, **kwargs: Any
) -> httpx.Response:
    """The answer to a request, read whole: of `ANSWER_LIMIT` bytes at the most, and as they came, since a few packed
    ones may be any number. Raises httpx.HTTPError. Keywords are those of `httpx.AsyncClient.build_request`."""
    headers = {"Accept-Encoding": "identity", **kwargs.pop("headers", {})}
    request = client.build_request(method, url, headers=headers, **kwargs)
    response = await client.send(request, stream=True, auth=auth)
    if response.is_stream_consumed:  # it came from memory
        return response
    body, pieces = bytearray(), response.aiter_raw()
    async for piece in pieces:
        body += piece
        if len(body) > ANSWER_LIMIT:
            await finish(pieces)
            raise AnswerTooLarge(f"the answer is larger than {ANSWER_LIMIT} bytes")
    kept = {name: value for name, value in response.headers.items() if name != "content-encoding"}
    return httpx.Response(response.status_code, headers=kept, content=bytes(body), request=request)


async def finish(pieces: AsyncGenerator[bytes, None]) -> None:
    """Take apart what an answer is read through, wherever it stands, and give back its connection. Closing it would
    leave the generators inside it to the garbage collector; a wait that is cancelled ends every one of them."""
    with trio.CancelScope() as scope:
        scope.cancel()
        async for _ in pieces:
            pass


def json_object(body: bytes) -> Mapping[str, Any]:
    """An answer's object of JSON; empty where it is anything else."""
    try:
        answer = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return {}
    return answer if isinstance(answer, dict) else {}


def retry_after(response: httpx.Response) -> float | None:
    """`Retry-After` as a number of seconds, at most a minute; its date form and anything else are passed over."""
    header = response.headers.get("retry-after", "").strip()
    return min(60.0, float(header)) if re.fullmatch(r"\d{1,6}(\.\d{1,3})?", header, re.ASCII) else None
