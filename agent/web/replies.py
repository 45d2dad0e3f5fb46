"""Reading bodies within limits, and answering in JSON."""

import math
from collections.abc import Callable
from typing import TypeVar

import msgspec
import trio
from quart import Response, request
from werkzeug.exceptions import RequestEntityTooLarge

from ..errors import BadRequest

_encode = msgspec.json.Encoder().encode

T = TypeVar("T")


def json_reply(body: object, status: int = 200) -> Response:
    return Response(_encode(body), status, content_type="application/json")


async def read_body(limit: int, *, within_s: float = math.inf) -> bytes:
    """The request's body. Raises BadRequest 413 as soon as it is longer than `limit` bytes, 408 when it is too slow."""
    body = bytearray()
    await take_body(limit, body.extend, within_s=within_s)
    return bytes(body)


async def take_body(limit: int, take: Callable[[bytes], object], *, within_s: float = math.inf) -> None:
    """The same, piece by piece."""
    too_large = BadRequest(f"The body is larger than {limit} bytes.", status=413, code="too_large")
    if (request.content_length or 0) > limit:
        raise too_large
    taken = 0
    with trio.move_on_after(within_s):
        try:
            async for piece in request.body:
                taken += len(piece)
                if taken > limit:
                    raise too_large
                take(piece)
        except RequestEntityTooLarge:
            raise too_large from None
        return
    raise BadRequest("The body took too long to arrive.", status=408, code="too_slow")


def fitted(decoder: msgspec.json.Decoder[T], body: bytes) -> T:
    """What a JSON body says. Raises BadRequest 400 with one sentence saying what is wrong with it."""
    try:
        return decoder.decode(body)
    except msgspec.ValidationError as error:
        raise BadRequest(f"The body does not fit: {error}.") from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise BadRequest("The body is not JSON.") from None
