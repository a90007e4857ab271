"""People sign in with accounts: by password, at a provider, through a proxy; and what each role then may."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from html import escape, unescape
from pathlib import Path
from typing import Any, ClassVar

import httpx
import pytest

from api.app import create_app
from api.http.exceptions import NotAcceptable
from api.pages import live
from api.security.api_keys import create_key
from api.security.auth import COOKIE, csrf_token, scopes_of
from api.security.passwords import hash_password, is_password
from api.settings import load_settings
from api.store.people.users import Rights
from triage.errors import InvalidRequest

from ...conftest import free_port, wait_until
from ..local_client import TestClient
from .conftest import store_of

PASSWORD = "four words in a row"
DECIDING = {
    ("POST", "/v1/predict"),
    ("POST", "/v1/predict/batch"),
    ("POST", "/predict"),
    ("POST", "/v2/models/{model}/infer"),
}
"""All that a program may ask for without a key on a loopback service whose people have accounts."""
HTML = {"Accept": "text/html"}


@pytest.fixture(scope="module")
def hashed() -> str:
    return hash_password(PASSWORD)


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[..., TestClient]]:
    """Start the service with settings; a store that another one has filled is taken up again."""
    running: list[TestClient] = []

    def start(client: tuple[str, int] = ("testclient", 50000), **settings: Any) -> TestClient:
        app = create_app(load_settings(home=tmp_path, rules_only=True, **settings))
        running.append(TestClient(app, raise_server_exceptions=False, follow_redirects=False, client=client))
        running[-1].__enter__()
        return running[-1]

    yield start
    for client in running:
        client.__exit__(None, None, None)


def account(client: TestClient, name: str, *roles: str, hashed: str | None = None) -> None:
    store_of(client).add_user(name, Rights(roles, 2, ["network"]), hashed)


def sign_in(client: TestClient, name: str, password: str = PASSWORD) -> Any:
    return client.post("/sign-in", data={"name": name, "password": password}, headers=HTML)


def csrf(client: TestClient) -> dict[str, str]:
    return {"X-CSRF-Token": csrf_token(client.cookies[COOKIE])}


def test_a_password_is_kept_as_an_argon2_hash_and_has_twelve_characters(hashed: str) -> None:
    assert hashed.startswith("$argon2id$") and PASSWORD not in hashed
    assert is_password(hashed, PASSWORD) and not is_password(hashed, PASSWORD + "!") and not is_password(None, "")
    with pytest.raises(InvalidRequest, match="12"):
        hash_password("too short")


def test_an_account_with_groups_has_a_view_of_what_waits_for_them(
    serve: Callable[..., TestClient], hashed: str
) -> None:
    client = serve()
    store = store_of(client)
    store.add_user("Anna", Rights(["agent"], 2, ["major-incident", "network"]), hashed)
    store.add_user("Ben", Rights(["agent"], 2, []), hashed)
    sign_in(client, "Anna")
    bodies = (
        "The VPN drops every ten minutes",
        "the printer prints blank pages",
        "nobody can work, outage in all offices",
    )
    sent = [{"id": f"G-{number}", "text": body} for number, body in enumerate(bodies)]
    decided = [client.post("/v1/predict", json=one, headers=csrf(client)).json() for one in sent]
    mine = [one["ticket_id"] for one in decided if one["resolver_group"] == "major-incident"]
    assert 0 < len(mine) < 3, decided
    found = client.get("/v1/decisions?view=my_groups&sort=oldest").json()["decisions"]
    assert [one["ticket_id"] for one in found] == mine
    page = client.get("/?view=my_groups").text
    assert "My groups" in page and "printer" not in page
    assert len(re.findall(r'class="open"', page)) == len(mine)
    client.post("/sign-out", data={"csrf_token": csrf_token(client.cookies[COOKIE])})
    sign_in(client, "Ben")
    assert client.get("/v1/decisions?view=my_groups").json()["decisions"] == []
    assert "My groups" not in client.get("/").text and "You have no groups yet" in client.get("/?view=my_groups").text


def test_groups_that_the_policy_does_not_list_stay_when_an_account_changes(
    serve: Callable[..., TestClient], hashed: str
) -> None:
    client = serve()
    account(client, "root", "admin", hashed=hashed)
    store_of(client).add_user("Ben", Rights(["agent"], 0, ["former & team", "network"]), hashed)
    sign_in(client, "root")
    page = client.get("/people", headers=HTML).text
    form = page.partition('action="/people/Ben/rights"')[2].partition("</form>")[0]
    groups = [unescape(one) for one in re.findall(r'name="group" value="([^"]*)" checked', form)]
    said = {
        "role": ["agent", "lead"],
        "clearance": "1",
        "group": groups,
        "csrf_token": csrf_token(client.cookies[COOKIE]),
    }
    assert client.post("/people/Ben/rights", data=said, headers=HTML).status_code == 303
    [ben] = [one for one in store_of(client).users() if one.name == "Ben"]
    assert (set(ben.groups), ben.clearance) == ({"former & team", "network"}, 1)


def test_feedback_is_signed_by_the_account_whatever_the_request_says(
    serve: Callable[..., TestClient], hashed: str
) -> None:
    client = serve()
    account(client, "Anna", "agent", hashed=hashed)
    assert sign_in(client, " anna ").status_code == 303
    decided = client.post("/v1/predict", json={"text": "my password is expired"}, headers=csrf(client)).json()
    said = {"verdict": "accepted", "agent": "somebody else"}
    answer = client.post(f"/v1/decisions/{decided['decision_id']}/feedback", json=said, headers=csrf(client))
    assert answer.json()["agent"] == "Anna"
    [row] = store_of(client).history(decided["decision_id"])
    found = store_of(client).user("anna")
    assert found is not None and row.key_id == found[0].id


@pytest.mark.parametrize(
    ("role", "may"),
    [
        ("agent", {"GET /v1/decisions"}),
        ("lead", {"GET /v1/decisions", "GET /v1/users"}),
        ("data-scientist", {"GET /v1/decisions"}),
        ("admin", {"GET /v1/decisions", "GET /v1/users", "POST /v1/users"}),
    ],
)
def test_each_role_may_what_it_is_for(serve: Callable[..., TestClient], hashed: str, role: str, may: set[str]) -> None:
    client = serve()
    account(client, "anna", role, hashed=hashed)
    sign_in(client, "anna")
    new = {"name": "kim", "roles": ["agent"]}
    answered = {
        "GET /v1/decisions": client.get("/v1/decisions"),
        "GET /v1/users": client.get("/v1/users"),
        "POST /v1/users": client.post("/v1/users", json=new, headers=csrf(client)),
    }
    assert {route for route, answer in answered.items() if answer.status_code < 300} == may
    assert {answer.status_code for route, answer in answered.items() if route not in may} <= {403}


def test_a_wrong_password_an_unknown_name_and_a_disabled_account_look_the_same(
    serve: Callable[..., TestClient], hashed: str
) -> None:
    client = serve()
    account(client, "root", "admin", hashed=hashed)
    account(client, "kim", "agent", hashed=hashed)
    store_of(client).switch_user("kim", enabled=False)
    pages = {sign_in(client, *who).text for who in (("root", "x"), ("nobody", PASSWORD), ("kim", PASSWORD))}
    assert len(pages) == 1 and "do not belong together" in pages.pop() and COOKIE not in client.cookies


def test_attempts_are_limited_by_name(serve: Callable[..., TestClient], hashed: str) -> None:
    client = serve(sign_in_rate="3/minute")
    account(client, "root", "admin", hashed=hashed)
    assert [sign_in(client, "root", "x" * 12).status_code for _ in range(3)] == [200] * 3
    refused = sign_in(client, "ROOT")
    assert refused.status_code == 429 and int(refused.headers["Retry-After"]) <= 60
    assert "too many attempts" in refused.text


def test_a_stranger_keeps_nobody_out_by_wrong_passwords(serve: Callable[..., TestClient], hashed: str) -> None:
    client = serve(client=("10.1.0.7", 50000), sign_in_rate="2/minute", proxy_trusted="10.1.0.7")

    def answers(address: str, password: str) -> int:
        said = {"name": "root", "password": password}
        return client.post("/sign-in", data=said, headers={**HTML, "X-Forwarded-For": address}).status_code

    account(client, "root", "admin", hashed=hashed)
    assert [answers("192.0.2.66", "x" * 12) for _ in range(3)] == [200, 200, 429]
    assert answers("192.0.2.1", PASSWORD) == 303
    # One line of IPv6 is one address, whichever of its own networks and addresses a machine takes.
    assert [answers(f"2001:db8:0:{number}::1", "x" * 12) for number in range(30)] == [200, 200, *[429] * 28]
    assert answers("192.0.2.2", PASSWORD) == 303
    # Many addresses together cannot guess on: 20 may fail under one name.
    assert {answers(f"198.51.100.{number}", "x" * 12) for number in range(16)} == {200}
    assert answers("198.51.100.99", "x" * 12) == 429 == answers("192.0.2.1", PASSWORD)


def test_attempts_of_one_address_count_where_they_fail(serve: Callable[..., TestClient], hashed: str) -> None:
    client = serve(sign_in_rate="1/minute")
    people = [f"agent-{number}" for number in range(12)]
    for name in people:
        account(client, name, "agent", hashed=hashed)
    assert {sign_in(client, name).status_code for name in people} == {303}
    assert {sign_in(client, f"nobody-{number}", "x" * 12).status_code for number in range(10)} == {200}
    assert sign_in(client, "nobody", "x" * 12).status_code == 429


def test_people_behind_a_trusted_proxy_are_counted_each_by_their_own_address(
    serve: Callable[..., TestClient], hashed: str
) -> None:
    def last_answer(settings: dict[str, str], addresses: tuple[str, str]) -> int:
        client = serve(client=("10.1.0.7", 50000), sign_in_rate="1/minute", **settings)
        for number in range(11):
            forwarded = {"X-Forwarded-For": addresses[number // 10], **HTML}
            said = {"name": f"nobody-{number}", "password": "x" * 12}
            answer = client.post("/sign-in", data=said, headers=forwarded)
        return answer.status_code

    trusted = {"proxy_trusted": "10.1.0.0/16"}
    assert last_answer(trusted, ("192.0.2.1", "192.0.2.2")) == 200
    assert last_answer(trusted, ("192.0.2.1", "192.0.2.1")) == 429
    assert last_answer({**trusted, "proxy_header": "X-User"}, ("192.0.2.1", "192.0.2.2")) == 200
    assert last_answer({}, ("192.0.2.1", "192.0.2.2")) == 429


def test_a_link_of_another_site_leads_to_the_ticket_and_signs_nobody_out(
    serve: Callable[..., TestClient], hashed: str
) -> None:
    client = serve()
    account(client, "root", "admin", hashed=hashed)
    sign_in(client, "root")
    cookie = {"Cookie": f"{COOKIE}={client.cookies[COOKIE]}"}
    client.cookies.clear()
    place = "/decisions/0b5c?view=mine"
    followed = {**HTML, "Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}
    bounced = client.get(place, headers=followed)
    assert bounced.status_code == 200 and "set-cookie" not in bounced.headers
    assert f'content="0;url={place}"' in bounced.text
    asked = client.get(place, headers={**HTML, "Sec-Fetch-Site": "same-origin", "Sec-Fetch-Mode": "navigate"})
    assert asked.status_code == 303 and "set-cookie" not in asked.headers
    assert client.post("/people", headers=followed).headers["location"].startswith("/sign-in")
    old = client.get(place, headers={**followed, "Cookie": f"{COOKIE}=old"})
    assert old.status_code == 303 and "Max-Age=0" in old.headers["set-cookie"]
    assert client.get("/people", headers={**HTML, **cookie}).status_code == 200


def test_a_sign_in_behind_a_proxy_that_asks_under_another_host_needs_the_public_url(
    serve: Callable[..., TestClient], hashed: str
) -> None:
    said = {"name": "root", "password": PASSWORD}
    behind = serve(public_url="https://Triage.example:443/")
    account(behind, "root", "admin", hashed=hashed)
    from_page = {**HTML, "Host": "triage:8000", "Origin": "https://triage.example"}
    assert behind.post("/sign-in", data=said, headers=from_page).status_code == 303
    unsaved = {**HTML, "Host": "triage:8000", "Referer": "https://triage.example/decisions/0b5c"}
    client = serve(public_url="https://triage.example")
    away = client.post("/decisions/0b5c/undo", headers=unsaved)
    assert "next=%2Fdecisions%2F0b5c" in away.headers["location"]
    for origin in ("http://triage.example", "https://triage.example:8443", "https://evil.example", "null"):
        assert client.post("/sign-in", data=said, headers={**from_page, "Origin": origin}).status_code == 403
    assert serve().post("/sign-in", data=said, headers=from_page).status_code == 403


def test_a_session_that_somebody_put_there_ends_at_the_sign_in(serve: Callable[..., TestClient], hashed: str) -> None:
    client = serve()
    account(client, "root", "admin", hashed=hashed)
    sign_in(client, "root")
    planted = client.cookies[COOKIE]
    sign_in(client, "root")
    assert client.cookies[COOKIE] != planted and len(store_of(client).sessions()) == 1
    assert client.get("/v1/decisions", headers={"Cookie": f"{COOKIE}={planted}"}).status_code in (200, 401)
    client.cookies.clear()
    assert client.get("/v1/decisions", headers={"Cookie": f"{COOKIE}={planted}"}).status_code == 401


def test_roles_password_and_disabling_take_effect_on_open_sessions(
    serve: Callable[..., TestClient], hashed: str
) -> None:
    client = serve()
    client.app.state.access.keyring._fresh_s = 0.0  # type: ignore[attr-defined]
    store = store_of(client)
    account(client, "root", "admin", hashed=hashed)
    account(client, "kim", "admin", hashed=hashed)
    sign_in(client, "kim")
    assert client.get("/v1/users").status_code == 200
    store.change_rights("kim", Rights(["agent"]))
    assert client.get("/v1/users").status_code == 403
    store.set_password("kim", hashed)
    assert client.get("/v1/decisions").status_code == 401
    sign_in(client, "kim")
    store.switch_user("kim", enabled=False)
    assert client.get("/v1/decisions").status_code == 401 and sign_in(client, "kim").status_code == 200


def test_sessions_are_listed_and_ended_over_the_api(serve: Callable[..., TestClient], hashed: str) -> None:
    client = serve()
    client.app.state.access.keyring._fresh_s = 0.0  # type: ignore[attr-defined]
    account(client, "root", "admin", hashed=hashed)
    sign_in(client, "root")
    [session] = client.get("/v1/sessions").json()["sessions"]
    assert (session["agent"], session["by"]) == ("root", "account")
    path = f"/v1/sessions/{session['session_id']}"
    assert client.delete("/v1/sessions/3f", headers=csrf(client)).status_code == 404
    assert client.delete(path, headers=csrf(client)).status_code == 204
    assert client.get("/v1/decisions").status_code == 401


def test_nobody_ends_the_session_of_another_without_the_right(serve: Callable[..., TestClient], hashed: str) -> None:
    client = serve()
    account(client, "root", "admin", hashed=hashed)
    account(client, "kim", "agent", hashed=hashed)
    sign_in(client, "root")
    [admin] = store_of(client).sessions()
    client.cookies.clear()
    sign_in(client, "kim")
    form = {"csrf_token": csrf_token(client.cookies[COOKIE])}
    assert client.post(f"/sessions/{admin.id}/end", data=form, headers=HTML).status_code == 404
    assert "root" not in client.get("/people", headers=HTML).text
    assert len(store_of(client).sessions()) == 2


def test_the_last_admin_stays(serve: Callable[..., TestClient], hashed: str) -> None:
    client = serve()
    account(client, "root", "admin", hashed=hashed)
    sign_in(client, "root")
    for change in ({"roles": ["agent"]}, {"disabled": True}):
        answer = client.post("/v1/users/root", json=change, headers=csrf(client))
        assert (answer.status_code, answer.json()["code"]) == (422, "last-admin")


def test_a_change_that_is_refused_changes_nothing_of_an_account(serve: Callable[..., TestClient], hashed: str) -> None:
    client = serve()
    account(client, "root", "admin", hashed=hashed)
    sign_in(client, "root")
    before = store_of(client).user("root")
    whole = {"clearance": 0, "groups": [], "password": "another four words in a row"}
    for change in ({"roles": ["agent"]}, {"disabled": True}, {"roles": ["king"]}):
        assert client.post("/v1/users/root", json={**whole, **change}, headers=csrf(client)).status_code == 422
    assert store_of(client).user("root") == before and len(store_of(client).sessions()) == 1
    done = client.post("/v1/users/root", json=whole, headers=csrf(client))
    assert (done.status_code, done.json()["clearance"], store_of(client).sessions()) == (200, 0, [])
    assert sign_in(client, "root", "another four words in a row").status_code == 303


def test_a_password_that_is_too_short_is_not_called_empty(serve: Callable[..., TestClient], hashed: str) -> None:
    client = serve()
    account(client, "root", "admin", hashed=hashed)
    sign_in(client, "root")
    said = [
        client.post("/v1/users/root", json=body, headers=csrf(client)).json()["detail"].split(";")[0]
        for body in ({"password": "short"}, {"password": ""})
    ]
    assert said == ["password is too short: at least 12"] * 2
    named = {"name": "", "roles": ["agent"]}
    assert "name is empty" in client.post("/v1/users", json=named, headers=csrf(client)).json()["detail"]


def test_who_was_signed_out_is_told_that_nothing_was_saved_and_comes_back(
    serve: Callable[..., TestClient], hashed: str
) -> None:
    client = serve()
    account(client, "root", "admin", hashed=hashed)
    sign_in(client, "root")
    form = {"verdict": "accepted", "csrf_token": csrf_token(client.cookies[COOKIE])}
    client.app.state.access.keyring._fresh_s = 0.0  # type: ignore[attr-defined]
    [session] = store_of(client).sessions()
    store_of(client).end_session(session.id)
    place = "/decisions/0b5c?view=mine&q=a%20b"
    away = client.post("/decisions/0b5c/feedback", data=form, headers={**HTML, "Referer": f"http://127.0.0.1{place}"})
    assert away.status_code == 303
    page = client.get(away.headers["location"], headers=HTML)
    assert "You were signed out; nothing was saved." in page.text
    kept = unescape(re.findall(r'name="next" value="([^"]*)"', page.text)[-1])
    assert kept == place
    wrong = client.post("/sign-in", data={"name": "root", "password": "x", "next": kept}, headers=HTML)
    assert f'name="next" value="{escape(kept)}"' in wrong.text
    back = client.post("/sign-in", data={"name": "root", "password": PASSWORD, "next": kept}, headers=HTML)
    assert (back.status_code, back.headers["location"]) == (303, place)
    looked = serve().get("/people", headers=HTML)
    assert looked.headers["location"] == "/sign-in?next=%2Fpeople"
    assert "nothing was saved" not in serve().get(looked.headers["location"], headers=HTML).text


@pytest.mark.parametrize(
    ("stated", "place"),
    [
        ("/decisions/0b5c", "/decisions/0b5c"),
        ("/?view=mine", "/?view=mine"),
        ("/decisions/0b5c/feedback", "/decisions/0b5c"),
        ("/nothing/here", "/"),
        *((wrong, "/") for wrong in ("", "//evil.example", "https://evil.example/", "/\\evil.example", "\\\\evil")),
        *(
            (wrong, "/")
            for wrong in ("/\t/evil.example", "javascript:alert(1)", "people", "/sign-in?next=/", "/%0d%0a")
        ),
        ("/people?x=" + "y" * 1500, "/"),
    ],
)
def test_one_comes_back_to_pages_of_this_service_alone(
    serve: Callable[..., TestClient], hashed: str, stated: str, place: str
) -> None:
    client = serve()
    account(client, "root", "admin", hashed=hashed)
    answer = client.post("/sign-in", data={"name": "root", "password": PASSWORD, "next": stated}, headers=HTML)
    assert (answer.status_code, answer.headers["location"]) == (303, place)


def test_loopback_is_open_until_the_first_account_and_asks_from_then_on(
    serve: Callable[..., TestClient], hashed: str
) -> None:
    client = serve(open_loopback=True)
    assert client.get("/", headers=HTML).status_code == 200
    refused = client.post("/v1/users", json={"name": "eve", "roles": ["admin"]})
    assert (refused.status_code, refused.json()["code"]) == (403, "first-account")
    ticket = {"id": "T-1", "text": "The printer on the second floor does not print."}
    assert client.post("/v1/predict", json=ticket).json()["stored"]
    event = {"id": "e-1", "kind": "comment", "at": "2026-11-27T09:01:00Z", "text": "zanzibar burns, people are hurt"}
    assert "zanzibar" in client.post("/v1/tickets/T-1/events", json=event).text
    account(client, "root", "admin", hashed=hashed)
    client.app.state.access._asked_at = -10.0  # type: ignore[attr-defined]
    away = client.get("/", headers=HTML)
    assert (away.status_code, away.headers["location"]) == (303, "/sign-in")
    decided = client.post("/v1/predict", json={"text": "my password is expired"})
    assert decided.status_code == 200
    for sent in (ticket, {**ticket, "text": "any news?"}):
        told = client.post("/v1/predict", json=sent)
        assert [one["kind"] for one in told.json()["attention"]] == ["safety"] and "zanzibar" not in told.text
    said = {"verdict": "accepted", "agent": "root"}
    answer = client.post(f"/v1/decisions/{decided.json()['decision_id']}/feedback", json=said)
    assert (answer.status_code, answer.json()["code"]) == (401, "no-account")
    for method, path in (route for route, scopes in scopes_of(client.app).items() if scopes):  # type: ignore[arg-type]
        status = client.request(method, re.sub(r"\{\w+\}", "x", path)).status_code
        assert (status == 401) is ((method, path) not in DECIDING), (method, path)
    assert sign_in(client, "root").status_code == 303 and client.get("/", headers=HTML).status_code == 200


def test_keys_open_no_pages_once_people_have_accounts(serve: Callable[..., TestClient], hashed: str) -> None:
    client = serve()
    text, _ = create_key(store_of(client), "desk", ["read", "predict", "feedback"])
    account(client, "root", "admin", hashed=hashed)
    answer = client.post("/sign-in", data={"agent": "root", "key": text}, headers=HTML)
    assert answer.status_code == 200 and "People have accounts here" in answer.text
    assert client.get("/v1/decisions", headers={"X-API-Key": text}).status_code == 200


def test_a_session_of_a_key_ends_with_the_first_account(serve: Callable[..., TestClient], hashed: str) -> None:
    client = serve(request_deadline_s=15)
    client.app.state.access.keyring._fresh_s = 0.0  # type: ignore[attr-defined]
    text, _ = create_key(store_of(client), "desk", ["read", "predict", "feedback"])
    client.post("/sign-in", data={"agent": "anna", "key": text}, headers=HTML)
    decided = client.post("/v1/predict", json={"text": "the vpn drops"}, headers=csrf(client)).json()
    account(client, "anna", "agent", hashed=hashed)
    said = {"verdict": "unsure", "agent": "zzz"}
    answer = client.post(f"/v1/decisions/{decided['decision_id']}/feedback", json=said, headers=csrf(client))
    assert answer.status_code == 401 and store_of(client).sessions() == []
    assert client.get("/", headers=HTML).headers["location"] == "/sign-in"
    assert sign_in(client, "anna").status_code == 303 and len(store_of(client).sessions()) == 1


@pytest.mark.parametrize("end", ["session", "account", "rights", "key"])
def test_live_news_ends_with_what_opened_it(
    serve: Callable[..., TestClient], hashed: str, end: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "LOOK_S", 0.02)
    monkeypatch.setattr(live, "SIGN_S", 0.04)
    client = serve(request_deadline_s=15)
    store, state = store_of(client), client.app.state  # type: ignore[attr-defined]
    state.access.keyring._fresh_s = 0.0
    text, key = create_key(store, "desk", ["read", "predict"])
    decided = client.post("/v1/predict", json={"text": "the vpn drops"}, headers={"X-API-Key": text}).json()
    account(client, "root", "admin")
    account(client, "kim", "agent", hashed=hashed)
    sign_in(client, "kim")
    headers = {"Accept": "text/event-stream", **({"X-API-Key": text} if end == "key" else {})}
    ends: dict[str, Callable[[], object]] = {
        "session": lambda: store.end_session(store.sessions()[0].id),
        "account": lambda: store.switch_user("kim", enabled=False),
        "rights": lambda: store.change_rights("kim", Rights(clearance=0)),
        "key": lambda: store.revoke_key(key.id),
    }
    looks: list[str] = []
    monkeypatch.setattr(store, "look", lambda decision_id, me: looks.append(me))
    with ThreadPoolExecutor(2) as pool:
        places = ("/live", f"/decisions/{decided['decision_id']}/live")
        told = [pool.submit(client.get, place, headers=headers) for place in places]
        try:
            wait_until(lambda: len(looks) > 2, 10)
            assert not any(one.done() for one in told)
            ends[end]()
            assert [one.result(10).status_code for one in told] == [200, 200]
        finally:
            state.parts.service.draining = True
    seen = len(looks)
    time.sleep(0.1)
    assert len(looks) == seen


class TestProxy:
    """The header of a proxy is believed where it is switched on, and from the proxy alone."""

    ON: ClassVar = {"proxy_header": "X-Forwarded-User", "proxy_trusted": "10.1.0.0/16"}
    SAYS: ClassVar = {"X-Forwarded-User": "anna", **HTML}

    @pytest.mark.parametrize(
        ("settings", "peer"),
        [({}, "10.1.0.7"), (ON, "10.2.0.7"), (ON, "127.0.0.1"), (ON, "testclient")],
        ids=["off", "another network", "loopback", "no address"],
    )
    def test_nobody_else_is_believed(
        self, serve: Callable[..., TestClient], settings: dict[str, str], peer: str
    ) -> None:
        client = serve(client=(peer, 50000), **settings)
        account(client, "anna", "admin")
        assert client.post("/sign-in/proxy", headers={**self.SAYS, "X-Forwarded-For": "10.1.0.7"}).status_code == 200
        assert COOKIE not in client.cookies and "anna" not in client.get("/sign-in", headers=self.SAYS).text

    @pytest.mark.parametrize("charset", ["utf-8", "latin-1"])
    def test_a_name_with_other_letters_than_those_of_ascii_signs_in(
        self, serve: Callable[..., TestClient], charset: str
    ) -> None:
        client = serve(client=("10.1.0.7", 50000), **self.ON)
        says = [(b"X-Forwarded-User", "Jürgen".encode(charset))]
        account(client, "jürgen", "admin")
        assert "Jürgen" in client.get("/sign-in", headers=says).text
        assert client.post("/sign-in/proxy", headers=says).status_code == 303
        assert client.get("/v1/users", headers=says).status_code == 200

    def test_a_person_goes_on_and_another_one_signs_in_again(self, serve: Callable[..., TestClient]) -> None:
        client = serve(client=("10.1.0.7", 50000), **self.ON)
        account(client, "anna", "admin")
        assert "Go on as" in client.get("/sign-in", headers=self.SAYS).text
        assert client.post("/sign-in/proxy", headers=self.SAYS).status_code == 303
        assert client.get("/v1/users", headers=self.SAYS).status_code == 200
        assert client.get("/v1/users", headers={"X-Forwarded-User": "kim"}).status_code == 401
        assert client.post("/sign-in/proxy", headers={"X-Forwarded-User": "kim"}).status_code == 200

    def test_half_a_setting_is_refused_at_the_start(self, tmp_path: Path) -> None:
        for stated in ({"proxy_header": "X-User"}, {"proxy_trusted": "moon"}, {**self.ON, "proxy_trusted": "moon"}):
            with pytest.raises(InvalidRequest, match="TRIAGE_PROXY"):
                load_settings(home=tmp_path, **stated)


@pytest.fixture(scope="module")
def provider() -> Iterator[str]:
    """A provider of OpenID Connect, as a process of its own on loopback."""
    port = free_port()
    command = [sys.executable, "-P", "-m", "oidc_provider_mock", "--port", str(port), "--require-nonce"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    url = f"http://127.0.0.1:{port}"
    try:
        for _ in range(200):
            try:
                issuer = httpx.get(f"{url}/.well-known/openid-configuration", timeout=5).json()["issuer"]
                break
            except httpx.TransportError:
                time.sleep(0.1)
        yield str(issuer).rstrip("/")
    finally:
        process.terminate()
        process.wait(20)


class TestOpenId:
    """Sign-in at a provider that runs."""

    @pytest.fixture(autouse=True)
    def _secret(self, tmp_path: Path) -> None:
        self.secret = tmp_path / "secret"
        self.secret.write_text("the service's own secret\n")

    def settings(self, provider: str, **more: str) -> dict[str, Any]:
        stated = {"oidc_issuer": provider, "oidc_client_id": "triage", "oidc_claim": "sub"}
        return {**stated, "oidc_client_secret_file": self.secret, **more}

    def there_and_back(self, client: TestClient, subject: str, **query: str) -> str:
        """Sign in at the provider, and return where it sends the browser."""
        away = client.get("/sign-in/openid", headers=HTML, params=query)
        assert away.status_code == 303 and "code_challenge_method=S256" in away.headers["location"]
        answered = httpx.post(away.headers["location"], data={"sub": subject}, follow_redirects=False, timeout=10)
        assert answered.status_code in (302, 303), answered.text
        return re.sub(r"^https?://[^/]+", "", answered.headers["location"])

    def test_a_person_with_an_account_is_let_in(self, serve: Callable[..., TestClient], provider: str) -> None:
        client = serve(**self.settings(provider))
        account(client, "anna@example.com", "lead")
        assert "/sign-in/openid" in client.get("/sign-in", headers=HTML).text
        back = client.get(self.there_and_back(client, "anna@example.com"), headers=HTML)
        assert back.status_code == 200 and "samesite=strict" in back.headers["set-cookie"].lower()
        assert client.get("/v1/users").status_code == 200
        [session] = store_of(client).sessions()
        assert session.agent == "anna@example.com"

    def test_the_session_that_the_browser_had_ends(self, serve: Callable[..., TestClient], provider: str) -> None:
        client = serve(**self.settings(provider))
        account(client, "anna@example.com", "lead")
        client.get(self.there_and_back(client, "anna@example.com"), headers=HTML)
        back = self.there_and_back(client, "anna@example.com")
        client.cookies.delete(COOKIE)  # which the browser holds back on the way from another site
        client.get(back, headers=HTML)
        assert len(store_of(client).sessions()) == 1

    def test_a_person_comes_back_from_the_provider_to_the_page_that_was_asked_for(
        self, serve: Callable[..., TestClient], provider: str
    ) -> None:
        client = serve(**self.settings(provider))
        account(client, "anna@example.com", "lead")
        page = client.get(client.get("/people", headers=HTML).headers["location"], headers=HTML).text
        assert 'href="/sign-in/openid?next=/people"' in page
        for stated, place in (("/people", "/people"), ("//evil.example", "/")):
            back = client.get(self.there_and_back(client, "anna@example.com", next=stated), headers=HTML)
            assert f'content="0;url={place}"' in back.text

    def test_a_stranger_is_refused_or_gets_the_role_that_is_set(
        self, serve: Callable[..., TestClient], provider: str
    ) -> None:
        client = serve(**self.settings(provider))
        refused = client.get(self.there_and_back(client, "eve@example.com"), headers=HTML)
        assert "no account for you" in refused.text and COOKIE not in client.cookies
        generous = serve(**self.settings(provider, oidc_new_role="agent"))
        assert generous.get(self.there_and_back(generous, "eve@example.com"), headers=HTML).status_code == 200
        assert generous.get("/v1/decisions").status_code == 200 and generous.get("/v1/users").status_code == 403

    def test_an_answer_to_another_browser_is_worth_nothing(
        self, serve: Callable[..., TestClient], provider: str
    ) -> None:
        client, other = serve(**self.settings(provider)), serve(**self.settings(provider))
        account(client, "anna@example.com", "lead")
        stolen = self.there_and_back(client, "anna@example.com")
        assert "begin again" in other.get(stolen, headers=HTML).text  # no attempt of its own
        other.get("/sign-in/openid", headers=HTML)
        assert "begin again" in other.get(stolen, headers=HTML).text  # an attempt with another state
        assert COOKIE not in other.cookies

    def test_a_provider_that_is_away_is_said(self, serve: Callable[..., TestClient]) -> None:
        client = serve(**self.settings(f"http://127.0.0.1:{free_port()}"))
        answer = client.get("/sign-in/openid", headers=HTML)
        assert answer.status_code == 502 and "does not answer" in answer.text


def test_errors_in_a_browser_are_pages_and_problems_for_programs(serve: Callable[..., TestClient]) -> None:
    client = serve(open_loopback=True)
    page = client.get("/no/such/page", headers=HTML)
    assert page.status_code == 404 and "Back to the queue" in page.text
    assert client.get("/no/such/page").headers["content-type"] == "application/problem+json"
    assert client.get("/v1/nothing", headers=HTML).headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize("name", ["a/b", "a?b", "a#b", "a%b", ".", "..", "a\uff0fb", "a\nb", " .. "])
def test_a_name_that_no_address_could_hold_is_refused_everywhere(
    serve: Callable[..., TestClient], hashed: str, name: str
) -> None:
    client = serve()
    account(client, "root", "admin", hashed=hashed)
    sign_in(client, "root")
    refused = client.post("/v1/users", json={"name": name, "roles": ["agent"]}, headers=csrf(client))
    assert (refused.status_code, refused.json()["code"]) == (422, "bad-name")
    token = {"csrf_token": csrf_token(client.cookies[COOKIE])}
    page = client.post("/people", data={"name": name, "role": "agent", **token}, headers=HTML)
    assert page.status_code == 422 and re.search("account needs a name|name holds none of", page.text)
    with pytest.raises(NotAcceptable, match="choose"):  # what `triage users create` calls
        store_of(client).add_user(name, Rights(["agent"]))
    assert [user.name for user in store_of(client).users()] == ["root"]


def test_an_account_whose_name_has_a_slash_from_before_can_be_changed(
    serve: Callable[..., TestClient], hashed: str
) -> None:
    client = serve()
    account(client, "root", "admin", hashed=hashed)
    made = store_of(client).identify("https://idp.example", "7", "CORP/kim", "agent")
    assert made is not None
    sign_in(client, "root")
    changed = client.post("/v1/users/CORP%2Fkim", json={"clearance": 1}, headers=csrf(client))
    assert (changed.status_code, changed.json()["clearance"]) == (200, 1)
    token = {"csrf_token": csrf_token(client.cookies[COOKIE])}
    page = client.get("/people", headers=HTML).text
    assert 'action="/people/CORP%2Fkim/disable"' in page
    assert client.post("/people/CORP%2Fkim/disable", data=token, headers=HTML).status_code == 303
    found = store_of(client).user("CORP/kim")
    assert found is not None and found[0].disabled_at is not None


@pytest.mark.parametrize("word", ["banana", "Enable", "enabled", "rights2"])
def test_another_word_behind_an_account_changes_nothing(
    serve: Callable[..., TestClient], hashed: str, word: str
) -> None:
    client = serve()
    account(client, "root", "admin", hashed=hashed)
    account(client, "kim", "agent")
    sign_in(client, "root")
    token = {"csrf_token": csrf_token(client.cookies[COOKIE])}
    assert client.post(f"/people/kim/{word}", data=token, headers=HTML).status_code == 404
    for switch, disabled in (("disable", True), ("enable", False)):
        assert client.post(f"/people/kim/{switch}", data=token, headers=HTML).status_code == 303
        found = store_of(client).user("kim")
        assert found is not None and (found[0].disabled_at is not None) is disabled
