"""Protection against slow clients: a request's head and body must come in time, and its head may only be so large.

Nor may a head mean one thing to a proxy and another here: a body in an unknown coding, a target on another host than
`Host` says (RFC 9112, sections 3.2 and 6.1) and a tunnel are refused. `Upgrade` asks for what the service has not, so
that such a request is answered as any other (RFC 9110, section 7.8).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import httptools
import structlog
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.protocols.http.flow_control import HIGH_WATER_LIMIT
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from api.http.middleware import ANSWERED, SECURITY_HEADERS
from api.http.problems import MEDIA_TYPE, Problem, framework_problem, problem_of
from api.scoring.admission import ARRIVED, AdmissionControl
from api.server.listener import ConnectionShare
from api.server.unfinished import UnfinishedBodies
from api.settings import Settings
from api.telemetry import Metrics, labelled

PREDICT_PATH = "/v1/predict"
MAX_URL_BYTES = 8 * 1024
"""Longest request target, in bytes: as nginx has it by default."""
MAX_HEADER_BYTES = 32 * 1024
"""Largest block of request headers, in bytes: as nginx has it by default (four buffers of 8 KiB)."""


_PAUSE_S = 0.1
"""Seconds until somebody is turned away: who asks again at once, whatever Retry-After says, must not take the time in
which others are answered. Sixty such clients cost a third of the answers."""

_CREDENTIALS = (b"authorization", b"x-api-key", b"cookie")
_CHUNKED = b"chunked"
_HTTP_PORT = b":80"
"""What a host and a host with a port may differ in without being two."""
_SECURITY_LINES = "".join(f"{name}: {value}\r\n" for name, value in SECURITY_HEADERS.items()).encode("latin-1")
log = structlog.get_logger("api.access")


@dataclass
class _Arrival:
    """When the last byte of a request came, on the monotonic clock; None while it is still to come."""

    at: float | None = None


class _Refused(Exception):
    """Raised inside a parser callback to stop reading a request that is answered with a status at once."""


class SlowClientProtocol(HttpToolsProtocol):
    """uvicorn's protocol, which by itself waits for a request's bytes for ever.

    A subclass states the limits; see `slow_client_protocol`.
    """

    header_timeout_s: float
    body_timeout_s: float
    admission: AdmissionControl
    unfinished: UnfinishedBodies
    metrics: Metrics
    share: ConnectionShare

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._timer: asyncio.TimerHandle | None = None
        self._next_clock: tuple[float, Any] | None = None
        self._parsing = False
        self._reading_head = False
        self._head_bytes = 0
        self._pending_bytes = 0
        self._refusal = 400
        self._arrival: _Arrival | None = None
        self._waiting: tuple[RequestResponseCycle, Any] | None = None
        self._first: RequestResponseCycle | None = None  # whose turn it is to be answered
        self._asked: RequestResponseCycle | None = None  # what the application was asked last
        self._head_anew: bytes | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Give a new connection the time of one head; one that stays silent is closed without a word."""
        super().connection_made(transport)
        self._start(self.header_timeout_s, self._close)

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop all clocks, and count the connection off."""
        self._stop()
        self.share.leave()
        self.unfinished.remove(self)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Count what belongs to the head, then parse as usual."""
        self._parsing = True
        if not self._reading_head and (self.cycle is None or not self.cycle.more_body):
            self._begin_head()
        head_before = self._reading_head
        try:
            self._parse(memoryview(data))
        finally:
            self._parsing = False
            if self._next_clock is not None:
                self._start(*self._next_clock)
        if head_before and self._reading_head and not self.transport.is_closing():
            self._pending_bytes += len(data)
            if self._pending_bytes > MAX_URL_BYTES + MAX_HEADER_BYTES:
                self._refuse(414 if len(self.url) > MAX_URL_BYTES else 431)

    def _parse(self, data: memoryview) -> None:
        """Do what uvicorn does, but read a request with `Upgrade` as one without.

        To the parser such a request ends with its head, and its body would be the next request: so a new parser is
        given the head once more, without `Upgrade`, and then whatever follows it.
        """
        self._unset_keepalive_if_required()
        try:
            while data:
                try:
                    self.parser.feed_data(data)
                    return
                except httptools.HttpParserUpgrade as stop:
                    data = data[stop.args[0] :]
                    head, self._head_anew = self._head_anew, None
                    self.parser = httptools.HttpRequestParser(self)
                    self.parser.set_dangerous_leniencies(lenient_data_after_close=True)  # as uvicorn has it
                    self.parser.feed_data(head or b"")
        except httptools.HttpParserError:
            self.logger.warning("Invalid HTTP request received.")
            self.send_400_response("")

    def on_message_begin(self) -> None:
        """Start a new head."""
        super().on_message_begin()
        if not self._reading_head:
            self._begin_head()

    def on_url(self, url: bytes) -> None:
        """Refuse a request target that is too long."""
        super().on_url(url)
        if len(self.url) > MAX_URL_BYTES:
            self._refusal = 414
            raise _Refused

    def on_header(self, name: bytes, value: bytes) -> None:
        """Refuse a header block that is too large; trailers count too, but are no headers, and are thrown away."""
        self._head_bytes += len(name) + len(value) + 4
        if self._head_bytes > MAX_HEADER_BYTES:
            self._refusal = 431
            raise _Refused
        if self._reading_head:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """Refuse a head that cannot be meant, and start the clock of the body."""
        if self.parser.should_upgrade():
            self._head_anew = self._head_without_upgrade()
            return
        self._check_head()
        self._start(self.body_timeout_s, self._too_slow)
        self._arrival = self._waiting = None
        self.unfinished.add(self, self._owners(), self._too_slow)
        super().on_headers_complete()
        self._reading_head = False

    def on_body(self, body: bytes) -> None:
        """Count what is kept of a body until all of it has come; of a request that was answered nothing is."""
        super().on_body(body)
        if self.cycle is not None and not self.cycle.response_complete:
            self.unfinished.hold(self, len(body))

    def on_message_complete(self) -> None:
        """Stop the clock: everything has arrived."""
        if self._head_anew is not None:
            return
        self._stop()
        self.unfinished.remove(self)
        if self._arrival is not None:
            self._arrival.at = time.monotonic()
        super().on_message_complete()
        if self._waiting is not None:
            (cycle, app), self._waiting = self._waiting, None
            self._start_asgi_task(cycle, app)

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        """Wait for a small body before anything is done; turn a request for one ticket away if there is too much to do.

        Both cost next to nothing here. Larger bodies are read by the application, which may refuse them unread.
        """
        self._first = cycle
        if cycle.more_body and self._has_small_body():
            self._waiting = cycle, app
            return
        if _is_ticket(cycle):
            error = self.admission.refusal()
            if error is not None:
                self.loop.call_later(_PAUSE_S, self._turn_away, cycle, problem_of(error))
                return
            arrival = _Arrival(None if cycle.more_body else time.monotonic())
            if cycle.more_body:  # so it is the one that is being read now
                self._arrival = arrival
            app = _admitted(self.admission, app, arrival)
        self._asked = cycle
        super()._start_asgi_task(cycle, app)

    def send_400_response(self, msg: str) -> None:
        """Answer what cannot be parsed, or was refused while it was, with a problem."""
        self._refuse(self._refusal)

    def _head_without_upgrade(self) -> bytes:
        """Write out the head that was read, but for what makes the parser stop behind it.

        Raises:
            _Refused: It asks for a tunnel (CONNECT).
        """
        method = self.parser.get_method()
        if method == b"CONNECT":
            self._refusal = 501
            raise _Refused
        self._head_bytes = 0
        lines = [b"%s %s HTTP/%s" % (method, self.url, self.parser.get_http_version().encode())]
        lines.extend(b"%s: %s" % header for header in self.headers if header[0] != b"upgrade")
        return b"\r\n".join([*lines, b"", b""])

    def _check_head(self) -> None:
        """Refuse a body in a coding that is not understood here, and a target on another host than `Host` says.

        Raises:
            _Refused: It has one of these.
        """
        codings = [value.strip().lower() for name, value in self.headers if name == b"transfer-encoding"]
        if codings and codings != [_CHUNKED]:
            self._refusal = 501 if codings[-1].endswith(_CHUNKED) else 400
            raise _Refused
        if not self.url.startswith(b"/") and b"://" in self.url:
            place = _place(self.url.split(b"/")[2])
            if any(name == b"host" and _place(value) != place for name, value in self.headers):
                self._refusal = 400
                raise _Refused

    def _has_small_body(self) -> bool:
        """Say whether all of the body, as announced, is kept until it is asked for, and is sent without being asked."""
        stated = dict(self.headers)
        length = stated.get(b"content-length", b"0")
        small = length.isdigit() and int(length) <= HIGH_WATER_LIMIT
        return small and b"transfer-encoding" not in stated and not self.expect_100_continue

    def _owners(self) -> list[Hashable]:
        """Return whom an unfinished body counts for: the address, and whatever the sender says who it is by."""
        stated = [hash(header) for header in self.headers if header[0] in _CREDENTIALS]
        return [self.client[0] if self.client else None, *stated[: len(_CREDENTIALS)]]

    def _begin_head(self) -> None:
        self._reading_head = True
        self._head_bytes = self._pending_bytes = 0
        self._refusal = 400
        self._start(
            self.header_timeout_s, self._too_slow if self.cycle is None or self.cycle.response_complete else self._close
        )

    def _start(self, seconds: float, then: Any) -> None:
        """Start a clock; while data is parsed only the last one counts, and most requests come in one piece."""
        self._stop()
        if self._parsing:
            self._next_clock = seconds, then
        else:
            self._timer = self.loop.call_later(seconds, then)

    def _stop(self) -> None:
        self._next_clock = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _too_slow(self) -> None:
        if self._reading_head:
            self._refuse(408)
        elif self.cycle is None or self.cycle.response_complete:
            self._close()
        else:
            self._refuse(408)

    def _refuse(self, status: int) -> None:
        """Answer what is being read with a problem, and close.

        Where an earlier request still waits for its answer, it would take the problem for that: so the connection
        closes behind the answer, and the problem is not sent.
        """
        if self.transport.is_closing():
            return
        self._stop()
        refused = None if self._reading_head else self.cycle
        if self._first is not None and self._first is not refused and not self._first.response_complete:
            self._close_after_earlier(refused)
            return
        self._waiting = None
        if refused is None or not refused.response_started:
            request_id = None if refused is None else refused.scope["state"].get("request_id")
            request_id = self._write(framework_problem(status), {"connection": "close"}, request_id)
            self._count(refused, status, request_id)
        if refused is not None:
            refused.disconnected = True  # the application may wait for the body: tell it that none will come
            refused.message_event.set()
        self._close()

    def _close_after_earlier(self, refused: RequestResponseCycle | None) -> None:
        self.transport.pause_reading()
        if self.pipeline and self.pipeline[0][0] is refused:
            self.pipeline.popleft()
        last = self.pipeline[0][0] if self.pipeline else self._first
        assert last is not None
        last.keep_alive = False

    def _count(self, refused: RequestResponseCycle | None, status: int, request_id: str) -> None:
        """Count an answer; where the application is at work on the request, it counts what it is told here.

        Args:
            refused: What was refused; None for something without a complete head.
            status: What was answered.
            request_id: The request's id, as it was told.
        """
        if refused is not None and refused is self._asked:
            refused.scope["state"][ANSWERED] = status
            return
        is_ticket = refused is not None and _is_ticket(refused)
        method, route = ("POST", PREDICT_PATH) if is_ticket else ("ANY", "(none)")
        labelled(self.metrics.requests, method, route, status).inc()
        log.info("request", method=method, route=route, status=status, request_id=request_id)

    def _turn_away(self, cycle: RequestResponseCycle, problem: Problem) -> None:
        if self.transport.is_closing():
            return
        self._write(problem, problem.headers if cycle.keep_alive else {**problem.headers, "connection": "close"})
        cycle.response_started = cycle.response_complete = True
        if not cycle.keep_alive:
            self._close()
        self.on_response_complete()

    def _write(self, problem: Problem, headers: Mapping[str, str], request_id: str | None = None) -> str:
        """Write an answer with all that the application's own carry, and return the request's id."""
        request_id = request_id or uuid4().hex
        body = problem.body(request_id)
        stated = {"content-type": MEDIA_TYPE, "content-length": str(len(body)), "x-request-id": request_id, **headers}
        head = "".join(f"{name}: {value}\r\n" for name, value in stated.items()).encode("latin-1")
        usual = b"".join(b"%s: %s\r\n" % header for header in self.server_state.default_headers)  # the date
        self.transport.write(STATUS_LINE[problem.status] + usual + head + _SECURITY_LINES + b"\r\n" + body)
        return request_id

    def _close(self) -> None:
        if not self.transport.is_closing():
            self.transport.close()


