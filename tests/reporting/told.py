"""Calls as their timelines tell of them, for the tests of what is said about them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from agent.reporting.facts import Sample

SID = "CA0123456789abcdef"
HOP_MS = 200


def event(t_ms: int, name: str, **fields: object) -> dict[str, Any]:
    return {"t": t_ms, "at": "2026-01-31T12:00:00.000Z", "callSid": SID, "event": name, **fields}


def chunk(t_ms: int, anger: float, **fields: object) -> dict[str, Any]:
    """A reading of our own engine."""
    emotion = {"label": "angry", "score": anger} if anger >= 0.5 else {"label": "neutral", "score": 1 - anger}
    read = {
        "emotion": emotion,
        "scores": {"neutral": 1 - anger, "angry": anger},
        "startMs": max(0, t_ms - 1500),
        "endMs": t_ms,
        "quality": 0.9,
        "source": "local",
    }
    return event(t_ms, "audio.chunk", **{**read, **fields})


def chunks(from_ms: int, angers: Iterable[float], **fields: object) -> list[dict[str, Any]]:
    return [chunk(from_ms + HOP_MS * place, anger, **fields) for place, anger in enumerate(angers)]


def samples(angers: Iterable[float], from_ms: int = HOP_MS) -> list[Sample]:
    """Readings in a row, 200 ms apart."""
    return [
        Sample(from_ms + HOP_MS * place, anger, "angry" if anger >= 0.5 else "neutral", anger)
        for place, anger in enumerate(angers)
    ]


def whole_call(*between: Mapping[str, Any], until_ms: int = 10_000) -> list[dict[str, Any]]:
    """A call with these events in it, in order of time."""
    inner = sorted((dict(each) for each in between), key=lambda each: each["t"])
    return [
        event(0, "call.started", attach="bridge", vapiCallId=None, caller="***67"),
        *inner,
        event(until_ms, "call.ended", outcome="hangup", durationMs=until_ms, summary={}),
    ]
