"""Traces reach a collector where one is named, as part of the caller's trace, and never hold a ticket's words."""

from __future__ import annotations

import gzip
import http.server
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from api.app import create_app
from api.settings import load_settings
from triage.errors import InvalidRequest

from ..local_client import TestClient

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
CANARY = "canary7f3a"


@pytest.fixture
def collector() -> Iterator[tuple[str, list[bytes]]]:
    """A collector: its address, and what it was sent."""
    taken: list[bytes] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            taken.append(gzip.decompress(body) if self.headers.get("Content-Encoding") == "gzip" else body)
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *arguments: object) -> None:
            """Keep quiet."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}", taken
    server.shutdown()
    thread.join()
    server.server_close()


def spans(taken: list[bytes]) -> list[Any]:
    found = [ExportTraceServiceRequest.FromString(body) for body in taken]
    return [span for one in found for part in one.resource_spans for scope in part.scope_spans for span in scope.spans]


def test_a_request_is_a_span_with_its_steps(collector: tuple[str, list[bytes]], tmp_path: Path) -> None:
    endpoint, taken = collector
    settings = load_settings(home=tmp_path, rules_only=True, open_loopback=True, otlp_endpoint=endpoint)
    with TestClient(create_app(settings)) as client:
        headers = {"traceparent": f"00-{TRACE}-00f0670000902007-01"}
        client.post("/v1/predict", json={"id": CANARY, "text": f"the printer jams {CANARY}"}, headers=headers)
        client.get(f"/{CANARY}")
    found = {span.name: span for span in spans(taken)}
    assert {"POST /v1/predict", "look up", "score", "record", "GET (none)"} <= set(found)
    request = found["POST /v1/predict"]
    assert request.trace_id.hex() == TRACE
    assert all(found[name].parent_span_id == request.span_id for name in ("look up", "score", "record"))
    attributes = {one.key: one.value for one in request.attributes}
    assert attributes["http.response.status_code"].int_value == 200 and attributes["request_id"].string_value
    assert CANARY.encode() not in b"".join(taken)


def test_without_the_setting_nothing_is_sent(collector: tuple[str, list[bytes]], client: TestClient) -> None:
    client.post("/v1/predict", json={"text": "the printer jams"})
    assert collector[1] == []


def test_an_endpoint_that_is_none_is_refused_at_the_start(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match="TRIAGE_OTLP_ENDPOINT"):
        load_settings(home=tmp_path, otlp_endpoint="collector:4317")
