"""Vapi's server messages: what the assistant does, how to reach it, and what it asks for."""

import time
from collections.abc import Mapping

import structlog
import trio
from quart import Blueprint, Response, request

from ..assistants.vapi_messages import BODY_LIMIT, ServerMessage, read_message
from ..calls.call import Call
from ..calls.directory import CallDirectory
from ..errors import BadMessage, BadRequest
from .house import House, house
from .replies import json_reply, read_body
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
"""How long each of them may take."""


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
    if rooms.vapi_auth.signs_body and (request.content_length or BODY_LIMIT) >= THREAD_FROM:
        async with rooms.unproven:
            body = await read_body(BODY_LIMIT, within_s=UNPROVEN_S)
            return await trio.to_thread.run_sync(check, rooms, headers, body, abandon_on_cancel=True)
    body = await read_body(BODY_LIMIT)
    if len(body) < THREAD_FROM:
        return check(rooms, headers, body)
    return await trio.to_thread.run_sync(check, rooms, headers, body, abandon_on_cancel=True)


def check(rooms: House, headers: Mapping[str, str], body: bytes) -> ServerMessage | None:
    """Proof first, then a look inside."""
    if not rooms.vapi_auth.proves(headers, body, url=rooms.settings.webhook_url.rstrip("/") + PATH):
        raise refusal(rooms)
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
