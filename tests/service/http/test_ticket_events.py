"""A ticket over time: events are taken once and in order, people are never undone, secrets stay with the cleared."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from sqlalchemy import text

from api.app import create_app
from api.security.api_keys import create_key
from api.settings import load_settings
from api.store.repository import Repository, open_repository
from api.store.threads.events import event_document
from models.toml_files import dump_policy
from triage.defaults import default_policy
from triage.errors import InvalidPolicy
from triage.escalation.thread import Event, EventKind
from triage.policy import AttentionRoute
from triage.prediction import ROUTE
from triage.wording import MOVED, phrase_of

from ..local_client import TestClient

TEXT = "The printer on the second floor does not print."
SECRET = "zanzibar"
TRIES = 1000


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[tuple[TestClient, Repository]]:
    store = open_repository(tmp_path)
    with TestClient(create_app(load_settings(home=tmp_path, rules_only=True), store)) as client:
        key = create_key(store, "all", ["predict", "feedback", "read", "admin"], clearance=2)[0]
        client.headers["Authorization"] = f"Bearer {key}"
        yield client, store
    store.close()


def opened(client: TestClient, ticket_id: str = "T-1", text: str = TEXT, **more: Any) -> dict[str, Any]:
    body = {"id": ticket_id, "body": text, "opened_at": "2026-11-27T09:00:00Z", **more}
    answer = client.post("/v1/predict", json=body)
    assert answer.status_code == 200, answer.text
    for _ in range(100):  # a busy machine commits a decision after it was answered
        if client.get(f"/v1/decisions/{answer.json()['decision_id']}").status_code == 200:
            break
        time.sleep(0.05)
    return dict(answer.json())


def happened(client: TestClient, number: int, ticket_id: str = "T-1", **event: Any) -> Any:
    body = {"id": f"e{number}", "kind": "comment", "at": f"2026-11-27T09:{number:02}:00Z", "text": "hm", **event}
    return client.post(f"/v1/tickets/{ticket_id}/events", json={k: v for k, v in body.items() if v is not None})


def view(client: TestClient, ticket_id: str = "T-1") -> dict[str, Any]:
    return dict(client.get(f"/v1/tickets/{ticket_id}").json())


def test_an_event_is_kept_and_shown(desk: tuple[TestClient, Repository]) -> None:
    client, _ = desk
    first = opened(client)
    answer = happened(client, 1, kind="attempt", outcome="failed", text="new toner").json()
    assert not answer["duplicate"] and answer["decision"]["ticket_id"] == "T-1"
    seen = view(client)
    assert [one["what"] for one in seen["timeline"]] in (["attempt", "decision"], ["decision", "attempt"])
    assert any(one["words"] == "failed: new toner" for one in seen["timeline"])
    assert seen["route"]["tier"] == first["tier"] and seen["bounces"] == 0


def test_twice_older_changed_and_unknown_events_change_nothing(desk: tuple[TestClient, Repository]) -> None:
    client, _ = desk
    opened(client)
    assert happened(client, 5).status_code == 200
    before = view(client)
    again = happened(client, 5)
    assert (again.status_code, again.json()["duplicate"]) == (200, True)
    refused = {
        "event-changed": (happened(client, 5, text="another"), 409),
        "out-of-order": (happened(client, 4), 409),
        "no-such-ticket": (happened(client, 6, "T-9"), 404),
        "unknown-label": (happened(client, 6, kind="status", text=None, tier="L9"), 422),
        "unknown-group": (happened(client, 6, kind="status", text=None, resolver_group="nobody"), 422),
        "unknown-skill": (happened(client, 6, needs=["magic"]), 422),
        "outcome": (happened(client, 6, outcome="failed"), 422),
        "not-a-status": (happened(client, 6, tier="L2"), 422),
        "no-text": (happened(client, 6, text=" "), 422),
    }
    assert {code: (answer.status_code, answer.json()["code"]) for code, (answer, _) in refused.items()} == {
        code: (status, code) for code, (_, status) in refused.items()
    }
    assert view(client) == before


def test_a_clock_that_is_ahead_keeps_nobody_off(desk: tuple[TestClient, Repository]) -> None:
    client, _ = desk
    now = datetime.now(UTC)
    opened(client, opened_at=(now + timedelta(hours=2)).isoformat())

    def at(number: int, moment: datetime) -> Any:
        return happened(client, number, at=moment.isoformat())

    early = at(1, now - timedelta(days=1)).json()
    assert early["code"] == "out-of-order" and "the ticket, which was opened at" in early["detail"]
    slip = at(1, now + timedelta(days=400))
    problem = slip.json()
    assert (slip.status_code, problem["code"], problem["errors"][0]["field"]) == (422, "in-the-future", "at")
    assert "399 days ahead" in problem["detail"] and f"{now:%Y-%m-%dT%H}" in problem["detail"]
    assert "with its offset" in problem["detail"]
    assert at(2, now + timedelta(hours=1)).status_code == 200
    older = at(3, now)
    assert older.json()["code"] == "out-of-order" and f"{now + timedelta(hours=1):%H:%M}" in older.json()["detail"]
    assert view(client)["routes"][0]["at"] <= datetime.now(UTC).isoformat()


def test_a_ticket_is_reached_whatever_its_id_holds(desk: tuple[TestClient, Repository]) -> None:
    """A quoted slash belongs to the id; one that is not quoted parts the path, so that tails stay tails."""
    client, _ = desk
    for number, ticket_id in enumerate(("a/b", "a%2Fb", "a/events", "/", "ü/?#%/packet", "a//b/", "%")):
        opened(client, ticket_id, f"{TEXT} {number}")
        path = f"/v1/tickets/{quote(ticket_id, safe='')}"
        assert client.get(path).json()["ticket_id"] == ticket_id
        event = {"id": "e1", "kind": "comment", "at": "2026-11-27T09:01:00Z", "text": f"hm {number}"}
        assert client.post(f"{path}/events", json=event).json()["ticket_id"] == ticket_id
        answered = {"id": "a1", "at": "2026-11-27T09:02:00Z", "answers": [{"question": "where?", "text": "here"}]}
        assert client.post(f"{path}/answers", json=answered).status_code == 200
        assert client.post(f"{path}/escalation").json()["ticket_id"] == ticket_id
        for tail in ("packet", "knowledge"):
            assert client.get(f"{path}/{tail}").json()["ticket_id"] == ticket_id
        refused = client.get(f"{path}/events")
        assert (refused.status_code, refused.headers["allow"]) == (405, "POST")
        assert f"hm {number}" in [one["words"] for one in view(client, quote(ticket_id, safe=""))["timeline"]]
    assert client.get("/v1/tickets/a/b").json()["code"] == "not-found"
    assert client.get("/v1/tickets/a%2Fc").json()["code"] == "no-such-ticket"
    assert client.get("/v1%2Ftickets/T-1").json()["code"] == "not-found"


def test_what_a_person_chose_stays_whatever_is_said_later(desk: tuple[TestClient, Repository]) -> None:
    client, _ = desk
    opened(client)
    moved = happened(client, 1, kind="status", text=None, tier="L0", status="assigned").json()
    assert moved["moved"] and moved["route"]["by"] == "person" and moved["route"]["resolver_group"] == "self-service"
    later = happened(client, 2, text="The whole company cannot print, production is down, nobody can work.").json()
    assert not later["moved"] and later["route"]["tier"] == "L0"
    verdict = client.post("/v1/tickets/T-1/escalation", json={"at": "2026-11-27T09:03:00Z"}).json()
    assert (verdict["verdict"], verdict["held"], verdict["advised"]) == ("stay", True, "L3")


def test_escalation_names_tier_group_criterion_quote_and_next_check(desk: tuple[TestClient, Repository]) -> None:
    client, _ = desk
    opened(client, text=f"{TEXT} We would have to see the server logs.")
    verdict = client.post("/v1/tickets/T-1/escalation", json={"at": "2026-11-27T09:05:00Z"}).json()
    assert (verdict["verdict"], verdict["tier"], verdict["by"]) == ("move", "L2", "expertise")
    assert verdict["resolver_group"] == "workplace-support" and verdict["next_check_at"] is not None
    [met] = [one for one in verdict["criteria"] if one["met"]]
    assert met["quote"] == "We would have to see the server logs."
    assert client.post("/v1/tickets/T-1/escalation").status_code == 200
    assert client.post("/v1/tickets/nobody/escalation").json()["code"] == "no-such-ticket"


def test_going_to_and_fro_ends_with_an_owner(desk: tuple[TestClient, Repository]) -> None:
    client, _ = desk
    opened(client)
    groups = ["service-desk", "workplace-support"] * 3
    for number, group in enumerate(groups, 1):
        assert happened(client, number, kind="status", text=None, resolver_group=group).status_code == 200
    seen = view(client)
    assert seen["bounce_cost"] == seen["bounces"] * default_policy().escalation.bounce_cost
    assert seen["bounces"] >= 3 and seen["owner"] == default_policy().escalation.owner
    assert client.post("/v1/tickets/T-1/escalation").json()["owner"] == seen["owner"]


def test_a_forgotten_ticket_keeps_no_word_of_its_events(desk: tuple[TestClient, Repository]) -> None:
    client, store = desk
    opened(client)
    happened(client, 1, text=f"it is about {SECRET}")
    store.forget("T-1")
    assert SECRET not in client.get("/v1/tickets/T-1").text
    assert happened(client, 2).json()["code"] == "forgotten"


def test_what_an_event_calls_a_status_is_forgotten_and_redacted_like_its_text(tmp_path: Path) -> None:
    store = open_repository(tmp_path, redact=True)
    settings = load_settings(home=tmp_path, open_loopback=True, rules_only=True, redact_stored=True)
    with TestClient(create_app(settings, store)) as client:
        opened(client)
        mine: dict[str, Any] = {"kind": "status", "text": None, "tier": "L2", "priority": "call ann@example.org"}
        mine["status"] = f"{SECRET}, ask ann@example.org"
        assert happened(client, 1, **mine).status_code == 200
        assert happened(client, 1, **mine).json()["duplicate"]
        shown = client.get("/v1/tickets/T-1").text
        assert "ann@example.org" not in shown and shown.count(f"{SECRET}, ask [EMAIL]") > 1
        assert "ann@example.org" not in str(kept_events(store))
        store.forget("T-1")
        assert SECRET not in client.get("/v1/tickets/T-1").text
        assert SECRET not in str(kept_events(store))
        assert view(client)["route"]["tier"] == "L2"  # what people decided stays
    store.close()


def kept_events(store: Repository) -> list[Any]:
    with store.database.reading() as session:
        return [tuple(row) for row in session.execute(text("SELECT event, route FROM ticket_events"))]


def test_who_may_not_read_a_ticket_learns_no_word_from_the_answer_to_an_event(
    desk: tuple[TestClient, Repository],
) -> None:
    client, store = desk
    opened(client, text=f"Phishing: somebody hacked my account, a data breach. {TEXT}")
    said = happened(client, 1, kind="status", text=None, tier="L3", status=SECRET)
    assert said.json()["route"]["because"] == SECRET
    low = create_key(store, "low", ["predict", "read"], clearance=0)[0]
    client.headers["Authorization"] = f"Bearer {low}"
    answers = [happened(client, 2, text="any news?"), happened(client, 2, text="any news?")]
    assert [one.json()["duplicate"] for one in answers] == [False, True]
    shown = [*answers, client.get("/v1/tickets/T-1"), client.post("/v1/tickets/T-1/escalation")]
    assert all(one.status_code == 200 and SECRET not in one.text for one in shown)


def test_a_key_without_the_scope_read_is_told_where_a_ticket_goes_and_no_word_of_it(
    desk: tuple[TestClient, Repository],
) -> None:
    client, store = desk
    opened(client)
    happened(client, 1, kind="status", text=None, tier="L3", status=SECRET)
    happened(client, 2, text=f"Nobody can print, says {SECRET}. Danger: the {SECRET} room is on fire, people are hurt")
    told = client.post("/v1/tickets/T-1/escalation").json()
    assert any(SECRET in one["quote"] for one in told["criteria"])
    writer = create_key(store, "writer", ["predict", "feedback"], clearance=9)[0]
    client.headers["Authorization"] = f"Bearer {writer}"
    answers = [
        happened(client, 3, text="any news?"),
        happened(client, 3, text="any news?"),
        client.post("/v1/tickets/T-1/answers", json={"id": "a1", "at": "2026-11-27T09:09:00Z",
                                                     "answers": [{"question": "who?", "text": "all of us"}]}),
        client.post("/v1/tickets/T-1/escalation"),
        client.post("/v1/predict", json={"id": "T-1", "body": "Another text of mine"}),
        client.post("/v1/predict", json={"id": "T-1", "body": TEXT}),
    ]  # fmt: skip
    assert all(one.status_code == 200 and SECRET not in one.text for one in answers)
    first, asked = answers[0].json(), answers[3].json()
    assert first["route"]["tier"] == "L3" and first["decision"]["explanation"]["terms"] == []
    assert asked["tier"] == told["tier"] and {one["quote"] for one in asked["criteria"]} == {""}
    mine = client.post("/v1/predict", json={"id": "T-2", "body": "The company is on fire"}).json()
    assert mine["attention"] and mine["attention"][0]["evidence"]


def test_a_policy_that_cannot_work_neither_starts_nor_replaces_the_one_in_use(tmp_path: Path) -> None:
    good = (Path(__file__).parents[3] / "triage" / "defaults" / "policy.toml").read_text("utf-8")
    file = tmp_path / "policy.toml"
    file.write_text(good, "utf-8")
    settings = load_settings(home=tmp_path, rules_only=True, open_loopback=True, policy=file)
    with TestClient(create_app(settings)) as client:
        before = client.get("/v1/policy").json()
        file.write_text(good.replace('name = "admin logs"\ntier = "L2"', 'name = "admin logs"\ntier = "L9"'), "utf-8")
        answer = client.post("/v1/model/reload")
        assert (answer.status_code, answer.json()["code"]) == (409, "policy-refused")
        assert "L9" in answer.json()["detail"]
        assert client.get("/v1/policy").json() == before
        assert opened(client)["tier"] is not None
    with pytest.raises(InvalidPolicy, match="L9"):
        create_app(settings)


def test_a_thousand_tries_show_no_restricted_word_to_an_uncleared_key(desk: tuple[TestClient, Repository]) -> None:
    """Each open ticket has a restricted twin of the same words; whatever is asked with which key, no secret comes."""
    client, store = desk
    ids = {}
    for number in range(20):
        text = f"{TEXT} It shows code {number}."
        opened(client, f"open-{number}", text)
        twin = f"{text} The name is {SECRET}{number}."
        decision = opened(client, f"secret-{number}", twin, attributes={"sensitive": "true"})
        assert decision["restricted"] and default_policy().may_see(decision["tier"], True)
        assert happened(client, 1, f"secret-{number}", text=f"They asked for {SECRET}{number} again").status_code == 200
        ids[number] = decision["decision_id"]
    low = create_key(store, "low", ["predict", "feedback", "read"], clearance=1)[0]
    client.headers["Authorization"] = f"Bearer {low}"
    draw, leaks, judged = random.Random(0), 0, 0
    said = {"verdict": "corrected", "category": "hardware", "agent": "kim"}
    for _ in range(TRIES):
        number = draw.randrange(20)
        secret, decision_id = f"secret-{number}", ids[number]
        method, path, body = draw.choice(
            [
                ("GET", f"/v1/decisions/{decision_id}", None),
                ("GET", f"/v1/decisions?ticket_id={secret}", None),
                ("GET", "/v1/decisions?limit=20", None),
                ("GET", f"/v1/tickets/{secret}", None),
                ("POST", f"/v1/tickets/{secret}/escalation", {"at": "2026-11-27T11:00:00Z"}),
                ("POST", f"/v1/decisions/{decision_id}/feedback", said),
                ("POST", "/v1/predict", {"text": f"{TEXT} It shows code {number}."}),
            ]
        )
        answer = client.request(method, path, json=body)
        leaks += SECRET in answer.text
        judged += path.endswith("feedback") and answer.status_code != 403
    assert (leaks, judged) == (0, 0)


def test_answers_are_evidence_and_those_that_nobody_lists_are_refused(desk: tuple[TestClient, Repository]) -> None:
    client, _ = desk
    opened(client)
    question = default_policy().catalogue[1]
    said = {"question": question.id, "answer": question.options[0].answer, "text": "twice, with another cable"}
    body = {"id": "a1", "at": "2026-11-27T09:02:00Z", "answers": [said]}
    answer = client.post("/v1/tickets/T-1/answers", json=body).json()
    assert not answer["duplicate"] and answer["decision"] is not None
    [kept] = [one for one in view(client)["timeline"] if one["what"] == "answer"]
    assert kept["words"] == f"{question.options[0].answer} twice, with another cable"
    assert client.post("/v1/tickets/T-1/answers", json=body).json()["duplicate"]
    body = {**body, "id": "a2", "answers": [{"question": question.id, "answer": "perhaps"}]}
    long = [{"question": question.id, "text": f"{word} " * 2000} for word in ("screen", "black")]
    assert client.post("/v1/tickets/T-1/answers", json={**body, "id": "a3", "answers": long}).status_code == 200
    refused = client.post("/v1/tickets/T-1/answers", json=body)
    assert (refused.status_code, refused.json()["code"]) == (422, "unknown-answer")


def test_a_question_is_known_as_it_was_asked_in_any_language(desk: tuple[TestClient, Repository]) -> None:
    client, _ = desk
    opened(client)
    question = default_policy().catalogue[0]
    for asked in default_policy().in_all_languages(question.ask):
        said = {"question": asked, "answer": question.options[0].answer}
        body = {"id": asked[:60], "at": "2026-11-27T09:02:00Z", "answers": [said]}
        answer = client.post("/v1/tickets/T-1/answers", json=body)
        assert answer.status_code == 200, answer.json()


def test_a_choice_is_kept_as_what_was_chosen_and_not_as_words(desk: tuple[TestClient, Repository]) -> None:
    client, _ = desk
    opened(client)
    tier = next(one for one in default_policy().choices if one.target == "tier")
    said = [
        {"question": f"{tier.ask} this / that", "answer": tier.statements[2].says},
        {"question": "category", "text": "devices"},
    ]
    body = {"id": "c1", "at": "2026-11-27T09:02:00Z", "answers": said}
    answer = client.post("/v1/tickets/T-1/answers", json=body)
    assert answer.status_code == 200 and not answer.json()["duplicate"]
    [kept] = [one for one in view(client)["timeline"] if one["what"] == "answer"]
    assert kept["words"] == "tier: L2, category: hardware"
    assert client.post("/v1/tickets/T-1/answers", json=body).json()["duplicate"]
    changed = {**body, "answers": said[:1]}
    assert client.post("/v1/tickets/T-1/answers", json=changed).json()["code"] == "event-changed"
    refused = client.post(
        "/v1/tickets/T-1/answers", json={**body, "id": "c2", "answers": [{"question": "tier", "answer": "L9"}]}
    )
    assert (refused.status_code, refused.json()["code"]) == (422, "unknown-answer")
    own = {"question": "tier", "text": "no idea, it just beeps"}
    assert client.post("/v1/tickets/T-1/answers", json={**body, "id": "c3", "answers": [own]}).status_code == 200
    assert "no idea, it just beeps" in [one["words"] for one in view(client)["timeline"]]


def test_an_event_that_was_kept_before_answers_could_be_chosen_is_the_same_event() -> None:
    event = Event("e", EventKind.COMMENT, datetime(2026, 1, 1, tzinfo=UTC), "hm")
    assert "chosen" not in event_document(event)
    assert '"chosen"' in event_document(replace(event, chosen=(("tier", "L2"),)))


def test_a_choice_weighs_beside_the_text(tmp_path: Path, make_bundle: Callable[..., Path]) -> None:
    store = open_repository(tmp_path)
    with TestClient(
        create_app(load_settings(home=tmp_path, bundle=make_bundle(), request_deadline_s=15), store)
    ) as client:
        key = create_key(store, "all", ["predict", "feedback", "read"], clearance=2)[0]
        client.headers["Authorization"] = f"Bearer {key}"
        first = opened(client, text="something with the big screen and the accounts program")["targets"]["tier"]
        likeliest, rival = first["alternatives"][:2]
        body = {"id": "c1", "at": "2026-11-27T09:02:00Z", "answers": [{"question": "tier", "answer": rival["label"]}]}
        then = client.post("/v1/tickets/T-1/answers", json=body).json()["decision"]["targets"]["tier"]
        after = {one["label"]: one["probability"] for one in then["alternatives"]}
        weight = next(one.weight for one in default_policy().choices if one.target == "tier")
        before = rival["probability"] / likeliest["probability"]
        assert after[rival["label"]] / after[likeliest["label"]] == pytest.approx(weight * before, rel=0.02)
    store.close()


def test_an_event_that_was_kept_with_its_image_is_the_same_event(desk: tuple[TestClient, Repository]) -> None:
    client, store = desk
    opened(client)
    image = "see <img src='data:image/png;base64," + "QUJD" * 20 + "'> there"
    at = datetime(2026, 11, 27, 9, 1, tzinfo=UTC)
    store.add_event("T-1", Event("e1", EventKind.COMMENT, at, image))  # as earlier versions kept it
    again = happened(client, 1, text=image)
    assert (again.status_code, again.json().get("duplicate")) == (200, True)
    assert happened(client, 1, text="see <img src=''> here").json()["code"] == "event-changed"


def test_a_packet_to_a_vendor_names_nobody(desk: tuple[TestClient, Repository]) -> None:
    client, _ = desk
    opened(
        client, text="Caller Kim Weber, kim@example.org. The router shows 'no carrier' since Monday. Contract C-77120."
    )
    inside = client.get("/v1/tickets/T-1/packet?to=L2").json()
    assert not inside["redacted"] and "Kim" in inside["text"]
    outside = client.get("/v1/tickets/T-1/packet?to=L4").json()
    assert outside["redacted"] and "C-77120" in outside["text"]
    assert "Kim" not in outside["text"] and "kim@" not in client.get("/v1/tickets/T-1/packet?to=L4").text
    assert outside["missing"] and client.get("/v1/tickets/T-1/packet").json()["to_tier"] is not None
    assert client.get("/v1/tickets/T-1/packet?to=L9").json()["code"] == "unknown-label"


FIRE = "Now the printer is on fire and people are hurt."


def test_a_ticket_is_shown_with_its_packet_to_whom_may_read_it(desk: tuple[TestClient, Repository]) -> None:
    client, store = desk
    opened(client, text=f"{TEXT} Restarted twice.", attributes={"sensitive": "true"})
    packet = client.get("/v1/tickets/T-1/packet").json()
    assert view(client)["packet"] == packet and packet["entries"] and "Restarted twice" in packet["text"]
    low = {"Authorization": f"Bearer {create_key(store, 'low', ['read'], clearance=0)[0]}"}
    shown = client.get("/v1/tickets/T-1", headers=low).json()
    assert (shown["withheld"], shown["packet"]) == (True, None)


def test_a_history_is_told_while_the_service_is_too_busy_for_its_packet(desk: tuple[TestClient, Repository]) -> None:
    client, _ = desk
    opened(client)
    service = client.app.state.parts.service  # type: ignore[attr-defined]
    service.settings = service.settings.model_copy(update={"request_deadline_s": -1.0})
    assert client.get("/v1/tickets/T-1/packet").status_code == 503
    answer = client.get("/v1/tickets/T-1")
    assert answer.status_code == 200 and answer.json()["timeline"] and answer.json()["packet"] is None


def test_to_look_at_a_ticket_counts_as_no_decision(desk: tuple[TestClient, Repository]) -> None:
    client, _ = desk
    page = f"/decisions/{opened(client)['decision_id']}"

    def counted() -> list[str]:
        return [line for line in client.get("/metrics").text.splitlines() if line.startswith("triage_decisions_total")]

    before = counted()
    for path in ("/v1/tickets/T-1", "/v1/tickets/T-1/packet", page):
        assert client.get(path).status_code == 200, path
    assert client.post("/v1/tickets/T-1/escalation").status_code == 200
    assert before and counted() == before


def listed(client: TestClient, ticket_id: str = "T-1", **wanted: str) -> list[dict[str, Any]]:
    found = client.get("/v1/decisions", params={"limit": "100", "sort": "urgent", **wanted}).json()["decisions"]
    return [one for one in found if one["ticket_id"] == ticket_id]


def urgent(client: TestClient, ticket_id: str = "T-1") -> list[list[str]]:
    views = ({"view": "waiting", "attention": "any"}, {"view": "all", "attention": "any"})
    return [[kind["kind"] for one in listed(client, ticket_id, **view) for kind in one["attention"]] for view in views]


def judge(client: TestClient, decision: dict[str, Any], verdict: str = "accepted", **said: Any) -> dict[str, Any]:
    path = f"/v1/decisions/{decision['decision_id']}/feedback"
    answer = client.post(path, json={"verdict": verdict, "agent": "kim", **said})
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def test_an_alarm_that_comes_with_an_event_stands_first_until_somebody_has_confirmed_it(
    desk: tuple[TestClient, Repository],
) -> None:
    client, _ = desk
    other = opened(client, "T-0", "The mouse does not move.")
    first = opened(client)
    alarm = default_policy().attention_route(["safety"])
    assert alarm is not None and not first["attention"] and first["resolver_group"] != alarm.group
    told = happened(client, 1, text=FIRE).json()
    assert (told["moved"], told["route"]["resolver_group"], told["route"]["by"]) == (True, alarm.group, "machine")
    assert urgent(client) == [["safety"], ["safety"]]
    waiting = client.get("/v1/decisions", params={"view": "waiting", "sort": "urgent"}).json()["decisions"]
    assert waiting[0]["ticket_id"] == "T-1" and other["automation"] != "automatic"
    [line] = listed(client, ticket_id="T-1", view="all")
    assert (line["resolver_group"], line["attention"][0]["kind"]) == (alarm.group, "safety")
    assert FIRE in line["attention"][0]["evidence"]
    page = client.get(f"/v1/decisions/{first['decision_id']}").json()
    assert page["attention"] == line["attention"] and page["resolver_group"] == alarm.group
    repeated = opened(client)
    assert (repeated["resolver_group"], repeated["attention"]) == (alarm.group, line["attention"])
    assert not happened(client, 2, text="any news?").json()["moved"]
    said = judge(client, first, comment="on our way")
    assert urgent(client) == [[], ["safety"]]
    assert not happened(client, 3, text="thank you").json()["moved"] and urgent(client) == [[], ["safety"]]
    client.delete(f"/v1/decisions/{first['decision_id']}/feedback/{said['feedback_id']}", params={"agent": "kim"})
    assert urgent(client) == [["safety"], ["safety"]]
    assert happened(client, 1, text=FIRE).json()["duplicate"]


@pytest.mark.parametrize("category", ["security", None])
def test_what_an_event_makes_sensitive_goes_to_no_group_that_may_not_see_it(
    tmp_path: Path, category: str | None
) -> None:
    uncleared = (AttentionRoute("safety", "service-desk", "L1"), AttentionRoute("credentials", "service-desk", "L1"))
    policy = replace(default_policy(), attention=uncleared)
    (tmp_path / "policy.toml").write_text(dump_policy(policy), "utf-8")
    settings = load_settings(home=tmp_path, rules_only=True, open_loopback=True, policy=tmp_path / "policy.toml")
    with TestClient(create_app(settings)) as client:
        opened(client)
        burns = happened(client, 1, text=FIRE).json()
        assert view(client)["routes"][-1]["resolver_group"] == "service-desk" and not burns["decision"]["restricted"]
        secret = None if category else "I got a phishing mail, clicked the link and entered my password."
        told = happened(client, 2, kind="status", text=secret, tier="L2", category=category).json()
        assert told["moved"] and told["route"]["tier"] == "L2"
        wanted = policy.resolver_group("L2", category or told["route"]["category"])
        assert told["route"]["resolver_group"] == wanted != "service-desk"
        assert view(client)["routes"][-1]["resolver_group"] == wanted


@pytest.mark.parametrize("by", ["feedback", "status"])
def test_an_alarm_about_a_ticket_that_a_person_placed_leaves_it_there_and_is_shown(
    desk: tuple[TestClient, Repository], by: str
) -> None:
    client, _ = desk
    first = opened(client)
    if by == "feedback":
        judge(client, first, verdict="corrected", tier="L2", resolver_group="service-desk")
    else:
        happened(client, 1, kind="status", text=None, tier="L2", resolver_group="service-desk")
    assert urgent(client) == [[], []]
    told = happened(client, 2, text=FIRE).json()
    assert (told["moved"], told["route"]["tier"], told["route"]["by"]) == (False, "L2", "person")
    assert urgent(client) == [["safety"], ["safety"]]
    [line] = client.get("/v1/decisions?view=waiting&attention=safety&tier=L2").json()["decisions"]
    assert line["ticket_id"] == "T-1"
    again = opened(client)
    assert (again["tier"], again["resolver_group"], again["reason"]) == ("L2", "service-desk", "set_by_person")
    assert again["attention"][0]["kind"] == "safety"
    judge(client, first, verdict="corrected", tier="L2", resolver_group="service-desk")  # said again: now it is seen
    assert urgent(client) == [[], ["safety"]] and opened(client)["tier"] == "L2"


def test_a_list_states_of_a_ticket_where_it_is_found_after_a_person_moved_it(
    desk: tuple[TestClient, Repository],
) -> None:
    client, _ = desk
    first = opened(client)
    decided = {name: first[name] for name in ROUTE}
    assert listed(client)[0]["current_route"] == decided

    def stands(**route: str) -> None:
        found = [line for line in listed(client, **route) if line["current_route"] == {**decided, **route}]
        assert [line["decision_id"] for line in found] == [first["decision_id"]], route
        kept = client.get(f"/v1/decisions/{first['decision_id']}").json()
        assert kept["current_route"] == {**decided, **route} == {name: view(client)["route"][name] for name in ROUTE}

    moved = {"tier": "L3", "category": "infrastructure", "resolver_group": "network-engineering"}
    assert first["tier"] != "L3" and not listed(client, tier="L3")
    happened(client, 1, kind="status", text=None, status="assigned", **moved)
    stands(**moved)
    kept = client.get(f"/v1/decisions/{first['decision_id']}").json()
    assert {name: kept[name] for name in ROUTE} == decided  # what was decided stays: to accept it means that
    page = client.get("/", params={"view": "all", "tier": "L3"}, headers={"Accept": "text/html"}).text
    row = page[page.index(f'id="row-{first["decision_id"]}"') :]
    assert '<span class="tier">L3</span>' in row[: row.index("</tr>")]
    corrected = judge(client, first, verdict="corrected", tier="L1", resolver_group="service-desk")
    happened(client, 2, kind="status", text=None, status="assigned", at=datetime.now(UTC).isoformat(), **moved)
    judge(client, first, verdict="unsure")  # a note moves nothing, though a correction stands from before
    stands(**moved)
    path = f"/v1/decisions/{first['decision_id']}/feedback/{corrected['feedback_id']}"
    assert client.delete(path, params={"agent": "kim"}).status_code == 200
    stands(**moved)


def test_what_is_said_of_an_old_text_moves_the_line_of_the_newest_one(desk: tuple[TestClient, Repository]) -> None:
    client, _ = desk
    old, newest = opened(client), opened(client, text=f"{TEXT[:-1]}, please.")
    said = judge(client, old, verdict="corrected", tier="L3", resolver_group="network-engineering")
    found = {line["decision_id"]: line["current_route"]["tier"] for line in listed(client, tier="L3")}
    assert found == {old["decision_id"]: "L3", newest["decision_id"]: "L3"} and view(client)["route"]["tier"] == "L3"
    judge(client, newest, verdict="unsure")  # where a person put the ticket before stays its route
    assert newest["decision_id"] in {line["decision_id"] for line in listed(client, tier="L3")}
    client.delete(f"/v1/decisions/{old['decision_id']}/feedback/{said['feedback_id']}", params={"agent": "kim"})
    assert not listed(client, tier="L3") and view(client)["route"]["tier"] != "L3"


def test_a_forgotten_alarm_keeps_its_kind_and_no_word(desk: tuple[TestClient, Repository]) -> None:
    client, store = desk
    opened(client)
    happened(client, 1, text=f"{SECRET} is on fire and people are hurt.")
    assert SECRET in str(listed(client))
    store.forget("T-1")
    assert SECRET not in str(listed(client)) + str(kept_events(store)) and urgent(client)[1] == ["safety"]


@pytest.mark.parametrize("keyed", [False, True])
def test_another_text_of_a_ticket_undoes_nothing_that_a_person_chose_by_an_event(
    desk: tuple[TestClient, Repository], keyed: bool
) -> None:
    client, _ = desk
    first = opened(client)
    happened(client, 1, kind="status", text=None, tier="L3", category="infrastructure", status="moved by kim")
    if keyed:
        client.headers["Idempotency-Key"] = "k-1"
    edited = opened(client, text=f"{TEXT[:-1]}, please.")
    client.headers.pop("Idempotency-Key", None)
    assert (edited["tier"], edited["category"], edited["reason"]) == ("L3", "infrastructure", "set_by_person")
    assert (edited["automation"], edited["source"]) == ("suggested", "person")
    assert edited["proposed"]["tier"] == first["tier"]
    route = view(client)["route"]
    assert (route["tier"], route["category"], route["by"]) == ("L3", "infrastructure", "person")
    assert edited["decision_id"] in [one["decision_id"] for one in listed(client, view="all", tier="L3")]
    assert opened(client)["tier"] == "L3" and opened(client, text=f"{TEXT[:-1]}, please.")["tier"] == "L3"


@pytest.mark.parametrize("keyed", [False, True])
def test_another_text_of_a_ticket_is_decided_with_what_happened_to_it(
    desk: tuple[TestClient, Repository], keyed: bool
) -> None:
    client, _ = desk
    opened(client)
    happened(client, 1, text=FIRE)
    if keyed:
        client.headers["Idempotency-Key"] = "k-1"
    edited = opened(client, text=f"{TEXT[:-1]}, please.")
    assert [one["kind"] for one in edited["attention"]] == ["safety"] and FIRE in edited["attention"][0]["evidence"]
    alarm = default_policy().attention_route(["safety"])
    assert alarm is not None and edited["resolver_group"] == alarm.group and edited["stored"]
    client.headers.pop("Idempotency-Key", None)
    kept = client.get(f"/v1/decisions/{edited['decision_id']}").json()
    assert kept["ticket"]["body"] == f"{TEXT[:-1]}, please." and urgent(client)[0] == ["safety"]


def test_what_was_chosen_counts_for_another_text_too(tmp_path: Path, make_bundle: Callable[..., Path]) -> None:
    store = open_repository(tmp_path)
    settings = load_settings(home=tmp_path, bundle=make_bundle(), request_deadline_s=15, open_loopback=True)
    with TestClient(create_app(settings, store)) as client:
        words = "something with the big screen and the accounts program"
        rival = opened(client, text=words)["targets"]["tier"]["alternatives"][1]["label"]
        body = {"id": "c1", "at": "2026-11-27T09:02:00Z", "answers": [{"question": "tier", "answer": rival}]}
        after = client.post("/v1/tickets/T-1/answers", json=body).json()["decision"]["targets"]["tier"]
        edited = opened(client, text=f"{words}.")["targets"]["tier"]
        unheard = opened(client, "T-2", f"{words}.")["targets"]["tier"]
        by_label = [
            {one["label"]: one["probability"] for one in told["alternatives"]} for told in (after, edited, unheard)
        ]
        assert by_label[1][rival] == pytest.approx(by_label[0][rival], abs=0.05)
        assert by_label[1][rival] > by_label[2][rival] + 0.05
    store.close()


def test_failed_attempts_count_after_another_text(desk: tuple[TestClient, Repository]) -> None:
    client, _ = desk
    opened(client)
    for number in (1, 2, 3):
        happened(client, number, kind="attempt", outcome="failed", text="new toner")
    before = client.post("/v1/tickets/T-1/escalation", json={"at": "2026-11-27T09:05:00Z"}).json()
    opened(client, text=f"{TEXT} ")
    opened(client, text=f"{TEXT[:-1]}, please.")
    after = client.post("/v1/tickets/T-1/escalation", json={"at": "2026-11-27T09:05:00Z"}).json()
    assert (before["by"], after["by"], after["tier"]) == ("attempts", "attempts", before["tier"])


def test_two_labels_of_a_target_are_no_choice(desk: tuple[TestClient, Repository]) -> None:
    client, _ = desk
    opened(client)
    said = [{"question": "tier", "answer": label} for label in ("L0", "L3")]
    body = {"id": "c1", "at": "2026-11-27T09:02:00Z", "answers": said}
    refused = client.post("/v1/tickets/T-1/answers", json=body)
    assert (refused.status_code, refused.json()["code"]) == (422, "two-labels")
    assert "L0" in refused.json()["detail"] and "L3" in refused.json()["detail"]
    body["answers"] = [said[1], said[1], {"question": "category", "answer": "hardware"}]
    assert client.post("/v1/tickets/T-1/answers", json=body).status_code == 200
    [kept] = [one for one in view(client)["timeline"] if one["what"] == "answer"]
    assert kept["words"] == "tier: L3, category: hardware"


def test_a_ticket_that_moved_is_automatic_only_where_all_that_was_decided_anew_is(
    desk: tuple[TestClient, Repository],
) -> None:
    client, store = desk
    decided = opened(client)
    assert not listed(client, view="automatic")
    with store.database.writing() as session:  # as a model would have decided it
        for old, new in (("suggested", "automatic"), ("model_unavailable", "confident")):
            session.execute(text(f"UPDATE decisions SET answer = replace(answer, '\"{old}\"', '\"{new}\"')"))
        session.execute(text("UPDATE decisions SET automation = 'automatic'"))
        session.execute(text("UPDATE queue_entries SET automation = 'automatic', waiting = false"))
        session.execute(text("UPDATE queue_entries SET reason = 'confident'"))
    why = '<td class="why-cell quiet">{}</td>'
    assert why.format(phrase_of("confident")) in client.get("/?view=all").text
    moved = happened(client, 1, text=f"{FIRE}").json()
    assert moved["moved"] and moved["decision"]["automation"] == "suggested"
    [line] = listed(client, view="waiting")
    assert (line["automation"], line["decision_id"]) == ("suggested", decided["decision_id"])
    assert [one["ticket_id"] for one in listed(client, view="suggested")] == ["T-1"]
    assert why.format(MOVED) in client.get("/?view=waiting").text
    assert MOVED in client.get("/overview/reasons.csv").text
    assert opened(client)["automation"] == "suggested"


def test_an_alarm_is_found_below_a_text_in_which_it_would_be_missed(desk: tuple[TestClient, Repository]) -> None:
    client, _ = desk
    first = opened(client, text="The VPN drops every ten minutes since Monday, it says 'no route to host'.")
    told = happened(client, 1, text=FIRE).json()
    alarm = default_policy().attention_route(["safety"])
    assert alarm is not None and told["decision"]["resolver_group"] == alarm.group != first["resolver_group"]
    assert told["moved"] and urgent(client) == [["safety"], ["safety"]]
    later = happened(client, 2, text="any news?").json()
    assert not later["moved"] and [one["kind"] for one in later["decision"]["attention"]] == ["safety"]
    edited = opened(
        client, text="The VPN drops every ten minutes since Monday, it says 'no route to host', please help."
    )
    assert [one["kind"] for one in edited["attention"]] == ["safety"] and edited["resolver_group"] == alarm.group


def test_a_thread_that_goes_on_for_ever_is_read_as_far_as_a_ticket(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, limit = open_repository(tmp_path), 1000
    settings = load_settings(
        home=tmp_path, rules_only=True, open_loopback=True, max_text_chars=limit, request_deadline_s=20
    )
    with TestClient(create_app(settings, store)) as client:
        batcher = client.app.state.parts.service.batcher  # type: ignore[attr-defined]
        decide, read = batcher.decide, list[str]()

        async def watched(triager: Any, tickets: Any, **options: Any) -> Any:
            read.extend(ticket.body for ticket in tickets)
            return await decide(triager, tickets, **options)

        monkeypatch.setattr(batcher, "decide", watched)
        opened(client, text=f"{TEXT} {'p ' * 470}")
        happened(client, 1, text=FIRE)
        for number in range(2, 6):
            event = {"kind": "attempt", "outcome": "failed", "text": f"Restarted number{number} twice. {'x ' * 140}"}
            told = happened(client, number, **event).json()["decision"]
        assert max(map(len, read)) <= limit + 20 and TEXT[:30] in read[-2] and "number5" in read[-2]
        assert "number2" not in read[-2] and FIRE not in read[-2]
        assert told["truncated"] and [one["what"] for one in told["left_out"]] == ["over_long"]
        assert [one["kind"] for one in told["attention"]] == ["safety"]
        edited = opened(client, text=f"{TEXT} {'q ' * 470}")
        assert "over_long" in [one["what"] for one in edited["left_out"]] and len(read[-1]) <= limit + 20
        assert [one["kind"] for one in edited["attention"]] == ["safety"]
        packet = client.get("/v1/tickets/T-1/packet?to=L2").json()["text"]
        assert "number5" in packet and "number2" not in packet
        assert all(word in str(view(client)["timeline"]) for word in ("number2", "number5", FIRE))
        criteria = client.post("/v1/tickets/T-1/escalation", json={"at": "2026-11-27T09:07:00Z"}).json()["criteria"]
        assert next(one["score"] for one in criteria if one["name"] == "attempts") == 4
    store.close()
