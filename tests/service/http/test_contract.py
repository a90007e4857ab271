"""The public HTTP contract: shapes, limits, problems."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from typing import Any

import pytest

from api.http.examples import BATCH_EXAMPLES, DECISION_EXAMPLE, FEEDBACK_EXAMPLES, TICKET_EXAMPLES
from api.scoring.service import Service
from api.store.rows import NewDecision
from models.wire import DecisionDocument, ExplanationDocument

from ..local_client import TestClient

NO_WHY = "?explain=false"
UNEXPLAINED: dict[str, Any] = dict.fromkeys(("target", "label", "rival"))
UNEXPLAINED |= {"terms": [], "against": [], "similar": [], "reviews": []}
JSON = {"Content-Type": "application/json"}
FIELDS = {"decision_id", "ticket_id", "tier", "category", "resolver_group", "automation", "source", "reason", "targets"}
FIELDS |= {"rule", "explanation", "questions", "hand_over", "truncated", "model_version", "policy_version"}
CANARY = "canary-7f3a"


def problem_of(response: Any, status: int) -> dict[str, Any]:
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    problem: dict[str, Any] = response.json()
    assert problem["status"] == status and problem["request_id"] == response.headers["x-request-id"]
    assert {"type", "title", "status", "detail", "code", "request_id"} <= set(problem)
    return problem


def test_a_ticket_is_decided(client: TestClient) -> None:
    answer = client.post("/v1/predict", json={"id": "T-1", "text": "I forgot my password", "channel": "chat"})
    assert answer.status_code == 200
    decision = answer.json()
    assert set(decision) >= FIELDS and decision["ticket_id"] == "T-1"
    assert (decision["reason"], decision["model_version"], decision["stored"]) == ("model_unavailable", None, True)
    for verdict in decision["targets"].values():
        assert {"label", "automation", "source", "reason", "confidence", "alternatives"} <= set(verdict)
        assert verdict["source"] != "model" and verdict["confidence"] is None
    assert set(decision["explanation"]) >= {"terms", "similar"}


def test_the_short_path_leads_to_the_versioned_one(client: TestClient) -> None:
    answer = client.post("/predict", json={"text": "printer"}, follow_redirects=False)
    assert (answer.status_code, answer.headers["location"]) == (308, "/v1/predict")
    assert client.post("/predict", json={"text": "printer"}).status_code == 200
    answer = client.post("/predict?explain=false&x=%2F%26", json={"text": "printer"}, follow_redirects=False)
    assert answer.headers["location"] == "/v1/predict?explain=false&x=%2F%26"


def test_a_batch_keeps_its_order(client: TestClient) -> None:
    tickets = [{"id": f"B-{number}", "text": f"ticket number {number}"} for number in range(64)]
    answer = client.post("/v1/predict/batch", json={"tickets": tickets})
    assert [decision["ticket_id"] for decision in answer.json()["decisions"]] == [ticket["id"] for ticket in tickets]
    problem = problem_of(client.post("/v1/predict/batch", json={"tickets": [*tickets, {"text": "one more"}]}), 422)
    assert problem["errors"] == [{"field": "tickets", "code": "too-long"}]
    assert problem_of(client.post("/v1/predict/batch", json={"tickets": []}), 422)["errors"][0]["field"] == "tickets"


def test_a_bad_ticket_of_a_batch_is_named(client: TestClient) -> None:
    answer = client.post("/v1/predict/batch", json={"tickets": [{"text": "a b"}, {"text": "x", "channel": CANARY * 9}]})
    assert answer.json()["decisions"][1]["errors"] == [{"field": "tickets[1].channel", "code": "too-long"}]
    assert CANARY not in answer.text


@pytest.mark.parametrize("examples", [TICKET_EXAMPLES, BATCH_EXAMPLES])
def test_the_examples_work(client: TestClient, examples: dict[str, Any]) -> None:
    path = "/v1/predict" if examples is TICKET_EXAMPLES else "/v1/predict/batch"
    for example in examples.values():
        answer = client.post(path, json=example["value"])
        assert answer.status_code == 200
    if examples is TICKET_EXAMPLES:
        for said in FEEDBACK_EXAMPLES.values():
            place = f"/v1/decisions/{answer.json()['decision_id']}/feedback"
            assert client.post(place, json=said["value"]).status_code == 200
    DecisionDocument.model_validate_json(json.dumps(DECISION_EXAMPLE), strict=True)


@pytest.mark.parametrize(
    ("ticket", "field", "code"),
    [
        ({}, "", "no-text"),
        ({"text": "a", "body": "b"}, "", "text-beside-subject"),
        ({"text": 5}, "text", "string-type"),
        ({"text": "a\u0000b"}, "text", "nul"),
        ({"text": "a", "channel": "c" * 65}, "channel", "too-long"),
        ({"text": "a", "id": "i" * 256}, "id", "too-long"),
        ({"text": "a", "attributes": {CANARY: ["list"]}}, "attributes.*", "string-type"),
        ({"text": "a", CANARY: 1}, "*", "extra-forbidden"),
    ],
)
def test_what_is_not_valid_is_named_and_never_echoed(
    client: TestClient, ticket: dict[str, Any], field: str, code: str
) -> None:
    answer = client.post("/v1/predict", json=ticket)
    assert problem_of(answer, 422)["errors"] == [{"field": field, "code": code}]
    assert CANARY not in answer.text


@pytest.mark.parametrize(
    ("path", "sent", "code"),
    [
        ("/v1/tickets/T-1/answers", {"answers": [{"question": CANARY, "answer": "no"}]}, "unknown-answer"),
        ("/v1/tickets/T-1/answers", {"answers": [{"question": "tier", "answer": CANARY}]}, "unknown-answer"),
        ("/v1/tickets/T-1/events", {"kind": "comment", "text": "x", "at": "2199-03-04T05:06:07Z"}, "in-the-future"),
        (f"/v1/tickets/{CANARY}/events", {"kind": "comment", "text": "x"}, "no-such-ticket"),
        (f"/v1/decisions/{CANARY}/claim?agent=kim", {}, "no-such-decision"),
        (f"/v1/decisions/{CANARY}/feedback", {"verdict": "accepted", "agent": "kim"}, "no-such-decision"),
        ("/v1/knowledge/proposals/k-2199/dismiss", {"agent": "kim"}, "no-such-proposal"),
        ("/v1/knowledge/entries/k-2199/withdraw", {"agent": "kim"}, "no-such-entry"),
    ],
)
def test_no_refusal_repeats_what_was_sent(client: TestClient, path: str, sent: dict[str, Any], code: str) -> None:
    client.post("/v1/predict", json={"id": "T-1", "text": "It does not work as it should since Monday."})
    stated = {"id": "e-1", "at": "2026-11-27T09:01:00Z", **sent} if "/tickets/" in path else sent
    answer = client.post(path, json=stated)
    assert (answer.json()["code"], CANARY in answer.text, "2199" in answer.text) == (code, False, False)


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"{", 400, "malformed-json"),
        (b'{"text": "\xff"}', 400, "malformed-json"),
        (b"[" * 50_000, 400, "malformed-json"),
        (b'{"text": "a", "attributes": {"n": ' + b"1" * 5000 + b"}}", 400, "malformed-json"),
        (b'{"text": "\\ud800"}', 422, "invalid-unicode"),
        (b'{"text": "a", "attributes": {"\\ud800": "x"}}', 422, "invalid-unicode"),
        (b'{"text": NaN}', 422, "invalid-request"),
        (b'{"text": "a", "attributes": {"n": NaN}}', 422, "not-finite"),
        (b'{"text": "a", "attributes": {"n": 1e999}}', 422, "not-finite"),
        (b"[]", 422, "invalid-request"),
        (b"", 422, "invalid-request"),
        (b'{"text": "' + b"x" * 300_000 + b'"}', 413, "too-large"),
    ],
)
def test_bodies_that_are_no_tickets(client: TestClient, body: bytes, status: int, code: str) -> None:
    assert problem_of(client.post("/v1/predict", content=body, headers=JSON), status)["code"] == code


def test_a_batch_has_a_size_of_its_own(client: TestClient) -> None:
    tickets = [{"text": "x" * 19_000} for _ in range(20)]
    assert client.post("/v1/predict/batch", json={"tickets": tickets}).status_code == 200
    assert problem_of(client.post("/v1/predict/batch", json={"tickets": tickets * 20}), 413)["code"] == "too-large"


def test_a_body_without_a_length_is_stopped_too(client: TestClient) -> None:
    def char_ngrams() -> Any:
        for _ in range(100):
            yield b" " * 10_000

    problem_of(client.post("/v1/predict", content=char_ngrams(), headers=JSON), 413)


def test_the_last_of_two_equal_keys_counts(client: TestClient) -> None:
    assert client.post("/v1/predict", content=b'{"text": "a", "text": "printer"}', headers=JSON).status_code == 200


def test_framework_errors_are_problems_too(client: TestClient) -> None:
    problem_of(client.get("/nowhere"), 404)
    for method, path, allowed in (
        ("DELETE", "/v1/predict", "POST"),
        ("POST", "/v1/policy", "GET"),
        ("PUT", "/try", "GET, POST"),
    ):
        answer = client.request(method, path)
        problem_of(answer, 405)
        assert answer.headers["allow"] == allowed
    for kind in ("text/plain", "application/x-www-form-urlencoded", "application/xml"):
        problem_of(client.post("/v1/predict", content=b'{"text": "a"}', headers={"Content-Type": kind}), 415)
    problem_of(client.post("/v1/predict", content=b'{"text": "a"}', headers={"Content-Type": ""}), 415)


def test_text_as_people_write_it_comes_through(client: TestClient) -> None:
    for text in ("emoji 🙂 and عربي and עברית", "p\u0430ssw\u200bord", "<p>HTML &amp; all</p>", "a", "x" * 20_000):
        answer = client.post("/v1/predict", json={"text": text})
        assert answer.status_code == 200
        kept = client.get(f"/v1/decisions/{answer.json()['decision_id']}").json()
        assert kept["ticket"]["body"] == text


def test_disguised_words_meet_the_same_rules(client: TestClient) -> None:
    plain = client.post("/v1/predict", json={"text": "I forgot my password"}).json()
    for text in (
        "I forgot my p\u0430ssw\u200bord",
        "Ｉ forgot my ｐａｓｓｗｏｒｄ",
        "I for\u00adgot my pass\u2060word",
    ):
        disguised = client.post("/v1/predict", json={"text": text}).json()
        assert (disguised["tier"], disguised["category"], disguised["rule"]) == (
            plain["tier"],
            plain["category"],
            plain["rule"],
        )


def test_request_ids_are_kept_or_given(client: TestClient) -> None:
    assert client.get("/livez", headers={"X-Request-ID": "abc-1"}).headers["x-request-id"] == "abc-1"
    for bad in ("x" * 65, 'a"b', "a b"):
        assert re.fullmatch("[0-9a-f]{32}", client.get("/livez", headers={"X-Request-ID": bad}).headers["x-request-id"])


def test_every_answer_carries_the_security_headers(client: TestClient) -> None:
    for path in ("/", "/livez", "/docs", "/nowhere", "/v1/policy"):
        headers = client.get(path).headers
        assert headers["content-security-policy"].startswith("default-src 'none'; script-src 'self'; style-src 'self'")
        assert headers["x-content-type-options"] == "nosniff"


def test_the_why_is_left_out_on_request(client: TestClient) -> None:
    asked = client.post("/v1/predict?explain=false", json={"text": "the printer jams"})
    assert asked.status_code == 200
    assert asked.json()["explanation"] == UNEXPLAINED
    problem_of(client.post("/v1/predict?explain=perhaps", json={"text": "the printer jams"}), 422)


@pytest.mark.parametrize("path", ["/v1/predict", "/v1/predict/batch"])
@pytest.mark.parametrize("headers", [{"Idempotency-Key": "why"}, {}], ids=["key", "id"])
def test_who_wants_no_why_gets_none_though_it_was_said_before(
    client: TestClient, path: str, headers: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    why = ExplanationDocument.model_validate(DECISION_EXAMPLE["explanation"])  # the rules alone explain nothing
    make = Service._new
    monkeypatch.setattr(Service, "_new", lambda *asked: explained(make(*asked), why))
    ticket = {"text": "I forgot my password", **({} if headers else {"id": "WHY"})}
    body = {"tickets": [ticket]} if path.endswith("batch") else ticket
    answers = [client.post(f"{path}{more}", json=body, headers=headers).json() for more in ("", NO_WHY, "", NO_WHY)]
    said, unsaid, *again = [answer["decisions"][0] if "decisions" in answer else answer for answer in answers]
    assert said["explanation"] == why.model_dump(mode="json") and again == [said, unsaid]
    assert unsaid == {**said, "explanation": UNEXPLAINED}


def explained(new: NewDecision, why: ExplanationDocument) -> NewDecision:
    return replace(new, document=new.document.model_copy(update={"explanation": why}))


def test_model_and_policy_are_described(client: TestClient) -> None:
    assert client.get("/v1/model").json()["status"] == "rules-only"
    policy = client.get("/v1/policy").json()
    assert [tier["label"] for tier in policy["tiers"]] == ["L0", "L1", "L2", "L3", "L4"]
    assert len(policy["categories"]) == 11 and policy["rules"]["fallback"] > 0
    problem_of(client.post("/v1/model/reload"), 409)


def test_metrics_count_without_text(client: TestClient) -> None:
    client.post("/v1/predict", json={"text": f"printer {CANARY}", "attributes": {"site": CANARY}, "id": CANARY})
    client.post("/v1/predict", json={CANARY: 1})
    client.get(f"/{CANARY}")
    text = client.get("/metrics").text
    assert 'triage_verdicts_total{reason="model_unavailable"' in text and "triage_model_load_failures_total" in text
    assert CANARY not in text


def test_the_documentation_matches_what_is_served(client: TestClient) -> None:
    document = client.get("/openapi.json").json()
    assert {"/v1/predict", "/v1/predict/batch", "/v1/decisions", "/v1/model", "/v1/policy", "/livez", "/readyz"} <= set(
        document["paths"]
    )
    assert "HTTPValidationError" not in json.dumps(document)
    page = client.get("/docs").text
    sources = re.findall(r'(?:src|href)="([^"]+)"', page)
    assert "/static/swagger-ui-bundle.js" in sources and all(source.startswith(("/", "#")) for source in sources)
    assert all(client.get(source).status_code == 200 for source in sources)
    assert "<script>" not in page and "style=" not in page


def test_idempotency_keys_replay_or_refuse(client: TestClient) -> None:
    headers = {"Idempotency-Key": "k-1"}
    first = client.post("/v1/predict", json={"text": "printer"}, headers=headers)
    assert client.post("/v1/predict", json={"text": "printer"}, headers=headers).content == first.content
    assert (
        problem_of(client.post("/v1/predict", json={"text": "other"}, headers=headers), 422)["code"]
        == "idempotency-key-reused"
    )


def test_the_same_ticket_gets_the_same_decision(client: TestClient) -> None:
    first = client.post("/v1/predict", json={"id": "S-1", "text": "printer"}).json()
    assert client.post("/v1/predict", json={"id": "S-1", "text": "printer"}).json() == first
    second = client.post("/v1/predict", json={"id": "S-1", "text": "printer again"}).json()
    assert second["decision_id"] != first["decision_id"]
    assert client.get(f"/v1/decisions/{second['decision_id']}").json()["revision"] == 2


def test_a_link_to_a_decision_that_is_gone_is_told_to_people_on_the_page(client: TestClient) -> None:
    problem_of(client.get("/decisions/gone"), 404)
    page = client.get("/decisions/gone", headers={"Accept": "text/html"})
    assert (
        page.headers["content-type"].startswith("text/html")
        and "no decision with that id" in page.text
        and "Back to the queue" in page.text
    )


@pytest.mark.parametrize(
    "ticket", [{"id": "S-1", "text": "I forgot my password"}, {"subject": "VPN", "language": "??"}]
)
def test_a_plain_ticket_is_answered_as_one_with_a_wish(client: TestClient, ticket: dict[str, Any]) -> None:
    plain = client.post("/v1/predict", json=ticket)
    wished = client.post("/v1/predict?explain=true", json={**ticket, **({"id": "S-2"} if "id" in ticket else {})})
    assert plain.status_code == wished.status_code == 200
    assert plain.headers["content-type"] == wished.headers["content-type"]
    one, other = plain.json(), wished.json()
    assert list(one) == list(other)
    own = ("decision_id", "ticket_id")
    assert {k: v for k, v in one.items() if k not in own} == {k: v for k, v in other.items() if k not in own}


@pytest.mark.parametrize("body", [b'{"text": "a", "text": 5}', b'"a"', b'{"text": "a"'])
def test_what_is_no_plain_ticket_has_the_same_answer_with_a_wish(client: TestClient, body: bytes) -> None:
    plain, wished = (client.post(f"/v1/predict{more}", content=body, headers=JSON) for more in ("", "?explain=true"))
    first, second = ({**answer.json(), "request_id": ""} for answer in (plain, wished))
    assert first == second and plain.status_code == wished.status_code != 200
