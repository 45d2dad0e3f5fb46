"""Twilio's webhooks: a caller is on the line, a stream or a call has ended. Each is signed, or refused."""

import re

import structlog
from quart import Blueprint, Response, g, request

from ..attach.mode import DIAL_STATUS, Offer, after_dial
from ..calls.call import CALL_SID, Call
from ..core.emotion import Outcome
from ..errors import BadRequest
from ..telephony.signature import SIGNATURE_HEADER, parse_form
from ..telephony.twiml import NOBODY, Fallback, dial, dial_assistant, fallback_only, hang_up
from .house import house
from .notice import as_agreed
from .replies import read_body

log = structlog.get_logger()

routes = Blueprint("twilio", __name__)

FORM_LIMIT = 64 * 1024
FORM_S = 3.0
"""How long a form may take to arrive: a caller is waiting."""

_OVER = frozenset({"completed", "busy", "failed", "no-answer", "canceled"})
"""Call statuses after which there is no call (https://www.twilio.com/docs/voice/api/call-resource)."""
_TALKED = frozenset({"completed", "answered"})
"""What Twilio says of a <Dial> in which somebody spoke with the caller (https://www.twilio.com/docs/voice/twiml/dial)."""
_LOOPBACK = re.compile(r"(localhost|127(\.\d+){3}|\[::1\])(:\d+)?", re.ASCII)


@routes.post("/voice/incoming")
async def voice_incoming() -> Response:
    """A caller is on the line: TwiML that gives us the audio, or that sends the caller on. Nobody is turned away."""
    form = await signed_form()
    rooms = house()
    offer = Offer(form["CallSid"], form.get("From", ""), *public_origins())
    try:
        call = rooms.directory.register(offer.call_sid, caller=offer.caller) if rooms.mode.begins_here else None
        if call is None and rooms.mode.begins_here:
            log.warning("call.not_admitted", draining=rooms.directory.draining, live=len(rooms.directory))
        text = await rooms.mode.answer(offer, call)
        if call is not None:
            text = as_agreed(text, call, offer.stream_url, rooms.settings, rooms.fallback)
        return twiml(text)
    except Exception as bug:
        log.error("voice.failed", call=offer.call_sid, exc_info=bug)
        return twiml(fallback_only(rooms.fallback))


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


@routes.post(DIAL_STATUS)
async def dial_status() -> Response:
    """Whoever we had Twilio dial has hung up, or was not to be had: what comes next. Nobody is left alone."""
    form = await signed_form()
    rooms, status, leg = house(), form.get("DialCallStatus", ""), request.args.get("leg", "")
    try:
        call = live_call(form["CallSid"])
        if status in _TALKED:
            return twiml(hang_up())
        log.warning("dial.failed", call=form["CallSid"], leg=leg, status=status if status in _OVER else "unknown")
        if call is not None and status in _OVER:
            note_failure(call, leg, status)
        origin, _ = public_origins()
        return twiml(next_after(leg, rooms.fallback, form["CallSid"], after_dial(origin, leg="last")))
    except Exception as bug:
        log.error("voice.failed", call=form["CallSid"], exc_info=bug)
        return twiml(fallback_only(rooms.fallback))


def note_failure(call: Call, leg: str, status: str) -> None:
    if leg == "human":
        call.transfer_failed(f"the number or address answered {status}")
    elif leg == "assistant":
        call.timeline.record("context.failed", reason=f"Vapi's SIP address answered {status}", willRetry=False)


def next_after(leg: str, fallback: Fallback, call_sid: str, action: str) -> str:
    """TwiML for a caller who was not connected: after the human the assistant, after the assistant the human, and
    after either of these an apology."""
    if leg == "human" and fallback.sip_uri:
        return dial_assistant(fallback.sip_uri, call_sid=call_sid, action=action)
    if leg == "assistant" and fallback.transfer_to:
        return dial(fallback.transfer_to, action=action)
    return fallback_only(NOBODY)


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
