"""`callmood serve` sends the traces of real calls where its `.env` says, and ends in time when nobody takes them."""

from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

import pytest

pytest.importorskip("opentelemetry.sdk", reason="traces need the extra: install callmood[otel]")

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from conftest import Run, Serve

SECOND_OF_SILENCE = b"\xff" * 8_000


class Collector(ThreadingHTTPServer):
    """Takes traces on a free loopback port."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Taking)
        self.bodies: list[bytes] = []


class Taking(BaseHTTPRequestHandler):
    server: Collector

    def do_POST(self) -> None:
        self.server.bodies.append(self.rfile.read(int(self.headers["Content-Length"])))
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Nothing: the test looks itself."""


@pytest.fixture
def collector() -> Iterator[Collector]:
    server = Collector()
    serving = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    serving.start()
    yield server
    server.shutdown()
    serving.join()
    server.server_close()


def test_every_call_that_was_served_has_arrived_when_it_has_ended(
    run: Run, serve: Serve, collector: Collector, tmp_path: Path
) -> None:
    (tmp_path / "silence.ul").write_bytes(SECOND_OF_SILENCE)
    (tmp_path / ".env").write_text(f"OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:{collector.server_address[1]}\n")
    service = serve()
    args = ("--url", service.url, "--speed", "10", "--calls", "3", "--from", "+15550107777")
    called = run("call", "silence.ul", *args, TWILIO_AUTH_TOKEN=service.auth_token)
    assert called.code == 0, called.err + called.out
    service.signal()
    assert service.wait().code == 0
    requests = [ExportTraceServiceRequest.FromString(body) for body in collector.bodies]
    spans = [
        span
        for request in requests
        for resource in request.resource_spans
        for scope in resource.scope_spans
        for span in scope.spans
    ]
    roots = [span for span in spans if span.name == "call"]
    assert len({span.trace_id for span in roots}) == 3
    for root in roots:
        about = {each.key: each.value.string_value for each in root.attributes}
        assert about["callmood.outcome"] == "hangup"
        assert about["callmood.call_sid"] in called.out
    assert b"0107777" not in b"".join(collector.bodies)
