"""What waits in memory for the store counts as answered: who asks again gets it, and what is lost is not promised."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import pytest

from api.app import create_app
from api.http.exceptions import KeyReused
from api.scoring.decision_writer import DecisionWriter
from api.scoring.service import Service
from api.settings import Settings
from api.store.rows import DecisionRow, IdempotencyKey, NewDecision, new_id
from models.triager import Triager
from models.wire import DecisionDocument
from triage.errors import StoreUnavailable
from triage.ticket import Ticket

from ..local_client import TestClient

KEY = {"Idempotency-Key": "k"}
PRINTER, PHONE = {"text": "the printer jams"}, {"text": "the phone is dead"}
NAMED = {"id": "T-1", **PRINTER}


@contextmanager
def locked(settings: Settings) -> Iterator[None]:
    """Hold the store as another process would that writes for too long."""
    holder = sqlite3.connect(settings.home / "store.sqlite", isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    yield
    holder.execute("ROLLBACK")
    holder.close()


def service_of(client: TestClient) -> Service:
    service: Service = client.app.state.parts.service  # type: ignore[attr-defined]
    return service


def metric(client: TestClient, name: str) -> float:
    [line] = [line for line in client.get("/metrics").text.splitlines() if line.startswith(f"{name} ")]
    return float(line.split()[-1])


def is_kept(client: TestClient, decision_id: str) -> Callable[[], bool]:
    return lambda: client.get(f"/v1/decisions/{decision_id}").status_code == 200


def test_a_key_is_answered_once_while_the_store_is_locked(
    client: TestClient, settings: Settings, until: Callable[..., float]
) -> None:
    with locked(settings):
        first, again = (client.post("/v1/predict", json=PRINTER, headers=KEY) for _ in range(2))
        other = client.post("/v1/predict", json=PHONE, headers=KEY)
        assert first.json()["stored"] is False and again.headers["triage-stored"] == "false"
        assert first.json() == again.json()
        assert metric(client, "triage_spooled_tickets") == 1
    decision = first.json()["decision_id"]
    until(is_kept(client, decision), 20)
    after = client.post("/v1/predict", json=PRINTER, headers=KEY).json()
    assert (after["decision_id"], after["stored"]) == (decision, True)
    refused = client.post("/v1/predict", json=PHONE, headers=KEY)
    assert (other.status_code, refused.status_code) == (422, 422)
    assert {**other.json(), "request_id": ""} == {**refused.json(), "request_id": ""}
    assert len(client.get("/v1/decisions").json()["decisions"]) == 1


def test_a_batch_with_a_key_is_answered_once_too(client: TestClient, settings: Settings) -> None:
    batch = {"tickets": [NAMED, {"bad": 1}, PHONE]}
    with locked(settings):
        first, again = (client.post("/v1/predict/batch", json=batch, headers=KEY).json() for _ in range(2))
    assert first == again and [one.get("stored") for one in first["decisions"]] == [False, None, False]


def test_a_ticket_has_one_decision_while_the_store_is_locked(
    client: TestClient, settings: Settings, until: Callable[..., float]
) -> None:
    with locked(settings):
        first, again = (client.post("/v1/predict", json=NAMED).json() for _ in range(2))
        assert first == again and first["stored"] is False
        with_key = client.post("/v1/predict", json=NAMED, headers=KEY).json()
        both = client.post("/v1/predict/batch", json={"tickets": [{"id": "T-1", **PHONE}, NAMED]}).json()["decisions"]
    assert {with_key["decision_id"], both[1]["decision_id"]} == {first["decision_id"]}
    assert both[0]["decision_id"] != first["decision_id"]
    for decision in (first, both[0]):
        until(is_kept(client, decision["decision_id"]), 20)
    assert client.post("/v1/predict", json=NAMED).json()["decision_id"] == first["decision_id"]
    assert client.post("/v1/predict", json=NAMED, headers=KEY).json()["decision_id"] == first["decision_id"]
    assert len(client.get("/v1/decisions").json()["decisions"]) == 2


def test_another_helpdesks_ticket_of_the_same_id_is_another(client: TestClient, settings: Settings) -> None:
    with locked(settings):
        decided = client.post("/v1/predict", json=NAMED).json()
        writer = service_of(client).decision_writer
        ticket = Ticket(id="T-1", body=PRINTER["text"])
        [here], [there] = writer.waiting_about([ticket], "api"), writer.waiting_about([ticket], "elsewhere")
    assert here is not None and here.decisions[0].document.decision_id == decided["decision_id"]
    assert there is None


def test_those_who_ask_at_once_get_one_decision(client: TestClient, settings: Settings, monkeypatch: Any) -> None:
    """Both were looked up before either was recorded."""
    service = service_of(client)
    score = service._score

    async def score_slowly(triager: Triager, *args: Any, **options: Any) -> Any:
        await asyncio.sleep(0.3)
        return await score(triager, *args, **options)

    monkeypatch.setattr(service, "_score", score_slowly)
    requests: list[tuple[dict[str, str], dict[str, str]]] = [
        *((NAMED, {}), (NAMED, {})),
        *((PHONE, KEY), (PHONE, KEY), (PRINTER, KEY)),
    ]

    def ask_all() -> list[Any]:
        with ThreadPoolExecutor(len(requests)) as crowd:
            asked = [crowd.submit(client.post, "/v1/predict", json=body, headers=head) for body, head in requests]
            return [one.result() for one in asked]

    with locked(settings):
        named, named_again, *keyed = ask_all()
    assert named.json()["decision_id"] == named_again.json()["decision_id"]
    phones = [one for one in keyed[:2] if one.status_code == 200]
    assert len({one.json()["decision_id"] for one in phones}) <= 1
    assert sorted({one.status_code for one in keyed}) == [200, 422]


def test_a_decision_of_the_rules_gives_way_to_a_models(client: TestClient, settings: Settings) -> None:
    service = service_of(client)
    with locked(settings):
        by_rules = client.post("/v1/predict", json=NAMED).json()
        [waiting] = service.decision_writer.waiting_about([Ticket(id="T-1", body=PRINTER["text"])], "api")
        assert waiting is not None
        [old] = waiting.decisions
        ours = NewDecision(old.ticket, old.document.model_copy(update={"model_version": "7", "decision_id": new_id()}))
        assert service.decision_writer.forestalled([ours], "api", None) == [ours]
        assert (
            service.decision_writer.forestalled([old], "api", None)[0].document.decision_id == by_rules["decision_id"]
        )


class Contrary:
    """A store that is away until it is told otherwise, and then has other decisions than those it is given."""

    def __init__(self, error: Exception | None = None) -> None:
        self.is_away, self.error, self.noted = True, error, dict[str, str]()

    def note_forestalled(self, stands: Mapping[str, str]) -> None:
        self.noted |= stands

    def record(self, decisions: Sequence[NewDecision], **options: Any) -> list[DecisionRow]:
        if self.is_away:
            raise StoreUnavailable("locked", "as asked")
        if self.error is not None:
            raise self.error
        return [_row(new, new_id()) for new in decisions]


def _row(new: NewDecision, decision_id: str) -> DecisionRow:
    fields: dict[str, Any] = dict.fromkeys(DecisionRow.__dataclass_fields__)
    return DecisionRow(**{**fields, "id": decision_id, "document": new.document})


@pytest.fixture
def new(client: TestClient) -> NewDecision:
    """A decision as the service makes it."""
    document = DecisionDocument.model_validate(client.post("/v1/predict", json=PRINTER).json())
    return NewDecision(Ticket(id="T-1", body="x"), document.model_copy(update={"decision_id": new_id()}))


def told_late(store: Contrary, new: NewDecision, key: IdempotencyKey | None = None) -> tuple[bool, bool, int]:
    """Answer before the store takes the decision; return whether it was lost before and after, and how many dropped."""
    dropped: list[int] = []
    decision = str(new.document.decision_id)

    async def job() -> tuple[bool, bool, int]:
        writer = DecisionWriter(store, 10, on_drop=dropped.append)
        writer.start()
        assert await writer.record([new], key_id=None, idempotency_key=key, wait_s=0.05) is None
        before = writer.has_lost(decision)
        store.is_away = False
        await writer.stop(5.0)
        return before, writer.has_lost(decision), sum(dropped)

    return asyncio.run(job())


def test_an_id_that_was_answered_for_a_decision_which_another_one_forestalled_leads_to_that(new: NewDecision) -> None:
    store = Contrary()
    assert told_late(store, new) == (False, False, 0) and list(store.noted) == [new.document.decision_id]


def test_a_forestalled_decision_that_leads_nowhere_is_not_promised(new: NewDecision) -> None:
    store = Contrary()
    store.note_forestalled = lambda stands: 1 / 0  # type: ignore[method-assign, assignment]
    assert told_late(store, new) == (False, True, 0)


def test_an_answer_whose_key_was_another_requests_is_counted_as_dropped(new: NewDecision) -> None:
    used = Contrary(KeyReused("idempotency-key-reused", "as asked"))
    assert told_late(used, new, IdempotencyKey("", "k", "a")) == (False, True, 1)


def test_a_full_backlog_promises_nothing(new: NewDecision) -> None:
    async def job() -> bool:
        writer = DecisionWriter(Contrary(), 1)
        writer.start()
        assert await writer.record([new], key_id=None, wait_s=0.01) is None
        with pytest.raises(StoreUnavailable):
            await writer.record([new, new], key_id=None, wait_s=0.01)
        await writer.stop(0.01)
        return writer.has_lost(str(new.document.decision_id))

    assert asyncio.run(job())


def test_ids_that_two_workers_answered_for_one_ticket_lead_to_the_decision_that_stands(
    settings: Settings, client: TestClient, until: Callable[..., float]
) -> None:
    """Another worker, whose backlog is its own, was told to keep the same ticket first."""
    with TestClient(create_app(settings)) as other:
        with locked(settings):
            first = client.post("/v1/predict", json=NAMED).json()["decision_id"]
            second = other.post("/v1/predict", json=NAMED).json()["decision_id"]
        until(lambda: metric(client, "triage_spooled_tickets") == metric(other, "triage_spooled_tickets") == 0, 20)
        for id_ in (first, second):
            until(is_kept(client, id_), 20)
        found = [one.get(f"/v1/decisions/{id_}").json() for one in (client, other) for id_ in (first, second)]
        assert len({one["decision_id"] for one in found}) == 1 and found[0]["decision_id"] in (first, second)
        said = {"verdict": "accepted", "agent": "kim"}
        for id_ in (first, second):
            answer = other.post(f"/v1/decisions/{id_}/feedback", json=said)
            assert (answer.status_code, answer.json()["decision_id"]) == (200, found[0]["decision_id"])
            page = other.get(f"/decisions/{id_}", headers={"Accept": "text/html"})
            assert page.status_code == 200 and page.url.path == f"/decisions/{found[0]['decision_id']}"


BATCH = [{"id": f"B-{number}", **PRINTER} for number in range(3)]


@pytest.mark.parametrize("keyed", [False, True])
def test_what_nobody_could_look_up_is_answered_with_the_decision_that_stands(
    client: TestClient, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], keyed: bool
) -> None:
    def ask(key: str) -> list[tuple[str, bool]]:
        headers = {"Idempotency-Key": key} if keyed else {}
        told = client.post("/v1/predict/batch", json={"tickets": BATCH}, headers=headers).json()["decisions"]
        return [(one["decision_id"], one["stored"]) for one in told]

    first = ask("k-1")
    store = service_of(client).store
    record = store.record

    def unanswered(*args: Any, **options: Any) -> Any:
        raise StoreUnavailable("locked", "as asked")

    def slowly(*args: Any, **options: Any) -> list[DecisionRow]:
        time.sleep(0.7)
        return record(*args, **options)

    monkeypatch.setattr(store, "seen_all", unanswered)
    monkeypatch.setattr(store, "record", slowly)
    assert ask("k-2") == first and all(stored for _, stored in first)
    assert "tickets_not_looked_up" in capsys.readouterr().out


def test_a_batch_has_more_patience_than_a_ticket(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    def ask() -> list[str]:
        told = client.post("/v1/predict/batch", json={"tickets": BATCH}).json()["decisions"]
        return [one["decision_id"] for one in told]

    first, store = ask(), service_of(client).store
    seen_all, looks = store.seen_all, list[int]()

    def slowly(tickets: Sequence[Ticket], source: str) -> list[Any]:
        looks.append(len(tickets))
        time.sleep(0.4)
        return seen_all(tickets, source)

    monkeypatch.setattr(store, "seen_all", slowly)
    monkeypatch.setattr(store, "record", lambda *args, **options: pytest.fail("it was decided anew"))
    assert ask() == first and looks == [3]
