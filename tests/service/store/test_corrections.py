"""A correction is the truth: page, lists and group follow it, on each database, until it is taken back."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from api.app import create_app
from api.settings import load_settings
from triage.defaults import default_policy
from triage.escalation.questions import MOST, unanswered

from ..local_client import TestClient

POLICY = default_policy()


@pytest.fixture
def client(store_url: str, tmp_path: Path) -> Iterator[TestClient]:
    settings = load_settings(home=tmp_path, store_url=store_url, open_loopback=True, rules_only=True)
    with TestClient(create_app(settings)) as client:
        yield client


def decide(client: TestClient, text: str = "The printer on the third floor is jammed again") -> dict[str, Any]:
    decided: dict[str, Any] = client.post("/v1/predict", json={"text": text}).json()
    return decided


def say(client: TestClient, decision: dict[str, Any], **said: Any) -> dict[str, Any]:
    path = f"/v1/decisions/{decision['decision_id']}/feedback"
    answer = client.post(path, json={"verdict": "corrected", "agent": "kim", **said})
    assert answer.status_code == 200, answer.text
    kept: dict[str, Any] = answer.json()
    return kept


def shown(client: TestClient, decision: dict[str, Any]) -> dict[str, Any]:
    kept: dict[str, Any] = client.get(f"/v1/decisions/{decision['decision_id']}").json()
    assert client.get("/v1/decisions").json()["decisions"][0]["resolver_group"] == kept["resolver_group"]
    return kept


def test_the_route_follows_the_corrected_labels_and_comes_back(client: TestClient) -> None:
    decision = decide(client)
    said = say(client, decision, tier="L2", category="network")
    kept = shown(client, decision)
    assert (kept["tier"], kept["category"]) == ("L2", "network")
    assert kept["resolver_group"] == said["resolver_group"] == POLICY.resolver_group("L2", "network")
    assert kept["resolver_group"] != decision["resolver_group"]
    assert kept["hand_over"] == list(POLICY.hand_over("L2", "network"))
    assert kept["targets"] == decision["targets"]
    path = f"/v1/decisions/{decision['decision_id']}/feedback/{said['feedback_id']}"
    client.delete(path, params={"agent": "kim"})
    back = shown(client, decision)
    assert {name: back[name] for name in decision} == decision


def test_a_correction_of_one_label_leaves_an_earlier_one_of_another(client: TestClient) -> None:
    decision = decide(client)
    say(client, decision, tier="L3")
    said = say(client, decision, category="network", agent="lee")
    kept = shown(client, decision)
    assert (kept["tier"], kept["category"]) == ("L3", "network")
    assert kept["resolver_group"] == POLICY.resolver_group("L3", "network") != decision["resolver_group"]
    assert said["targets"] == {"tier": "L3", "category": "network"}
    assert say(client, decision, category="network", agent="lee") == said
    path = f"/v1/decisions/{decision['decision_id']}/feedback/{said['feedback_id']}"
    client.delete(path, params={"agent": "lee"})
    assert (shown(client, decision)["tier"], shown(client, decision)["category"]) == ("L3", decision["category"])


def test_a_tier_that_gave_way_to_a_category_comes_back_with_another_one(client: TestClient) -> None:
    decision = decide(client)
    assert not POLICY.may_see(decision["tier"], True)
    say(client, decision, category="security")
    assert shown(client, decision)["tier"] != decision["tier"]
    said = say(client, decision, category="network")
    assert shown(client, decision)["tier"] == decision["tier"] and said["targets"] == {"category": "network"}


def test_an_event_after_a_correction_stands_under_the_next_one(client: TestClient) -> None:
    ticket = {"id": "T-1", "text": "The printer on the third floor is jammed again"}
    decision = client.post("/v1/predict", json=ticket).json()
    say(client, decision, tier="L3")
    event = {"id": "E-1", "kind": "status", "at": datetime.now(UTC).isoformat(), "status": "up", "tier": "L2"}
    answer = client.post("/v1/tickets/T-1/events", json=event)
    assert answer.status_code == 200, answer.text
    say(client, decision, category="network")
    assert shown(client, decision)["tier"] == "L2"


def test_a_correction_asks_at_most_three_questions_and_none_that_the_ticket_answers(client: TestClient) -> None:
    text, asked = "Only my printer jams again", POLICY.questions("L1", "network")
    decision = decide(client, text)
    say(client, decision, tier="L1", category="network")
    told = shown(client, decision)["questions"]
    assert len(asked) > MOST >= len(told) and told == list(unanswered(POLICY, asked, text))
    assert "Is it only you or one device, or do others see the same?" in set(asked) - set(told)


def test_a_group_of_the_policy_may_take_it_instead_with_a_reason(client: TestClient) -> None:
    decision = decide(client)
    other = next(group.name for group in POLICY.groups if group.name != decision["resolver_group"])
    say(client, decision, resolver_group=other, reason="they hold the spare parts")
    kept = shown(client, decision)
    assert (kept["resolver_group"], kept["standing"]["reason"]) == (other, "they hold the spare parts")
    assert (kept["tier"], kept["category"]) == (decision["tier"], decision["category"])
    page = client.get(f"/decisions/{decision['decision_id']}").text
    assert f"Goes to <strong>{other}</strong>" in page and "they hold the spare parts" in page


def test_a_group_that_the_policy_lacks_is_refused_by_name(client: TestClient) -> None:
    path = f"/v1/decisions/{decide(client)['decision_id']}/feedback"
    answer = client.post(path, json={"verdict": "corrected", "agent": "kim", "resolver_group": "nobody"})
    assert (answer.status_code, answer.json()["code"]) == (422, "unknown-group")
    assert POLICY.groups[0].name in answer.text


def test_what_must_not_wait_stays_with_its_group(client: TestClient) -> None:
    decision = decide(client, "Smoke comes out of the server cabinet and it smells of fire, people are in the room")
    assert decision["attention"]
    say(client, decision, category="software")
    kept = shown(client, decision)
    assert (kept["category"], kept["resolver_group"]) == ("software", decision["resolver_group"])


def test_the_page_corrects_the_group(client: TestClient) -> None:
    decision = decide(client)
    other = next(group.name for group in POLICY.groups if group.name != decision["resolver_group"])
    form = {"verdict": "corrected", "tier": decision["tier"], "category": decision["category"]}
    path = f"/decisions/{decision['decision_id']}/feedback"
    answer = client.post(path, data={**form, "resolver_group": other, "reason": "theirs"})
    assert answer.status_code == 200 and f"goes to <strong>{other}</strong>" in answer.text
    assert shown(client, decision)["resolver_group"] == other


def test_a_note_of_somebody_who_is_unsure_changes_no_label(client: TestClient) -> None:
    ticket = {"id": "T-1", "text": "The printer on the third floor is jammed again"}
    decision = client.post("/v1/predict", json=ticket).json()
    say(client, decision, tier="L2", category="network", agent="ana")
    say(client, decision, verdict="unsure", agent="kim")
    kept = shown(client, decision)
    assert (kept["tier"], kept["category"], kept["standing"]["verdict"]) == ("L2", "network", "unsure")
    [line] = client.get("/v1/decisions", params={"tier": "L2"}).json()["decisions"]
    assert line["category"] == "network"
    assert client.get("/v1/tickets/T-1").json()["route"]["tier"] == "L2"
    assert client.post("/v1/predict", json=ticket).json()["tier"] == "L2"


@pytest.mark.parametrize("left_empty", ["/?q=printer&tier=&category=&reason=&attention=&sort=urgent", "/?view=&limit="])
def test_what_is_left_empty_in_the_search_narrows_nothing(client: TestClient, left_empty: str) -> None:
    decide(client)
    answer = client.get(left_empty)
    assert answer.status_code == 200 and "jammed again" in answer.text
