"""What is told of a live call: its entry in the list of calls, and the summary in its last event."""

from .call import Call


def entry_of(call: Call) -> dict[str, object]:
    """A live call as `GET /calls` lists it."""
    return {
        "callSid": call.call_sid,
        "vapiCallId": call.vapi_call_id,
        "state": "live",
        "startedAt": call.timeline.instant(0),
        "endedAt": None,
        "outcome": None,
        "attach": call.attach,
        "caller": call.caller,
        "mood": _mood(call),
        "bufferSize": call.buffer_size,
    }


def summary_of(call: Call) -> dict[str, object]:
    """The counts of its events, and what was believed at the end."""
    return {
        "vapiCallId": call.vapi_call_id,
        "mood": _mood(call),
        "bufferSize": call.buffer_size,
        "events": dict(call.timeline.counts),
        **({"peakAnger": round(call.peak_anger, 3)} if call.profile == "acoustic" else {}),
    }


def _mood(call: Call) -> dict[str, object] | None:
    """None where the profile names no emotion."""
    if call.profile != "acoustic":
        return None
    emotion = call.mood.emotion
    return {"label": emotion.label, "score": round(emotion.score, 3), "trend": call.mood.trend.value}
