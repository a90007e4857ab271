"""Traces for OpenTelemetry: off by default, on with one setting; a span never holds a ticket's words."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from triage.errors import InvalidRequest

_SERVICE = "helpdesk-triage"
Attributes = dict[str, str | int]


class Tracing:
    """Makes spans and sends them to a collector; without an endpoint it does nothing, and costs as much.

    Args:
        endpoint: Address of a collector that takes OTLP over HTTP, such as ``http://127.0.0.1:4318``; empty for none.

    Raises:
        InvalidRequest: The extra ``otel`` is not installed.
    """

    def __init__(self, endpoint: str) -> None:
        self._tracer: Any = None
        self._extract: Callable[[Mapping[str, str]], Any] = lambda headers: None
        self._provider: Any = None
        if endpoint:
            self._begin(endpoint)

    def _begin(self, endpoint: str) -> None:
        try:
            sdk = importlib.import_module("opentelemetry.sdk.trace")
            export = importlib.import_module("opentelemetry.sdk.trace.export")
            resources = importlib.import_module("opentelemetry.sdk.resources")
            otlp = importlib.import_module("opentelemetry.exporter.otlp.proto.http.trace_exporter")
            propagate = importlib.import_module("opentelemetry.propagate")
        except ModuleNotFoundError as error:
            raise InvalidRequest(
                f"{error.name} is not installed: traces need it; pip install 'helpdesk-triage[otel]'"
            ) from error
        self._provider = sdk.TracerProvider(resource=resources.Resource.create({"service.name": _SERVICE}))
        exporter = otlp.OTLPSpanExporter(endpoint=f"{endpoint.rstrip('/')}/v1/traces")
        self._provider.add_span_processor(export.BatchSpanProcessor(exporter))
        self._tracer = self._provider.get_tracer(_SERVICE)
        self._extract = propagate.extract

    def request(self, name: str, headers: Mapping[str, str]) -> AbstractContextManager[Attributes]:
        """Open the span of a request, as part of the caller's trace where it states one (W3C Trace Context).

        What is put into the mapping while the block lasts becomes the span's attributes.
        """
        return nullcontext({}) if self._tracer is None else self._span(name, self._extract(headers))

    def step(self, name: str) -> AbstractContextManager[Attributes]:
        """Open the span of a step inside a request."""
        return nullcontext({}) if self._tracer is None else self._span(name, None)

    def stop(self) -> None:
        """Send what is left."""
        if self._provider is not None:
            self._provider.shutdown()

    @contextmanager
    def _span(self, name: str, parent: Any) -> Iterator[Attributes]:
        attributes: Attributes = {}
        with self._tracer.start_as_current_span(name, context=parent, record_exception=False) as span:
            try:
                yield attributes
            finally:
                if "http.route" in attributes:
                    span.update_name(f"{name} {attributes['http.route']}")
                span.set_attributes(attributes)


class TracingMiddleware:
    """Opens a span for every request; only there where traces are on."""

    def __init__(self, app: ASGIApp, tracing: Tracing) -> None:
        self._app, self._tracing = app, tracing

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        with self._tracing.request(scope["method"], Headers(scope=scope)) as attributes:
            attributes["http.request.method"] = scope["method"]

            async def noted(message: Message) -> None:
                if message["type"] == "http.response.start":
                    attributes["http.response.status_code"] = message["status"]
                await send(message)

            await self._app(scope, receive, noted)
            attributes["http.route"] = getattr(scope.get("route"), "path", "(none)")
            attributes["request_id"] = scope.get("state", {}).get("request_id", "")
