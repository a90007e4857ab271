"""Knowledge over HTTP: proposals are accepted into versions, and entries fit tickets that the reader may see."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from api.app import create_app
from api.security.api_keys import create_key
from api.settings import load_settings
from api.store.repository import open_repository
from models.knowledge import KnowledgeFolder
from triage.knowledge import SCRIPT, Proposal

PROPOSAL = Proposal(
    id="k-0123456789",
    title="scanner, cradle",
    kind=SCRIPT,
    tier="L1",
    from_tier="L2",
    category="hardware",
    tickets=("T1", "T2", "T3"),
    words={"scanner": 0.6, "cradle": 0.4},
    bar=0.5,
    precision=1.0,
    recall=1.0,
    resolutions=("Reset the cradle.",),
    per_month=2.5,
    saved_min=58.0,
    cover=("the steps",),
)
ACCEPT = "/v1/knowledge/proposals/k-0123456789/accept"


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[tuple[TestClient, dict[str, dict[str, str]]]]:
    KnowledgeFolder(tmp_path / "knowledge").propose([PROPOSAL])
    store = open_repository(tmp_path)
    with TestClient(create_app(load_settings(home=tmp_path, rules_only=True, request_deadline_s=15), store)) as client:
        scopes = {"all": ["predict", "feedback", "read"], "reads": ["read"], "uncleared": ["read"]}
        keys = {
            name: {
                "Authorization": f"Bearer {create_key(store, name, of, clearance=0 if name == 'uncleared' else 2)[0]}"
            }
            for name, of in scopes.items()
        }
        client.headers.update(keys["all"])
        yield client, keys
    store.close()


def decided(client: TestClient, ticket_id: str, text: str, **more: object) -> None:
    assert client.post("/v1/predict", json={"id": ticket_id, "body": text, **more}).status_code == 200
    for _ in range(100):  # a busy machine commits a decision after it was answered
        if client.get(f"/v1/tickets/{ticket_id}").status_code == 200:
            return
        time.sleep(0.05)


def test_a_proposal_is_accepted_into_versions_and_fits_its_tickets(
    desk: tuple[TestClient, dict[str, dict[str, str]]],
) -> None:
    client, keys = desk
    waiting = client.get("/v1/knowledge/proposals").json()["proposals"]
    assert [(one["id"], one["accepted"]) for one in waiting] == [("k-0123456789", False)]
    assert "Reset the cradle." in waiting[0]["draft"]
    assert client.post(ACCEPT, json={"agent": "Ada"}, headers=keys["reads"]).status_code == 403
    first = client.post(ACCEPT, json={"agent": "Ada"}).json()
    second = client.post(ACCEPT, json={"agent": "Ada", "title": "Scanner", "text": "# Scanner\nReset it."}).json()
    assert (first["version"], second["version"], second["body"]) == (1, 2, "# Scanner\nReset it.")
    assert client.get("/v1/knowledge/proposals").json()["proposals"][0]["accepted"]
    assert client.get("/v1/knowledge/entries").json()["entries"] == [second]
    old = client.get("/v1/knowledge/entries/k-0123456789", params={"version": 1}).json()
    assert old["title"] == "scanner, cradle"
    decided(client, "T-9", "the scanner is dead again")
    decided(client, "T-8", "please order a chair")
    fitting = client.get("/v1/tickets/T-9/knowledge").json()["entries"]
    assert [(one["entry"]["version"], one["words"]) for one in fitting] == [(2, ["scanner"])]
    assert client.get("/v1/tickets/T-8/knowledge").json()["entries"] == []


def test_who_may_not_read_a_ticket_learns_nothing_of_it(desk: tuple[TestClient, dict[str, dict[str, str]]]) -> None:
    client, keys = desk
    client.post(ACCEPT, json={"agent": "Ada"})
    decided(client, "T-7", "the scanner shows salaries", attributes={"sensitive": "yes"})
    assert client.get("/v1/tickets/T-7/knowledge", headers=keys["uncleared"]).status_code == 403
    assert client.get("/v1/tickets/T-7/knowledge").status_code == 200


def test_what_is_not_there_or_wrong_has_a_clear_answer(desk: tuple[TestClient, dict[str, dict[str, str]]]) -> None:
    client, _ = desk
    assert (
        client.post("/v1/knowledge/proposals/k-ffff/accept", json={"agent": "A"}).json()["code"] == "no-such-proposal"
    )
    assert client.get("/v1/knowledge/entries/k-0123456789").json()["code"] == "no-such-entry"
    assert client.get("/v1/knowledge/entries/k-..").status_code == 422
    assert client.post(ACCEPT, json={"agent": ""}).status_code == 422
    assert client.post(
        ACCEPT, content=b'{"agent": "Ada", "text": "\\ud800"}', headers={"Content-Type": "application/json"}
    ).status_code in (400, 422)
    assert "Reset the cradle." in client.post(ACCEPT, json={"agent": "Ada", "text": " "}).json()["body"]
    assert client.get("/v1/tickets/none/knowledge").status_code == 404


def test_a_broken_file_is_not_the_fault_of_the_request(
    desk: tuple[TestClient, dict[str, dict[str, str]]], tmp_path: Path
) -> None:
    client, _ = desk
    (tmp_path / "knowledge" / "proposals" / "k-00ff.json").write_text("{", "utf-8")
    answer = client.get("/v1/knowledge/proposals")
    assert answer.status_code == 503 and "k-00ff.json" in answer.json()["detail"]


def test_a_proposal_is_dismissed_and_waits_again(desk: tuple[TestClient, dict[str, dict[str, str]]]) -> None:
    client, keys = desk
    path = ACCEPT.replace("/accept", "/dismiss")
    assert client.post(path, json={"agent": "Ada"}, headers=keys["reads"]).status_code == 403
    assert client.post(path, json={"agent": "Ada"}).json()["dismissed_by"] == "Ada"
    assert client.get("/v1/knowledge/proposals").json()["proposals"][0]["dismissed_by"] == "Ada"
    assert client.post(path, json={"agent": "Ada", "undo": True}).json()["dismissed_by"] is None
    assert client.get("/v1/knowledge/proposals").json()["proposals"][0]["dismissed_by"] is None
    client.post(ACCEPT, json={"agent": "Ada"})
    refused = client.post(path, json={"agent": "Ada"})
    assert (refused.status_code, refused.json()["code"]) == (409, "accepted")
