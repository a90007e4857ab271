"""A decision that no store can take stops neither its batch nor the queue behind it, and somebody hears of it."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from api.app import create_app
from api.maintenance.dead_letters import DeadLetters
from api.settings import Settings
from api.store.repository import Repository, open_repository
from api.store.rows import DecisionRow, NewDecision
from triage.errors import StoreUnavailable

from ..local_client import TestClient


class Choosy(Repository):
    """A store that fails on every transaction with a certain ticket, as databases do on what they cannot hold."""

    def record(self, decisions: Sequence[NewDecision], **options: Any) -> list[DecisionRow]:
        if any(new.ticket.subject == "poison" for new in decisions):
            raise OverflowError("date value out of range")
        return super().record(decisions, **options)


@pytest.fixture
def store(settings: Settings) -> Any:
    store = open_repository(settings.home)
    store.__class__ = Choosy
    yield store
    store.close()


@pytest.mark.parametrize("headers", [{}, {"Idempotency-Key": "k"}])
def test_one_row_that_cannot_be_stored_costs_its_batch_nothing(
    settings: Settings, store: Repository, headers: dict[str, str]
) -> None:
    with TestClient(create_app(settings, store)) as client:
        tickets = [{"id": f"T-{n}", "subject": "poison" if n == 2 else "printer", "body": "x y z"} for n in range(5)]
        answer = client.post("/v1/predict/batch", json={"tickets": tickets}, headers=headers)
        assert [one["stored"] for one in answer.json()["decisions"]] == [True, True, False, True, True]
        assert client.post("/v1/predict", json={"id": "after", "text": "printer"}).json()["stored"] is True
        listed = client.get("/v1/decisions").json()["decisions"]
        assert {one["ticket_id"] for one in listed} == {"T-0", "T-1", "T-3", "T-4", "after"}
        assert "triage_dead_letters_total 1.0" in client.get("/metrics").text
    [letter] = DeadLetters(settings.home).read()
    assert (letter.ticket_id, letter.error) == ("T-2", "OverflowError")
    assert letter.decision_id == answer.json()["decisions"][2]["decision_id"]
    assert "x y z" not in DeadLetters(settings.home).path.read_text()


def test_dead_letters_are_listed_and_removed_by_a_verb(settings: Settings, store: Repository) -> None:
    with TestClient(create_app(settings, store)) as client:
        client.post("/v1/predict", json={"id": "T-9", "subject": "poison"})

    def verb(*words: str) -> Any:
        command = [sys.executable, "-P", "-m", "triage", "store", "dead-letters", "--json", *words]
        done = subprocess.run(
            command, capture_output=True, text=True, check=True, env={"TRIAGE_HOME": str(settings.home), **_PATHS}
        )
        return json.loads(done.stdout)

    assert [one["ticket_id"] for one in verb()["dead_letters"]] == ["T-9"]
    assert verb("--clear") == {"removed": 1}
    assert verb() == {"dead_letters": []}


_PATHS = {"PYTHONPATH": str(Path(__file__).parents[3]), "PATH": "/usr/bin:/bin"}


def test_a_damaged_line_among_dead_letters_is_passed_over(tmp_path: Path) -> None:
    (tmp_path / "dead-letters.jsonl").write_text('{"at": 1}\nno json\n')
    assert DeadLetters(tmp_path).read() == []


def test_a_store_that_fails_makes_ready_degraded_and_says_why(settings: Settings) -> None:
    store = open_repository(settings.home)
    with TestClient(create_app(settings, store)) as client:
        assert client.get("/readyz").json()["status"] == "rules-only"
        store.__class__ = type("Full", (Repository,), {"record": _full})
        assert client.post("/v1/predict", json={"text": "printer"}).json()["stored"] is False
        answer = client.get("/readyz")
        assert (answer.status_code, answer.json()["status"], answer.json()["because"]) == (
            200,
            "degraded",
            "store-full",
        )
        store.__class__ = Repository
        deadline = time.monotonic() + 10
        while client.get("/readyz").json()["status"] != "rules-only":
            assert time.monotonic() < deadline
            time.sleep(0.05)
    store.close()


def _full(*args: Any, **options: Any) -> Any:
    raise StoreUnavailable("full", "the store is full: as asked; mend it")
