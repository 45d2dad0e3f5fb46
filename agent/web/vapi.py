"""Vapi's server messages: what the assistant does, and how to reach it."""

import structlog
import trio
from quart import Blueprint, Response, request

from ..assistants.vapi import BadControlUrl
from ..assistants.vapi_messages import BODY_LIMIT, ServerMessage, authentic, read_message
from ..calls.call import Call
from ..errors import BadMessage, BadRequest
from .house import house
from .replies import json_reply, read_body

log = structlog.get_logger()

routes = Blueprint("vapi", __name__)

THREAD_FROM = 256 * 1024
"""Bytes of JSON from which parsing would hold up the calls, and moves to a thread."""


@routes.post("/webhook/vapi")
async def server_message() -> Response:
    """A server message. Once it has proved itself the answer is 200, whatever it says."""
    rooms = house()
    if not authentic({"x-vapi-secret": request.headers.get("X-Vapi-Secret", "")}, rooms.settings.vapi_secret.reveal()):
        raise BadRequest("X-Vapi-Secret is missing or wrong: check VAPI_SECRET.", status=401, code="unauthorized")
    body = await read_body(BODY_LIMIT)
    try:
        message = (
            read_message(body)
            if len(body) < THREAD_FROM
            else await trio.to_thread.run_sync(read_message, body, abandon_on_cancel=True)
        )
    except BadMessage as error:
        log.warning("vapi.unreadable", reason=str(error))
        rooms.metrics.vapi_message(handled=False)
        return json_reply({"status": "ignored"})
    rooms.mode.learn(message)
    call = call_of(message)
    handled = call is not None and handle(call, message)
    rooms.metrics.vapi_message(handled=handled)
    return json_reply({"status": "ok" if handled else "ignored"})


def call_of(message: ServerMessage) -> Call | None:
    directory = house().directory
    found = next((call for sid in message.call_sids if (call := directory.find(sid)) is not None), None)
    if found is None and message.vapi_call_id is not None:
        found = directory.find_by_vapi(message.vapi_call_id)
    return found


def handle(call: Call, message: ServerMessage) -> bool:
    """Act on one message of a live call. False: it is none of those we use."""
    call.touch()
    attach(call, message)
    if message.type == "speech-update" and message.role == "assistant" and message.status in ("started", "stopped"):
        call.assistant_speech(started=message.status == "started")
        return True
    return message.type == "status-update"


def attach(call: Call, message: ServerMessage) -> None:
    """Learn the call's two ids and its control address, if the message carries them."""
    if message.status == "ended" or message.control_url is None:
        return
    try:
        house().vapi.attach(call.call_sid, message.control_url)
    except BadControlUrl as error:
        log.warning("vapi.bad_control_url", call=call.call_sid, reason=str(error))
        return
    call.attach_assistant(message.vapi_call_id)
