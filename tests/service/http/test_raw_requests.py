"""Requests as bytes: bodies behind `Upgrade`, heads that could mean two things, answers that the protocol gives."""

from __future__ import annotations

import asyncio
import email
import json
import socket
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from email.message import Message
from itertools import pairwise
from typing import Any, NamedTuple

import pytest
import uvicorn
from uvicorn.server import ServerState

from api.http.middleware import SECURITY_HEADERS
from api.scoring.admission import AdmissionControl
from api.server.listener import ConnectionShare
from api.server.slow_clients import slow_client_protocol
from api.settings import Settings
from api.telemetry import Metrics

from ..local_client import TestClient

TICKET = b'{"id": "R-1", "body": "printer on floor 3 jams every day"}'
HOST = b"Host: 127.0.0.1\r\n"
START = b"POST /v1/predict HTTP/1.1\r\n" + HOST + b"Content-Type: application/json\r\n"
LIVEZ = b"GET /livez HTTP/1.1\r\n" + HOST + b"\r\n"
LAST = b"GET /livez HTTP/1.1\r\n" + HOST + b"Connection: close\r\n\r\n"
UPGRADES = {
    "h2c": b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n",
    "websocket": b"Upgrade: websocket\r\nConnection: keep-alive, Upgrade\r\nSec-WebSocket-Version: 13\r\n",
}


class Answer(NamedTuple):
    """One answer of a connection."""

    status: int
    headers: Message
    body: bytes

    @property
    def document(self) -> Any:
        return json.loads(self.body)


def in_parts(body: bytes, size: int = 20) -> bytes:
    """Write a body in parts, each with its length."""
    parts = [body[at : at + size] for at in range(0, len(body), size)]
    return b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in parts) + b"0\r\n\r\n"


def with_length(body: bytes, *headers: bytes) -> bytes:
    return START + b"".join(headers) + b"Content-Length: %d\r\n\r\n" % len(body) + body


def talk(port: int, *pieces: bytes, pause_s: float = 0.05) -> list[Answer]:
    """Send pieces of requests, and return all answers until the connection is closed."""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with suppress(ConnectionError):  # it may close before it was sent everything
            for number, piece in enumerate(pieces):
                time.sleep(pause_s if number else 0)
                sock.sendall(piece)
        return read(received_from(sock))


def received_from(sock: socket.socket) -> bytes:
    received = b""
    with suppress(ConnectionResetError):
        while data := sock.recv(65536):
            received += data
    return received


def read(received: bytes) -> list[Answer]:
    answers = []
    while received:
        head, _, rest = received.partition(b"\r\n\r\n")
        line, _, lines = head.partition(b"\r\n")
        headers = email.message_from_bytes(lines)
        length = int(headers["content-length"])
        answers.append(Answer(int(line.split()[1]), headers, rest[:length]))
        received = rest[length:]
    return answers


def statuses(answers: Sequence[Answer]) -> list[int]:
    return [answer.status for answer in answers]


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Any:
    with request.getfixturevalue("run_service")(
        tmp_path_factory.mktemp("raw"), "--open-loopback", TRIAGE_RULES_ONLY="1", TRIAGE_HEADER_TIMEOUT_S="1"
    ) as service:
        yield service


@pytest.mark.slow
@pytest.mark.parametrize("upgrade", UPGRADES.values(), ids=UPGRADES)
@pytest.mark.parametrize("chunked", [False, True], ids=["length", "chunked"])
def test_a_body_behind_upgrade_is_read_wherever_it_is_cut(service: Any, upgrade: bytes, chunked: bool) -> None:
    sent = with_length(TICKET, upgrade)
    if chunked:
        sent = START + upgrade + b"Transfer-Encoding: chunked\r\n\r\n" + in_parts(TICKET)
    head = sent.index(b"\r\n\r\n") + 4
    for cuts in ([], [head], [head - 1], [head - 60, head + 7], [20, head - 2, len(sent) - 3], [len(sent)]):
        edges = [0, *cuts, len(sent) + len(LAST)]
        pieces = [(sent + LAST)[one:two] for one, two in pairwise(edges)]
        answers = talk(service.port, *pieces)
        assert statuses(answers) == [200, 200], cuts
        assert answers[0].document["ticket_id"] == "R-1" and answers[1].document == {"status": "alive"}


