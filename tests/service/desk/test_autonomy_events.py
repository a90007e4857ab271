"""A change of autonomy is told to the helpdesk that wants to know, and stands on the page; an audit may be blind."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from api.app import create_app
from api.helpdesks.config import load_helpdesks
from api.settings import load_settings
from triage.errors import InvalidRequest

from ..local_client import TestClient

FILE = """
[helpdesks.rt.events]
url = "http://127.0.0.1:{port}/triage"
hosts = ["127.0.0.1:{port}"]
loopback = true
authorization = "RT_EVENTS"
body = {{ text = "{{target}} is {{mode}}: {{because}}", model = "{{model_version}}" }}
"""
SHIPPED = Path(__file__).parents[3] / "datasets" / "tickets.jsonl"
ROWS = [
    row
    for line in SHIPPED.read_text("utf-8").splitlines()
    if (row := json.loads(line))["category"] == "access" and row["tier"] == "L1" and row["language"] == "en"
]
pytestmark = [pytest.mark.slow]


@pytest.fixture
def open_client(
    told: Any, tmp_path: Path, make_bundle: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[..., TestClient]]:
    monkeypatch.setenv("RT_EVENTS", "token of events")
    (tmp_path / "desks.toml").write_text(FILE.format(port=told.port))
    opened: list[TestClient] = []

    def open_it(**changes: Any) -> TestClient:
        stated = {"home": tmp_path / "home", "bundle": make_bundle(), "open_loopback": True} | changes
        settings = load_settings(**stated, helpdesks=tmp_path / "desks.toml")
        client = TestClient(create_app(settings), base_url="http://127.0.0.1", raise_server_exceptions=False)
        opened.append(client.__enter__())
        return opened[-1]

    yield open_it
    for client in opened:
        client.__exit__(None, None, None)


def sure(client: TestClient, place: int, said: dict[str, Any] | None) -> dict[str, Any]:
    """Send a ticket, say something about the decision, and return it."""
    row = ROWS[place % 40]
    decision: dict[str, Any] = client.post(
        "/v1/predict", json={"id": f"T-{place}", "subject": row["subject"], "body": row["body"]}
    ).json()
    if said is not None:
        answer = client.post(f"/v1/decisions/{decision['decision_id']}/feedback", json={"agent": "kim", **said})
        assert answer.status_code == 200, answer.text
    return decision


def open_tier(client: TestClient) -> None:
    for place in range(200):
        if client.get("/v1/autonomy").json()["targets"]["tier"]["mode"] == "automatic":
            return
        sure(client, place, {"verdict": "accepted"})
    raise AssertionError("automation did not open")


def test_the_helpdesk_is_told_when_automation_opens_and_why(
    open_client: Callable[..., TestClient], told: Any, until: Callable[..., float]
) -> None:
    client = open_client()
    open_tier(client)
    until(lambda: any("tier is" in request[2]["text"] for request in told.requests), 20)
    method, path, body, headers = next(one for one in told.requests if "tier is" in one[2]["text"])
    assert (method, path, headers["Authorization"]) == ("PUT", "/triage", "token of events")
    assert body["text"].startswith("tier is automatic: ") and "ruled out" in body["text"]
    assert body["model"] == client.get("/v1/model").json()["model_version"]


def test_the_page_says_what_the_model_decides_alone_and_what_it_still_takes(
    open_client: Callable[..., TestClient],
) -> None:
    client = open_client()
    to_go = client.get("/v1/autonomy").json()["targets"]["tier"]["reviews_to_go"]
    assert f"suggests · {to_go} clean reviews to go" in client.get("/overview").text
    open_tier(client)
    assert '<span class="pill good">automatic</span>' in client.get("/overview").text


def test_where_one_person_alone_suffices_others_are_said_to_be_missing(
    open_client: Callable[..., TestClient],
) -> None:
    client = open_client(autonomy_reviewers=2)
    told, place = client.get("/v1/autonomy").json()["targets"]["tier"], 0
    while told["reviews_to_go"] > 1 and place < 200:
        assert "suffice" not in told["because"]
        sure(client, place, {"verdict": "accepted"})
        told, place = client.get("/v1/autonomy").json()["targets"]["tier"], place + 1
    sure(client, place, {"verdict": "accepted"})
    told = client.get("/v1/autonomy").json()["targets"]["tier"]
    assert (told["mode"], told["reviews_to_go"]) == ("suggest", 1)
    assert told["because"].startswith("the reviews suffice only with those of one person: others' are missing")
    assert "suggests · 1 clean review to go" in client.get("/overview").text


def test_what_was_drawn_for_a_check_is_counted_as_that_and_one_check_is_drawn(
    open_client: Callable[..., TestClient],
) -> None:
    client = open_client(audit_share=1.0)
    open_tier(client)
    decision = next(one for place in range(500, 700) if (one := sure(client, place, None))["targets"]["tier"]["audit"])
    assert (decision["automation"], decision["reason"]) == ("suggested", "confident")
    for figure in ("reasons", "reasons-days"):
        counted = client.get(f"/overview/{figure}.csv").text
        assert "drawn at random for a person to check" in counted and "sure enough to act on" not in counted
    assert "drawn at random for a person to check" in client.get("/").text
    accepted = client.post(
        f"/v1/decisions/{decision['decision_id']}/feedback", json={"agent": "kim", "verdict": "accepted"}
    )
    assert accepted.status_code == 200
    page = client.get("/overview").text
    assert page.count('<circle class="dot" cx="43"') == page.count("after 1 audit, between") >= 1


def test_a_blind_audit_shows_what_the_model_says_only_after_a_person_has_judged(
    open_client: Callable[..., TestClient],
) -> None:
    client = open_client(audit_share=1.0, audit_blind=True)
    open_tier(client)
    decision = next(one for place in range(500, 700) if (one := sure(client, place, None))["targets"]["tier"]["audit"])
    path = f"/decisions/{decision['decision_id']}"
    page = client.get(path).text
    assert "choose before you see" in page and ROWS[0]["category"] in page
    assert "Alternatives" not in page and f"{decision['tier']} · " not in page
    assert "to be judged" in client.get("/").text and path in client.get("/?view=audit").text
    wanted = {name: str(decision[name]) for name in ("tier", "category", "resolver_group", "automation", "reason")}
    for name, label in wanted.items():
        assert path not in client.get("/", params={"view": "all", name: label, "limit": "200"}).text, name
    assert decision["decision_id"] in client.get("/v1/decisions", params=wanted).text
    counts = client.app.state.parts.service.store.counts(groups=[wanted["resolver_group"]], blind=True)  # type: ignore[attr-defined]
    labelled = counts.waiting - counts.views["audit"]
    assert sum(counts.tiers.values()) == sum(counts.groups.values()) == labelled >= counts.views["my_groups"]
    assert path not in client.get("/learning").text
    preview = client.post(f"{path}/answers/preview", data={"question": "since when?", "answer": "since Monday"})
    assert "Judge the ticket first" in preview.text and decision["tier"] not in preview.text
    said = {"verdict": "corrected", "agent": "kim", "tier": decision["tier"], "category": decision["category"]}
    before = client.get("/v1/autonomy").json()["targets"]["tier"]
    assert client.post(f"/v1{path}/feedback", json=said).status_code == 200
    after = client.get("/v1/autonomy").json()["targets"]["tier"]
    assert (after["reviews"], after["errors"]) == (before["reviews"] + 1, before["errors"])
    assert "choose before you see" not in client.get(path).text
    assert path in client.get("/", params={"view": "all", "tier": decision["tier"], "limit": "200"}).text


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"{{mode}}": "{{tier}}"}, "rt.events: unknown placeholders tier"),
        ({"http://127": "http://128"}, "rt.events.hosts"),
        ({"RT_EVENTS": "NOT_SET"}, "rt.events.authorization: the environment variable NOT_SET is not set"),
    ],
)
def test_events_that_make_no_sense_are_refused_before_the_start(
    tmp_path: Path, change: dict[str, str], message: str
) -> None:
    text = FILE
    for old, new in change.items():
        text = text.replace(old, new)
    (tmp_path / "desks.toml").write_text(text.format(port=1))
    with pytest.raises(InvalidRequest, match=message):
        load_helpdesks(tmp_path / "desks.toml", {"RT_EVENTS": "x"})
