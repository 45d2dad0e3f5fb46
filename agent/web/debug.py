"""What goes on inside one live call, for whoever must find out why it does not do what it should."""

from math import isfinite

import trio
from quart import Blueprint, Response, request

from ..calls.call import Call
from ..calls.mailbox import FRAMES_A_BLOCK
from ..errors import BadRequest
from ..settings import Settings
from .house import house
from .replies import json_reply

routes = Blueprint("debug", __name__)

LAST = {"reading": "audio.chunk", "tell": "context.updated", "interruption": "tts.cancelled", "gap": "audio.gap"}
"""What has an age, and the event that says when it happened."""


@routes.get("/debug/calls/<call_sid>")
async def inside(call_sid: str) -> Response:
    """A live call's actors, channels and ages; 404 for one that is unknown or over."""
    house().access.require(request.headers, request.cookies)
    call = house().directory.find(call_sid)
    if call is None:
        raise BadRequest("No such live call.", status=404, code="not_found")
    return json_reply(described(call, house().settings))


def described(call: Call, settings: Settings) -> dict[str, object]:
    """Counts, states and times: nothing of what anybody said, felt or dialled. Ages are milliseconds; null: never."""
    return {
        "callSid": call.call_sid,
        "vapiCallId": call.vapi_call_id,
        "attach": call.attach,
        "profile": call.profile,
        "startedAt": call.timeline.instant(0),
        "elapsedMs": call.timeline.elapsed_ms,
        "outcome": call.outcome,
        "listening": call.listening,
        "assistant": {
            "attached": call.assistant_attached,
            "speaking": call.assistant_speaking,
            "throughGateway": call.through_gateway,
        },
        "transfer": {"underWay": call.transfer_under_way, "done": call.handed_over},
        "line": {
            "connected": call.mailbox.has_line,
            "streamSid": call.stream_sid,
            "awaited": call.awaits_audio,
            "sockets": call.mailbox.serial,
        },
        "relay": relay(call),
        "actors": actors(call),
        "channels": channels(call),
        "agesMs": ages(call),
        "buffers": {
            "readings": {"held": call.buffer_size, "cap": settings.buffer_cap},
            "frames": {"held": call.mailbox.held, "cap": FRAMES_A_BLOCK},
        },
        "events": dict(call.timeline.counts),
    }


def actors(call: Call) -> dict[str, object]:
    """By name: its state, whether what it needs serves it badly, and how often that failed or it was restarted."""
    return {
        name: {
            "state": condition.state,
            "degraded": condition.degraded,
            "restarts": condition.restarts,
            "failures": dict(condition.failures),
        }
        for name, condition in call.workings.actors.items()
    }


def channels(call: Call) -> dict[str, object]:
    """By what is in them: items waiting, how many may, how many gave way, and who pays when it is full."""
    return {
        name: {
            "waiting": outbox.waiting,
            "cap": outbox.depth,
            "dropped": outbox.dropped,
            "whenFull": outbox.when_full.name.lower(),
        }
        for name, outbox in call.workings.channels.items()
    }


def ages(call: Call) -> dict[str, int | None]:
    """How long ago each thing happened last."""
    last_at: dict[str, float | None] = {name: call.timeline.last_at.get(event) for name, event in LAST.items()}
    last_at["frame"] = call.mailbox.heard_at if isfinite(call.mailbox.heard_at) else None
    last_at["decision"] = call.workings.decided_at
    now = trio.current_time()
    return {name: None if at is None else round(1000 * (now - at)) for name, at in sorted(last_at.items())}


def relay(call: Call) -> dict[str, object] | None:
    """Of a call whose audio we carry; null for any other."""
    return None if call.relay is None else {"speaking": call.relay.speaking, "heardMs": call.relay.heard_ms()}