@pytest.mark.slow
@pytest.mark.parametrize("upgrade", UPGRADES.values(), ids=UPGRADES)
@pytest.mark.parametrize("pause_s", [None, 0.2], ids=["at once", "later"])
def test_a_body_behind_upgrade_is_never_the_next_request(service: Any, upgrade: bytes, pause_s: float | None) -> None:
    sent = with_length(LIVEZ, upgrade)
    pieces = [sent + LAST] if pause_s is None else [sent[: -len(LIVEZ)], LIVEZ, LAST]
    answers = talk(service.port, *pieces, pause_s=pause_s or 0)
    assert statuses(answers) == [400, 200]
    assert answers[0].document["code"] == "malformed-json"


@pytest.mark.slow
def test_many_requests_with_upgrade_in_one_packet_are_answered_in_turn(service: Any) -> None:
    tickets = [b'{"id": "U-%d", "body": "the printer jams"}' % number for number in range(12)]
    asked = b"".join(with_length(ticket, UPGRADES["h2c"]) + LIVEZ for ticket in tickets)
    answers = talk(service.port, asked + LAST)
    assert statuses(answers) == [200] * 25
    assert [answer.document["ticket_id"] for answer in answers[:-1:2]] == [f"U-{number}" for number in range(12)]


@pytest.mark.slow
def test_a_request_with_upgrade_may_close_and_has_the_limits_of_any_other(service: Any) -> None:
    for connection in (b"Connection: Upgrade, close\r\nUpgrade: h2c\r\n", b"Connection: close\r\nUpgrade: h2c\r\n"):
        assert statuses(talk(service.port, with_length(TICKET, connection) + LIVEZ)) == [200]
    long = b"X-Long: %s\r\n" % (b"a" * 20_000)
    assert statuses(talk(service.port, with_length(TICKET, UPGRADES["h2c"], long) + LAST)) == [200, 200]
    assert statuses(talk(service.port, with_length(TICKET, UPGRADES["h2c"], long, long))) == [431]
    assert statuses(talk(service.port, START + UPGRADES["h2c"] + b"Content-Length: 100\r\n\r\n{")) == [408]
    two = b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n"
    assert statuses(talk(service.port, START + UPGRADES["h2c"] + two + LIVEZ)) == [400]


