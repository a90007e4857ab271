"""What goes wrong around the service: a ticket is still answered, and nothing is claimed that did not happen."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from api.app import create_app
from api.scoring import service
from api.scoring.learning import ReviewLearner
from api.settings import Settings, load_settings
from api.store.repository import Repository, open_repository
from triage.errors import StoreUnavailable

from ..local_client import TestClient


def test_without_a_model_it_lives_but_is_not_ready(tmp_path: Path) -> None:
    with TestClient(create_app(load_settings(home=tmp_path, open_loopback=True))) as client:
        assert client.get("/livez").status_code == 200
        answer = client.get("/readyz")
        assert (answer.status_code, answer.json()["code"]) == (503, "model-unavailable")
        assert int(answer.headers["retry-after"]) >= 1
        assert (client.head("/livez").status_code, client.head("/readyz").status_code) == (200, 503)
        assert client.post("/v1/predict", json={"text": "printer"}).json()["reason"] == "model_unavailable"


def test_rules_alone_may_be_enough(client: TestClient) -> None:
    assert client.get("/readyz").json()["status"] == "rules-only"


def test_a_process_that_scores_no_more_is_not_ready(client: TestClient) -> None:
    batcher = client.app.state.parts.service.batcher  # type: ignore[attr-defined]
    batcher._scoring_since = time.monotonic() - 60  # a micro-batch that never ends
    answer = client.get("/readyz")
    assert (answer.status_code, answer.json()["code"]) == (503, "scoring-stuck")
    assert client.get("/livez").status_code == 200


def test_a_locked_store_does_not_hold_up_a_decision(settings: Settings) -> None:
    with TestClient(create_app(settings)) as client:
        holder = sqlite3.connect(settings.home / "store.sqlite", isolation_level=None)
        holder.execute("BEGIN IMMEDIATE")
        answer = client.post("/v1/predict", json={"text": "printer"})
        assert answer.status_code == 200 and answer.elapsed.total_seconds() < 1.5
        assert answer.json()["stored"] is False and answer.headers["triage-stored"] == "false"
        decision_id = answer.json()["decision_id"]
        holder.execute("COMMIT")
        holder.close()
        for _ in range(60):  # the spool is committed once the store answers again
            kept = client.get(f"/v1/decisions/{decision_id}")
            if kept.status_code == 200:
                break
            client.get("/livez")
            time.sleep(0.1)
        assert kept.json()["stored"] is True


@pytest.mark.parametrize(("said", "limit_s", "waits"), [(True, 20.0, True), (True, 0.05, False), (False, 20.0, False)])
def test_a_start_waits_for_what_people_said_where_they_did_and_not_for_ever(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, said: bool, limit_s: float, waits: bool
) -> None:
    may_learn, has_learned = threading.Event(), threading.Event()

    def slowly(learner: ReviewLearner) -> None:
        may_learn.wait(20)
        has_learned.set()

    monkeypatch.setattr(ReviewLearner, "has_reviews", lambda learner: said)
    monkeypatch.setattr(ReviewLearner, "refresh", slowly)
    monkeypatch.setattr(service, "_LEARN_S", limit_s)
    wait = service.Service._learned_again

    async def as_the_start_waits(serving: service.Service, anything: asyncio.Future[bool]) -> None:
        if waits:
            may_learn.set()
        await wait(serving, anything)

    monkeypatch.setattr(service.Service, "_learned_again", as_the_start_waits)
    with TestClient(create_app(settings)) as client:
        assert has_learned.is_set() is waits and client.get("/readyz").status_code == 200
        may_learn.set()


def test_whether_anything_was_said_is_asked_of_the_store(client: TestClient, until: Callable[..., float]) -> None:
    learner = client.app.state.parts.service.learner  # type: ignore[attr-defined]
    told = [
        client.post("/v1/predict", json={"id": "T-1", "text": "printer"}) for _ in range(2)
    ]  # the first one warms up
    assert not learner.has_reviews()
    said, path = {"verdict": "unsure", "agent": "kim"}, f"/v1/decisions/{told[1].json()['decision_id']}/feedback"
    until(lambda: client.post(path, json=said).status_code == 200, 20)
    assert learner.has_reviews()


class Unavailable(Repository):
    """A store that cannot take anything."""

    code = "full"

    def record(self, *args: Any, **options: Any) -> Any:
        raise StoreUnavailable(self.code, "the store cannot take a row: as asked; mend it")

    def seen(self, *args: Any, **options: Any) -> Any:
        raise StoreUnavailable(self.code, "the store does not answer: as asked; mend it")

    replay = latest = lines = counts = feedback = seen_all = seen


@pytest.mark.parametrize("code", ["full", "locked", "unreachable"])
def test_a_store_that_fails_is_told_and_feedback_is_never_pretended(settings: Settings, code: str) -> None:
    store = open_repository(settings.home)
    with TestClient(create_app(settings, store)) as client:
        decision = client.post("/v1/predict", json={"text": "printer"}).json()
        store.__class__ = type("Failing", (Unavailable,), {"code": code})
        for extra in ({}, {"Idempotency-Key": "k"}):
            answer = client.post("/v1/predict", json={"id": "x", "text": "printer"}, headers=extra)
            assert answer.status_code == 200 and answer.json()["stored"] is False
        said = client.post(
            f"/v1/decisions/{decision['decision_id']}/feedback", json={"verdict": "accepted", "agent": "kim"}
        )
        assert said.status_code in (503, 507) and said.json()["code"] == f"store-{code}"
        assert int(said.headers["retry-after"]) >= 1
        assert "store does not answer" in client.get("/").text
        store.__class__ = Repository
    store.close()


def test_an_error_that_nobody_foresaw_is_a_problem_without_details(settings: Settings, caplog: Any) -> None:
    app = create_app(settings)
    with TestClient(app, raise_server_exceptions=False) as client:
        app.state.parts.service.decide = None
        answer = client.post("/v1/predict", json={"text": "secret words"})
        assert (answer.status_code, answer.json()["code"]) == (500, "internal-error")
        assert "secret" not in answer.text and "TypeError" not in answer.text
