"""What a person set is never overwritten: not by a second message, not by an update under way, on no path."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from api.app import create_app
from api.helpdesks.signatures import PRESETS
from api.settings import load_settings
from api.store.outbox import PENDING, SENT
from models.toml_files import dump_policy
from models.wire import DecisionDocument
from triage.defaults import default_policy

from ..local_client import TestClient

SECRET = "a secret of sixteen or more"
FILE = """
[helpdesks.rt]
secrets = ["RT_SECRET"]
ticket = {{ when = {{ event = "created" }}, id = "id", body = "text" }}

[helpdesks.rt.feedback]
when = {{ event = "corrected" }}
id = "id"
agent = "agent"
not_people = ["triage"]
tier = "tier"
category = "category"

[helpdesks.rt.update]
url = "http://127.0.0.1:{port}/ticket/{{ticket_id}}"
hosts = ["127.0.0.1:{port}"]
loopback = true
body = {{ Tier = "{{tier}}", Category = "{{category}}" }}

[helpdesks.rt.note]
url = "http://127.0.0.1:{port}/note/{{ticket_id}}"
hosts = ["127.0.0.1:{port}"]
loopback = true
body = {{ text = "{{note}}" }}
"""
PRINTER, PASSWORD = "the printer on floor 3 jams", "my password is expired and I cannot sign in"
OTHER = {"tier": "L3", "category": "network"}


@pytest.fixture
def client(told: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[TestClient]:
    monkeypatch.setenv("RT_SECRET", SECRET)
    (tmp_path / "desks.toml").write_text(FILE.format(port=told.port))
    stated: dict[str, Any] = {"home": tmp_path / "home", "rules_only": True, "open_loopback": True}
    with TestClient(create_app(load_settings(helpdesks=tmp_path / "desks.toml", **stated))) as client:
        yield client


def send(client: TestClient, **document: Any) -> dict[str, Any]:
    """Send a webhook of the helpdesk, and return the answer."""
    body, now = json.dumps(document).encode(), f"{time.time():.0f}"
    headers = {"X-Triage-Timestamp": now, "X-Triage-Signature": PRESETS["triage"].of(SECRET.encode(), body, now)}
    answer = client.post("/v1/webhooks/rt", content=body, headers=headers)
    assert answer.status_code == 200, answer.text
    taken: dict[str, Any] = answer.json()
    return taken


def by_desk(client: TestClient, decision: str) -> None:
    send(client, event="corrected", id=7, agent="kim", **OTHER)


def by_api(client: TestClient, decision: str) -> None:
    said = {"verdict": "corrected", "agent": "kim", **OTHER}
    assert client.post(f"/v1/decisions/{decision}/feedback", json=said).status_code == 200


def by_page(client: TestClient, decision: str) -> None:
    answer = client.post(f"/decisions/{decision}/feedback", data={"verdict": "corrected", "reason": "theirs", **OTHER})
    assert answer.status_code == 200


def sent(told: Any, kind: str) -> list[dict[str, Any]]:
    return [body for _, path, body, _ in told.requests if path.startswith(f"/{kind}/")]


def labels(document: dict[str, Any]) -> dict[str, Any]:
    return {name: document[name] for name in OTHER}


PATHS = pytest.mark.parametrize("correct", [by_desk, by_api, by_page])


@PATHS
def test_a_second_message_changes_nothing_and_is_told_in_a_note(
    client: TestClient, told: Any, until: Callable[..., float], correct: Callable[[TestClient, str], None]
) -> None:
    decision = send(client, event="created", id=7, text=PRINTER)["decision_id"]
    until(lambda: sent(told, "ticket"), 10)
    correct(client, decision)
    again = send(client, event="created", id=7, text=PASSWORD)["decision_id"]
    assert again != decision
    until(lambda: sent(told, "note"), 10)
    shown = client.get(f"/v1/decisions/{again}").json()
    assert (labels(shown), shown["automation"], shown["source"]) == (OTHER, "suggested", "person")
    assert shown["proposed"]["category"] == "access"
    assert all(one["label"] == OTHER[name] for name, one in shown["targets"].items())
    [note] = sent(told, "note")
    assert "access" in note["text"] and "a person set stands" in note["text"]
    assert [one for one in sent(told, "ticket")[1:] if one != {"Tier": "L3", "Category": "network"}] == []
    assert client.get("/v1/decisions").json()["decisions"][0]["tier"] == "L3"


@PATHS
def test_an_update_that_still_waits_is_withdrawn(
    client: TestClient, told: Any, until: Callable[..., float], correct: Callable[[TestClient, str], None]
) -> None:
    told.answers = [503]
    decision = send(client, event="created", id=7, text=PRINTER)["decision_id"]
    until(lambda: told.requests, 10)
    correct(client, decision)
    store = client.app.state.parts.service.store  # type: ignore[attr-defined]
    until(lambda: not store.updates(PENDING), 10)
    assert all(one == {"Tier": "L3", "Category": "network"} for one in sent(told, "ticket")[1:])
    assert len(sent(told, "ticket")) == (1 if correct is by_desk else 2)


@PATHS
def test_sending_the_same_text_again_answers_with_what_the_person_said(
    client: TestClient, correct: Callable[[TestClient, str], None]
) -> None:
    decision = send(client, event="created", id=7, text=PRINTER)["decision_id"]
    correct(client, decision)
    assert send(client, event="created", id=7, text=PRINTER)["decision_id"] == decision
    own = {"id": "T-1", "text": PRINTER}
    headers = {"Idempotency-Key": "k-1"}
    first = client.post("/v1/predict", json=own, headers=headers).json()
    by_api(client, first["decision_id"])
    for again in (
        client.post("/v1/predict", json=own).json(),
        client.post("/v1/predict", json=own, headers=headers).json(),
        client.post("/v1/predict/batch", json={"tickets": [own]}).json()["decisions"][0],
        client.post("/v1/predict", json={**own, "text": PASSWORD}).json(),
    ):
        assert (labels(again), again["automation"], again["reason"]) == (OTHER, "suggested", "set_by_person")


def test_an_undo_gives_the_ticket_back_to_the_machine_and_tells_the_desk(
    client: TestClient, told: Any, until: Callable[..., float]
) -> None:
    decision = send(client, event="created", id=7, text=PRINTER)["decision_id"]
    until(lambda: len(sent(told, "ticket")) == 1, 10)
    by_api(client, decision)
    until(lambda: len(sent(told, "ticket")) == 2, 10)
    [said] = client.get(f"/v1/decisions/{decision}").json()["feedback"]
    client.delete(f"/v1/decisions/{decision}/feedback/{said['feedback_id']}", params={"agent": "kim"})
    until(lambda: len(sent(told, "ticket")) == 3, 10)
    assert sent(told, "ticket")[2] == sent(told, "ticket")[0]
    again = client.get(f"/v1/decisions/{send(client, event='created', id=7, text=PASSWORD)['decision_id']}").json()
    assert again["proposed"] is None and again["category"] == "access"


def test_an_undo_tells_the_desk_where_the_machine_had_moved_the_ticket(
    told: Any, until: Callable[..., float], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RT_SECRET", SECRET)
    policy = default_policy()
    routes = tuple(replace(one, tier="L3") for one in policy.attention)
    (tmp_path / "policy.toml").write_text(dump_policy(replace(policy, attention=routes)))
    (tmp_path / "desks.toml").write_text(FILE.format(port=told.port))
    files: dict[str, Any] = {"helpdesks": tmp_path / "desks.toml", "policy": tmp_path / "policy.toml"}
    stated: dict[str, Any] = {"home": tmp_path / "home", "rules_only": True, "open_loopback": True, **files}
    with TestClient(create_app(load_settings(**stated))) as client:
        decision = send(client, event="created", id=7, text=PRINTER)["decision_id"]
        until(lambda: len(sent(told, "ticket")) == 1, 10)
        fire = {
            "id": "1",
            "kind": "comment",
            "at": datetime.now(UTC).isoformat(),
            "text": "It burns, we are hurt.",
        }
        assert client.post("/v1/tickets/7/events?desk=rt", json=fire).json()["route"]["tier"] == "L3"
        until(lambda: len(sent(told, "ticket")) == 2, 10)
        path = f"/v1/decisions/{decision}/feedback"
        said = client.post(path, json={"verdict": "corrected", "agent": "kim", "tier": "L2", "category": "network"})
        until(lambda: len(sent(told, "ticket")) == 3, 10)
        client.delete(f"{path}/{said.json()['feedback_id']}", params={"agent": "kim"})
        until(lambda: len(sent(told, "ticket")) == 4, 10)
        assert [one["Tier"] for one in sent(told, "ticket")] == ["L1", "L3", "L2", "L3"]
        assert client.get(f"/v1/decisions/{decision}").json()["current_route"]["tier"] == "L3"


def test_a_desk_is_told_of_a_tier_that_gave_way_to_the_category_that_it_named(
    client: TestClient, told: Any, until: Callable[..., float]
) -> None:
    decision = send(client, event="created", id=7, text=PRINTER)["decision_id"]
    until(lambda: len(sent(told, "ticket")) == 1, 10)
    until(lambda: client.app.state.parts.service.store.updates(SENT), 10)  # type: ignore[attr-defined]
    send(client, event="corrected", id=7, agent="kim", category="security")
    until(lambda: len(sent(told, "ticket")) == 2, 10)
    cleared = default_policy().cleared_tier("L1")
    assert sent(told, "ticket")[1] == {"Tier": cleared, "Category": "security"} and cleared != "L1"
    assert client.get(f"/v1/decisions/{decision}").json()["current_route"]["tier"] == cleared


def test_an_undo_of_what_the_desk_itself_said_is_told_there(
    client: TestClient, told: Any, until: Callable[..., float]
) -> None:
    decision = send(client, event="created", id=7, text=PRINTER)["decision_id"]
    until(lambda: len(sent(told, "ticket")) == 1, 10)
    until(lambda: client.app.state.parts.service.store.updates(SENT), 10)  # type: ignore[attr-defined]
    by_desk(client, decision)
    [said] = client.get(f"/v1/decisions/{decision}").json()["feedback"]
    client.delete(f"/v1/decisions/{decision}/feedback/{said['feedback_id']}", params={"agent": "kim"})
    until(lambda: len(sent(told, "ticket")) == 2, 10)
    assert sent(told, "ticket")[1] == sent(told, "ticket")[0]


def test_a_correction_of_one_label_keeps_the_other_as_it_stood(client: TestClient) -> None:
    first = client.post("/v1/predict", json={"id": "T-1", "text": PRINTER}).json()
    path = f"/v1/decisions/{first['decision_id']}/feedback"
    client.post(path, json={"verdict": "corrected", "agent": "kim", "tier": "L3"})
    again = client.post("/v1/predict", json={"id": "T-1", "text": PASSWORD}).json()
    assert labels(again) == {"tier": "L3", "category": first["category"]}
    accepted = client.post(
        f"/v1/decisions/{again['decision_id']}/feedback", json={"verdict": "accepted", "agent": "lee"}
    )
    assert (accepted.json()["tier"], accepted.json()["category"]) == ("L3", first["category"])


@PATHS
def test_a_correction_while_an_update_is_on_its_way_has_the_last_word(
    client: TestClient, told: Any, until: Callable[..., float], correct: Callable[[TestClient, str], None]
) -> None:
    parts = client.app.state.parts  # type: ignore[attr-defined]
    told.before_answer = lambda: correct(client, client.get("/v1/decisions").json()["decisions"][0]["decision_id"])
    send(client, event="created", id=7, text=PRINTER)
    until(lambda: len(sent(told, "ticket")) == 2, 10)
    assert sent(told, "ticket")[1] == {"Tier": "L3", "Category": "network"}
    until(lambda: not parts.service.store.updates(PENDING), 10)


def test_nothing_is_automatic_while_nobody_can_look_what_people_said(client: TestClient) -> None:
    decided = client.post("/v1/predict", json={"text": PRINTER}).json()
    sure = {**decided, "automation": "automatic", "reason": "confident", "action": "close"}
    targets = {name: {**one, "automation": "automatic"} for name, one in decided["targets"].items()}
    held = DecisionDocument.model_validate({**sure, "targets": targets}).unconfirmed()
    assert (held.automation, held.reason, held.action) == ("suggested", "store_unavailable", None)
    assert {one.automation for one in held.targets.values()} == {"suggested"}
    assert (held.tier, held.category) == (decided["tier"], decided["category"])


@pytest.mark.parametrize("corrected", [False, True])
def test_an_alarm_in_a_comment_is_told_to_the_helpdesk_in_a_note(
    client: TestClient, told: Any, until: Callable[..., float], corrected: bool
) -> None:
    decision = send(client, event="created", id=7, text=PRINTER)["decision_id"]
    until(lambda: sent(told, "ticket"), 10)
    if corrected:
        by_desk(client, decision)
    fire = "Now the printer is on fire and people are hurt."
    event = {"id": "e1", "kind": "comment", "at": "2026-11-27T09:00:00Z", "text": fire}
    for _ in range(2):
        assert client.post("/v1/tickets/7/events?desk=rt", json=event).status_code == 200
    until(lambda: sent(told, "note"), 10)
    [note] = sent(told, "note")
    assert "This must not wait" in note["text"]
    assert ("a person set stands" in note["text"]) is corrected
    assert all(one == {"Tier": "L3", "Category": "network"} for one in sent(told, "ticket")[1:]) or not corrected
