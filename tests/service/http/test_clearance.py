"""Who may read a ticket: clearance, by route, by what was decided and said about it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from api.app import create_app
from api.security.api_keys import create_key
from api.settings import load_settings
from api.store.export import ExportRules
from api.store.repository import Repository, open_repository

SECRET, REMARK = "quarterly bonus of kim", "it names kim"
HARMLESS = f"The printer does not print the {SECRET}."
SUSPECT = f"somebody hacked my account: a data breach of the {SECRET}, suspicious sign-in"
NEEDED = 2
READERS = ("GET /v1/decisions/{id}", "GET /v1/decisions", "GET /decisions/{id}", "GET /")


class Desk:
    """A service with a ticket, seen by keys of both clearances."""

    def __init__(self, client: TestClient, store: Repository) -> None:
        self._client, self.store = client, store
        scopes = ["predict", "feedback", "read"]
        self._keys = {level: create_key(store, str(level), scopes, clearance=level)[0] for level in (0, NEEDED)}
        self.id = ""

    def call(self, clearance: int, method: str, path: str, **options: object) -> object:
        """Send a request with the key of a clearance."""
        headers = {"Authorization": f"Bearer {self._keys[clearance]}"}
        return self._client.request(method, path, headers=headers, **options)  # type: ignore[arg-type]

    def decided(self, text: str) -> None:
        """Have the ticket decided."""
        answer = self.call(0, "POST", "/v1/predict", json={"id": "T-1", "subject": text[:60], "body": text})
        self.id = answer.json()["decision_id"]  # type: ignore[attr-defined]

    def said(self, clearance: int, category: str) -> str:
        """Have somebody correct the category; returns the id of the feedback."""
        said = {"verdict": "corrected", "category": category, "agent": "kim", "comment": REMARK, "reason": REMARK}
        answer = self.call(clearance, "POST", f"/v1/decisions/{self.id}/feedback", json=said)
        return str(answer.json()["feedback_id"])  # type: ignore[attr-defined]

    def refused(self, clearance: int, category: str) -> bool:
        """Say whether somebody is refused to judge the ticket that they may not read."""
        said = {"verdict": "corrected", "category": category, "agent": "kim"}
        answer = self.call(clearance, "POST", f"/v1/decisions/{self.id}/feedback", json=said)
        return (answer.status_code, answer.json()["code"]) == (403, "withheld")  # type: ignore[attr-defined]

    def undone(self, clearance: int, feedback_id: str) -> int:
        """Have somebody take it back; returns the status of the answer."""
        answer = self.call(clearance, "DELETE", f"/v1/decisions/{self.id}/feedback/{feedback_id}?agent=kim")
        return int(answer.status_code)  # type: ignore[attr-defined]

    def reads(self, clearance: int) -> set[str]:
        """Return what of the secret somebody reads, over all routes; each route must tell the same."""
        found = []
        for route in READERS:
            method, path = route.split()
            text = self.call(clearance, method, path.replace("{id}", self.id)).text  # type: ignore[attr-defined]
            found.append({word for word in (SECRET, REMARK) if word in text})
        assert found[0] == found[1] and (SECRET in found[2]) == (SECRET in found[0]), dict(
            zip(READERS, found, strict=True)
        )
        return set().union(*found)


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    store = open_repository(tmp_path)
    with TestClient(create_app(load_settings(home=tmp_path, rules_only=True), store), follow_redirects=False) as client:
        yield Desk(client, store)
    store.close()


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


STATES: dict[Callable[[Desk], None], bool] = {
    plain: True,
    corrected: True,
    suspected: False,
    corrected_to_sensitive: False,
    corrected_to_sensitive_and_away: False,
    suspected_and_corrected_away: False,
    taken_back_by_the_low: False,
    taken_back_by_the_high: True,
}


@pytest.mark.parametrize("state", STATES, ids=lambda state: state.__name__)
def test_words_are_read_by_whom_the_policy_lets(desk: Desk, state: Callable[[Desk], None]) -> None:
    state(desk)
    words = {SECRET} if state is plain else {SECRET, REMARK}
    assert desk.reads(NEEDED) == words
    assert desk.reads(0) == (words if STATES[state] else set())


@pytest.mark.parametrize("state", STATES, ids=lambda state: state.__name__)
def test_an_export_marks_as_sensitive_what_is_withheld(desk: Desk, state: Callable[[Desk], None]) -> None:
    state(desk)
    [row] = desk.store.training_rows(ExportRules())
    assert row["sensitive"] is not STATES[state]
