"""Events of the timeline in, one trace a call out: the call itself, and beneath it what came of each decision.

    call ─┬─ window         from the last sample of the deciding window being heard to its reading counting
          ├─ decision       from there to the decision
          ├─ note           from the decision to the assistant's platform having accepted the note
          ├─ interruption   the same for the sentence that cut the assistant off
          └─ transfer       from asking for a human to what became of it

What has no duration is an event of the call's span. Ids, names of rules and engines, and times: no emotion, no score,
no word anybody said, no telephone number.
"""

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from opentelemetry.context import Context
from opentelemetry.trace import Span, SpanKind, Status, StatusCode, Tracer, set_span_in_context

READINGS_KEPT = 16
"""Of the newest readings, for finding the one that a decision followed."""
MS = 1_000_000
"""Nanoseconds."""

Event = Mapping[str, Any]
Attributes = Mapping[str, str | bool | int | float]

SAID = {
    "analyzer.degraded": ("engine",),
    "analyzer.recovered": ("engine",),
    "context.failed": ("willRetry",),
    "notice.played": ("how",),
    "consent.withdrawn": ("how",),
}
"""Events of the call's span, and the fields of each that may leave the machine."""
WINDOW = {"start_ms": "startMs", "end_ms": "endMs", "source": "source"}
"""The same of a reading."""


@dataclass(slots=True)
class CallTrace:
    """One call's."""

    span: Span
    within: Context
    began_ns: int
    readings: deque[tuple[int, Event]] = field(default_factory=lambda: deque(maxlen=READINGS_KEPT))
    """When each counted (nanoseconds), and its event."""
    decided_ns: int = 0
    """Of the decision whose spans have been made."""
    transfer: Span | None = None


class CallSpans:
    """All calls'. `note` is told of every event: it neither waits nor keeps anything of a call that is over."""

    def __init__(self, tracer: Tracer) -> None:
        self._tracer = tracer
        self._open: dict[str, CallTrace] = {}

    def note(self, event: Event) -> None:
        name = event["event"]
        if name == "call.started":
            self._begin(event)
        elif (trace := self._open.get(event["callSid"])) is None:
            return
        elif name == "audio.chunk":
            if "gated" not in event:
                trace.readings.append((at(trace, event), event))
        elif name == "context.updated" and event["via"] == "llm":
            trace.span.add_event("note.gateway", {"callmood.latency_ms": event["latencyMs"]}, at(trace, event))
        elif name in ("context.updated", "tts.cancelled"):
            self._done("note" if name == "context.updated" else "interruption", trace, event)
        elif name.startswith("escalation."):
            self._transfer(trace, event)
        elif name == "call.ended":
            del self._open[event["callSid"]]
            self._end(trace, event)
        elif name in SAID:
            trace.span.add_event(name, {f"callmood.{key}": event[key] for key in SAID[name]}, at(trace, event))

    # --- the call ---

    def _begin(self, event: Event) -> None:
        began_ns = round(datetime.fromisoformat(event["at"]).timestamp() * 1000 - event["t"]) * MS
        known = {"call_sid": event["callSid"], "attach": event["attach"], "vapi_call_id": event["vapiCallId"]}
        span = self._tracer.start_span(
            "call",
            Context(),
            SpanKind.SERVER,
            {f"callmood.{key}": value for key, value in known.items() if value is not None},
            start_time=began_ns,
        )
        self._open[event["callSid"]] = CallTrace(span, set_span_in_context(span, Context()), began_ns)

    def _end(self, trace: CallTrace, event: Event) -> None:
        now_ns = at(trace, event)
        if trace.transfer is not None:
            trace.transfer.end(now_ns)
        trace.span.set_attribute("callmood.outcome", event["outcome"])
        if event["outcome"] == "crashed":
            trace.span.set_status(Status(StatusCode.ERROR, "our own fault: the log says what"))
        trace.span.end(now_ns)

    # --- what was done ---

    def _done(self, kind: str, trace: CallTrace, event: Event) -> None:
        """Something the assistant's platform has accepted."""
        now_ns = at(trace, event)
        if "acceptedMs" not in event:  # nobody knows when it was decided
            trace.span.add_event(kind, {}, now_ns)
            return
        decided_ns = now_ns - round(event["acceptedMs"] * MS)
        self._decision(trace, decided_ns, decided_ns - round(event["decisionMs"] * MS), event)
        about: dict[str, str | bool | int | float] = {"callmood.accepted_ms": event["acceptedMs"]}
        if kind == "note":
            about |= {"callmood.latency_ms": event["latencyMs"], "callmood.barge_in": event["bargeInDetected"]}
        else:
            about["callmood.reason"] = event["reason"]
        self._span(trace, kind, decided_ns, now_ns, about)

    def _decision(self, trace: CallTrace, decided_ns: int, heard_ns: int, event: Event) -> None:
        """What led to it, once: a note and an interruption come of one decision, and are accepted at two moments."""
        if abs(decided_ns - trace.decided_ns) <= 2 * MS:  # times of the timeline are whole milliseconds
            return
        trace.decided_ns = decided_ns
        counted_ns = heard_ns
        reading = next(((ns, each) for ns, each in reversed(trace.readings) if ns <= decided_ns + MS), None)
        if reading is not None and heard_ns < decided_ns:  # an operator's order rests on nothing that was heard
            counted_ns = max(heard_ns, min(reading[0], decided_ns))
            about = {f"callmood.{key}": reading[1][name] for key, name in WINDOW.items()}
            self._span(trace, "window", heard_ns, counted_ns, about)
        self._span(trace, "decision", counted_ns, decided_ns, {"callmood.decision_ms": event["decisionMs"]})

    def _transfer(self, trace: CallTrace, event: Event) -> None:
        now_ns, how = at(trace, event), event["event"].partition(".")[2]
        if how == "started":
            about = {"callmood.rule": event["rule"]}
            trace.transfer = self._tracer.start_span("transfer", trace.within, attributes=about, start_time=now_ns)
        elif trace.transfer is None:
            trace.span.add_event(f"transfer.{how}", {"callmood.rule": event["rule"]}, now_ns)
        else:
            transfer, trace.transfer = trace.transfer, None
            transfer.set_status(Status(StatusCode.OK if how == "done" else StatusCode.ERROR))
            transfer.end(now_ns)

    def _span(self, trace: CallTrace, name: str, since_ns: int, until_ns: int, about: Attributes) -> None:
        span = self._tracer.start_span(name, trace.within, attributes=about, start_time=since_ns)
        span.end(max(since_ns, until_ns))


def at(trace: CallTrace, event: Event) -> int:
    """When it happened, in nanoseconds since the epoch, by the call's own clock."""
    return int(trace.began_ns + event["t"] * MS)
