"""Whether traces are sent, and where: only the standard OTEL_* variables say so.

Nothing of OpenTelemetry is imported unless an endpoint is set. A span that has ended is put on a bounded queue, and a
thread of the library's sends what is there: a collector that stalls costs the oldest spans, never time.
"""

import os
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import structlog
import trio

from .. import __version__
from ..config_sources import read_dotenv

if TYPE_CHECKING:
    from opentelemetry.sdk.trace.export import SpanExporter

log = structlog.get_logger()

Listener = Callable[[Mapping[str, Any]], None]

ENDPOINTS = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
LAST_EXPORT_S = 3.0
"""The grace for what is still to be sent at the end."""


def wanted(environ: Mapping[str, str]) -> bool:
    """Somebody is to be told."""
    if environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true" or environ.get("OTEL_TRACES_EXPORTER") == "none":
        return False
    return any(environ.get(name, "").strip() for name in ENDPOINTS)


def from_dotenv(folder: Path) -> None:
    """Take the OTEL_* variables of this folder's `.env` into the environment, where the library looks for them. What
    stands there already wins."""
    for name, text in read_dotenv(folder / ".env").items():
        if name.startswith("OTEL_"):
            os.environ.setdefault(name, text)


@asynccontextmanager
async def open_traces(exporter: "SpanExporter | None" = None) -> AsyncIterator[Listener | None]:
    """Whoever is to hear of every event, as long as the block lasts; None where traces are not wanted, or cannot be
    made. Without an `exporter` they go out by OTLP over HTTP, as the environment of this process says."""
    if exporter is None and not wanted(os.environ):
        yield None
        return
    try:
        from opentelemetry.sdk.resources import SERVICE_NAME, SERVICE_VERSION, Resource  # noqa: PLC0415 - an extra
        from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415
        from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415

        from .spans import CallSpans  # noqa: PLC0415

        exporter = exporter or _over_http()
    except ImportError:
        log.warning("traces.unavailable", reason="install callmood[otel], or unset OTEL_EXPORTER_OTLP_ENDPOINT")
        yield None
        return
    name = os.environ.get("OTEL_SERVICE_NAME") or "callmood"
    resource = Resource.create({SERVICE_NAME: name, SERVICE_VERSION: __version__})
    provider = TracerProvider(resource=resource, shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(exporter))
    try:
        yield CallSpans(provider.get_tracer("callmood", __version__)).note
    finally:
        with trio.move_on_after(LAST_EXPORT_S) as grace:
            grace.shield = True
            await trio.to_thread.run_sync(provider.shutdown, abandon_on_cancel=True)
        if grace.cancelled_caught:
            log.warning("traces.lost", reason="the collector did not take the last traces in time")


def _over_http() -> "SpanExporter":
    """What sends. Raises ImportError."""
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter  # noqa: PLC0415

    return OTLPSpanExporter()
