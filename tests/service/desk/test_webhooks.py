"""A helpdesk's webhooks through the whole service: a ticket is decided and told back, a correction becomes feedback."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx2
import pytest
from sqlalchemy import text as sql
from sqlalchemy import update

from api.app import create_app
from api.helpdesks.config import load_helpdesks
from api.helpdesks.signatures import PRESETS
from api.security.api_keys import create_key
from api.settings import load_settings
from api.store.outbox import SENT
from api.store.tables import StoredDecision
from triage.errors import InvalidRequest

from ..local_client import TestClient

SECRET = "a secret of sixteen or more"
FILE = """
[helpdesks.rt]
secrets = ["RT_SECRET"]

[helpdesks.rt.ticket]
when = {{ event = "created" }}
id = "ticket.id"
subject = "ticket.subject"
body = "ticket.text"
attributes = {{ queue = "ticket.queue" }}

[helpdesks.rt.feedback]
when = {{ event = "corrected" }}
id = "ticket.id"
agent = "agent"
not_people = ["triage"]
tier = "ticket.tier"
category = "ticket.category"
{changed}

[helpdesks.rt.update]
url = "http://127.0.0.1:{port}/ticket/{{ticket_id}}"
hosts = ["127.0.0.1:{port}"]
loopback = true
body = {{ Tier = "{{tier}}", Category = "{{category}}" }}
"""
CREATED = {"event": "created", "ticket": {"id": 7, "subject": "VPN", "text": "my password is expired", "queue": "it"}}


@pytest.fixture
def client(
    request: pytest.FixtureRequest, told: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[TestClient]:
    monkeypatch.setenv("RT_SECRET", SECRET)
    changed = getattr(request, "param", "")
    (tmp_path / "desks.toml").write_text(FILE.format(port=told.port, changed=changed))
    settings = load_settings(home=tmp_path / "home", rules_only=True, helpdesks=tmp_path / "desks.toml")
    with TestClient(create_app(settings), raise_server_exceptions=False) as client:
        yield client


def send(client: TestClient, document: object, delivery: str = "", desk: str = "rt", **changes: str) -> httpx2.Response:
    body, now = json.dumps(document).encode(), changes.pop("timestamp", str(int(time.time())))
    headers = {
        "Content-Type": "application/json",
        "X-Triage-Timestamp": now,
        "X-Triage-Signature": PRESETS["triage"].of(SECRET.encode(), body, now),
        **({"X-Triage-Delivery": delivery} if delivery else {}),
        **changes,
    }
    return client.post(f"/v1/webhooks/{desk}", content=body, headers=headers)


def wait_for(condition: Any) -> None:
    deadline = time.monotonic() + 10
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.02)
    assert condition()


def test_a_ticket_is_decided_and_the_desk_is_told(client: TestClient, told: Any) -> None:
    answer = send(client, CREATED)
    assert answer.status_code == 200, answer.text
    assert answer.json()["outcome"] == "decided" and answer.json()["ticket_id"] == "7"
    wait_for(lambda: told.requests)
    kept = client.app.state.parts.service.store.decision(answer.json()["decision_id"])  # type: ignore[attr-defined]
    assert (kept.source, kept.ticket_id, kept.subject, kept.body) == ("rt", "7", "VPN", "my password is expired")
    method, path, body, _ = told.requests[0]
    assert (method, path, body) == (
        "PUT",
        "/ticket/7",
        {"Tier": kept.document.tier, "Category": kept.document.category},
    )


def test_the_routes_of_a_ticket_reach_it_under_the_name_of_its_desk(client: TestClient) -> None:
    secret = {**CREATED, "ticket": {**CREATED["ticket"], "id": 8, "text": "the salaries of zanzibar are readable"}}  # type: ignore[dict-item]
    for document in (CREATED, secret):
        assert send(client, document).status_code == 200
    store = client.app.state.parts.service.store  # type: ignore[attr-defined]
    wait_for(lambda: len(store.latest()) == 2)
    with store.database.writing() as session:
        session.execute(update(StoredDecision).where(StoredDecision.id == store.latest(1)[0].id).values(sensitive=True))
    high, low = (
        {"Authorization": f"Bearer {create_key(store, name, ['predict', 'read'], clearance=clearance)[0]}"}
        for name, clearance in (("high", 3), ("low", 0))
    )
    event = {"kind": "comment", "at": datetime.now(UTC).isoformat()}
    calls: dict[str, tuple[str, Any]] = {
        "": ("GET", None),
        "/packet": ("GET", None),
        "/knowledge": ("GET", None),
        "/events": ("POST", {"id": "e1", "text": "it is urgent now", **event}),
        "/answers": ("POST", {"id": "a1", "at": event["at"], "answers": [{"question": "since when?", "text": "now"}]}),
        "/escalation": ("POST", {}),
    }
    for tail, (method, body) in calls.items():
        told = {}
        for desk in ("", "?desk=api", "?desk=elsewhere", "?desk=rt"):
            answer = client.request(method, f"/v1/tickets/7{tail}{desk}", json=body, headers=high)
            told[desk] = answer.status_code
            assert desk == "?desk=rt" or answer.json()["code"] == "no-such-ticket"
        assert told == {"": 404, "?desk=api": 404, "?desk=elsewhere": 404, "?desk=rt": 200}, tail
    timeline = client.get("/v1/tickets/7?desk=rt", headers=high).json()["timeline"]
    assert "it is urgent now" in [one["words"] for one in timeline]
    more = {"id": "e2", "text": "zanzibar again", **event}
    assert client.post("/v1/tickets/8/events?desk=rt", json=more, headers=high).status_code == 200
    assert "zanzibar" in client.get("/v1/tickets/8?desk=rt", headers=high).text
    for tail, (method, body) in calls.items():
        seen = client.request(method, f"/v1/tickets/8{tail}?desk=rt", json=body, headers=low)
        assert seen.status_code == (403 if tail == "/knowledge" else 200) and "zanzibar" not in seen.text, tail


def test_a_replay_and_a_retry_change_nothing_and_get_the_first_answer(client: TestClient, told: Any) -> None:
    now = str(int(time.time()))
    first = send(client, CREATED, "d-1", timestamp=now)
    assert first.status_code == 200 and first.json()["outcome"] == "decided"
    for delivery, moment in (("d-1", now), ("d-2", now), ("", now), ("d-1", str(int(now) + 1))):
        answer = send(client, CREATED, delivery, timestamp=moment)
        assert (answer.status_code, answer.json()) == (200, first.json())
    wait_for(lambda: told.requests)
    assert len(client.app.state.parts.service.store.latest()) == 1  # type: ignore[attr-defined]
    assert len(told.requests) == 1


def test_of_many_copies_at_once_exactly_one_is_taken(client: TestClient, told: Any) -> None:
    now = str(int(time.time()))
    with ThreadPoolExecutor(8) as crowd:
        answers = list(crowd.map(lambda _: send(client, CREATED, "d", timestamp=now), range(8)))
    assert [answer.status_code for answer in answers] == [200] * 8
    assert len({answer.text for answer in answers}) == 1
    wait_for(lambda: told.requests)
    assert len(client.app.state.parts.service.store.latest()) == 1  # type: ignore[attr-defined]


def test_forged_stale_and_unknown_are_refused_alike(client: TestClient) -> None:
    before = str(int(time.time()) - 301)
    cases: list[httpx2.Response] = [
        send(client, CREATED, **{"X-Triage-Signature": "sha256=" + "0" * 64}),
        send(client, CREATED, timestamp=before),
        send(client, CREATED, desk="nobody"),
        client.post("/v1/webhooks/rt", json=CREATED),
        client.post("/v1/webhooks/rt", content=b"\xff", headers={"X-Triage-Signature": "x"}),
    ]
    assert [case.status_code for case in cases] == [401] * 5
    assert all(case.headers["content-type"] == "application/problem+json" for case in cases)
    assert client.app.state.parts.service.store.latest() == []  # type: ignore[attr-defined]


def test_what_cannot_be_read_is_refused_and_may_be_sent_again(client: TestClient) -> None:
    documents: list[object] = [[], {"event": "created", "ticket": {}}, {"event": "created", "ticket": {"id": 7}}]
    for document in documents:
        assert send(client, document).status_code == 422
        assert send(client, document).status_code == 422


def test_what_is_about_something_else_is_taken_and_ignored(client: TestClient) -> None:
    assert send(client, {"event": "closed", "ticket": {"id": 7}}).json()["outcome"] == "ignored"


CHANGED = 'changed = ["changes.tier", "changes.category"]'


@pytest.mark.parametrize("client", [CHANGED], indirect=True)
def test_a_correction_becomes_feedback_and_a_confirmation_acceptance(client: TestClient) -> None:
    decision = send(client, CREATED).json()["decision_id"]
    kept = client.app.state.parts.service.store.decision(decision)  # type: ignore[attr-defined]
    same = {"id": 7, "tier": kept.document.tier, "category": kept.document.category}
    assert send(client, {"event": "corrected", "agent": "ann", "ticket": same}).json()["outcome"] == "ignored"
    change = {"event": "corrected", "changes": {"tier": ["L2", "L1"]}}
    assert send(client, {**change, "agent": "kim", "ticket": same}).json()["outcome"] == "feedback"
    other = {"id": 7, "tier": "L3", "category": "access"}
    answer = send(client, {**change, "agent": "lee", "ticket": other})
    assert answer.json() == {"outcome": "feedback", "decision_id": decision, "ticket_id": "7"}
    said = client.app.state.parts.service.store.history(decision)  # type: ignore[attr-defined]
    assert [(row.verdict, row.agent, row.tier) for row in said] == [
        ("accepted", "kim", kept.document.tier),
        ("corrected", "lee", "L3"),
    ]


def test_who_changes_something_else_has_reviewed_nothing(client: TestClient, told: Any) -> None:
    """Where the helpdesk does not say what was changed, the labels that it was told are accepted by nobody."""
    decision = send(client, CREATED).json()["decision_id"]
    store = client.app.state.parts.service.store  # type: ignore[attr-defined]
    wait_for(lambda: store.updates(SENT))
    kept = store.decision(decision).document

    def outcome(agent: str, **labels: str | None) -> str:
        ticket = {"id": 7, "status": f"seen by {agent}", **labels}
        answer = send(client, {"event": "corrected", "agent": agent, "ticket": ticket})
        return str(answer.json().get("outcome", answer.text))

    told_labels: dict[str, str | None] = {"tier": kept.tier, "category": kept.category}
    assert outcome("ann", **told_labels) == outcome("ben") == outcome("ben", tier="", category=None) == "ignored"
    assert store.history(decision) == ()
    assert outcome("kim", tier="L3", category=kept.category) == "feedback"
    assert outcome("ann", tier="L3", category=kept.category) == "ignored"  # kim has said it, and ann nothing
    assert outcome("kim", **told_labels) == "feedback"
    assert [(row.verdict, row.agent) for row in store.history(decision)] == [("corrected", "kim"), ("accepted", "kim")]
    with store.database.writing() as session:
        session.execute(sql("DELETE FROM updates"))  # as after a month, when nobody knows what the helpdesk was told
        session.execute(sql("UPDATE decisions SET created_at = '2026-01-01 00:00:00'"))
    assert outcome("ben", **told_labels) == "ignored" and outcome("lee", tier="L2") == "feedback"


def test_the_labels_of_a_forgotten_ticket_are_accepted_by_nobody_who_changes_something_else(client: TestClient) -> None:
    decision = send(client, CREATED).json()["decision_id"]
    store = client.app.state.parts.service.store  # type: ignore[attr-defined]
    kept = store.decision(decision).document
    wait_for(lambda: store.updates(SENT))
    store.forget("7", "rt")
    closed = {"id": 7, "status": "closed", "tier": kept.tier, "category": kept.category}
    assert send(client, {"event": "corrected", "agent": "ann", "ticket": closed}).json()["outcome"] == "ignored"
    assert store.history(decision) == ()


def test_the_machines_own_write_back_is_no_feedback(client: TestClient) -> None:
    decision = send(client, CREATED).json()["decision_id"]
    own = {"event": "corrected", "agent": "triage", "ticket": {"id": 7, "tier": "L1"}}
    assert send(client, own).json()["outcome"] == "ignored"
    assert client.app.state.parts.service.store.history(decision) == ()  # type: ignore[attr-defined]


def test_a_correction_that_makes_no_sense_is_refused(client: TestClient) -> None:
    unknown = {"event": "corrected", "agent": "kim", "ticket": {"id": 99, "tier": "L2"}}
    assert send(client, unknown).status_code == 404
    send(client, CREATED)
    wrong = {"event": "corrected", "agent": "kim", "ticket": {"id": 7, "tier": "L9"}}
    assert (send(client, wrong).status_code, send(client, wrong).json()["code"]) == (422, "unknown-label")


def test_a_file_that_makes_no_sense_is_refused_with_all_its_faults(tmp_path: Path) -> None:
    path = tmp_path / "desks.toml"
    path.write_text(
        FILE.format(port=1, changed="").replace("127.0.0.1:1", "desk.example.org").replace("{category}", "{ctegory}")
    )
    with pytest.raises(InvalidRequest) as refusal:
        load_helpdesks(path, {"RT_SECRET": "short"})
    for part in ("RT_SECRET", "ctegory"):
        assert part in str(refusal.value)
    for text in (
        "[helpdesks.api]\n",
        "[helpdesks.x]\nsecret = []",
        "x",
        "[helpdesks.y.update]\nurl='http://a'\nhosts=['a']\nbody={}",
    ):
        path.write_text(text)
        with pytest.raises(InvalidRequest):
            load_helpdesks(path, {})
    with pytest.raises(InvalidRequest):
        load_helpdesks(tmp_path / "nowhere.toml", {})
    assert load_helpdesks(None) == {}


@pytest.mark.parametrize("name", ["api", "reload", "store"])
def test_a_helpdesk_has_no_name_that_the_service_uses(tmp_path: Path, name: str) -> None:
    path = tmp_path / "desks.toml"
    path.write_text(FILE.replace("[helpdesks.rt", f"[helpdesks.{name}").format(port=1, changed=""))
    with pytest.raises(InvalidRequest, match=f"'{name}' is no name of a helpdesk: the service itself uses api"):
        load_helpdesks(path, {"RT_SECRET": SECRET})


def test_the_names_of_the_first_version_are_still_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "desks.toml"
    path.write_text(FILE.replace("[helpdesks.", "[desks.").format(port=1, changed=""))
    monkeypatch.setenv("TRIAGE_DESKS", str(path))
    assert load_settings(home=tmp_path).helpdesks == path
    assert set(load_helpdesks(path, {"RT_SECRET": SECRET})) == {"rt"}
