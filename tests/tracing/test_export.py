"""Traces on their way out: to a real collector over HTTP, never in anybody's way, and not at all unless asked for."""

import logging
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
import structlog
import trio

from agent.logs import Libraries
from agent.tracing import export
from agent.tracing.export import open_traces, wanted

pytest.importorskip("opentelemetry.sdk", reason="traces need the extra: install callmood[otel]")

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

STARTED = {"event": "call.started", "callSid": "CA1", "t": 0, "at": "2026-01-31T12:00:00.000Z", "attach": "tap"}
ENDED = {"event": "call.ended", "callSid": "CA1", "t": 2000, "at": "2026-01-31T12:00:02.000Z", "outcome": "hangup"}


class Collector(ThreadingHTTPServer):
    """What an OpenTelemetry collector is to its clients, on a free port. `stalled`: it takes, and never answers."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Taking)
        self.requests: list[tuple[str, dict[str, str], ExportTraceServiceRequest]] = []
        self.stalled, self.go_on = False, threading.Event()
        self.came, self.answered = threading.Event(), threading.Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def spans(self) -> list[Any]:
        return [
            span
            for _, _, request in self.requests
            for resource in request.resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        ]


class Taking(BaseHTTPRequestHandler):
    server: Collector

    def do_POST(self) -> None:
        request = ExportTraceServiceRequest.FromString(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.requests.append((self.path, dict(self.headers), request))
        self.server.came.set()
        if self.server.stalled:
            self.server.go_on.wait(10)
        self.server.answered.set()
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Nothing: the tests look themselves."""


@pytest.fixture
def collector(monkeypatch: pytest.MonkeyPatch) -> Iterator[Collector]:
    """A collector, and an environment that names it."""
    server = Collector()
    serving = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    serving.start()
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", server.url)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "x-key=secret-of-the-tests")
    yield server
    server.go_on.set()
    server.shutdown()
    serving.join()
    server.server_close()


async def test_a_call_arrives_at_the_collector_by_the_end(collector: Collector) -> None:
    async with open_traces() as note:
        assert note is not None
        note({**STARTED, "vapiCallId": None})
        note(ENDED)
    [(path, headers, request)] = collector.requests
    assert path == "/v1/traces"
    assert headers["x-key"] == "secret-of-the-tests"
    about = {each.key: each.value.string_value for each in request.resource_spans[0].resource.attributes}
    assert about["service.name"] == "callmood"
    [span] = collector.spans()
    assert (span.name, span.end_time_unix_nano - span.start_time_unix_nano) == ("call", 2_000_000_000)


async def test_a_name_of_the_service_is_taken_from_the_environment(
    collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_SERVICE_NAME", "front-desk")
    async with open_traces() as note:
        assert note is not None
        note({**STARTED, "vapiCallId": None})
        note(ENDED)
    attributes = collector.requests[0][2].resource_spans[0].resource.attributes
    assert {each.key: each.value.string_value for each in attributes}["service.name"] == "front-desk"


async def test_a_collector_that_stalls_is_waited_for_by_nobody(
    collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "10")
    monkeypatch.setenv("OTEL_BSP_MAX_QUEUE_SIZE", "64")
    monkeypatch.setenv("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "16")
    monkeypatch.setattr(export, "LAST_EXPORT_S", 0.2)
    collector.stalled = True
    with structlog.testing.capture_logs() as said:
        async with open_traces() as note:
            assert note is not None
            note({**STARTED, "vapiCallId": None})
            note(ENDED)
            assert not collector.answered.is_set()
            await trio.to_thread.run_sync(collector.came.wait, 10)
            assert collector.requests, "the sender is stuck in its request now"
            for number in range(500):  # far more than the queue holds
                note({**STARTED, "callSid": f"CA{number}", "vapiCallId": None})
                note({**ENDED, "callSid": f"CA{number}"})
            assert len(collector.requests) == 1
    assert [entry["event"] for entry in said if entry["event"].startswith("traces")] == ["traces.lost"]


async def test_nobody_at_the_address_harms_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr(export, "LAST_EXPORT_S", 0.2)
    with trio.fail_after(10):
        async with open_traces() as note:
            assert note is not None
            note({**STARTED, "vapiCallId": None})
            note(ENDED)


@pytest.mark.parametrize(
    ("environ", "is_wanted"),
    [
        ({}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": ""}, False),
        ({"OTEL_SERVICE_NAME": "x"}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318"}, True),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://c:4318/v1/traces"}, True),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318", "OTEL_SDK_DISABLED": "true"}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318", "OTEL_TRACES_EXPORTER": "none"}, False),
    ],
)
def test_only_an_endpoint_turns_traces_on(environ: dict[str, str], is_wanted: bool) -> None:
    assert wanted(environ) is is_wanted


async def test_without_an_endpoint_nobody_listens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OTEL_EXPORTER_OTLP_ENDPOINT", raising=False)
    async with open_traces() as note:
        assert note is None


async def test_without_the_extra_one_line_says_what_to_do(
    collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.trace", None)
    with structlog.testing.capture_logs() as said:
        async with open_traces() as note:
            assert note is None
    assert [(entry["event"], entry["reason"]) for entry in said] == [
        ("traces.unavailable", "install callmood[otel], or unset OTEL_EXPORTER_OTLP_ENDPOINT")
    ]


async def test_neither_the_key_nor_the_address_of_a_collector_is_logged(monkeypatch: pytest.MonkeyPatch) -> None:
    """The library's messages hold both: a header in a form that it does not like, an address that it cannot reach."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        nobody = taken.getsockname()[1]
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{nobody}/?key=a-secret-in-the-address")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "Authorization: Bearer a-secret-in-a-header")
    monkeypatch.setattr(export, "LAST_EXPORT_S", 1.0)
    library, handler = logging.getLogger("opentelemetry"), Libraries()
    library.addHandler(handler)
    try:
        with structlog.testing.capture_logs() as said:
            async with open_traces() as note:
                assert note is not None
                note(STARTED | {"vapiCallId": None})
                note(ENDED)
    finally:
        library.removeHandler(handler)
    assert "opentelemetry.util.re" in {entry.get("name") for entry in said}
    assert "a-secret" not in str(said)


def test_nothing_of_it_is_imported_unless_it_is_wanted() -> None:
    code = (
        "import sys, trio, agent.service\n"
        "from agent.tracing.export import open_traces\n"
        "async def main():\n"
        "    async with open_traces(): pass\n"
        "trio.run(main)\n"
        "print([name for name in sys.modules if name.startswith('opentelemetry')])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], env={"PATH": "/usr/bin"}, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"
