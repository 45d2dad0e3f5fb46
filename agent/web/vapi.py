"""Vapi's server messages: what the assistant does, how to reach it, and what it asks for."""

import tempfile
import time
from collections.abc import Iterator, Mapping
from functools import partial
from typing import BinaryIO

import structlog
import trio
from quart import Blueprint, Response, request

from ..assistants.vapi_messages import BODY_LIMIT, ServerMessage, read_message
from ..calls.call import Call
from ..calls.directory import CallDirectory
from ..errors import BadMessage, BadRequest
from .house import House, house
from .replies import json_reply, read_body, take_body
from .vapi_answers import ANSWERS, answer
from .vapi_effects import handle

log = structlog.get_logger()

routes = Blueprint("vapi", __name__)

PATH = "/webhook/vapi"

THREAD_FROM = 256 * 1024
"""Bytes of body from which checking and parsing would hold up the calls, and move to a thread."""

UNPROVEN_LIMIT = 16
"""Large bodies that may be read at once before their signature can be checked: anybody can send such a one."""
UNPROVEN_S = 10.0
"""How long a body may take that has not proved itself."""
PIECE = 64 * 1024


@routes.post(PATH)
async def server_message() -> Response:
    """A server message. Once it has proved itself the answer is 200, whatever it says."""
    rooms = house()
    headers = {name.lower(): value for name, value in request.headers.items()}
    if not rooms.vapi_auth.plausible(headers, time.time()):
        raise refusal(rooms)
    message = await read_proven(rooms, headers)
    if message is None:
        rooms.metrics.vapi_message(handled=False)
        return json_reply({"status": "ignored"})
    rooms.mode.learn(message)
    call = find_call(rooms.directory, message.call_sids, message.vapi_call_id)
    handled = call is not None and handle(call, message, rooms.vapi)
    told = answer(call, message, rooms.settings)
    handled = handled or message.type in ANSWERS
    rooms.metrics.vapi_message(handled=handled)
    return json_reply(told if told is not None else {"status": "ok" if handled else "ignored"})


async def read_proven(rooms: House, headers: Mapping[str, str]) -> ServerMessage | None:
    """The message, from whoever knows the secret; None: it cannot be read. Raises BadRequest 401 from anybody else."""
    if rooms.vapi_auth.signs_body:
        return await read_signed(rooms, headers)
    body = await read_body(BODY_LIMIT)
    if len(body) < THREAD_FROM:
        return check(rooms, headers, body)
    return await trio.to_thread.run_sync(check, rooms, headers, body, abandon_on_cancel=True)


async def read_signed(rooms: House, headers: Mapping[str, str]) -> ServerMessage | None:
    """The same where the proof covers the body: until it has been checked, a large one lies on disk. Where too many do
    none is waited for, because what waits would be gathered in memory."""
    if request.content_length is not None and request.content_length < THREAD_FROM:
        return check(rooms, headers, await read_body(THREAD_FROM, within_s=UNPROVEN_S))
    try:
        rooms.unproven.acquire_nowait()
    except trio.WouldBlock:
        raise BadRequest("Too many large messages at once: try again.", status=503, code="overloaded") from None
    try:
        with tempfile.TemporaryFile() as file:
            await take_body(BODY_LIMIT, file.write, within_s=UNPROVEN_S)
            return await trio.to_thread.run_sync(check_file, rooms, headers, file)
    finally:
        rooms.unproven.release()


def check_file(rooms: House, headers: Mapping[str, str], file: BinaryIO) -> ServerMessage | None:
    """`check`, for a body on disk."""
    if not rooms.vapi_auth.proves(headers, InPieces(file), url=address(rooms)):
        raise refusal(rooms)
    file.seek(0)
    return read(file.read())


class InPieces:
    """A file's content, from its beginning each time."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    def __iter__(self) -> Iterator[bytes]:
        self._file.seek(0)
        return iter(partial(self._file.read, PIECE), b"")


def check(rooms: House, headers: Mapping[str, str], body: bytes) -> ServerMessage | None:
    """Proof first, then a look inside."""
    if not rooms.vapi_auth.proves(headers, body, url=address(rooms)):
        raise refusal(rooms)
    return read(body)


def address(rooms: House) -> str:
    return rooms.settings.webhook_url.rstrip("/") + PATH


def read(body: bytes) -> ServerMessage | None:
    try:
        return read_message(body)
    except BadMessage as error:
        log.warning("vapi.unreadable", reason=str(error))
        return None


def refusal(rooms: House) -> BadRequest:
    return BadRequest(rooms.vapi_auth.advice, status=401, code="unauthorized")


def find_call(directory: CallDirectory, call_sids: tuple[str, ...], vapi_call_id: str | None) -> Call | None:
    """The live call of these ids. In `listen` a call may have no other id than Vapi's."""
    found = next((call for sid in call_sids if (call := directory.find(sid)) is not None), None)
    if found is None and vapi_call_id is not None:
        found = directory.find(vapi_call_id) or directory.find_by_vapi(vapi_call_id)
    return found