@pytest.mark.slow
@pytest.mark.parametrize("target", [b"desk.example:443", b"/livez"])
def test_no_tunnel_is_opened(service: Any, target: bytes) -> None:
    [answer] = talk(service.port, b"CONNECT " + target + b" HTTP/1.1\r\n" + HOST + b"\r\n" + LIVEZ, LIVEZ)
    assert (answer.status, answer.headers["connection"]) == (501, "close")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("codings", "status"),
    [
        (b"Transfer-Encoding: gzip, chunked\r\n", 501),
        (b"Transfer-Encoding: GZIP,Chunked \r\n", 501),
        (b"Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n", 501),
        (b"Transfer-Encoding: gzip, chunked\r\n" + UPGRADES["h2c"], 501),
        (b"Transfer-Encoding: gzip\r\n", 400),
        (b"Transfer-Encoding: chunked, gzip\r\n", 400),
        (b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", 400),
        (b"Transfer-Encoding:\r\nContent-Length: 5\r\n", 400),
        (b"Transfer-Encoding: Chunked\r\nConnection: close\r\n", 200),
    ],
)
def test_a_body_is_chunked_or_in_no_coding(service: Any, codings: bytes, status: int) -> None:
    [answer] = talk(service.port, START + codings + b"\r\n" + in_parts(TICKET))
    assert answer.status == status and (status == 200 or answer.headers["connection"] == "close")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("line", "hosts", "status"),
    [
        (b"/v1/predict HTTP/1.1", b"", 400),
        (b"/v1/predict HTTP/1.1", HOST + HOST, 400),
        (b"/v1/predict HTTP/1.1", HOST + b"Host: evil.example\r\n", 400),
        (b"/v1/predict HTTP/1.1", b"Host: evil.example\r\n", 403),
        (b"/v1/predict HTTP/1.0", b"", 403),
        (b"http://evil.example/v1/predict HTTP/1.1", HOST, 400),
        (b"http://evil.example/v1/predict HTTP/1.1", HOST + UPGRADES["h2c"], 400),
        (b"http://127.0.0.1@evil.example/v1/predict HTTP/1.1", HOST, 400),
        (b"http://127.0.0.1:81/v1/predict HTTP/1.1", HOST, 400),
        (b"http://127.0.0.1/v1/predict HTTP/1.1", b"", 400),
        (b"http://evil.example/v1/predict HTTP/1.1", b"Host: evil.example\r\n", 403),
        (b"http://127.0.0.1/v1/predict HTTP/1.1", HOST, 200),
        (b"HTTP://LocalHost:80/v1/predict HTTP/1.1", b"Host: localhost\r\n", 200),
    ],
)
def test_a_request_names_one_host(service: Any, line: bytes, hosts: bytes, status: int) -> None:
    rest = b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (len(TICKET), TICKET)
    first, *more = talk(service.port, b"POST " + line + b"\r\n" + hosts + rest + LAST)
    assert first.status == status
    assert len(more) == (0 if first.headers["connection"] == "close" else 1)


def test_two_hosts_are_refused_by_the_application_too(client: TestClient) -> None:
    answer = client.get("/livez", headers=[("Host", "127.0.0.1"), ("Host", "127.0.0.1")])
    assert (answer.status_code, answer.json()["code"]) == (400, "malformed-request")


@pytest.mark.slow
def test_a_trailer_is_no_header(service: Any) -> None:
    body = in_parts(TICKET).removesuffix(b"\r\n") + b"X-Request-ID: trailer\r\nAuthorization: Bearer none\r\n\r\n"
    answers = talk(service.port, START + b"Transfer-Encoding: chunked\r\nX-Request-ID: head\r\n\r\n" + body + LAST)
    assert statuses(answers) == [200, 200] and answers[0].headers["x-request-id"] == "head"
    without_id = START + b"Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n" + body
    [answer] = talk(service.port, without_id)
    assert answer.status == 200 and answer.headers["x-request-id"] != "trailer"


@pytest.mark.slow
@pytest.mark.parametrize(
    "bad", [b"NONSENSE\r\n\r\n", b"CONNECT a:1 HTTP/1.1\r\n\r\n", START + b"Transfer-Encoding: gzip, chunked\r\n\r\n"]
)
def test_a_refusal_never_takes_the_place_of_an_earlier_answer(service: Any, bad: bytes) -> None:
    for earlier in ([TICKET], [TICKET, TICKET]):
        answers = talk(service.port, b"".join(map(with_length, earlier)) + bad + LIVEZ)
        assert statuses(answers) == [200] * len(earlier)
    [bad_body] = talk(service.port, with_length(TICKET) + START + b"Transfer-Encoding: chunked\r\n\r\nxyz\r\n" + LIVEZ)
    assert bad_body.document["ticket_id"] == "R-1"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"NONSENSE\r\n\r\n", 400),
        (b"GET /livez HTTP/1.1\r\n" + HOST, 408),
        (START + b"Content-Length: 100\r\n\r\n{", 408),
        (b"GET /" + b"a" * 10_000 + b" HTTP/1.1\r\n" + HOST + b"\r\n", 414),
        (b"GET /livez HTTP/1.1\r\n" + HOST + b"X: " + b"a" * 40_000 + b"\r\n\r\n", 431),
        (START + b"Transfer-Encoding: gzip, chunked\r\n\r\n", 501),
    ],
)
def test_what_the_protocol_answers_carries_the_headers_of_every_answer(service: Any, sent: bytes, status: int) -> None:
    [answer] = talk(service.port, sent)
    assert answer.status == status
    check_headers(answer)


