"""Reading bodies within limits, and answering in JSON."""

import math

import msgspec
import trio
from quart import Response, request
from werkzeug.exceptions import RequestEntityTooLarge

from ..errors import BadRequest

_encode = msgspec.json.Encoder().encode


def json_reply(body: object, status: int = 200) -> Response:
    return Response(_encode(body), status, content_type="application/json")


async def read_body(limit: int, *, within_s: float = math.inf) -> bytes:
    """The request's body. Raises BadRequest 413 as soon as it is longer than `limit` bytes, 408 when it is too slow."""
    too_large = BadRequest(f"The body is larger than {limit} bytes.", status=413, code="too_large")
    if (request.content_length or 0) > limit:
        raise too_large
    body = bytearray()
    with trio.move_on_after(within_s):
        try:
            async for piece in request.body:
                body += piece
                if len(body) > limit:
                    raise too_large
        except RequestEntityTooLarge:
            raise too_large from None
        return bytes(body)
    raise BadRequest("The body took too long to arrive.", status=408, code="too_slow")
