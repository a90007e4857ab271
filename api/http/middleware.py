"""What surrounds every request: its id, size limit, security headers, last-resort answer, metrics and access log."""

from __future__ import annotations

import asyncio
import re
import time
from functools import lru_cache
from typing import Any, cast
from urllib.parse import urlsplit
from uuid import uuid4

import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from api.http.problems import error_page, framework_problem, wants_page
from api.http.reception import InlineImages, InlineImagesOfForm
from api.settings import Settings
from api.telemetry import Metrics, described, labelled

BATCH_PATH = "/v1/predict/batch"
CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
)
SECURITY_HEADERS = {
    "content-security-policy": CONTENT_SECURITY_POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "same-origin",  # with none at all, browsers hide the origin of forms too
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
    "cache-control": "no-store",
}
PEER = "triage.peer"
"""Key of a request's scope: address and port that are really connected, a proxy's where there is one."""
_SECURITY_HEADERS = tuple((name.encode(), value.encode()) for name, value in SECURITY_HEADERS.items())
ANSWERED = "answered"
"""Where a request's state holds the status with which the protocol answered it, over the application's head."""
_SIGN_IN, _SIGN_IN_BYTES = "/sign-in", 32 * 1024
"""Pages whose forms anybody may send, and the largest of these: a name, a password and a place fill less."""
_MOST_TYPE_CHARS = 1024
"""Longest Content-Type: to read thousands of parameters takes longer than to answer."""
_MAY_HOLD_IMAGES = {
    **dict.fromkeys(("/predict", "/v1/predict", "/v1/webhooks/", "/v1/tickets/", "/v2/models/"), InlineImages),
    "/try": InlineImagesOfForm,
}
"""Where paths of tickets begin: images written into their texts do not count, up to the size of a batch."""
_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
_HOST = re.compile(r"(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._~!$&'()*+,;=%-]*)(?::[0-9]*)?")
_HOSTS_KEPT = 256
"""Host headers whose answer is remembered: a service is called by few names."""
_QUIET = ("/livez", "/readyz", "/metrics")
_DRAIN_S = 2.0
"""How long the rest of a body that is too large is read and thrown away, in seconds."""
log = structlog.get_logger("api.access")


@lru_cache(maxsize=_HOSTS_KEPT)
def is_host(host: str) -> bool:
    """Say whether a Host header is one: what is none is answered with 400 (RFC 9112, section 3.2).

    Example:
        >>> [is_host(host) for host in ("desk.example:8000", "[::1]", "", "[", "a b", "host:port")]
        [True, True, True, False, False, False]
    """
    if not _HOST.fullmatch(host):
        return False
    try:
        urlsplit(f"//{host}").port  # noqa: B018 - reading it is the check
    except ValueError:
        return False
    return True


def _most_bytes(path: str, settings: Settings) -> int:
    """Return the size of the largest body that a path takes, in bytes."""
    if path == BATCH_PATH:
        return settings.max_batch_body_bytes
    return min(settings.max_body_bytes, _SIGN_IN_BYTES) if path.startswith(_SIGN_IN) else settings.max_body_bytes


def _images_in(path: str) -> InlineImages | None:
    """Return what counts the bytes of a body without the images in it; None where a path takes none."""
    return next((count() for start, count in _MAY_HOLD_IMAGES.items() if path.startswith(start)), None)


def _plain_cookies(header: bytes) -> bytes:
    """Leave out cookies in quotes: the service sets none, and Python 3.11 reads a long one for seconds.

    Example:
        >>> _plain_cookies(b'theme="dark"; triage_session=abc')
        b' triage_session=abc'
    """
    return header if b'"' not in header else b";".join(one for one in header.split(b";") if b'"' not in one)


class RequestContextMiddleware:
    """Wraps the whole application; pure ASGI, so that nothing is buffered."""

    def __init__(self, app: ASGIApp, settings: Settings, metrics: Metrics) -> None:
        self._app = app
        self._settings = settings
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        await _Exchange(self._app, self._settings, self._metrics, scope=scope, receive=receive, send=send).run()


class BehindProxyMiddleware:
    """Takes a client's address and scheme from what a trusted proxy says of them; who is connected stays at `PEER`."""

    def __init__(self, app: ASGIApp, proxies: list[str]) -> None:
        self._app: Any = ProxyHeadersMiddleware(cast(Any, app), proxies)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        scope[PEER] = scope.get("client")
        await self._app(scope, receive, send)


