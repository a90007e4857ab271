"""Protection against slow clients: a request's head and body must come in time, and its head may only be so large."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.protocols.http.flow_control import HIGH_WATER_LIMIT
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from api.http.problems import MEDIA_TYPE, Problem, framework_problem, problem_of
from api.scoring.admission import ARRIVED, AdmissionControl
from api.server.unfinished import UnfinishedBodies
from api.settings import Settings

PREDICT_PATH = "/v1/predict"
MAX_URL_BYTES = 8 * 1024
"""Longest request target, in bytes: as nginx has it by default."""
MAX_HEADER_BYTES = 32 * 1024
"""Largest block of request headers, in bytes: as nginx has it by default (four buffers of 8 KiB)."""


_PAUSE_S = 0.1
"""Seconds until somebody is turned away: who asks again at once, whatever Retry-After says, must not take the time in
which others are answered. Sixty such clients cost a third of the answers."""

_CREDENTIALS = (b"authorization", b"x-api-key", b"cookie")


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

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Give a new connection the time of one head; one that stays silent is closed without a word."""
        super().connection_made(transport)
        self._start(self.header_timeout_s, self._close)

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop all clocks."""
        self._stop()
        self.unfinished.remove(self)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Count what belongs to the head, then parse as usual."""
        self._parsing = True
        if not self._reading_head and (self.cycle is None or not self.cycle.more_body):
            self._begin_head()
        head_before = self._reading_head
        try:
            super().data_received(data)
        finally:
            self._parsing = False
            if self._next_clock is not None:
                self._start(*self._next_clock)
        if head_before and self._reading_head and not self.transport.is_closing():
            self._pending_bytes += len(data)
            if self._pending_bytes > MAX_URL_BYTES + MAX_HEADER_BYTES:
                self._refuse(414 if len(self.url) > MAX_URL_BYTES else 431)

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
        """Refuse a header block that is too large."""
        self._head_bytes += len(name) + len(value) + 4
        if self._head_bytes > MAX_HEADER_BYTES:
            self._refusal = 431
            raise _Refused
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """Start the clock of the body."""
        self._reading_head = False
        self._start(self.body_timeout_s, self._too_slow)
        self._arrival = self._waiting = None
        self.unfinished.add(self, self._owners(), self._too_slow)
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """Stop the clock: everything has arrived."""
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
        if cycle.more_body and self._has_small_body():
            self._waiting = cycle, app
            return
        if cycle.scope["path"] == PREDICT_PATH and cycle.scope["method"] == "POST":
            error = self.admission.refusal()
            if error is not None:
                self.loop.call_later(_PAUSE_S, self._turn_away, cycle, problem_of(error))
                return
            arrival = _Arrival(None if cycle.more_body else time.monotonic())
            if cycle.more_body:  # so it is the one that is being read now
                self._arrival = arrival
            app = _admitted(self.admission, app, arrival)
        super()._start_asgi_task(cycle, app)

    def send_400_response(self, msg: str) -> None:
        """Answer what cannot be parsed, or was refused while it was, with a problem."""
        self._refuse(self._refusal)

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
            self._waiting = None
            self.cycle.disconnected = True  # the application waits for the body: tell it that none will come
            self.cycle.message_event.set()
            self._refuse(408)

    def _refuse(self, status: int) -> None:
        if self.transport.is_closing():
            return
        self._stop()
        if self.cycle is None or self.cycle.response_complete or not self.cycle.response_started:
            self._write(framework_problem(status), {"connection": "close"})
        self._close()

    def _turn_away(self, cycle: RequestResponseCycle, problem: Problem) -> None:
        if self.transport.is_closing():
            return
        self._write(problem, problem.headers if cycle.keep_alive else {**problem.headers, "connection": "close"})
        cycle.response_started = cycle.response_complete = True
        if not cycle.keep_alive:
            self._close()
        self.on_response_complete()

    def _write(self, problem: Problem, headers: Mapping[str, str]) -> None:
        request_id = uuid4().hex
        body = problem.body(request_id)
        stated = {"content-type": MEDIA_TYPE, "content-length": str(len(body)), "x-request-id": request_id, **headers}
        head = "".join(f"{name}: {value}\r\n" for name, value in stated.items())
        self.transport.write(STATUS_LINE[problem.status] + head.encode("latin-1") + b"\r\n" + body)

    def _close(self) -> None:
        if not self.transport.is_closing():
            self.transport.close()


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


def slow_client_protocol(settings: Settings, admission: AdmissionControl) -> type[SlowClientProtocol]:
    """Return the protocol with the limits of the settings, and the admission control of requests for one ticket."""
    stated = {"header_timeout_s": settings.header_timeout_s, "body_timeout_s": settings.body_timeout_s}
    shared = {"admission": admission, "unfinished": UnfinishedBodies()}
    return type("SlowClientProtocolWithLimits", (SlowClientProtocol,), {**stated, **shared})
