"""One trace a call: what came of which decision, how long each part took, and nothing that anybody said or felt."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from agent.calls.call import Call
from agent.testing import Fault
from tests.calls.stage import Stage, open_stage

pytest.importorskip("opentelemetry.sdk", reason="traces need the extra: install callmood[otel]")

from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from agent.tracing.spans import CallSpans

MS = 1_000_000


@dataclass
class Traced:
    """What has been exported."""

    exporter: InMemorySpanExporter = field(default_factory=InMemorySpanExporter)

    def spans(self, name: str = "") -> list[ReadableSpan]:
        found = self.exporter.get_finished_spans()
        return sorted((span for span in found if name in ("", span.name)), key=lambda span: span.start_time or 0)

    def one(self, name: str) -> ReadableSpan:
        (span,) = self.spans(name)
        return span


def listening() -> tuple[Traced, CallSpans]:
    traced, provider = Traced(), TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(traced.exporter))
    return traced, CallSpans(provider.get_tracer("tests"))


@contextmanager
def heard_by(stage: Stage) -> Iterator[Traced]:
    traced, spans = listening()
    stage.directory.broadcast.listen(spans.note)
    yield traced
    assert not spans._open, "nothing of a call that is over is kept"


def lasted_ms(span: ReadableSpan) -> float:
    assert span.start_time is not None
    assert span.end_time is not None
    return (span.end_time - span.start_time) / MS


async def test_a_call_is_one_trace_with_what_came_of_each_decision_beneath_it(autojump_clock: MockClock) -> None:
    async with open_stage() as stage:
        with heard_by(stage) as traced:
            stage.assistant.fault = Fault("delay", seconds=0.3)
            call = stage.ring()
            await stage.talk(call, 15)
            await stage.gone(call)
        notes = stage.events(call, "context.updated")
        (ended,) = stage.events(call, "call.ended")
    root = traced.one("call")
    assert root.parent is None
    assert lasted_ms(root) == ended["durationMs"]
    assert root.attributes == {
        "callmood.call_sid": "CA1",
        "callmood.attach": "bridge",
        "callmood.vapi_call_id": "vapi-1",
        "callmood.outcome": "hangup",
    }
    beneath = [span for span in traced.spans() if span is not root]
    assert {span.parent.span_id for span in beneath if span.parent} == {root.context.span_id}
    assert {span.context.trace_id for span in beneath} == {root.context.trace_id}
    told = [span.attributes or {} for span in traced.spans("note")]
    assert [lasted_ms(span) for span in traced.spans("note")] == [300.0] * len(notes)
    assert [about["callmood.latency_ms"] for about in told] == [note["latencyMs"] for note in notes]
    assert [about["callmood.barge_in"] for about in told] == [False] * len(notes)


async def test_a_window_ends_where_its_decision_begins_and_that_where_its_note_does(autojump_clock: MockClock) -> None:
    async with open_stage() as stage:
        with heard_by(stage) as traced:
            stage.engine.fault = Fault("delay", seconds=0.2)
            call = stage.ring()
            await stage.talk(call, 15)
            await stage.gone(call)
        note, *_ = stage.events(call, "context.updated")
    window, decision, told = (traced.spans(name)[0] for name in ("window", "decision", "note"))
    assert window.end_time == decision.start_time
    assert decision.end_time == told.start_time
    assert lasted_ms(window) + lasted_ms(decision) == pytest.approx(note["decisionMs"], abs=1)
    assert lasted_ms(window) == pytest.approx(200, abs=100)  # what the engine took, and the rest of the block
    about = dict(window.attributes or {})
    assert about.pop("callmood.end_ms", 0) > about.pop("callmood.start_ms", 0) > 0
    assert about == {"callmood.source": "local"}


async def test_an_interruption_and_its_note_share_one_decision(autojump_clock: MockClock) -> None:
    async with open_stage() as stage:
        with heard_by(stage) as traced:
            call = stage.ring()
            async with trio.open_nursery() as nursery:
                nursery.start_soon(stage.talk, call, 15.0)
                await trio.sleep(5)
                call.assistant_speech(started=True)
            await stage.gone(call)
        names = stage.names(call)
    assert names.count("tts.cancelled") == 1
    interruption = traced.one("interruption")
    assert (interruption.attributes or {})["callmood.reason"] == "emotion_escalation"
    begun = {span.start_time for span in traced.spans("note")} | {interruption.start_time}
    assert len(begun) == names.count("context.updated") == len(traced.spans("decision"))


async def test_a_transfer_lasts_until_it_is_known_what_became_of_it(autojump_clock: MockClock) -> None:
    async with open_stage() as stage:
        with heard_by(stage) as traced:
            call = stage.ring()
            call.claim_transfer("operator")
            call.transfer_begins("+15550100002")
            await trio.sleep(2)
            call.transfer_failed("nobody answered")
            call.transfer_failed("nobody answered")
            await stage.talk(call, 1)
            await stage.gone(call)
    transfer = traced.one("transfer")
    assert lasted_ms(transfer) == 2000
    assert transfer.attributes == {"callmood.rule": "operator"}
    assert transfer.status.status_code.name == "ERROR"


async def test_what_has_no_duration_is_an_event_of_the_call(autojump_clock: MockClock) -> None:
    async with open_stage() as stage:
        with heard_by(stage) as traced:
            stage.engine.fault = Fault("stall", times=3)
            call = stage.ring()
            await stage.talk(call, 6)
            call.withdraw_consent("key")
            await stage.gone(call)
    events = [(event.name, dict(event.attributes or {})) for event in traced.one("call").events]
    assert events == [
        ("analyzer.degraded", {"callmood.engine": "scripted"}),
        ("analyzer.recovered", {"callmood.engine": "scripted"}),
        ("consent.withdrawn", {"callmood.how": "key"}),
    ]


async def test_two_calls_are_two_traces_and_a_crash_is_an_error(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_stage() as stage:
        with heard_by(stage) as traced:
            first, second = stage.ring("CA1"), stage.ring("CA2")
            monkeypatch.setattr(Call, "believe", lambda call, _: 1 / 0 if call is second else None)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(stage.talk, first, 3.0)
                nursery.start_soon(stage.talk, second, 3.0)
            await stage.gone(first)
            await stage.gone(second)
    roots = {(span.attributes or {})["callmood.call_sid"]: span for span in traced.spans("call")}
    assert len({span.context.trace_id for span in roots.values()}) == 2
    assert [roots[sid].status.status_code.name for sid in ("CA1", "CA2")] == ["UNSET", "ERROR"]


async def test_nothing_that_was_said_felt_or_dialled_is_in_a_trace(autojump_clock: MockClock) -> None:
    async with open_stage(transfer_to="+15550100002") as stage:
        with heard_by(stage) as traced:
            call = stage.ring()
            async with trio.open_nursery() as nursery:
                nursery.start_soon(stage.talk, call, 18.0)
                await trio.sleep(5)
                call.assistant_speech(started=True)
                call.timeline.record("tts.started", text="words that somebody spoke")
            await stage.gone(call)
        known: list[dict[str, Any]] = stage.events(call)
    assert {"tts.cancelled", "context.updated", "escalation.failed"} <= {event["event"] for event in known}
    shown = " ".join(span.to_json() for span in traced.spans())
    for secret in ("words that", "0100001", "0100002", "***", "neutral", "score", "frustrated", "sorry"):
        assert secret not in shown
    values = [value for span in traced.spans() for value in (span.attributes or {}).values()]
    assert "angry" not in values
    assert not [value for value in values if isinstance(value, float) and 0 < value < 1]


def test_a_decision_rests_on_the_last_reading_that_counted() -> None:
    traced, spans = listening()

    def happens(event: str, t: int, **fields: object) -> None:
        spans.note({"event": event, "callSid": "CA1", "t": t, "at": f"2026-01-31T12:00:0{t / 1000:.3f}Z", **fields})

    happens("call.started", 0, attach="tap", vapiCallId=None)
    for t, more in ((500, {}), (900, {}), (950, {"gated": "poor_line"}), (1300, {})):
        happens("audio.chunk", t, startMs=t - 100, endMs=t, source="local", **more)
    told = {"decisionMs": 200.0, "acceptedMs": 400.0, "latencyMs": 201.0, "bargeInDetected": False, "via": "control"}
    happens("context.updated", 1400, **told)
    happens("call.ended", 2000, outcome="hangup")
    window = traced.one("window")
    assert (window.attributes or {})["callmood.end_ms"] == 900
    began = traced.one("call").start_time or 0
    ends = [((span.start_time or 0) - began, (span.end_time or 0) - began) for span in traced.spans()]
    assert ends == [(0, 2000 * MS), (800 * MS, 900 * MS), (900 * MS, 1000 * MS), (1000 * MS, 1400 * MS)]


def test_events_of_a_call_whose_beginning_was_not_heard_are_passed_over() -> None:
    traced, spans = listening()
    for event in ("audio.chunk", "context.updated", "escalation.started", "call.ended"):
        spans.note({"event": event, "callSid": "CA1", "t": 0, "at": "2026-01-31T12:00:00.000Z"})
    assert traced.spans() == []
