"""The gateway that ends the race: the model is asked through us, and every request carries the caller's present state.

A note posted beside a conversation may come a moment too late for the answer it was meant for. Here the request for
that answer passes us: we wait a moment for the reading that is under way, add one message, and let the upstream's
answer through byte for byte. A call we do not know passes unchanged; so does everything while nothing is to be said.
"""

from contextlib import AsyncExitStack
from functools import partial
from types import TracebackType
from typing import Any, cast

import structlog
import trio
from quart import Blueprint, Response, request
from quart.wrappers.response import ResponseBody
from werkzeug.exceptions import HTTPException

from ..assistants.llm import Answer, Pieces
from ..assistants.llm_request import ChatRequest, read_request
from ..calls.call import Call
from ..core.because import MODEL_ASKED
from ..core.emotion import Mood
from ..core.rules import note_for
from ..core.sameness import same
from ..errors import AssistantUnavailable, BadRequest
from .house import House, house
from .replies import json_reply, read_body
from .vapi import THREAD_FROM, find_call

log = structlog.get_logger()

routes = Blueprint("gateway", __name__)

LIMIT = 10 * 1024 * 1024
"""Bytes of body: a long conversation with its tools."""
READING_S = 0.04
"""How long the reading that is under way is waited for."""

EXITS = "callmood.exits"
"""In a request's scope: what is closed when its answer has been sent, or nobody is there to take it any more."""

_KINDS = {400: "invalid_request_error", 401: "invalid_request_error", 413: "invalid_request_error"}


@routes.post("/llm/chat/completions")
async def chat_completions() -> Response:
    """The upstream's answer to this request, which has the caller's state in it."""
    rooms = house()
    require_key(rooms)
    body = await read_body(LIMIT)
    chat = await parsed(body)
    call = find_call(rooms.directory, chat.call_sids, chat.vapi_call_id)
    mood = None if call is None else await present_mood(call)
    outgoing = await forwarded(chat, mood, rooms.settings.llm_model, large=len(body) >= THREAD_FROM)
    sent_at = trio.current_time()
    try:
        answer = await ask(rooms, outgoing)
    except BadRequest as failure:
        if call is not None and mood is not None:
            call.timeline.record("context.failed", reason=f"gateway: {failure}", willRetry=False)
        raise
    if call is not None:
        note_told(call, mood, answer, sent_at)
    return passed_on(answer)


def require_key(rooms: House) -> None:
    """Raises BadRequest 401 without the key; an unset one lets nobody in."""
    key = rooms.settings.llm_key.reveal()
    scheme, _, offered = request.headers.get("Authorization", "").partition(" ")
    if not (key and scheme.lower() == "bearer" and same(offered.strip(), key)):
        raise BadRequest("The key is missing or wrong: check CALLMOOD_LLM_KEY.", status=401, code="invalid_api_key")


async def parsed(body: bytes) -> ChatRequest:
    if len(body) < THREAD_FROM:
        return read_request(body)
    return await trio.to_thread.run_sync(read_request, body, abandon_on_cancel=True)


async def forwarded(chat: ChatRequest, mood: Mood | None, model: str, *, large: bool) -> bytes:
    """The body for the upstream; a large one may hold very many messages, all of which are looked at."""
    build = partial(chat.forwarded, note=None if mood is None else note_for(mood), model=model)
    return await trio.to_thread.run_sync(build, abandon_on_cancel=True) if large else build()


async def present_mood(call: Call) -> Mood | None:
    """What the model should know of the caller now; None: nothing."""
    call.touch()
    call.through_gateway = True
    if not call.listening or call.handed_over or call.profile != "acoustic":
        return None
    with trio.move_on_after(READING_S):
        await call.present.reading_made()
    mood = call.present.mood()
    return None if mood is None or mood.emotion.label == "neutral" else mood


async def ask(rooms: House, body: bytes) -> Answer:
    """The upstream's answer, once it has begun. Raises BadRequest: 502 where there is none, 504 where it is late."""
    exits: AsyncExitStack = cast(dict[str, Any], request.scope)[EXITS]
    encodings = request.headers.get("Accept-Encoding", "")
    with trio.move_on_after(rooms.settings.llm_patience_s):
        try:
            return await rooms.llm.ask(
                body,
                exits,
                encodings=encodings if encodings.isascii() else "",
                idle_s=rooms.settings.llm_idle_s,
            )
        except AssistantUnavailable as trouble:
            log.warning("gateway.unavailable", reason=str(trouble))
            raise BadRequest("The language model does not answer.", status=502, code="upstream_unavailable") from None
    log.warning("gateway.late")
    raise BadRequest("The language model did not answer in time.", status=504, code="upstream_timeout")


def note_told(call: Call, mood: Mood | None, answer: Answer, sent_at: float) -> None:
    """Record what the model has been told, where that is news."""
    if mood is None:
        call.present.told = None
    elif answer.status >= 300:
        call.timeline.record("context.failed", reason=f"gateway: the model answered {answer.status}", willRetry=False)
    elif call.present.told != mood.emotion.label:
        call.present.told = mood.emotion.label
        call.timeline.record(
            "context.updated",
            dominantEmotion=mood.emotion.label,
            score=round(mood.emotion.score, 3),
            trend=mood.trend.value,
            bargeInDetected=False,
            latencyMs=round(1000 * (sent_at - mood.heard_at), 1),
            via="llm",
            why=MODEL_ASKED,
        )


def passed_on(answer: Answer) -> Response:
    """The upstream's status, headers and bytes."""
    response = Response(None, answer.status)
    del response.headers["Content-Type"], response.headers["Content-Length"]
    for name, value in answer.headers:
        response.headers.add(name, value)
    response.headers["X-Accel-Buffering"] = "no"
    response.response = AnswerBody(answer.pieces)
    response.timeout = None  # or it would be cut off after a minute
    return response


class AnswerBody(ResponseBody):
    """An answer's body as Quart sends it. What it comes from is closed with the request's scope."""

    def __init__(self, pieces: Pieces) -> None:
        self._pieces = pieces

    async def __aenter__(self) -> Pieces:
        return self._pieces

    async def __aexit__(self, kind: type, error: BaseException, trace: TracebackType) -> None:
        pass


# --- how it says no: in OpenAI's shape ---


@routes.errorhandler(BadRequest)
async def refuse(error: BadRequest) -> Response:
    house().metrics.refused(error.code)
    kind = _KINDS.get(error.status, "api_error")
    detail: dict[str, Any] = {"message": str(error), "type": kind, "param": None, "code": error.code}
    reply = json_reply({"error": detail}, error.status)
    if error.status == 401:
        reply.headers["WWW-Authenticate"] = "Bearer"
    return reply


@routes.errorhandler(HTTPException)
async def refuse_http(error: HTTPException) -> Response:
    return await refuse(BadRequest(f"{error.name}.", status=error.code or 500))


@routes.errorhandler(Exception)
async def fail(error: Exception) -> Response:
    log.error("gateway.failed", exc_info=error)
    return await refuse(BadRequest("Something of ours failed; the log says what.", status=500, code="internal"))
