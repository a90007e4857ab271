"""Who may do what: every route against the documented table, with every kind of key, session and stranger."""

from __future__ import annotations

import asyncio
import hashlib
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from fastapi.params import Form
from fastapi.routing import APIRoute

from api.app import create_app
from api.security.api_keys import create_key
from api.security.auth import COOKIE, csrf_token, deny_by_default, scopes_of
from api.settings import load_settings
from api.store.repository import Repository
from api.store.rows import SCOPES

from ..local_client import TestClient

TABLE = Path(__file__).parents[3] / "docs" / "integration.md"
LINE = re.compile(r"^\| `(GET|HEAD|POST|DELETE) (\S+)` \| ([^|]+) \|$", re.M)


@pytest.fixture
def guarded(tmp_path: Path) -> Iterator[TestClient]:
    """The service as it runs with keys."""
    app = create_app(load_settings(home=tmp_path, rules_only=True))
    with TestClient(app, raise_server_exceptions=False, follow_redirects=False) as client:
        yield client


@pytest.fixture
def store(guarded: TestClient) -> Repository:
    repository: Repository = guarded.app.state.parts.service.store  # type: ignore[attr-defined]
    return repository


@pytest.fixture
def key(store: Repository) -> Callable[..., dict[str, str]]:
    """Make a key and return the header that carries it."""

    def make(*scopes: str, **options: Any) -> dict[str, str]:
        return {"Authorization": f"Bearer {create_key(store, 'test', scopes, **options)[0]}"}

    return make


def documented() -> dict[tuple[str, str], tuple[str, ...]]:
    found = {(method, path): scopes for method, path, scopes in LINE.findall(TABLE.read_text())}
    return {route: () if said.startswith("none") else tuple(said.split(", ")) for route, said in found.items()}


def test_the_documented_table_is_what_the_service_asks_for(guarded: TestClient) -> None:
    assert documented() == scopes_of(guarded.app)  # type: ignore[arg-type]


def test_every_route_takes_the_keys_of_the_table_and_no_others(
    guarded: TestClient, key: Callable[..., dict[str, str]]
) -> None:
    keys = {scope: key(scope) for scope in SCOPES}
    for (method, path), needed in documented().items():
        if not needed:
            continue
        url = re.sub(r"\{\w+\}", "x", path)
        assert guarded.request(method, url).status_code == 401, (method, path)
        for scope, header in keys.items():
            refused = guarded.request(method, url, headers=header).status_code == 403
            assert refused is (set(needed) != {scope}), (method, path, scope)


def test_a_route_that_asks_for_nothing_keeps_the_service_from_starting() -> None:
    app = FastAPI(openapi_url=None, docs_url=None, redoc_url=None)

    @app.get("/secret")
    def secret() -> str:
        return "told"

    with pytest.raises(RuntimeError, match="GET /secret"):
        deny_by_default(app)


def test_strangers_learn_nothing_about_what_they_sent(guarded: TestClient) -> None:
    for content in (b"{", b"[]", b'{"text": 7}', b"\xff", b""):
        answer = guarded.post("/v1/predict", content=content, headers={"Content-Type": "application/json"})
        assert (answer.status_code, answer.json()["code"]) == (401, "no-key")
        assert answer.headers["WWW-Authenticate"].startswith("Bearer")


@pytest.mark.parametrize(
    ("path", "headers"),
    [
        ("/sign-in?next=/a" + "/" * 1490, {}),
        ("/livez", {"Cookie": 'a="' + "\\1" * 15_000 + '"'}),
        ("/none/" + "%2F" * 2600, {}),
    ],
    ids=["a place of slashes", "a cookie in quotes", "slashes in a name"],
)
def test_what_strangers_send_is_read_in_a_moment(guarded: TestClient, path: str, headers: dict[str, str]) -> None:
    def spent_s() -> float:
        began = time.process_time()
        assert guarded.get(path, headers=headers).status_code in (200, 404)
        return time.process_time() - began

    assert min(spent_s() for _ in range(4)) < 0.04


def test_strangers_forms_are_small(guarded: TestClient) -> None:
    typed = {"Content-Type": "application/x-www-form-urlencoded"}
    for path in ("/sign-in", "/sign-in/proxy"):
        assert guarded.post(path, content=b"next=%2F" * 4_200, headers=typed).status_code == 413
        odd = {"Content-Type": "multipart/form-data; " + "a=1; " * 400}
        assert guarded.post(path, content=b"", headers=odd).status_code == 415