def _is_ticket(cycle: RequestResponseCycle) -> bool:
    return cycle.scope["path"] == PREDICT_PATH and cycle.scope["method"] == "POST"


def _place(host: bytes) -> bytes:
    """Return a host and its port in one form, to compare."""
    return host.strip().lower().removesuffix(_HTTP_PORT)


def _admitted(admission: AdmissionControl, app: ASGIApp, arrival: _Arrival) -> ASGIApp:
    """Give a request its place, and its deadline a beginning, once all of it has come: a half-sent one has neither."""

    async def inside(scope: Scope, receive: Receive, send: Send) -> None:
        entered = False

        def enter() -> None:
            nonlocal entered
            if not entered and arrival.at is not None:
                entered = True
                ARRIVED.set(arrival.at)
                admission.enter()

        async def receive_and_enter() -> Message:
            message = await receive()
            enter()
            return message

        enter()
        try:
            await app(scope, receive_and_enter, send)
        finally:
            if entered:
                admission.leave()

    return inside


def slow_client_protocol(
    settings: Settings, admission: AdmissionControl, metrics: Metrics, share: ConnectionShare
) -> type[SlowClientProtocol]:
    """Return the protocol with the limits of the settings.

    Args:
        settings: The service's settings.
        admission: Lets requests for one ticket in, or turns them away.
        metrics: Where answers are counted that the application did not give.
        share: Where a connection is counted off that is closed.
    """
    stated = {"header_timeout_s": settings.header_timeout_s, "body_timeout_s": settings.body_timeout_s}
    unfinished = UnfinishedBodies(largest_bytes=settings.max_batch_body_bytes)
    shared = {"admission": admission, "metrics": metrics, "unfinished": unfinished, "share": share}
    return type("SlowClientProtocolWithLimits", (SlowClientProtocol,), {**stated, **shared})
