"""Reading bodies within limits, and answering in JSON."""

import msgspec
from quart import Response, request
from werkzeug.exceptions import RequestEntityTooLarge

from ..errors import BadRequest

_encode = msgspec.json.Encoder().encode


def json_reply(body: object, status: int = 200) -> Response:
    return Response(_encode(body), status, content_type="application/json")


async def read_body(limit: int) -> bytes:
    """The request's body. Raises BadRequest 413 as soon as it is longer than `limit` bytes."""
    too_large = BadRequest(f"The body is larger than {limit} bytes.", status=413, code="too_large")
    if (request.content_length or 0) > limit:
        raise too_large
    body = bytearray()
    try:
        async for piece in request.body:
            body += piece
            if len(body) > limit:
                raise too_large
    except RequestEntityTooLarge:
        raise too_large from None
    return bytes(body)