def check_headers(answer: Answer) -> None:
    assert {name: answer.headers.get_all(name) for name in SECURITY_HEADERS} == {
        name: [value] for name, value in SECURITY_HEADERS.items()
    }
    assert len(answer.headers.get_all("date", [])) == 1
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["x-request-id"] == answer.document["request_id"]


def test_who_is_turned_away_gets_the_same_headers(settings: Settings) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        raise AssertionError("nobody is let in")

    async def ask() -> list[Answer]:
        full = AdmissionControl(0, 1.0)
        protocol = slow_client_protocol(settings, full, Metrics(), ConnectionShare())
        config = uvicorn.Config(app, http=protocol, ws="none", lifespan="off")
        config.load()
        state = ServerState()
        state.default_headers = [(b"date", b"Mon, 30 Nov 2026 09:00:00 GMT")]
        made: Any = config.http_protocol_class
        server = await asyncio.get_running_loop().create_server(lambda: made(config, state, {}), "127.0.0.1", 0)
        async with server:
            reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
            writer.write(with_length(TICKET, b"Connection: close\r\n"))
            received = await reader.read()
            writer.close()
        return read(received)

    [answer] = asyncio.run(ask())
    assert (answer.status, answer.headers["retry-after"]) == (503, "1")
    check_headers(answer)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("half", "route"),
    [
        (START + b"Transfer-Encoding: chunked\r\n\r\n5\r\n{", "/v1/predict"),
        (START + b"Expect: 100-continue\r\nContent-Length: 100\r\n\r\n", "/v1/predict"),
        (START + b"Content-Length: 200000\r\n\r\n" + b" " * 1024, "/v1/predict"),
        (START + b"Content-Length: 200\r\n\r\n{", "/v1/predict"),
        (START.replace(b"predict", b"predict/batch") + b"Content-Length: 200000\r\n\r\n{", "/v1/predict/batch"),
        (b"GET /livez HTTP/1.1\r\n" + HOST, "(none)"),
        (START.replace(b"predict", b"predict/batch") + b"Content-Length: 200\r\n\r\n{", "(none)"),
    ],
    ids=["chunked", "expect", "large", "small", "batch", "head", "small-elsewhere"],
)
def test_a_request_that_stalls_is_counted_and_logged_as_it_was_answered(
    service: Any, until: Callable[..., float], half: bytes, route: str
) -> None:
    before = counted(service)
    with socket.create_connection(("127.0.0.1", service.port), timeout=10) as sock:
        sock.sendall(half)
        received = received_from(sock)
    [answer] = read(received.removeprefix(b"HTTP/1.1 100 Continue\r\n\r\n"))
    assert (answer.status, answer.headers["connection"]) == (408, "close")
    until(lambda: counted(service) != before, 5)
    new = {labels: number - before.get(labels, 0) for labels, number in counted(service).items()}
    method = "ANY" if route == "(none)" else "POST"
    assert {labels: number for labels, number in new.items() if number} == {(method, route, "408"): 1}
    lines = [
        json.loads(line) for line in service.log.read_text().splitlines() if answer.headers["x-request-id"] in line
    ]
    assert [(line["event"], line["route"], line["status"]) for line in lines] == [("request", route, 408)]


def counted(service: Any) -> dict[tuple[str, ...], float]:
    """Return how many requests were counted, but for those that count them."""
    lines = [
        line for line in service.client.get("/metrics").text.splitlines() if line.startswith("triage_requests_tot")
    ]
    labels = [tuple(line.split('"')[1::2]) for line in lines]
    numbers = {label: float(line.split()[-1]) for label, line in zip(labels, lines, strict=True)}
    return {label: number for label, number in numbers.items() if label[1] != "/metrics"}
