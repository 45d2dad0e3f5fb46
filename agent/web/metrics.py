"""Prometheus: counted from the timeline's events, so that no actor knows it is measured. Never a label per call."""

from collections.abc import Callable, Mapping, Sequence
from functools import cache, partial
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from ..calls.directory import CallDirectory
from ..calls.policy import BUDGETS
from ..calls.workings import Workings
from ..core.emotion import Outcome
from .collectors import CallNumbers, Counted, LedgerNumbers, LedgerState, VendorEngine, VendorNumbers

_LATENCY_S = (0.005, 0.01, 0.02, 0.05, 0.1, 0.15, 0.25, 0.5, 1.0, 2.0, 5.0)
_WRAP_UP_S = (0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 1.5, 2.0, 3.0, 5.0, 10.0)
_LAG_S = (0.001, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0)

ACTIONS = (
    ("note", "done"),
    ("note", "retrying"),
    ("note", "failed"),
    ("gateway", "done"),
    ("gateway", "failed"),
    ("interruption", "done"),
    ("interruption", "failed"),
    ("transfer", "started"),
    ("transfer", "done"),
    ("transfer", "failed"),
)
"""Every kind and result of an action: they stand at 0 until they happen, or no rate could be taken of the first."""


class Metrics:
    """This service's numbers. `note` is told of every event of every call, so children of labels are looked up once."""

    def __init__(
        self,
        directory: CallDirectory,
        vendors: Sequence[VendorEngine] = (),
        *,
        engines: Sequence[str] = (),
        store: LedgerState | None = None,
        blocked: Callable[[], int] = lambda: 0,
    ) -> None:
        """`engines`: the names of those in use; `blocked`: how many steps have blocked the loop."""
        self._registry = registry = CollectorRegistry()
        _show_state(directory, registry)
        self._calls = CallNumbers(directory, engines)
        for collector in (VendorNumbers(vendors), self._calls, *([LedgerNumbers(store)] if store else ())):
            registry.register(collector)
        events = Counter("callmood_events", "Timeline events by name.", ["event"], registry=registry)
        ended = Counter("callmood_calls_ended", "Calls ended, by outcome.", ["outcome"], registry=registry)
        readings = Counter(
            "callmood_readings", "Readings by source and why they were refused.", ["source", "gated"], registry=registry
        )
        gaps = Counter("callmood_audio_missing_ms", "Audio missing, by cause.", ["cause"], registry=registry)
        for outcome in Outcome:
            ended.labels(outcome.value)
        self._event, self._ended = cache(events.labels), cache(ended.labels)
        self._reading, self._gap = cache(readings.labels), cache(gaps.labels)
        self._latency = Histogram(
            "callmood_update_latency_seconds",
            "From the last sample of the deciding window being heard to the update being sent.",
            buckets=_LATENCY_S,
            registry=registry,
        )
        self._decision = Histogram(
            "callmood_decision_latency_seconds",
            "From the last sample of the deciding window being heard to the decision.",
            buckets=_LATENCY_S,
            registry=registry,
        )
        wire = Histogram(
            "callmood_wire_latency_seconds",
            "From a decision to the assistant's platform having accepted what came of it.",
            ["kind"],
            buckets=_LATENCY_S,
            registry=registry,
        )
        self._wire = {kind: wire.labels(kind) for kind in ("note", "interruption")}
        self._wrap_up = Histogram(
            "callmood_wrap_up_seconds",
            "From the end of a call to everything of it being freed.",
            buckets=_WRAP_UP_S,
            registry=registry,
        )
        self.loop_lag = Histogram(
            "callmood_loop_lag_seconds", "How late the loop comes to what is due.", buckets=_LAG_S, registry=registry
        )
        registry.register(Counted("callmood_loop_blocked", "Steps that blocked the loop.", blocked))
        actions = Counter(
            "callmood_actions", "What was done, by kind and result.", ["kind", "result"], registry=registry
        )
        for kind, result in ACTIONS:
            actions.labels(kind, result)
        self._action = cache(actions.labels)
        self._rules = Counter("callmood_rules_reloads", "Edits of the rules file.", ["result"], registry=registry)
        for result in ("ok", "bad"):
            self._rules.labels(result)
        self._refused = Counter("callmood_refused", "Requests refused, by code.", ["code"], registry=registry)
        self._vapi = Counter("callmood_vapi_messages", "Server messages of Vapi.", ["handled"], registry=registry)

    def note(self, event: Mapping[str, Any]) -> None:
        name = event["event"]
        self._event(name).inc()
        if name == "audio.chunk":
            self._reading(event["source"], event.get("gated", "")).inc()
        elif name == "audio.gap":
            self._gap(event["cause"]).inc(event["ms"])
        elif name == "context.updated" and event["via"] == "control":  # the gateway speaks when the model asks
            self._latency.observe(max(0.0, event["latencyMs"] / 1000))
            self._accepted("note", event)
        elif name == "tts.cancelled":
            self._accepted("interruption", event)
        elif name == "call.ended":
            self._ended(event["outcome"]).inc()
        if (action := action_of(event)) is not None:
            self._action(*action).inc()

    def _accepted(self, kind: str, event: Mapping[str, Any]) -> None:
        if (accepted_ms := event.get("acceptedMs")) is not None:
            self._wire[kind].observe(accepted_ms / 1000)

    # --- what a call measures of itself (`workings.Measures`) ---

    def decided(self, age_s: float) -> None:
        self._decision.observe(age_s)

    def freed(self, wrapped_up_s: float, workings: Workings) -> None:
        self._wrap_up.observe(wrapped_up_s)
        self._calls.freed(workings)

    # --- what the rest of the service says ---

    def rules_reloaded(self, result: str) -> None:
        """`ok`, or `bad`: the rules that were in force stay."""
        self._rules.labels(result).inc()

    def refused(self, code: str) -> None:
        self._refused.labels(code).inc()

    def crashed(self, calls: int) -> None:
        """So many were left open by a process that was killed."""
        self._ended(Outcome.CRASHED.value).inc(calls)

    def vapi_message(self, *, handled: bool) -> None:
        self._vapi.labels("yes" if handled else "no").inc()

    def page(self) -> bytes:
        return generate_latest(self._registry)


