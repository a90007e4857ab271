"""Whatever a client sends in a header, a path or a parameter: the answer is never a failure of the service."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from fastapi.routing import APIRoute

from api.app import create_app
from api.http.middleware import is_host
from api.security.api_keys import create_key
from api.settings import load_settings
from api.store.people.users import Rights
from api.store.repository import Repository
from api.store.rows import SCOPES

from ...conftest import wait_until
from ..local_client import TestClient

ODD_HOSTS = (
    "[",
    "]",
    "[::1",
    "[::1]x",
    "[zz]",
    "a b",
    "host:port",
    "host:99999",
    "ho\u00e9st",
    "@",
    "a@b",
    "\\",
    "%00",
    "a/b",
    "?",
)
ODD_NAMES = (
    "\x00",
    "a\x00b",
    "\ufffd",
    "\u202e",
    "%",
    "%00",
    "'",
    '"',
    ";--",
    "..",
    "[",
    " ",
    "\n",
    "\u00b2",
    "9" * 400,
    "\U0010ffff",
    "-1",
    "1e999",
)
ODD_HEADERS = {
    "Origin": ("http://[", "[", "null", "http://a:b", "\u00e9"),
    "Authorization": ("Bearer", "Bearer \u00e9", "Basic =", "Bearer triage_\u00b2_x"),
    "X-API-Key": ("triage__", "triage_a%00_b"),
    "Cookie": ("triage_session=\u00e9", "triage_session=;;=="),
    "X-CSRF-Token": ("\u00e9",),
    "X-Request-Id": ("\u00e9" * 200,),
    "Idempotency-Key": ("\u00e9", "x" * 300),
    "Content-Type": (
        *("multipart/form-data", "multipart/form-data; boundary=", "application/json; charset=bogus", "\u00e9"),
        "application/x-www-form-urlencoded; charset=\u00e9",
    ),
    "Accept": ("\u00e9",),
    "Content-Length": ("\u00b2",),
    "X-Triage-Timestamp": ("0001-01-01T00:00:00", "9999-12-31", "\u00b2"),
    "X-Triage-Signature": ("\u00e9",),
    "X-Triage-Delivery": ("\u00e9" * 300,),
    "X-Forwarded-Proto": ("[",),
    "X-Forwarded-Host": ("[",),
    "Transfer-Encoding": ("odd",),
    "Expect": ("odd",),
    "Range": ("odd",),
}


@pytest.fixture
def client(repository: Repository, tmp_path: Path) -> Iterator[TestClient]:
    """A service on each store, with a key that may do everything."""
    text = create_key(repository, "all", list(SCOPES))[0]
    app = create_app(load_settings(home=tmp_path, rules_only=True), repository)
    with TestClient(app, raise_server_exceptions=False, headers={"Authorization": f"Bearer {text}"}) as client:
        yield client


def requests_of(client: TestClient, name: str) -> Iterator[tuple[str, str]]:
    """Every method and path of the service, with an odd name in the place of each parameter."""
    for route in client.app.routes:  # type: ignore[attr-defined]
        if isinstance(route, APIRoute):
            path = "/".join(quote(name, safe="") if part.startswith("{") else part for part in route.path.split("/"))
            for method in sorted(route.methods or ()):
                yield method, path


def sane(answer: Any) -> bool:
    """Whether an answer blames the request, if anything."""
    return bool(answer.status_code < 500)


@pytest.mark.parametrize("store_url", ["sqlite"], indirect=True)  # a header never reaches a database
def test_no_host_and_no_header_makes_the_service_fail(client: TestClient) -> None:
    odd = [(name, value.encode()) for name, values in {"Host": ODD_HOSTS, **ODD_HEADERS}.items() for value in values]
    failed = [
        (method, path, name, value)
        for method, path in requests_of(client, "x")
        for name, value in odd
        if not sane(client.request(method, path, headers={name.encode(): value}, follow_redirects=False))
    ]
    assert failed == []


def test_no_name_in_a_path_or_parameter_makes_the_service_fail(client: TestClient) -> None:
    failed = []
    for name in ODD_NAMES:
        for method, path in requests_of(client, name):
            body = {"verdict": "accepted", "agent": "kim"} if path.startswith("/v1") and method == "POST" else None
            if not sane(client.request(method, path, json=body, follow_redirects=False)):
                failed.append((method, path))
        for parameter in ("limit", "before", "ticket_id", "open", "agent", "tier", "reason", name):
            for path in ("/v1/decisions", "/v1/decisions/x/feedback/y", "/v1/autonomy", "/readyz"):
                if not sane(client.get(path, params={parameter: name})):
                    failed.append((path, parameter))
    assert failed == []


@pytest.mark.parametrize("name", ODD_NAMES)
def test_no_name_that_is_written_makes_the_service_fail(client: TestClient, name: str) -> None:
    for field in ("id", "requester", "channel", "language", "opened_at"):
        assert sane(client.post("/v1/predict", json={"text": "printer", field: name}))
    assert sane(client.post("/v1/predict", json={"text": "printer", "attributes": {name: name}}))
    decision = client.post("/v1/predict", json={"text": "printer"}).json()["decision_id"]
    for field in ("agent", "tier", "category", "reason", "comment"):
        said = {"verdict": "corrected", "tier": "L1", "agent": "kim", field: name}
        assert sane(client.post(f"/v1/decisions/{decision}/feedback", json=said))
        assert sane(client.post(f"/decisions/{decision}/feedback", data=said))
    assert sane(client.post("/sign-in", data={"agent": name, "key": name}))
    assert sane(client.post("/", data={"body": "printer", "ticket_id": name, "channel": name, "subject": name}))


def test_a_name_with_a_nul_cannot_sign_in(client: TestClient, repository: Repository) -> None:
    key = create_key(repository, "page", ["read"])[0]
    assert client.post("/sign-in", data={"agent": "kim\x00", "key": key}).status_code == 422


@pytest.mark.parametrize(
    "opened_at",
    ["0001-01-01T00:00:00+14:00", "0001-06-01T00:00:00Z", "9999-12-31T23:59:59-12:00", "9999-01-01T00:00:00Z"],
)
def test_a_date_at_the_edge_of_the_calendar_is_left_out_and_said(client: TestClient, opened_at: str) -> None:
    answer = client.post("/v1/predict", json={"text": "printer", "opened_at": opened_at})
    assert answer.status_code == 200
    assert answer.json()["ignored"] == [{"field": "opened_at", "code": "out-of-range"}]


@pytest.mark.parametrize(
    "opened_at", ["0002-01-01T00:00:00+00:00", "9998-12-31T23:59:59Z", "1700-02-28T12:00:00-12:00"]
)
def test_a_date_that_is_taken_is_stored(client: TestClient, opened_at: str) -> None:
    answer = client.post("/v1/predict", json={"text": "printer", "opened_at": opened_at})
    assert (answer.status_code, answer.json()["ignored"]) == (200, [])
    kept = f"/v1/decisions/{answer.json()['decision_id']}"  # a busy machine commits a decision after it was answered
    wait_until(lambda: client.get(kept).status_code == 200, 30)


@pytest.mark.parametrize("host", [host for host in ODD_HOSTS if host != "%00"])
def test_a_host_header_that_is_none_is_told(client: TestClient, host: str) -> None:
    answer = client.get("/livez", headers={b"Host": host.encode()})
    assert (answer.status_code, answer.json()["code"]) == (400, "malformed-request")


@pytest.mark.parametrize("host", ["desk.example", "desk.example:8000", "[::1]:80", "127.0.0.1", "a_b", ""])
def test_a_host_header_that_is_one_is_taken(host: str) -> None:
    assert is_host(host)


@pytest.mark.parametrize("name", ["anna\x00", "anna\ud800", "\x00", "a" * 5000])
def test_a_name_of_a_provider_that_no_store_could_hold_finds_nobody(repository: Repository, name: str) -> None:
    repository.add_user("anna", Rights(["lead"]))
    assert repository.identify("https://login.example", "s-1", name) is None
    made = repository.identify("https://login.example", "s-1", name, "agent")
    assert made is not None and made.name != "anna" and made.roles == ("agent",)
    assert repository.identify("https://login.example", "s-1", "anything") == made
