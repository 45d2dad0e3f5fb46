"""What a server message of Vapi's changes in the call it speaks of.

Messages may come twice, late, and in any order: each says how things are, and saying it again changes nothing. What
belongs to a call at Vapi that is over brings back neither its control address nor its speech.
"""

import re
from collections.abc import Callable, Mapping

import structlog

from ..assistants.vapi import BadControlUrl, VapiControl
from ..assistants.vapi_messages import FINAL_TRANSCRIPT, ServerMessage
from ..calls.call import Call
from ..core.emotion import Outcome

log = structlog.get_logger()

ENDED_BY_VAPI = ("fork", "listen")
"""Ways in without a line of Twilio's whose end we are told of: Vapi's word is the call's end. In the others the carrier
has it, and Vapi's end only means that nobody is there to be told."""

FORWARDED = "assistant-forwarded-call"
TOO_LONG = "exceeded-max-duration"
"""The assistant may speak with nobody for longer than it is set to."""
NOT_FORWARDED = (
    "call.forwarding.",
    "call.in-progress.error-transfer",
    "call.in-progress.error-warm-transfer",
)
"""How the reasons begin for which a call ended because nobody took it over."""

_REASON = re.compile(r"[a-z][a-z.-]{0,99}", re.ASCII)
"""Vapi's reasons are words with dots and dashes; anything else could be a number, or what somebody said."""

STATUSES_OVER = frozenset({"ended", "not-found", "deletion-failed"})


def handle(call: Call, message: ServerMessage, control: VapiControl) -> bool:
    """Act on one message of a live call. False: it is none of those we use."""
    call.touch()
    effect = EFFECTS.get(message.type)
    if not is_over(call, message):
        attach(call, message, control)
    if effect is None:
        return False
    effect(call, message, control)
    return True


def is_over(call: Call, message: ServerMessage) -> bool:
    """Whether the message is of a call at Vapi that has ended."""
    return message.vapi_call_id is not None and message.vapi_call_id == call.ended_assistant


def attach(call: Call, message: ServerMessage, control: VapiControl) -> None:
    """Learn the call's two ids and its control address, if the message carries them."""
    over = message.status in STATUSES_OVER or message.call_status in STATUSES_OVER
    if over or message.type == "end-of-call-report" or message.control_url is None:
        return
    try:
        control.attach(call.call_sid, message.control_url)
    except BadControlUrl as error:
        log.warning("vapi.bad_control_url", call=call.call_sid, reason=str(error))
        return
    call.attach_assistant(message.vapi_call_id)


def _status(call: Call, message: ServerMessage, control: VapiControl) -> None:
    if message.status == "forwarding":
        call.transfer_confirmed()
    elif message.status in STATUSES_OVER:
        _ended(call, message, control)


def _ended(call: Call, message: ServerMessage, control: VapiControl) -> None:
    """The call at Vapi is over. In `tap`, `sip` and `bridge` that only means that nobody is there to be told."""
    reason = message.ended_reason or ""
    if reason == FORWARDED:
        call.transfer_confirmed()
    elif reason.startswith(NOT_FORWARDED):
        call.transfer_failed(reason if _REASON.fullmatch(reason) else "Vapi could not forward the call")
    if is_over(call, message):
        return
    call.ended_assistant = message.vapi_call_id or call.vapi_call_id
    call.assistant_speech(started=False)
    control.ended(call.call_sid)
    if call.relay is not None:
        call.relay.assistant_ended()
    if call.attach in ENDED_BY_VAPI or not call.awaits_audio:
        call.end(Outcome.LIMIT if reason == TOO_LONG else Outcome.HANGUP)


def _speech(call: Call, message: ServerMessage, control: VapiControl) -> None:
    if message.role != "assistant" or is_over(call, message):
        return
    newest, turn = call.words.turn, message.turn
    later = turn is not None and newest is not None and turn > newest
    earlier = turn is not None and newest is not None and turn < newest
    if message.status == "started":
        if later and call.assistant_speaking:
            call.assistant_speech(started=False)  # the end of the turn before is lost, or late
        call.words.turn = turn
        call.assistant_speech(started=True)
    elif message.status == "stopped" and not earlier:
        call.assistant_speech(started=False)
        call.first_message_spoken()


def _interrupted(call: Call, message: ServerMessage, control: VapiControl) -> None:
    if not is_over(call, message):
        call.assistant_speech(started=False)


def _announced(call: Call, message: ServerMessage, control: VapiControl) -> None:
    if message.text is not None and not is_over(call, message):
        call.words.announced(message.text)


def _transcript(call: Call, message: ServerMessage, control: VapiControl) -> None:
    """What the assistant says is of use to us. The caller's words are none of our business: they are shown to whoever
    looks at the call just now, while the caller may be listened to, and kept nowhere."""
    if not message.final or not message.text or is_over(call, message):
        return
    if message.role == "assistant" and call.assistant_speaking:
        call.words.transcribed(message.text)
    elif message.role == "user" and call.listening:
        call.timeline.aside("transcript", role="caller", text=message.text)


def _transferred(call: Call, message: ServerMessage, control: VapiControl) -> None:
    if message.destination is not None:  # else it went to another assistant
        call.transfer_confirmed()


def _nothing(call: Call, message: ServerMessage, control: VapiControl) -> None:
    """The call is alive, which has been noted, and this is all that it says to us."""


Effect = Callable[[Call, ServerMessage, VapiControl], None]
EFFECTS: Mapping[str, Effect] = {
    "status-update": _status,
    "speech-update": _speech,
    "assistant.speechStarted": _announced,
    "transcript": _transcript,
    FINAL_TRANSCRIPT: _transcript,
    "user-interrupted": _interrupted,
    "hang": _nothing,
    "conversation-update": _nothing,
    "transfer-update": _transferred,
    "end-of-call-report": _ended,
}
"""What we use, and what it does. Messages that want an answer are in `vapi_answers`."""