def action_of(event: Mapping[str, Any]) -> tuple[str, str] | None:
    """What an event says was done, and with what result."""
    match event["event"]:
        case "context.updated":
            return ("note" if event["via"] == "control" else "gateway"), "done"
        case "context.failed":
            kind = event["reason"].partition(":")[0]
            if kind in ("interruption", "gateway"):
                return kind, "failed"
            return "note", "retrying" if event["willRetry"] else "failed"
        case "tts.cancelled":
            return "interruption", "done"
        case "escalation.started" | "escalation.done" | "escalation.failed":
            return "transfer", event["event"].partition(".")[2]
    return None


def _show_state(directory: CallDirectory, registry: CollectorRegistry) -> None:
    """What is so now, asked for when somebody looks."""
    live = Gauge("callmood_calls_live", "Calls being served now.", registry=registry)
    live.set_function(lambda: len(directory))
    draining = Gauge("callmood_draining", "1 while no new calls are taken.", registry=registry)
    draining.set_function(lambda: float(directory.draining))
    full = Gauge("callmood_full", "1 while every place for a call is taken.", registry=registry)
    full.set_function(lambda: float(directory.full))
    overload = Gauge("callmood_overload", "Steps by which analysis gives way now; 0: it keeps up.", registry=registry)
    overload.set_function(lambda: float(directory.load.level))
    registry.register(
        Counted("callmood_overloads", "How often this machine could not keep up.", lambda: directory.load.episodes)
    )
    spent = Gauge("callmood_budgets_spent", "Budgets found spent since the start.", ["budget"], registry=registry)
    for budget in BUDGETS:
        spent.labels(budget).set_function(partial(directory.policy.spent.__getitem__, budget))
