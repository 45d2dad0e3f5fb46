"""The timeline of a made-up call as the server tells it: readings, turns of the assistant, words, and what was done."""

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from typing import Any

from ..core.instants import instant
from .made_calls import Json, MadeCall

TURN_MS = 12_000
Event = Callable[..., Json]
SAID = (
    ("caller", "I have been waiting for three weeks now."),
    ("assistant", "I am sorry to hear that. May I have your order number?"),
    ("caller", "I gave it to you twice already!"),
    ("assistant", "Thank you. One moment, I am looking it up."),
    ("caller", "Please. This is the fourth time I call."),
    ("assistant", "I understand, and I want to get this right for you."),
)
BECAUSE = (
    "rule angry-interrupt: angry 0.88 (0.85 asked for), held for 1.2 s (1.0 s asked for, rising); "
    "quality of the line 0.82"
)


def timeline(call: MadeCall, until_ms: int) -> Iterator[Json]:
    """Its events until then, oldest first."""

    def event(t: int, name: str, **more: Any) -> Json:
        at = instant(call.began + timedelta(milliseconds=t))
        return {"t": t, "at": at, "callSid": call.call_sid, "event": name, **more}

    yield event(0, "call.started", attach="tap", vapiCallId=None, caller=call.entry(call.began)["caller"])
    for t in range(600, until_ms + 1, 600):
        turn, within = divmod(t, TURN_MS)
        who, words = SAID[turn % len(SAID)]
        if within == 600 and who == "caller":
            yield event(t, "transcript", role=who, text=words)
        if who == "assistant" and within == 600:
            yield event(t, "tts.started", text=words)
        if who == "assistant" and within == 9600:
            yield event(t, "tts.stopped")
        yield _reading(event, call, t)
        if call.fate in ("angry", "rising") and within == 7200:
            told = {"dominantEmotion": "angry", "score": 0.86, "trend": "rising", "bargeInDetected": False}
            yield event(t, "context.updated", **told, latencyMs=24.6, via="control", why=BECAUSE)
        if call.fate == "angry" and who == "assistant" and within == 7800:
            yield event(t, "tts.cancelled", reason="emotion_escalation", heardMs=7200, latencyMs=31.2, why=BECAUSE)


def _reading(event: Event, call: MadeCall, t: int) -> Json:
    p, low, high = call.anger(t) or (0.1, 0.0, 0.2)
    single = low + (high - low) * ((t // 600 * 7) % 10) / 10
    angry = round(0.7 * single, 3)
    scores = {"neutral": round(1 - single, 3), "angry": angry, "frustrated": round(single - angry, 3)}
    label = "angry" if p >= 0.5 else "neutral"
    gated = {"gated": "low_confidence"} if t % 4200 == 0 else {}
    score = round(p if label == "angry" else 1 - p, 3)
    span = {"startMs": max(0, t - 1500), "endMs": t, "quality": 0.82, "source": "local"}
    return event(t, "audio.chunk", emotion={"label": label, "score": score}, scores=scores, **span, **gated)


def at(call: MadeCall, now: datetime) -> list[Json]:
    """Everything until this moment."""
    return list(timeline(call, call.t(now)))
