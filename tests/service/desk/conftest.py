"""A helpdesk that is only a server: it notes what it is told, and answers as it is bidden."""

from __future__ import annotations

import http.server
import json
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from api.helpdesks.config import HelpdeskConfig, Update


@dataclass
class RecordingHelpdesk:
    """What the helpdesk was told, and what it answers.

    Attributes:
        answers: Statuses of the next answers; 200 when there are none left.
        asked: Paths that were read.
        current: What a ticket looks like that is read.
        retry_after: Value of the Retry-After header of answers that are no success.
        before_answer: Called once, before the next answer is given.
    """

    port: int
    requests: list[tuple[str, str, dict[str, Any], dict[str, str]]] = field(default_factory=list)
    answers: list[int] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    current: dict[str, Any] = field(default_factory=dict)
    retry_after: str = ""
    before_answer: Callable[[], object] | None = None

    def desk(self, **changes: Any) -> HelpdeskConfig:
        wanted: dict[str, Any] = {
            "url": f"http://127.0.0.1:{self.port}/ticket/{{ticket_id}}",
            "hosts": (f"127.0.0.1:{self.port}",),
            "loopback": True,
            "body": {"CustomFields": {"Tier": "{tier}", "Category": "{category}"}, "note": "group {resolver_group}"},
            "timeout_s": 2,
        } | changes
        return HelpdeskConfig("rt", update=Update(**wanted), authorization="token secret")


@pytest.fixture
def told() -> Iterator[RecordingHelpdesk]:
    """A running helpdesk."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_PUT(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            helpdesk.requests.append((self.command, self.path, body, dict(self.headers)))
            call, helpdesk.before_answer = helpdesk.before_answer, None
            if call is not None:
                call()
            status = helpdesk.answers.pop(0) if helpdesk.answers else 200
            self.send_response(status)
            if status != 200 and helpdesk.retry_after:
                self.send_header("Retry-After", helpdesk.retry_after)
            self.send_header("Content-Length", "0")
            self.end_headers()

        do_POST = do_PATCH = do_PUT

        def do_GET(self) -> None:
            helpdesk.asked.append(self.path)
            body = json.dumps(helpdesk.current).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *arguments: object) -> None:
            """Keep quiet."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    helpdesk = RecordingHelpdesk(server.server_address[1])
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    yield helpdesk
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def dripping() -> Iterator[int]:
    """Port of a server that answers every call with one byte after the other, and never ends."""
    stopping = threading.Event()

    def drip(connection: socket.socket) -> None:
        with connection:
            try:
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
                while not stopping.wait(0.1):
                    connection.sendall(b" ")
            except OSError:
                return

    def answer() -> None:
        while not stopping.is_set():
            try:
                connection, _ = server.accept()
            except TimeoutError:
                continue
            threading.Thread(target=drip, args=(connection,), daemon=True).start()

    server = socket.create_server(("127.0.0.1", 0))
    server.settimeout(0.1)
    thread = threading.Thread(target=answer)
    thread.start()
    yield server.getsockname()[1]
    stopping.set()
    thread.join()
    server.close()
