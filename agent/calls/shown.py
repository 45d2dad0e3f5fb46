"""What is told of a live call: its entry in the list of calls and on the screen, and the summary in its last event."""

from ..core.attention import attention
from ..core.curve import Anger
from ..core.emotion import ANGER
from ..core.levels import Bar
from ..core.seen import Facts, Off
from .call import Call


def entry_of(call: Call) -> dict[str, object]:
    """A live call as `GET /calls` lists it."""
    return {
        "callSid": call.call_sid,
        "vapiCallId": call.vapi_call_id,
        "state": "live",
        "startedAt": call.timeline.began_instant,
        "endedAt": None,
        "outcome": None,
        "attach": call.attach,
        "caller": call.caller,
        "mood": _mood(call),
        "bufferSize": call.buffer_size,
    }


def ended_entry_of(call: Call, at: str) -> dict[str, object]:
    """A call that has just ended, as `GET /calls` is going to list it."""
    outcome = None if call.outcome is None else call.outcome.value
    return {**entry_of(call), "state": "ended", "endedAt": at, "outcome": outcome}


def summary_of(call: Call) -> dict[str, object]:
    """The counts of its events, and what was believed at the end."""
    return {
        "vapiCallId": call.vapi_call_id,
        "mood": _mood(call),
        "bufferSize": call.buffer_size,
        "events": dict(call.timeline.counts),
        **({"peakAnger": round(call.peak_anger, 3)} if call.profile == "acoustic" else {}),
    }


def screen_entry_of(call: Call, anger: Anger | None, *, whole: bool) -> dict[str, object]:
    """A live call as the screen shows it: its entry, and where its caller stands. `whole`: with the last minute. Where
    nobody's feelings are judged, no field is named after one."""
    standing, acoustic = call.standing, call.profile == "acoustic"
    entry = entry_of(call)
    if (found := standing.attention) is not None:
        entry["attention"] = {
            "level": found.level,
            "rank": found.rank,
            "why": found.why,
            "confidence": found.confidence,
            "sinceT": standing.since_t,
        }
    if acoustic:
        entry["anger"] = None if anger is None else {name: round(v, 2) for name, v in anger._asdict().items()}
    if whole and acoustic:
        entry["curve"] = standing.curve.points(call.timeline.elapsed_ms)
    entry["assistantSpeaking"] = call.assistant_speaking
    entry["transferred"] = call.handed_over
    entry["lastAction"] = standing.last_action
    return entry


def look(call: Call, bar: Bar, now: float) -> Anger | None:
    """See where this caller stands now, and keep it; returns how angry they are believed to be."""
    standing, t_ms, anger = call.standing, call.timeline.elapsed_ms, None
    off = off_because(call)
    if not off and call.profile == "acoustic":
        emotion = call.mood.emotion
        believed = emotion.score if emotion.label in ANGER else None
        anger = standing.curve.anger(bar.window_s, believed)
        if anger is not None and now - (standing.heard_at or 0.0) < bar.window_s:
            standing.curve.mark(t_ms, anger)
    standing.settle(attention(facts_of(call, off, anger, now), bar), now, t_ms)
    return anger


def facts_of(call: Call, off: Off, anger: Anger | None, now: float) -> Facts:
    standing, mood, handover = call.standing, call.mood, call.handover
    label = mood.emotion.label if mood.support else ""
    return Facts(
        off=off,
        physical=call.profile != "acoustic",
        voice=standing.voice,
        label=label,
        score=mood.emotion.score,
        label_s=standing.lasted_s("label", label, now),
        anger=anger,
        trend=mood.trend.value,
        trend_s=standing.lasted_s("trend", mood.trend.value, now),
        samples=standing.curve.samples,
        quality=standing.quality,
        silent_s=now - (call.timeline.began_at if standing.heard_at is None else standing.heard_at),
        abstained=standing.abstained,
        impaired=is_impaired(call),
        escalation="under way" if handover.under_way else "failed" if handover.has_failed else "",
        escalated_s=now - standing.escalated_at,
    )


def is_impaired(call: Call) -> bool:
    """Who should read this caller cannot. That a second engine is gone makes nobody unread."""
    first = next(iter(call.workings.engines), None)
    degraded = call.standing.impaired
    return bool(degraded - {*call.workings.engines}) or first in degraded


def off_because(call: Call) -> Off:
    """Why nothing is judged of this caller; empty: something is."""
    consent = call.consent
    if call.profile == "off":
        return "profile"
    if consent.withdrawn:
        return "withdrawn"
    if call.handed_over and consent.stopped:
        return "human"
    if consent.stopped:
        return "stopped"
    return "" if consent.told else "no notice"


def _mood(call: Call) -> dict[str, object] | None:
    """None where the profile names no emotion."""
    if call.profile != "acoustic":
        return None
    emotion = call.mood.emotion
    return {"label": emotion.label, "score": round(emotion.score, 3), "trend": call.mood.trend.value}