class _Exchange:
    """One request and its answer: what of it came, what was sent, and how long that took."""

    def __init__(
        self, app: ASGIApp, settings: Settings, metrics: Metrics, *, scope: Scope, receive: Receive, send: Send
    ) -> None:
        self._app, self._metrics, self._scope, self._receive, self._send = app, metrics, scope, receive, send
        self._limit = _most_bytes(scope["path"], settings)
        self._images = _images_in(scope["path"])
        self._most = settings.max_batch_body_bytes if self._images else self._limit
        stated = scope["headers"]
        scope["headers"] = [(name, _plain_cookies(said) if name == b"cookie" else said) for name, said in stated]
        headers = Headers(scope=scope)
        sent_id = headers.get("x-request-id", "")
        self.request_id = sent_id if _REQUEST_ID.fullmatch(sent_id) else uuid4().hex
        length = headers.get("content-length", "0")
        self._announced = int(length) if length.isascii() and length.isdigit() else 0
        self._received, self._counted = 0, 0
        self._arrived = self._announced == 0 and "transfer-encoding" not in headers
        self._status = 0

    async def run(self) -> None:
        """Pass the request to the application; whatever happens there, something well-formed comes back."""
        self._scope.setdefault("state", {})["request_id"] = self.request_id
        began = time.perf_counter()
        self._metrics.in_flight.inc()
        structlog.contextvars.clear_contextvars()
        structlog.contextvars.bind_contextvars(request_id=self.request_id)
        try:
            refused = self._refused()
            if refused is None:
                await self._app(self._scope, self._limited_receive, self._headed_send)
            else:
                await self._refuse(refused)
        except ClientDisconnect:
            self._status = self._final(self._status)
        except Exception as error:  # the last resort: nobody may get a half answer or a stack trace
            log.error("request_failed", **described(error))
            if not self._status:
                await self._refuse(500)
        finally:
            self._metrics.in_flight.dec()
            self._report(time.perf_counter() - began)

    def _refused(self) -> int | None:
        """Return the status of a request that is refused whatever it asks for; None for any other."""
        if self._announced > self._most:
            return 413
        if not self._names_host():
            return 400
        if len(Headers(scope=self._scope).get("content-type", "")) > _MOST_TYPE_CHARS:
            return 415
        return 404 if "\x00" in self._scope["path"] else None  # PostgreSQL fails on being asked for such a name

    def _names_host(self) -> bool:
        """Say whether the request names one host; only HTTP/1.0 may name none (RFC 9112, section 3.2)."""
        hosts = Headers(scope=self._scope).getlist("host")
        if not hosts:
            return bool(self._scope.get("http_version") == "1.0")
        return len(hosts) == 1 and is_host(hosts[0])

    def _final(self, status: int) -> int:
        """Return the status that the client got: the protocol's where it could not wait any longer."""
        answered: int = self._scope["state"].get(ANSWERED, status)
        return answered

    async def _limited_receive(self) -> Message:
        message = await self._receive()
        if message["type"] == "http.request":
            part = message.get("body", b"")
            self._received += len(part)
            self._counted += self._images.counted(part) if self._images else len(part)
            self._arrived = not message.get("more_body", False)
            if self._counted > self._limit or self._received > self._most:
                raise HTTPException(413)
        else:
            self._arrived = True
        return message

    async def _headed_send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._status = message["status"] = self._final(message["status"])
            headers = MutableHeaders(scope=message)
            stated = {name for name, _ in headers.raw}
            headers.raw.extend(header for header in _SECURITY_HEADERS if header[0] not in stated)
            headers["x-request-id"] = self.request_id
            if self._status == 413:
                headers["connection"] = "close"
        elif self._status == 413 and not message.get("more_body", False) and not self._arrived:
            await self._send({**message, "more_body": True})
            await self._let_arrive()
            message = {"type": "http.response.body", "body": b""}
        await self._send(message)

    async def _let_arrive(self) -> None:
        """Throw away what is still coming for a moment: closing on a client that sends would lose it the answer."""
        try:
            async with asyncio.timeout(_DRAIN_S):
                while (message := await self._receive())["type"] == "http.request" and message.get("more_body", False):
                    pass
        except TimeoutError:
            return

    async def _refuse(self, status: int) -> None:
        problem = framework_problem(status)
        accept = Headers(scope=self._scope).get("accept", "")
        as_page = wants_page(accept, self._scope["path"])
        answer = error_page(problem, self.request_id) if as_page else problem.response(self.request_id)
        await answer(self._scope, self._receive, self._headed_send)

    def _report(self, seconds: float) -> None:
        route = self._scope.get("route")
        path = getattr(route, "path", None) or "(none)"
        method = self._scope["method"] if path != "(none)" else "ANY"
        labelled(self._metrics.requests, method, path, self._status).inc()
        labelled(self._metrics.latency, path).observe(seconds)
        write = log.debug if path in _QUIET else log.info
        write(
            "request",
            method=self._scope["method"],
            route=path,
            status=self._status,
            ms=round(seconds * 1000, 1),
            body_bytes=self._received,
        )
