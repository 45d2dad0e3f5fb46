"""Readings from outside: posted with the token, folded in with our own."""

import re
from typing import Annotated

import msgspec
import trio
from quart import Blueprint, Response, request

from ..core.emotion import Emotion, EmotionReading
from ..errors import BadRequest, CallGone
from .house import house
from .replies import fitted, json_reply, read_body

routes = Blueprint("readings", __name__)

EMOTION_LIMIT = 16 * 1024
VERDICT_S = 2.0

_LABEL = re.compile(r"[^\W\d_][\w-]{0,31}")

_Score = Annotated[float, msgspec.Meta(ge=0, le=1)]


class _Emotion(msgspec.Struct):
    label: str
    score: _Score


class _Outside(msgspec.Struct):
    callSid: str
    emotion: _Emotion
    timestamp: float | None = None


_outside = msgspec.json.Decoder(_Outside)


@routes.post("/webhook/emotion")
async def emotion() -> Response:
    """One reading from outside, folded in with our own; says at once what became of it."""
    rooms = house()
    rooms.access.require(request.headers, request.cookies)
    if rooms.settings.profile != "acoustic":
        raise BadRequest(
            f"Emotions are not taken while CALLMOOD_PROFILE is {rooms.settings.profile}: set it to acoustic.",
            status=409,
            code="profile",
        )
    outside = read_outside(await read_body(EMOTION_LIMIT))
    call = rooms.directory.find(outside.callSid)
    gone = BadRequest("No such call is live.", status=404, code="not_found")
    if call is None or call.outcome is not None:
        raise gone
    now_ms = call.timeline.elapsed_ms
    reading = EmotionReading(
        Emotion(outside.emotion.label, outside.emotion.score),
        "webhook",
        now_ms,
        now_ms,
        trio.current_time(),
        timestamp=outside.timestamp,
    )
    verdict = None
    with trio.move_on_after(VERDICT_S):
        try:
            verdict = await call.hear(reading)
        except CallGone:
            raise gone from None
    if verdict is None:
        raise gone
    answer = {"dominantEmotion": verdict.mood.emotion.label, "bufferSize": verdict.buffer_size}
    if verdict.refused is not None:
        return json_reply({"status": "ignored", "reason": verdict.refused.value, **answer})
    return json_reply({"status": "updated", **answer})


def read_outside(body: bytes) -> _Outside:
    """Raises BadRequest 400 with one sentence saying what is wrong with the body."""
    outside = fitted(_outside, body)
    outside.emotion.label = outside.emotion.label.strip().lower()
    if not _LABEL.fullmatch(outside.emotion.label):
        raise BadRequest("emotion.label must be one word.")
    return outside
