"""Prometheus: counted from the timeline's events, so that no actor knows it is measured. Never a label per call."""

from collections.abc import Iterator, Mapping, Sequence
from functools import cache, partial
from typing import Any, Protocol

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from ..calls.directory import CallDirectory
from ..calls.policy import BUDGETS

_LATENCY_S = (0.005, 0.01, 0.02, 0.05, 0.1, 0.15, 0.25, 0.5, 1.0, 2.0, 5.0)


class Used(Protocol):
    """What all calls together have used of a vendor."""

    open: int
    """Sessions, now."""
    used_ms: int
    """Audio, since the start."""


class VendorEngine(Protocol):
    """An engine whose audio is somebody else's to bill."""

    @property
    def name(self) -> str: ...

    @property
    def allowance(self) -> Used: ...

    @property
    def unseen(self) -> int:
        """Expressions found that belong to no label."""


class VendorNumbers(Collector):
    """Read from the vendors themselves when somebody asks: sending a frame costs nothing more for being counted."""

    def __init__(self, vendors: Sequence[VendorEngine]) -> None:
        self._vendors = vendors

    def collect(self) -> Iterator[Metric]:
        audio = CounterMetricFamily("callmood_vendor_audio_seconds", "Audio sent to a vendor.", labels=["vendor"])
        unseen = CounterMetricFamily(
            "callmood_vendor_unseen", "Expressions of a vendor that belong to no label.", labels=["vendor"]
        )
        sessions = GaugeMetricFamily("callmood_vendor_sessions", "Sessions open at a vendor.", labels=["vendor"])
        for vendor in self._vendors:
            audio.add_metric([vendor.name], vendor.allowance.used_ms / 1000)
            unseen.add_metric([vendor.name], vendor.unseen)
            sessions.add_metric([vendor.name], vendor.allowance.open)
        yield from (audio, unseen, sessions)


class Metrics:
    """This service's numbers. `note` is told of every event of every call, so children of labels are looked up once."""

    def __init__(self, directory: CallDirectory, vendors: Sequence[VendorEngine] = ()) -> None:
        self._registry = registry = CollectorRegistry()
        live = Gauge("callmood_calls_live", "Calls being served now.", registry=registry)
        live.set_function(lambda: len(directory))
        draining = Gauge("callmood_draining", "1 while no new calls are taken.", registry=registry)
        draining.set_function(lambda: float(directory.draining))
        registry.register(VendorNumbers(vendors))
        events = Counter("callmood_events", "Timeline events by name.", ["event"], registry=registry)
        ended = Counter("callmood_calls_ended", "Calls ended, by outcome.", ["outcome"], registry=registry)
        readings = Counter(
            "callmood_readings", "Readings by source and why they were refused.", ["source", "gated"], registry=registry
        )
        gaps = Counter("callmood_audio_missing_ms", "Audio missing, by cause.", ["cause"], registry=registry)
        self._event, self._ended = cache(events.labels), cache(ended.labels)
        self._reading, self._gap = cache(readings.labels), cache(gaps.labels)
        self._latency = Histogram(
            "callmood_update_latency_seconds",
            "From the last sample of the deciding window being heard to the update being sent.",
            buckets=_LATENCY_S,
            registry=registry,
        )
        spent = Gauge("callmood_budgets_spent", "Budgets found spent since the start.", ["budget"], registry=registry)
        for budget in BUDGETS:
            spent.labels(budget).set_function(partial(directory.policy.spent.__getitem__, budget))
        self._rules = Counter("callmood_rules_reloads", "Edits of the rules file.", ["result"], registry=registry)
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
        elif name == "call.ended":
            self._ended(event["outcome"]).inc()

    def rules_reloaded(self, result: str) -> None:
        """`ok`, or `bad`: the rules that were in force stay."""
        self._rules.labels(result).inc()

    def refused(self, code: str) -> None:
        self._refused.labels(code).inc()

    def vapi_message(self, *, handled: bool) -> None:
        self._vapi.labels("yes" if handled else "no").inc()

    def page(self) -> bytes:
        return generate_latest(self._registry)
