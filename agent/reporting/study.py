"""events -> Findings: everything a report says of one call, from what was kept of it. Pure."""

from collections.abc import Iterable, Sequence
from dataclasses import replace

import msgspec

from .deeds import deeds, promised
from .facts import About, Bar, Findings, Why
from .heard import samples, speech, states, voices
from .remarks import opinions, troubles
from .rows import ROWS_SHOWN, rows
from .turning import turning_points
from .words import Event, number, plain

PROFILES = ("acoustic", "physical-only", "off")


def study(events: Sequence[Event], about: About, bar: Bar, whys: Sequence[Why] = ()) -> Findings:
    """What a report says. `about` is filled in with what the events tell; `whys`: the decisions, where they were kept,
    in order."""
    about = known(about, events)
    read = samples(events) if about.profile == "acoustic" else []
    spans = states(events, read, about.duration_ms)
    lines = rows(events)
    done = promised(whys) if about.recording else deeds(events, whys, read, bar)
    return Findings(
        about,
        bar,
        samples=read,
        voices=voices(events),
        speech=speech(events, about.duration_ms),
        states=spans,
        turns=turning_points(read),
        deeds=done,
        remarks=[*opinions(read), *troubles(spans)],
        rows=lines[:ROWS_SHOWN],
        rows_left_out=max(0, len(lines) - ROWS_SHOWN),
    )


def known(about: About, events: Sequence[Event]) -> About:
    """With what the first and last event say, where it is not known yet."""
    started = next((each for each in events if each["event"] == "call.started"), {})
    ended = next((each for each in reversed(events) if each["event"] == "call.ended"), {})
    lasted = number(ended.get("durationMs"))
    last_ms = max((int(each["t"]) for each in events), default=0)
    profile = str(started.get("profile", about.profile))
    summary = ended.get("summary")
    had = summary.get("events") if isinstance(summary, dict) else None
    had_readings = number(had.get("audio.chunk")) if isinstance(had, dict) else None
    has_readings = sum(each["event"] == "audio.chunk" for each in events)
    return replace(
        about,
        began_at=about.began_at or str(started.get("at", "")),
        ended_at=about.ended_at or str(ended.get("at", "")),
        outcome=about.outcome or str(ended.get("outcome", "")),
        attach=about.attach or plain(started.get("attach")),
        caller=about.caller or plain(started.get("caller")),
        profile=profile if profile in PROFILES else "acoustic",
        duration_ms=max(about.duration_ms, last_ms, int(lasted or 0)),
        incomplete=about.incomplete or has_readings < (had_readings or 0),
    )


def decoded(lines: Iterable[bytes]) -> list[Event]:
    """The events in these lines, in order of time. A line that is no event, as a full disk may leave one, is passed
    over."""
    found = []
    for line in lines:
        try:
            event = msgspec.json.decode(line)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            continue
        if isinstance(event, dict) and isinstance(event.get("event"), str) and number(event.get("t")) is not None:
            found.append(event)
    return sorted(found, key=lambda event: event["t"])
