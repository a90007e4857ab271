"""Where a ticket stands is one thing everywhere: on its page, in the queue, in its history and in what is answered."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from html import unescape
from pathlib import Path
from typing import Any

import pytest

from api.app import create_app
from api.http.schemas import FeedbackIn
from api.http.ticket_schemas import EventIn
from api.scoring.admission import ARRIVED
from api.scoring.service import Service
from api.settings import load_settings
from api.store.export import ExportRules
from api.store.repository import Repository, open_repository
from models.toml_files import dump_policy
from triage.defaults import default_policy
from triage.prediction import ROUTE

from ..local_client import TestClient

TEXT = "The printer on the second floor does not print."
NOVEL = "It asks for new firmware now."
FIRE = "Now the printer is on fire and people are hurt."
RULES = """
[[rule]]
name = "firmware"
kind = "bypass"
any = ['\\bfirmware\\b']
tier = "L2"

[[rule]]
name = "hacked"
kind = "bypass"
any = ['\\bhacked\\b']
category = "security"

[[rule]]
name = "rest"
kind = "fallback"
tier = "L1"
category = "printing"
"""
OTHER_LABELS = """tiers = [{label = "front"}, {label = "back"}]
categories = [{label = "GRP_1"}, {label = "GRP_2"}]
groups = [{name = "team", tier = "back"}]"""
POLICY = default_policy()


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Repository]:
    store = open_repository(tmp_path)
    yield store
    store.close()


@pytest.fixture
def client(store: Repository, tmp_path: Path) -> Iterator[TestClient]:
    (tmp_path / "rules.toml").write_text(RULES)
    (tmp_path / "policy.toml").write_text(dump_policy(POLICY))
    files: dict[str, Any] = {"rules": tmp_path / "rules.toml", "policy": tmp_path / "policy.toml"}
    settings = load_settings(home=tmp_path, rules_only=True, open_loopback=True, request_deadline_s=20, **files)
    with TestClient(create_app(settings, store)) as client:
        yield client


def opened(client: TestClient, text: str = TEXT) -> str:
    answer = client.post("/v1/predict", json={"id": "T-1", "body": text})
    assert answer.status_code == 200, answer.text
    return str(answer.json()["decision_id"])


def happened(client: TestClient, name: str, ahead_h: float = 0, **event: Any) -> dict[str, Any]:
    at = datetime.now(UTC) + timedelta(hours=ahead_h)
    answer = client.post("/v1/tickets/T-1/events", json={"id": name, "kind": "comment", "at": at.isoformat(), **event})
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def say(client: TestClient, decision: str, verdict: str = "corrected", **said: Any) -> dict[str, Any]:
    answer = client.post(f"/v1/decisions/{decision}/feedback", json={"verdict": verdict, "agent": "kim", **said})
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def policy_group(tier: str, category: str) -> str:
    group = POLICY.resolver_group(tier, category)
    assert group is not None
    return group


def stands(client: TestClient, decision: str, tier: str, category: str, group: str | None = None, by: str = "") -> None:
    """Say that all that tells where the ticket stands says that it stands there."""
    there = dict(zip(ROUTE, (tier, category, group or policy_group(tier, category)), strict=True))
    shown = client.get(f"/v1/decisions/{decision}").json()
    told = client.get("/v1/tickets/T-1").json()["route"]
    assert {name: told[name] for name in ROUTE} == there and told["by"] == (by or told["by"])
    assert shown["current_route"] == there
    listed = client.get("/v1/decisions", params={"view": "all", **there}).json()["decisions"]
    assert [one["decision_id"] for one in listed] == [decision]


def test_what_is_dated_ahead_does_not_win_over_a_person(client: TestClient) -> None:
    decision = opened(client)
    assert happened(client, "1", ahead_h=2, text=NOVEL)["moved"]
    stands(client, decision, "L2", "printing", by="machine")
    say(client, decision, tier="L1")
    stands(client, decision, "L1", "printing", by="person")
    assert not happened(client, "2", ahead_h=2.1, text=f"Once more: {NOVEL}")["moved"]
    stands(client, decision, "L1", "printing", by="person")
    assert happened(client, "3", ahead_h=2.2, kind="status", tier="L3", status="up")["moved"]
    stands(client, decision, "L3", "printing", by="person")


@pytest.mark.parametrize("mover", ["machine", "person"])
def test_a_correction_of_one_label_leaves_the_others_where_the_ticket_was_moved(client: TestClient, mover: str) -> None:
    decision = opened(client)
    moved: dict[str, Any] = {"text": NOVEL} if mover == "machine" else {"kind": "status", "status": "up", "tier": "L2"}
    assert happened(client, "1", **moved)["route"]["tier"] == "L2"
    said = say(client, decision, category="hardware")
    assert said["targets"] == {"category": "hardware"} and said["tier"] is None
    stands(client, decision, "L2", "hardware", by="person")
    shown = client.get(f"/v1/decisions/{decision}").json()
    assert [shown[name] for name in ROUTE] == ["L2", "hardware", policy_group("L2", "hardware")]
    assert client.post("/v1/predict", json={"id": "T-1", "body": TEXT}).json()["tier"] == "L2"


@pytest.mark.parametrize("by", ["feedback", "status"])
def test_a_ticket_of_a_sensitive_category_leaves_a_tier_that_may_not_see_it(
    client: TestClient, store: Repository, by: str
) -> None:
    decision = opened(client)
    cleared = POLICY.cleared_tier("L1")
    assert cleared is not None and cleared != "L1"
    if by == "feedback":
        said = say(client, decision, category="security")
        assert said["targets"] == {"category": "security"} and said["tier"] is None
        [row] = store.training_rows(ExportRules())
        assert (row["tier"], row["category"]) == (None, "security")
    else:
        happened(client, "1", kind="status", status="sorted", category="security")
    stands(client, decision, cleared, "security", by="person")
    again = client.post("/v1/predict", json={"id": "T-1", "body": TEXT}).json()
    assert [again[name] for name in ROUTE] == [cleared, "security", policy_group(cleared, "security")]


def test_a_group_that_may_not_see_a_ticket_is_not_named_for_it(client: TestClient) -> None:
    decision = opened(client)
    said = {"verdict": "corrected", "agent": "kim", "category": "security", "resolver_group": "service-desk"}
    refused = client.post(f"/v1/decisions/{decision}/feedback", json=said)
    assert (refused.status_code, refused.json()["code"]) == (422, "uncleared-tier")


def said(client: TestClient, decision: str, by: str, **route: str) -> Any:
    """Have a person name labels of a ticket, by feedback or by a status."""
    if by == "feedback":
        body = {"verdict": "corrected", "agent": "kim", **route}
        return client.post(f"/v1/decisions/{decision}/feedback", json=body)
    event = {"id": str(time.monotonic_ns()), "kind": "status", "at": datetime.now(UTC).isoformat(), **route}
    return client.post("/v1/tickets/T-1/events", json=event)


BY = pytest.mark.parametrize("by", ["feedback", "status"])


@BY
def test_a_group_that_may_not_see_a_ticket_is_refused_whatever_tier_stands_beside_it(
    client: TestClient, by: str
) -> None:
    decision = opened(client)
    route = {"tier": "L3", "category": "security", "resolver_group": "service-desk"}
    refused = said(client, decision, by, **route)
    assert (refused.status_code, refused.json()["code"]) == (422, "uncleared-tier")
    assert refused.json()["errors"][0]["field"] == "resolver_group"
    assert said(client, decision, by, **{**route, "resolver_group": "security-operations"}).status_code == 200


@BY
@pytest.mark.parametrize("category", [{}, {"category": "printing"}, {"category": "hardware"}], ids=str)
def test_no_category_lifts_the_mark_of_a_helpdesk(client: TestClient, by: str, category: dict[str, str]) -> None:
    body = {"id": "T-1", "body": TEXT, "attributes": {"sensitive": "true"}}
    decision = client.post("/v1/predict", json=body).json()
    assert (decision["tier"], decision["category"]) == ("L2", "printing")
    again = client.post("/v1/predict", json={"id": "T-1", "body": f"{TEXT} Still."}).json()["decision_id"]
    for one in ({"tier": "L1"}, {"resolver_group": "service-desk"}):
        assert said(client, again, by, **one, **category).json()["code"] == "uncleared-tier"


@BY
def test_a_person_says_of_a_later_text_too_that_a_ticket_is_open_to_all(client: TestClient, by: str) -> None:
    say(client, opened(client), category="security")
    assert said(client, "", "status", tier="L2", category="printing").status_code == 200
    later = opened(client, f"{TEXT} Still.")
    assert said(client, later, by, tier="L1", category="hardware").status_code == 200
    assert client.post("/v1/tickets/T-1/escalation").json()["tier"] == "L1"


def test_the_mark_of_an_earlier_text_counts_for_what_is_corrected_at_the_helpdesk(client: TestClient) -> None:
    body = {"id": "T-1", "body": TEXT, "attributes": {"sensitive": "true"}}
    assert client.post("/v1/predict", json=body).status_code == 200
    later, reviews = opened(client, "Somebody hacked it."), client.app.state.parts.reviews  # type: ignore[attr-defined]
    for labels in (
        {"tier": "L2", "category": "hardware", "resolver_group": "service-desk"},  # as it stands there, it is taken
        {"tier": "L2", "category": "network"},
    ):
        reviews.keep_correction("api", "T-1", labels, agent="kim", comment=None, changed=True)
    group = client.get(f"/v1/decisions/{later}").json()["current_route"]["resolver_group"]
    assert POLICY.group_may_see(group) and not POLICY.group_may_see("service-desk")


def test_an_escalation_does_not_undo_what_a_person_was_allowed(client: TestClient) -> None:
    decision = opened(client, "Phishing: somebody hacked my account, a data breach.")
    assert client.get(f"/v1/decisions/{decision}").json()["restricted"]
    say(client, decision, tier="L1", category="hardware")
    stays = client.post("/v1/tickets/T-1/escalation").json()
    assert (stays["verdict"], stays["tier"]) == ("stay", "L1")


@BY
def test_a_category_that_is_made_sensitive_later_closes_the_way_to_a_tier_too(
    client: TestClient, tmp_path: Path, by: str
) -> None:
    decision = opened(client)
    closed = tuple(replace(one, sensitive=one.label == "printing") for one in POLICY.categories)
    (tmp_path / "policy.toml").write_text(dump_policy(replace(POLICY, categories=closed)))
    assert client.post("/v1/model/reload").status_code == 200
    for route in ({"tier": "L1"}, {"tier": "L1", "category": "printing"}):
        assert said(client, decision, by, **route).status_code == 422, route
    moved = client.post("/v1/tickets/T-1/escalation").json()
    assert (moved["tier"], moved["by"]) == ("L2", "access")
    assert said(client, decision, by, tier="L1", category="hardware").status_code == 200
    assert said(client, decision, by, tier="L0").status_code == 200  # a person has said what it is about


@BY
def test_what_must_not_wait_stays_with_its_group_however_a_person_moves_it(client: TestClient, by: str) -> None:
    decision = opened(client, FIRE)
    assert said(client, decision, by, tier="L2").status_code == 200
    stands(client, decision, "L2", "printing", "major-incident", by="person")
    assert client.post("/v1/tickets/T-1/escalation").json()["resolver_group"] == "major-incident"


@pytest.mark.parametrize("word", ["feedback", "status"])
@pytest.mark.parametrize("often", [1, 10])
def test_who_speaks_while_a_comment_is_read_is_not_overruled_by_it(
    client: TestClient, monkeypatch: pytest.MonkeyPatch, word: str, often: int
) -> None:
    """A save in a helpdesk sends its status and its comment at the same moment."""
    decision, decide_again = opened(client), Service.decide_again
    spoken: list[str] = []

    async def while_somebody_speaks(self: Service, triager: Any, thread: Any, principal: Any, **more: Any) -> Any:
        found = await decide_again(self, triager, thread, principal, **more)
        if len(spoken) < often and thread.events[-1].text == NOVEL:
            spoken.append(word)
            parts, tier = client.app.state.parts, "L3" if len(spoken) % 2 else "L4"  # type: ignore[attr-defined]
            if word == "feedback":
                said = FeedbackIn.model_validate({"verdict": "corrected", "agent": "kim", "tier": tier})
                parts.reviews.keep(decision, said, principal)
            else:
                moved = {"kind": "status", "status": "up", "tier": tier, "at": datetime.now(UTC).isoformat()}
                event = EventIn.model_validate({"id": f"s{len(spoken)}", **moved})
                await parts.threads.take("T-1", event, principal)
        return found

    monkeypatch.setattr(Service, "decide_again", while_somebody_speaks)
    told = happened(client, "1", ahead_h=1, text=NOVEL)
    monkeypatch.undo()  # to look at the ticket reads it once more
    tier = "L3" if len(spoken) % 2 else "L4"
    assert (told["moved"], told["route"]["tier"], told["route"]["by"]) == (False, tier, "person")
    assert 1 <= len(spoken) <= 4
    stands(client, decision, tier, "printing", by="person")
    [kept] = [one for one in client.get("/v1/tickets/T-1").json()["timeline"] if one["words"] == NOVEL]
    assert kept["what"] == "comment"


def forms(page: str, button: str) -> dict[str, str]:
    """Return what a browser sends when a button is pressed."""
    [form] = [one for one in re.findall(r"<form.*?</form>", page, re.DOTALL) if button in one]
    return {name: unescape(value) for name, value in re.findall(r'name="(\w+)" value="([^"]*)"', form)}


def other_labels(client: TestClient, folder: Path) -> None:
    """Let the service read a policy with none of the labels that it had."""
    (folder / "policy.toml").write_text(OTHER_LABELS)
    (folder / "rules.toml").write_text('[[rule]]\nname = "rest"\nkind = "fallback"\ntier = "front"\n')
    assert client.post("/v1/model/reload").status_code == 200


@pytest.mark.parametrize("change", ["gone", "illegal"])
def test_a_ticket_is_accepted_where_it_stands_whatever_the_policy_has_become(
    client: TestClient, tmp_path: Path, change: str
) -> None:
    decision = opened(client)
    assert happened(client, "1", text=NOVEL)["moved"]
    if change == "gone":
        other_labels(client, tmp_path)
    else:
        forbidding = replace(POLICY, illegal=POLICY.illegal | {("L2", "printing")})
        (tmp_path / "policy.toml").write_text(dump_policy(forbidding))
        assert client.post("/v1/model/reload").status_code == 200
    there = client.get("/v1/tickets/T-1").json()["route"]
    page = client.get(f"/decisions/{decision}", headers={"Accept": "text/html"}).text
    sent = client.post(f"/decisions/{decision}/feedback", data=forms(page, "Accept"), follow_redirects=False)
    assert sent.status_code == 303, sent.text
    now = client.get("/v1/tickets/T-1").json()["route"]
    assert {name: now[name] for name in ROUTE} == {name: there[name] for name in ROUTE}
    assert now["by"] == "person"


@pytest.mark.parametrize("verdict", ["accepted", "corrected", "unsure"])
def test_an_alarm_is_seen_whatever_the_policy_has_become(client: TestClient, tmp_path: Path, verdict: str) -> None:
    decision = opened(client)
    said = say(client, decision, verdict, **({"tier": "L2"} if verdict == "corrected" else {}))
    happened(client, "1", text=FIRE)
    other_labels(client, tmp_path)
    before = client.get(f"/v1/decisions/{decision}").json()
    page = client.get(f"/decisions/{decision}", headers={"Accept": "text/html"}).text
    told = forms(page, "I have seen it")
    assert client.post(f"/decisions/{decision}/feedback", data=told, follow_redirects=False).status_code == 303
    after = client.get(f"/v1/decisions/{decision}").json()
    assert after["current_route"] == before["current_route"]
    assert (after["standing"]["verdict"], after["standing"]["targets"]) == (verdict, said["targets"])
    assert not client.get("/v1/decisions?view=waiting&attention=any").json()["decisions"]
    again = client.post(f"/decisions/{decision}/feedback", data=told)
    assert again.status_code == 409 and "Somebody has spoken in the meantime" in again.text


def test_who_has_seen_an_alarm_leaves_the_ticket_where_it_was_moved_since(client: TestClient) -> None:
    decision = opened(client)
    say(client, decision, tier="L2")
    happened(client, "1", kind="status", status="up", tier="L3")
    happened(client, "2", text=FIRE)
    page = client.get(f"/decisions/{decision}", headers={"Accept": "text/html"}).text
    told = forms(page, "I have seen it")
    assert client.post(f"/decisions/{decision}/feedback", data=told, follow_redirects=False).status_code == 303
    stands(client, decision, "L3", "printing", by="person")
    assert client.get(f"/v1/decisions/{decision}").json()["standing"]["targets"] == {"tier": "L2"}


def test_nobody_accepts_a_move_that_the_page_did_not_show(client: TestClient) -> None:
    decision = opened(client)
    page = client.get(f"/decisions/{decision}", headers={"Accept": "text/html"}).text
    happened(client, "1", text=NOVEL)
    late = client.post(f"/decisions/{decision}/feedback", data=forms(page, "Accept"))
    assert late.status_code == 409 and "The ticket has moved since this page was shown" in late.text
    stands(client, decision, "L2", "printing", by="machine")
    sent = client.post(f"/decisions/{decision}/feedback", data=forms(late.text, "Accept"), follow_redirects=False)
    assert sent.status_code == 303
    stands(client, decision, "L2", "printing", by="person")


def test_an_event_takes_no_longer_than_its_deadline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is left after the thread was decided is all that its last words are read in."""
    decide_again, slow = Service.decide_again, [False]

    async def slowly(self: Service, triager: Any, thread: Any, principal: Any, **more: Any) -> Any:
        found = await decide_again(self, triager, thread, principal, **more)
        ARRIVED.set(time.monotonic() - (self.settings.request_deadline_s if slow[0] else 0))
        return found

    monkeypatch.setattr(Service, "decide_again", slowly)
    settings = load_settings(home=tmp_path, rules_only=True, open_loopback=True, request_deadline_s=20)
    with TestClient(create_app(settings)) as client:
        opened(client)
        happened(client, "1", text="Any news?")
        slow[0] = True
        late = {"id": "2", "kind": "comment", "at": datetime.now(UTC).isoformat(), "text": "Hello?"}
        refused = client.post("/v1/tickets/T-1/events", json=late)
        assert (refused.status_code, refused.json()["code"]) == (503, "deadline")
