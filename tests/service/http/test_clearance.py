"""Who may read a ticket: clearance, by route, by what was decided and said about it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from importlib.resources import files
from pathlib import Path

import pytest

from api.app import create_app
from api.security.api_keys import create_key
from api.settings import load_settings
from api.store.export import ExportRules
from api.store.repository import Repository, open_repository
from api.store.rows import NewDecision
from api.store.work.queue import Filter
from models.wire import TargetDocument
from triage.errors import StoreUnavailable
from triage.ticket import Ticket

from ..local_client import TestClient

SECRET, REMARK = "quarterly bonus of kim", "it names kim"
HARMLESS = f"The printer does not print the {SECRET}."
SUSPECT = f"somebody hacked my account: a data breach of the {SECRET}, suspicious sign-in"
NEEDED = 2
READERS = ("GET /v1/decisions/{id}", "GET /v1/decisions", "GET /decisions/{id}", "GET /")


class Desk:
    """A service with a ticket, seen by keys of both clearances."""

    def __init__(self, client: TestClient, store: Repository) -> None:
        self.client, self.store = client, store
        scopes = ["predict", "feedback", "read"]
        self.keys = {level: create_key(store, str(level), scopes, clearance=level)[0] for level in (0, NEEDED)}
        self.id = ""

    def call(self, clearance: int, method: str, path: str, **options: object) -> object:
        """Send a request with the key of a clearance."""
        headers = {"Authorization": f"Bearer {self.keys[clearance]}"}
        return self.client.request(method, path, headers=headers, **options)  # type: ignore[arg-type]

    def decided(self, text: str) -> None:
        """Have the ticket decided."""
        answer = self.call(0, "POST", "/v1/predict", json={"id": "T-1", "subject": text[:60], "body": text})
        self.id = answer.json()["decision_id"]  # type: ignore[attr-defined]
        until = time.monotonic() + 10
        while self.call(NEEDED, "GET", f"/v1/decisions/{self.id}").status_code == 503:  # type: ignore[attr-defined]
            assert time.monotonic() < until, "it was not committed"
            time.sleep(0.05)

    def said(self, clearance: int, category: str) -> str:
        """Have somebody correct the category; returns the id of the feedback."""
        said = {"verdict": "corrected", "category": category, "agent": "kim", "comment": REMARK, "reason": REMARK}
        answer = self.call(clearance, "POST", f"/v1/decisions/{self.id}/feedback", json=said)
        return str(answer.json()["feedback_id"])  # type: ignore[attr-defined]

    def noted(self, clearance: int) -> str:
        """Have somebody note that they are unsure; returns the id of the feedback."""
        said = {"verdict": "unsure", "agent": "kim"}
        answer = self.call(clearance, "POST", f"/v1/decisions/{self.id}/feedback", json=said)
        return str(answer.json()["feedback_id"])  # type: ignore[attr-defined]

    def happened(self, clearance: int, text: str) -> None:
        """Have somebody write a comment on the ticket."""
        event = {"id": "e-1", "kind": "comment", "at": datetime.now(UTC).isoformat(), "text": text}
        answer = self.call(clearance, "POST", "/v1/tickets/T-1/events", json=event)
        assert answer.status_code == 200, answer.text  # type: ignore[attr-defined]

    def refused(self, clearance: int, category: str) -> bool:
        """Say whether somebody is refused to judge the ticket that they may not read."""
        said = {"verdict": "corrected", "category": category, "agent": "kim"}
        answer = self.call(clearance, "POST", f"/v1/decisions/{self.id}/feedback", json=said)
        return (answer.status_code, answer.json()["code"]) == (403, "withheld")  # type: ignore[attr-defined]

    def undone(self, clearance: int, feedback_id: str) -> int:
        """Have somebody take it back; returns the status of the answer."""
        answer = self.call(clearance, "DELETE", f"/v1/decisions/{self.id}/feedback/{feedback_id}?agent=kim")
        return int(answer.status_code)  # type: ignore[attr-defined]

    def finds(self, clearance: int) -> bool:
        """Say whether somebody finds the ticket by a word of the secret."""
        found = self.call(clearance, "GET", "/v1/decisions?q=quarterly").json()["decisions"]  # type: ignore[attr-defined]
        return self.id in [one["decision_id"] for one in found]

    def reads(self, clearance: int) -> set[str]:
        """Return what of the secret somebody reads, over all routes; each route must tell the same."""
        found = []
        for route in READERS:
            method, path = route.split()
            text = self.call(clearance, method, path.replace("{id}", self.id)).text  # type: ignore[attr-defined]
            found.append({word for word in (SECRET, REMARK) if word in text})
        assert len({SECRET in words for words in found[:3]}) == 1, dict(zip(READERS, found, strict=True))
        return set().union(*found)


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    store, settings = open_repository(tmp_path), load_settings(home=tmp_path, rules_only=True, request_deadline_s=20)
    with TestClient(create_app(settings, store), follow_redirects=False) as client:
        yield Desk(client, store)
    store.close()


def test_the_page_of_a_withheld_ticket_has_neither_buttons_nor_their_box(desk: Desk) -> None:
    desk.decided(SUSPECT)
    desk.said(NEEDED, "security")
    withheld, open_ = (desk.call(level, "GET", f"/decisions/{desk.id}").text for level in (0, NEEDED))  # type: ignore[attr-defined]
    assert f'action="/decisions/{desk.id}/undo"' in open_ and f"/decisions/{desk.id}/undo" not in withheld
    desk.undone(NEEDED, desk.store.history(desk.id)[0].id)
    withheld, open_ = (desk.call(level, "GET", f"/decisions/{desk.id}").text for level in (0, NEEDED))  # type: ignore[attr-defined]
    assert 'class="feedback"' in open_ and 'class="feedback"' not in withheld and "kept from you" in withheld


def plain(desk: Desk) -> None:
    desk.decided(HARMLESS)


def corrected(desk: Desk) -> None:
    desk.decided(HARMLESS)
    desk.said(NEEDED, "hardware")


def suspected(desk: Desk) -> None:
    desk.decided(SUSPECT)
    desk.said(NEEDED, "security")


def corrected_to_sensitive(desk: Desk) -> None:
    desk.decided(HARMLESS)
    desk.said(0, "security")


def corrected_to_sensitive_and_away(desk: Desk) -> None:
    corrected_to_sensitive(desk)
    assert desk.refused(0, "hardware")
    desk.said(NEEDED, "hardware")


def suspected_and_corrected_away(desk: Desk) -> None:
    desk.decided(SUSPECT)
    assert desk.refused(0, "hardware")
    desk.said(NEEDED, "hardware")


def taken_back_by_the_low(desk: Desk) -> None:
    desk.decided(HARMLESS)
    assert desk.undone(0, desk.said(0, "security")) == 403


def taken_back_by_the_high(desk: Desk) -> None:
    desk.decided(HARMLESS)
    assert desk.undone(NEEDED, desk.said(0, "security")) == 200


def rewritten(desk: Desk) -> None:
    desk.decided(SUSPECT)
    desk.decided(HARMLESS)


def corrected_to_sensitive_and_rewritten(desk: Desk) -> None:
    corrected_to_sensitive(desk)
    desk.decided(f"{HARMLESS} It still does not.")


def rewritten_to_sensitive_and_read_as_it_was(desk: Desk) -> None:
    desk.decided(HARMLESS)
    first = desk.id
    desk.decided(SUSPECT)
    desk.id = first


def closed_by_an_event_with_a_note_taken_back(desk: Desk) -> None:
    desk.decided(HARMLESS)
    desk.happened(NEEDED, SUSPECT)
    assert desk.undone(NEEDED, desk.noted(NEEDED)) == 200


def rewritten_and_taken_back(desk: Desk) -> None:
    desk.decided(HARMLESS)
    first, said = desk.id, desk.said(0, "security")
    desk.decided(f"{HARMLESS} It still does not.")
    second, desk.id = desk.id, first
    assert desk.undone(NEEDED, said) == 200
    desk.id = second


BURNS = f"The {SECRET} burns: there is fire and smoke, and people are hurt."


@pytest.mark.parametrize("path", ["/v1/predict", "/v1/predict?explain=false", "/v1/predict/batch"])
def test_who_sends_a_withheld_ticket_again_is_told_nothing_of_its_thread(desk: Desk, path: str) -> None:
    first = "somebody hacked my account: a data breach, suspicious sign-in"
    desk.decided(first)
    desk.happened(NEEDED, BURNS)
    sent = [{"id": "T-1", "subject": first[:60], "body": first}, {"id": "T-1", "text": "any news?"}]
    asked = 0

    def told(clearance: int, ticket: dict[str, str], key: str | None = None) -> str:
        nonlocal asked
        asked += 1
        body = {"tickets": [ticket]} if path.endswith("batch") else ticket
        headers = {"Authorization": f"Bearer {desk.keys[clearance]}", "Idempotency-Key": key or f"k-{asked}"}
        if key is None and asked % 2:
            headers.pop("Idempotency-Key")
        answer = desk.client.post(path, json=body, headers=headers)
        assert answer.status_code == 200 and '"safety"' in answer.text, answer.text
        return str(answer.text)

    for ticket in (*sent, *sent, *sent):
        assert SECRET not in told(0, ticket)
    assert SECRET not in told(0, sent[1], "again") and SECRET not in told(0, sent[1], "again")
    assert all(SECRET in told(NEEDED, ticket) for ticket in sent)


def test_a_thread_is_told_to_no_low_clearance_while_the_store_takes_nothing(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.decided("somebody hacked my account: a data breach, suspicious sign-in")
    desk.happened(NEEDED, BURNS)

    def away(*_: object, **__: object) -> None:
        raise StoreUnavailable("locked", "nobody answers")

    monkeypatch.setattr(desk.store, "record", away)
    for clearance, told in ((0, False), (NEEDED, True), (0, False)):  # the second and third wait beside the first
        answer = desk.call(clearance, "POST", "/v1/predict", json={"id": "T-1", "text": "any news?"})
        assert not answer.json()["stored"] and (SECRET in answer.text) is told  # type: ignore[attr-defined]
    monkeypatch.undo()


STATES: dict[Callable[[Desk], None], bool] = {
    plain: True,
    corrected: True,
    suspected: False,
    corrected_to_sensitive: False,
    corrected_to_sensitive_and_away: False,
    suspected_and_corrected_away: False,
    taken_back_by_the_low: False,
    taken_back_by_the_high: True,
    rewritten: False,
    corrected_to_sensitive_and_rewritten: False,
    rewritten_to_sensitive_and_read_as_it_was: False,
    closed_by_an_event_with_a_note_taken_back: False,
    rewritten_and_taken_back: True,
}


@pytest.mark.parametrize("state", STATES, ids=lambda state: state.__name__)
def test_words_are_read_by_whom_the_policy_lets(desk: Desk, state: Callable[[Desk], None]) -> None:
    state(desk)
    words = desk.reads(NEEDED)
    assert SECRET in words
    assert desk.reads(0) == (words if STATES[state] else set())


@pytest.mark.parametrize("state", STATES, ids=lambda state: state.__name__)
def test_a_search_finds_by_its_words_what_may_be_read_and_nothing_else(
    desk: Desk, state: Callable[[Desk], None]
) -> None:
    state(desk)
    assert desk.finds(NEEDED) and desk.finds(0) == STATES[state]


@pytest.mark.parametrize("state", STATES, ids=lambda state: state.__name__)
def test_an_export_marks_as_sensitive_what_is_withheld(desk: Desk, state: Callable[[Desk], None]) -> None:
    state(desk)
    rows = list(desk.store.training_rows(ExportRules()))
    assert {row["sensitive"] for row in rows} == {not STATES[state]}


@pytest.mark.parametrize("state", [plain, corrected], ids=["decided", "corrected"])
def test_a_category_that_is_made_sensitive_later_closes_the_tickets_that_it_has(
    tmp_path: Path, state: Callable[[Desk], None]
) -> None:
    store, shipped = open_repository(tmp_path), files("triage.defaults").joinpath("policy.toml").read_text("utf-8")
    settings = load_settings(home=tmp_path, rules_only=True, request_deadline_s=20)
    with TestClient(create_app(settings, store), follow_redirects=False) as client:
        before = Desk(client, store)
        state(before)
        assert SECRET in before.reads(0)
    stands = store.lines(Filter())[0].row.stands
    assert stands is not None and stands.category
    (tmp_path / "policy.toml").write_text(
        shipped.replace(f'label = "{stands.category}"', f'label = "{stands.category}"\nsensitive = true'), "utf-8"
    )
    settings = settings.model_copy(update={"policy": tmp_path / "policy.toml"})
    with TestClient(create_app(settings, store), follow_redirects=False) as client:
        after = Desk(client, store)
        after.id = before.id
        assert after.reads(0) == set() and SECRET in after.reads(NEEDED)
        assert SECRET not in after.call(0, "GET", "/v1/tickets/T-1").text  # type: ignore[attr-defined]
        assert after.refused(0, "hardware")
        assert [after.finds(level) for level in (0, NEEDED)] == [False, True]
    store.close()


def test_what_is_kept_by_suspicion_alone_is_found_by_no_word(desk: Desk) -> None:
    """Of a category that was made sensitive after the ticket was decided as another one."""
    desk.decided(HARMLESS)
    scores = [{"label": label, "probability": share} for label, share in (("printing", 0.6), ("security", 0.3))]
    doubted = {"label": "printing", "automation": "suggested", "source": "model", "reason": "ambiguous",
               "confidence": 0.6, "alternatives": scores, "likely": [], "rule": None}  # fmt: skip
    document = desk.store.lines(Filter())[0].row.document
    targets = {"category": TargetDocument.model_validate(doubted)}
    document = document.model_copy(update={"decision_id": None, "ticket_id": "T-2", "targets": targets})
    [row] = desk.store.record([NewDecision(Ticket("T-2", body=HARMLESS), document)])
    assert desk.finds(0)
    desk.id = row.id
    assert desk.call(0, "GET", f"/v1/decisions/{row.id}").json()["withheld"]  # type: ignore[attr-defined]
    assert not desk.finds(0) and desk.finds(NEEDED)
