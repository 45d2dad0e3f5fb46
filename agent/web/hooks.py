"""The webhooks: Twilio's, Vapi's, and readings from outside. Each proves first of all who sent it."""

import re
from typing import Annotated, TypedDict

import msgspec
import structlog
import trio
from quart import Blueprint, Response, g, request

from ..assistants.vapi import BadControlUrl
from ..assistants.vapi_messages import BODY_LIMIT as VAPI_BODY_LIMIT
from ..assistants.vapi_messages import ServerMessage, authentic, read_message
from ..calls.call import CALL_SID, Call
from ..core.emotion import Emotion, EmotionReading, Outcome
from ..errors import BadMessage, BadRequest, CallGone
from ..telephony.signature import SIGNATURE_HEADER, parse_form
from ..telephony.twiml import Fallback, connect_stream, fallback_only, fork_stream
from .house import house
from .replies import json_reply, read_body

log = structlog.get_logger()

routes = Blueprint("hooks", __name__)

FORM_LIMIT = 64 * 1024
FORM_S = 3.0
"""How long a form may take to arrive: a caller is waiting."""
EMOTION_LIMIT = 16 * 1024
VERDICT_S = 2.0
THREAD_FROM = 256 * 1024
"""Bytes of JSON from which parsing would hold up the calls, and moves to a thread."""

_LABEL = re.compile(r"[^\W\d_][\w-]{0,31}")
_OVER = frozenset({"completed", "busy", "failed", "no-answer", "canceled"})
"""Call statuses after which there is no call (https://www.twilio.com/docs/voice/api/call-resource)."""
_LOOPBACK = re.compile(r"(localhost|127(\.\d+){3}|\[::1\])(:\d+)?", re.ASCII)


# --- Twilio ---


class StreamArguments(TypedDict):
    stream_url: str
    call_sid: str
    token: str
    status_callback: str


@routes.post("/voice/incoming")
async def voice_incoming() -> Response:
    """A caller is on the line: TwiML that gives us the audio, or that sends the caller on. Nobody is turned away."""
    form = await signed_form()
    settings = house().settings
    fallback = Fallback(settings.transfer_to or None, settings.vapi_sip_uri or None)
    try:
        return twiml(await answer_for(form["CallSid"], form.get("From", ""), fallback))
    except Exception as bug:
        log.error("voice.failed", call=form["CallSid"], exc_info=bug)
        return twiml(fallback_only(fallback))


async def answer_for(call_sid: str, caller: str, fallback: Fallback) -> str:
    """The TwiML for a caller, in the mode that is set."""
    rooms = house()
    call = rooms.directory.register(call_sid, caller=caller)
    if call is None:
        log.warning("call.not_admitted", draining=rooms.directory.draining, live=len(rooms.directory))
    if rooms.tap is None:
        if call is None:
            return fallback_only(fallback)
        call.announce()
        return connect_stream(**stream(call), fallback=fallback)
    theirs = await rooms.tap.twiml_for(call_sid, caller, call)
    if theirs is None:
        return fallback_only(fallback)
    return theirs if call is None else fork_stream(theirs, **stream(call))


def stream(call: Call) -> StreamArguments:
    """What our <Stream> says, with a token of its own."""
    web, media = public_origins()
    return {
        "stream_url": f"{media}/audio-stream/{call.call_sid}",
        "call_sid": call.call_sid,
        "token": call.issue_token(),
        "status_callback": f"{web}/twilio/stream-status",
    }


@routes.post("/twilio/stream-status")
async def stream_status() -> Response:
    """A stream began, ended or failed. Its end is the call's, unless another stream has taken over meanwhile."""
    form = await signed_form()
    call = live_call(form["CallSid"])
    if call is not None and form.get("StreamEvent") in ("stream-stopped", "stream-error"):
        if form.get("StreamEvent") == "stream-error":
            log.warning("line.error", call=call.call_sid)
        if call.stream_sid in (None, form.get("StreamSid")):
            call.stream_ended()
    return Response(b"", status=204)


@routes.post("/twilio/call-status")
async def call_status() -> Response:
    """The call itself ended, whatever its socket looks like."""
    form = await signed_form()
    call = live_call(form["CallSid"])
    if call is not None and form.get("CallStatus") in _OVER:
        call.end(Outcome.HANGUP)
    return Response(b"", status=204)


async def signed_form() -> dict[str, str]:
    """The form of a request that Twilio signed. Raises BadRequest 403 for any other, 400 without a usable CallSid."""
    unsigned = BadRequest(
        "The Twilio signature is missing or wrong: check TWILIO_AUTH_TOKEN and WEBHOOK_URL.",
        status=403,
        code="bad_signature",
    )
    signature = house().signature
    if not signature.plausible(request.headers.get(SIGNATURE_HEADER)):
        raise unsigned
    fields = parse_form(await read_body(FORM_LIMIT, within_s=FORM_S))
    query = request.query_string.decode("latin-1")
    path = request.scope["raw_path"].decode("latin-1").partition("?")[0]
    headers = dict(request.headers)
    if not signature.verify(headers, path, query, form=fields):
        raise unsigned
    g.origin = signature.signed_origin(headers, path, query, form=fields)
    form = dict(fields)
    if not CALL_SID.fullmatch(form.get("CallSid", "")):
        raise BadRequest("CallSid is missing or not an id.")
    return form


def live_call(call_sid: str) -> Call | None:
    """The live call this signed message speaks of, which is alive by that."""
    call = house().directory.find(call_sid)
    if call is not None:
        call.touch()
    return call


def public_origins() -> tuple[str, str]:
    """Where the world reaches us, for webhooks and for media: as configured, or as this request did.

    Twilio only streams to wss; plain ws is for simulators on this machine.
    """
    configured = house().settings.webhook_url.rstrip("/")
    if configured:
        return configured, "ws" + configured.removeprefix("http")
    # Only what was signed is believed: any header could name another host.
    scheme, _, host = (g.origin or f"http://{request.host}").partition("://")
    secure = scheme == "https" or not _LOOPBACK.fullmatch(host)
    return (f"https://{host}", f"wss://{host}") if secure else (f"http://{host}", f"ws://{host}")


def twiml(text: str) -> Response:
    return Response(text, content_type="text/xml; charset=utf-8")


# --- Vapi ---


@routes.post("/webhook/vapi")
async def vapi() -> Response:
    """A server message. Once it has proved itself the answer is 200, whatever it says."""
    rooms = house()
    if not authentic({"x-vapi-secret": request.headers.get("X-Vapi-Secret", "")}, rooms.settings.vapi_secret.reveal()):
        raise BadRequest("X-Vapi-Secret is missing or wrong: check VAPI_SECRET.", status=401, code="unauthorized")
    body = await read_body(VAPI_BODY_LIMIT)
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


# --- Readings from outside ---

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
    try:
        outside = _outside.decode(body)
    except msgspec.ValidationError as error:
        raise BadRequest(f"The body does not fit: {error}.") from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise BadRequest("The body is not JSON.") from None
    outside.emotion.label = outside.emotion.label.strip().lower()
    if not _LABEL.fullmatch(outside.emotion.label):
        raise BadRequest("emotion.label must be one word.")
    return outside