@pytest.mark.parametrize("name", ["Authorization", "X-API-Key"])
def test_a_key_comes_in_either_header(guarded: TestClient, store: Repository, name: str) -> None:
    text, _ = create_key(store, "test", ["read"])
    sent = f"Bearer {text}" if name == "Authorization" else text
    assert guarded.get("/v1/model", headers={name: sent}).status_code == 200
    for wrong in (sent + "x", "", "Basic eDp5", "Bearer", "Bearer \udcff"):
        headers = [(name.encode(), wrong.encode("utf-8", "surrogateescape"))]
        assert guarded.get("/v1/model", headers=headers).status_code == 401, wrong


def test_a_revoked_key_is_refused(guarded: TestClient, store: Repository) -> None:
    text, row = create_key(store, "test", ["read"])
    headers = {"Authorization": f"Bearer {text}"}
    guarded.app.state.access.keyring._fresh_s = 0.0  # type: ignore[attr-defined]
    assert guarded.get("/v1/model", headers=headers).status_code == 200
    store.revoke_key(row.id)
    answer = guarded.get("/v1/model", headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (401, "revoked-key")


@pytest.fixture
def session(guarded: TestClient, store: Repository) -> str:
    """Sign in to the page, and return the token of the session."""
    text, _ = create_key(store, "test", ["predict", "feedback", "read"])
    answer = guarded.post("/sign-in", data={"agent": "kim", "key": text})
    assert answer.status_code == 303, answer.text
    stated = answer.headers["set-cookie"].lower()
    assert "httponly" in stated and "samesite=strict" in stated and text not in stated
    return guarded.cookies[COOKIE]


def test_a_session_reads_but_changes_nothing_without_the_pages_token(guarded: TestClient, session: str) -> None:
    assert guarded.get("/v1/decisions").status_code == 200
    ticket = {"id": "T-1", "text": "my password is expired"}
    for headers in ({}, {"X-CSRF-Token": "guess"}, {"X-CSRF-Token": csrf_token("another session")}):
        answer = guarded.post("/v1/predict", json=ticket, headers=headers)
        assert (answer.status_code, answer.json()["code"]) == (403, "no-csrf-token")
    assert guarded.post("/v1/predict", json=ticket, headers={"X-CSRF-Token": csrf_token(session)}).status_code == 200


def test_another_sites_page_cannot_use_the_session(guarded: TestClient, session: str) -> None:
    headers = {"X-CSRF-Token": csrf_token(session), "Origin": "https://evil.example"}
    answer = guarded.post("/v1/predict", json={"text": "help"}, headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (403, "foreign-origin")
    answer = guarded.post("/try", data={"body": "help", "csrf_token": csrf_token(session)}, headers={"Origin": "null"})
    assert answer.status_code == 403
    assert guarded.get("/v1/decisions").json()["decisions"] == []


def json_routes(app: FastAPI) -> Iterator[str]:
    """The paths of all routes that take JSON."""
    for route in app.routes:
        if not isinstance(route, APIRoute) or route.body_field is None:
            continue
        if not isinstance(route.body_field.field_info, Form):
            yield re.sub(r"\{\w+\}", "x", route.path)


def test_a_form_from_a_session_is_refused_at_once_where_json_is_taken(guarded: TestClient, session: str) -> None:
    app: FastAPI = guarded.app  # type: ignore[assignment]
    token = csrf_token(session)
    forms: tuple[dict[str, Any], ...] = (
        {"data": {"csrf_token": token}},
        {"files": {"csrf_token": (None, token)}},
        {"content": b"", "headers": {"Content-Type": "Application/X-WWW-Form-URLEncoded ;charset=utf-8"}},
    )

    async def post_all() -> dict[str, list[int]]:
        transport, cookies = httpx.ASGITransport(app), {COOKIE: session}
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1", cookies=cookies) as client:
            told: dict[str, list[int]] = {}
            for path in {*json_routes(app), "/v1/predict?explain=true"}:
                async with asyncio.timeout(20):
                    told[path] = [(await client.post(path, **form)).status_code for form in forms]
            return told

    told = asyncio.run(post_all())
    assert {"/v1/predict", "/v1/predict?explain=true", "/v1/predict/batch", "/v2/models/x/infer"} <= set(told)
    assert {path: statuses for path, statuses in told.items() if statuses != [415] * 3} == {}


def test_a_form_without_a_session_is_refused_alike(client: TestClient) -> None:
    for path in ("/v1/predict", "/v1/predict/batch", "/v2/models/m/infer"):
        assert client.post(path, data={"csrf_token": "x"}).status_code == 415, path


def test_who_signed_in_speaks_as_themselves(guarded: TestClient, session: str) -> None:
    headers = {"X-CSRF-Token": csrf_token(session)}
    decision = guarded.post("/v1/predict", json={"text": "my password is expired"}, headers=headers).json()[
        "decision_id"
    ]
    said = {"verdict": "accepted", "agent": "somebody else"}
    answer = guarded.post(f"/v1/decisions/{decision}/feedback", json=said, headers=headers)
    assert answer.json()["agent"] == "kim"


def test_a_session_counts_beside_other_sites_cookies_in_quotes(guarded: TestClient, session: str) -> None:
    guarded.cookies.clear()
    for stated in (f'theme="dark"; {COOKIE}={session}', f'{COOKIE}={session}; theme="a\\073b"'):
        assert guarded.get("/v1/decisions", headers={"Cookie": stated}).status_code == 200, stated


def test_signing_out_ends_the_session(guarded: TestClient, session: str) -> None:
    guarded.post("/sign-out", data={"csrf_token": csrf_token(session)})
    guarded.cookies.set(COOKIE, session)
    assert guarded.get("/v1/decisions").status_code == 401


def test_no_get_changes_the_store(guarded: TestClient, key: Callable[..., dict[str, str]], tmp_path: Path) -> None:
    header = key(*SCOPES)
    guarded.post("/v1/predict", json={"id": "T", "text": "the vpn drops"}, headers=header)
    decision = guarded.get("/v1/decisions", headers=header).json()["decisions"][0]["decision_id"]

    def rows() -> str:
        files = sorted(path for path in tmp_path.glob("store.sqlite*") if not path.name.endswith(("-shm", ".lock")))
        return hashlib.sha256(b"".join(path.read_bytes() for path in files)).hexdigest()

    before = rows()
    for method, path in documented():
        if method == "GET":
            assert guarded.get(re.sub(r"\{\w+\}", decision, path), headers=header).status_code < 500
    assert rows() == before


class TestOpenLoopback:
    """Without keys, the browser of somebody on this machine must not become a tool of other sites."""

    def test_no_key_is_needed(self, client: TestClient) -> None:
        assert client.post("/v1/predict", json={"text": "help"}).status_code == 200

    @pytest.mark.parametrize(
        "origin", ["https://evil.example", "null", "http://127.0.0.1.evil.example", "http://127.0.0.1:1"]
    )
    def test_other_sites_change_nothing(self, client: TestClient, origin: str) -> None:
        answer = client.post("/v1/predict", json={"text": "help"}, headers={"Origin": origin})
        assert (answer.status_code, answer.json()["code"]) == (403, "foreign-origin")

    @pytest.mark.parametrize(
        "host",
        ["evil.example", "127.0.0.1.evil.example", "localhost.evil.example", "10.0.0.1", "testserver", "localhost."],
    )
    def test_a_name_that_was_pointed_here_reads_nothing(self, client: TestClient, host: str) -> None:
        answer = client.get("/v1/decisions", headers={"Host": host})
        assert (answer.status_code, answer.json()["code"]) == (403, "foreign-host")


def test_sensitive_text_is_withheld_from_low_clearance(
    guarded: TestClient, store: Repository, key: Callable[..., dict[str, str]]
) -> None:
    low, high = key("predict", "read"), key("predict", "read", clearance=9)
    ticket = {"id": "HR-1", "text": "somebody hacked my account: a data breach of payroll data, suspicious sign-in"}
    decided = guarded.post("/v1/predict", json=ticket, headers=low).json()
    sensitive = {
        entry["label"] for entry in guarded.get("/v1/policy", headers=low).json()["categories"] if entry["sensitive"]
    }
    assert decided["category"] in sensitive
    path = f"/v1/decisions/{decided['decision_id']}"
    seen, withheld = guarded.get(path, headers=high).json(), guarded.get(path, headers=low).json()
    assert seen["ticket"]["body"] == ticket["text"] and not seen["withheld"]
    assert withheld["withheld"] and withheld["ticket"] is None and "payroll" not in str(withheld)
