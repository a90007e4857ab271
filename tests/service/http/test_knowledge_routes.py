"""Knowledge over HTTP: proposals are accepted into versions, and entries fit tickets that the reader may see."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from api.app import create_app
from api.security.api_keys import create_key
from api.security.auth import COOKIE, csrf_token
from api.security.passwords import hash_password
from api.settings import load_settings
from api.store.people.users import Rights
from api.store.repository import open_repository
from models.knowledge import KnowledgeFolder
from triage.knowledge import SCRIPT, Proposal

from ..local_client import TestClient

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
WITHDRAW = "/v1/knowledge/entries/k-0123456789/withdraw"


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[tuple[TestClient, dict[str, dict[str, str]]]]:
    KnowledgeFolder(tmp_path / "knowledge").propose([PROPOSAL])
    store = open_repository(tmp_path)
    with TestClient(create_app(load_settings(home=tmp_path, rules_only=True, request_deadline_s=15), store)) as client:
        scopes = {"all": ["predict", "feedback", "read"], "reads": ["read"], "uncleared": ["read"]}
        scopes["uncleared judge"] = ["feedback"]
        keys = {
            name: {
                "Authorization": f"Bearer {create_key(store, name, of, clearance=0 if 'uncleared' in name else 2)[0]}"
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


def test_the_page_of_a_ticket_shows_the_entries_that_fit(desk: tuple[TestClient, dict[str, dict[str, str]]]) -> None:
    client, keys = desk
    client.post(ACCEPT, json={"agent": "Ada", "title": "Scanner <1>", "text": "# Scanner\nReset the *cradle*."})
    decided(client, "P-1", "the scanner is dead again")
    decided(client, "P-2", "please order a chair")
    decided(client, "P-3", "the scanner shows salaries", attributes={"sensitive": "yes"})

    def page(ticket_id: str, key: str = "all") -> str:
        at = client.get("/tickets", params={"id": ticket_id}, headers=keys[key], follow_redirects=True)
        assert at.status_code == 200
        return str(at.text)

    shown = page("P-1")
    assert "Scanner &lt;1&gt;" in shown and "Reset the *cradle*." in shown and "by the words scanner" in shown
    assert 'id="known-title"' in shown and 'id="known-title"' not in page("P-2") and "Reset the *cradle*" in page("P-3")
    assert "Reset the *cradle*" not in page("P-3", "uncleared") and "Reset the *cradle*" in page("P-1", "uncleared")


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


def test_a_broken_file_is_named_and_hides_nothing_else(
    desk: tuple[TestClient, dict[str, dict[str, str]]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    client, _ = desk
    client.post(ACCEPT, json={"agent": "Ada"})
    place = tmp_path / "knowledge"
    (place / "proposals" / "k-00ff.json").write_text("{", "utf-8")
    (place / "entries" / "k-00ff").mkdir()
    for name in ("2.md", "\u00b2.md", "01.md"):
        (place / "entries" / "k-0123456789" / name).write_text("no head", "utf-8")
    (place / "entries" / "k-00ff" / "1.md").write_text("x" * (1 << 20) + "x", "utf-8")
    for _ in range(2):
        answer = client.get("/v1/knowledge/proposals").json()
        assert [one["id"] for one in answer["proposals"]] == ["k-0123456789"]
        named = " ".join(answer["left_out"])
        for name in ("k-00ff.json", "k-0123456789/2.md", "\u00b2.md", "01.md", "k-00ff/1.md"):
            assert name in named
    assert capsys.readouterr().out.count("k-00ff/1.md") == 1  # logged once
    entries = client.get("/v1/knowledge/entries").json()
    assert [one["version"] for one in entries["entries"]] == [1] and len(entries["left_out"]) == 5
    decided(client, "T-9", "the scanner is dead again")
    assert len(client.get("/v1/tickets/T-9/knowledge").json()["entries"]) == 1
    assert client.post(ACCEPT, json={"agent": "Ada"}).json()["version"] == 3
    broken = client.get("/v1/knowledge/entries/k-0123456789", params={"version": 2})
    assert broken.status_code == 503 and "k-0123456789/2.md" in broken.json()["detail"]
    assert client.get("/v1/knowledge/entries/k-00ff").status_code == 404


@pytest.mark.parametrize("others", [(), ("hardware",)], ids=["of all tickets", "of some tickets"])
@pytest.mark.parametrize("category", ["security", "HR-case"])  # one that is sensitive, and one that nobody here knows
def test_what_is_made_of_sensitive_tickets_is_shown_to_whom_may_read_them(
    desk: tuple[TestClient, dict[str, dict[str, str]]], tmp_path: Path, category: str, others: tuple[str, ...]
) -> None:
    client, keys = desk
    folder = KnowledgeFolder(tmp_path / "knowledge")
    commonest = replace(PROPOSAL, category=[*others, category][0], categories=(*others, category))
    folder.propose([commonest, replace(PROPOSAL, id="k-00ff", tickets=("T7",))])
    client.post(ACCEPT, json={"agent": "Ada"})
    decided(client, "T-9", "the scanner is dead again")
    for who, seen in (("all", 2), ("uncleared", 1)):
        headers = keys[who]
        assert len(client.get("/v1/knowledge/proposals", headers=headers).json()["proposals"]) == seen
        assert len(client.get("/v1/knowledge/entries", headers=headers).json()["entries"]) == seen - 1
        assert len(client.get("/v1/tickets/T-9/knowledge", headers=headers).json()["entries"]) == seen - 1
        one = client.get("/v1/knowledge/entries/k-0123456789", headers=headers)
        assert one.status_code == (200 if seen == 2 else 404)
        page = client.get("/knowledge", headers=headers | {"Accept": "text/html"})
        assert page.status_code == 200 and ("k-0123456789" in page.text) is (seen == 2)
    for verb in ("accept", "dismiss"):
        refused = client.post(ACCEPT.replace("accept", verb), json={"agent": "Eve"}, headers=keys["uncleared judge"])
        assert refused.status_code == 404 and len(folder.entries()) == 1
    withdraw = client.post(WITHDRAW, json={"agent": "Eve"}, headers=keys["uncleared judge"])
    assert withdraw.status_code == 404 and len(folder.entries()) == 1


def test_an_entry_is_revised_without_a_proposal_and_withdrawn(
    desk: tuple[TestClient, dict[str, dict[str, str]]], tmp_path: Path
) -> None:
    client, keys = desk
    client.post(ACCEPT, json={"agent": "Ada"})
    folder = KnowledgeFolder(tmp_path / "knowledge")
    folder.propose([])
    assert client.post(ACCEPT, json={"agent": "Bob"}).status_code == 404  # it says nothing else
    assert client.post(ACCEPT, json={"agent": "Bob", "text": "Reset it.\r\n"}).json()["version"] == 2
    assert client.post(WITHDRAW, json={"agent": "Bob"}, headers=keys["reads"]).status_code == 403
    assert client.post(WITHDRAW, json={"agent": "Bob"}).json()["body"] == "Reset it.\n"
    assert client.get("/v1/knowledge/entries").json()["entries"] == []
    assert client.post(WITHDRAW, json={"agent": "Bob"}).status_code == 404
    folder.propose([PROPOSAL])
    [shown] = client.get("/v1/knowledge/proposals").json()["proposals"]
    assert (shown["accepted"], shown["dismissed_by"]) == (False, "Bob")
    undone = client.post(ACCEPT.replace("accept", "dismiss"), json={"agent": "Bob", "undo": True}).json()
    assert (undone["accepted"], undone["dismissed_by"]) == (True, None)
    assert [one["version"] for one in client.get("/v1/knowledge/entries").json()["entries"]] == [2]


def test_nobody_accepts_in_the_name_of_another(desk: tuple[TestClient, dict[str, dict[str, str]]]) -> None:
    client, _ = desk
    dismiss = ACCEPT.replace("accept", "dismiss")
    for path in (ACCEPT, dismiss, WITHDRAW):
        assert client.post(path, json={"agent": "   "}).status_code == 422
    store, password = client.app.state.parts.service.store, "four words in a row"  # type: ignore[attr-defined]
    store.add_user("kim", Rights(("lead",), 2, []), hash_password(password))
    browser = TestClient(client.app)
    browser.post("/sign-in", data={"name": "kim", "password": password}, headers={"Accept": "text/html"})
    browser.headers["X-CSRF-Token"] = csrf_token(browser.cookies[COOKIE])
    assert browser.post(dismiss, json={"agent": "anna"}).json()["dismissed_by"] == "kim"
    assert browser.post(ACCEPT, json={"agent": "anna"}).json()["accepted_by"] == "kim"
    assert browser.post(WITHDRAW, json={"agent": "anna"}).status_code == 200
    [shown] = browser.get("/v1/knowledge/proposals").json()["proposals"]
    assert shown["dismissed_by"] == "kim"


def test_what_was_typed_is_given_back_where_the_proposal_is_gone(
    desk: tuple[TestClient, dict[str, dict[str, str]]], tmp_path: Path
) -> None:
    client, _ = desk
    folder = KnowledgeFolder(tmp_path / "knowledge")
    folder.propose([replace(PROPOSAL, id="k-00ff", tickets=("T7",))])
    typed = {"title": "My <title>", "text": "\r\nAN HOUR OF </textarea> WORK"}
    gone = client.post("/knowledge/k-0123456789/accept", data=typed, headers={"Accept": "text/html"})
    assert gone.status_code == 404 and "no longer there" in gone.text
    assert "\n\nAN HOUR OF &lt;/textarea&gt; WORK</textarea>" in gone.text
    assert 'value="My &lt;title&gt;"' in gone.text and '<option value="k-00ff">' in gone.text
    instead = client.post("/knowledge/k-0123456789/accept", data=typed | {"instead": "k-00ff"}, follow_redirects=False)
    assert instead.status_code == 303
    [entry] = folder.entries()
    assert (entry.id, entry.title, entry.body.strip()) == ("k-00ff", "My <title>", "AN HOUR OF </textarea> WORK")
    (tmp_path / "knowledge" / "proposals" / "k-00ff.json").write_text("{", "utf-8")
    broken = client.post("/knowledge/k-00ff/accept", data=typed, headers={"Accept": "text/html"})
    assert broken.status_code == 503 and "AN HOUR OF" in broken.text
    long = typed | {"text": "line\r\n" * 20_000}  # as many characters as the field takes, as a browser sends them
    assert client.post("/knowledge/k-00ff/accept", data=long, follow_redirects=False).status_code in (303, 503)


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
