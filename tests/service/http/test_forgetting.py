"""A ticket that the store forgets is forgotten by the processes too: its answer, its tokens and its beginning."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from api.app import create_app
from api.settings import load_settings
from api.store.repository import open_repository
from models.bundle.bundle import Bundle, Unreviewed
from models.language import _detect, detect_language
from models.screening import shipped_classifier
from triage.ticket import Ticket

from ...conftest import wait_until
from ..local_client import TestClient
from .conftest import store_of

WORDS = "The printer in the office cannot print what I send it since this morning"


def test_what_another_process_forgets_is_forgotten_here(tmp_path: Path) -> None:
    settings = load_settings(home=tmp_path, open_loopback=True, rules_only=True, poll_s=0.1)
    tokens = shipped_classifier().encoder.tokens
    app = create_app(settings)
    with TestClient(app) as client:
        assert client.post("/v1/predict", json={"id": "T-1", "body": WORDS}).status_code == 200
        time.sleep(0.5)  # some looks at the store, of which the first may empty everything
        cut, _ = tokens.ids(WORDS), detect_language(WORDS)
        time.sleep(0.5)
        memory = app.state.parts.service.memory
        assert client.post("/v1/predict", json={"id": "T-2", "body": WORDS}).status_code == 200 and len(memory) == 1
        assert tokens.ids(WORDS) is cut and _detect.cache_info().currsize
        assert open_repository(tmp_path).forget("T-1")
        wait_until(lambda: not _detect.cache_info().currsize and tokens.ids(WORDS) is not cut, within_s=10)
        assert not len(memory)


@pytest.mark.parametrize("path", ["/v1/tickets/T-1/events", "/v1/predict"])
def test_what_is_forgotten_while_words_are_read_is_not_kept_with_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    settings = load_settings(home=tmp_path, open_loopback=True, rules_only=True, request_deadline_s=20)

    def event(number: int, text: str) -> dict[str, str]:
        return {"id": f"e-{number}", "kind": "comment", "at": f"2026-11-27T09:0{number}:00Z", "text": text}

    with TestClient(create_app(settings)) as client:
        assert client.post("/v1/predict", json={"id": "T-1", "body": WORDS}).json()["stored"]
        fire = "There is fire and smoke in the room of Mrs Zanzibar, she is locked in."
        assert client.post("/v1/tickets/T-1/events", json=event(1, fire)).status_code == 200
        service, store = client.app.state.parts.service, store_of(client)  # type: ignore[attr-defined]
        decide = service.batcher.decide

        async def decide_meanwhile(*stated: object, **options: object) -> object:
            decided = await decide(*stated, **options)
            monkeypatch.undo()
            store.forget("T-1")
            return decided

        monkeypatch.setattr(service.batcher, "decide", decide_meanwhile)
        sent = event(2, "Zanzibar is my name.") if path.endswith("events") else {"id": "T-1", "body": "any news?"}
        answer = client.post(path, json=sent)
        assert (answer.status_code, answer.json().get("code")) in ((409, "forgotten"), (200, None))
        kept = [client.get(place).text for place in ("/v1/tickets/T-1", "/v1/decisions", "/v1/decisions?attention=any")]
        assert "safety" in kept[1] and not any("anzibar" in page for page in kept)


def test_what_is_worth_labelling_is_read_whole_and_forgotten_with_its_ticket(
    tmp_path: Path, make_bundle: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = load_settings(
        home=tmp_path, bundle=make_bundle("b"), open_loopback=True, poll_s=0.1, request_deadline_s=20
    )
    stated = {"channel": "portal", "language": "en", "attributes": {"site": "harbour"}}
    read, score = list[Ticket](), Bundle.probabilities_of

    def noted(bundle: Bundle, tickets: Sequence[Ticket]) -> Unreviewed:
        read.extend(tickets)
        return score(bundle, tickets)

    monkeypatch.setattr(Bundle, "probabilities_of", noted)
    app = create_app(settings)
    with TestClient(app) as client:
        for name in ("T-1", "T-2"):
            assert client.post("/v1/predict", json={"id": name, "text": f"{WORDS} {name}", **stated}).json()["stored"]
        worth_asking = app.state.parts.worth_asking
        assert worth_asking.look(clearance=1).looked_at == 2
        assert {(one.channel, one.language, one.attributes["site"]) for one in read} == {("portal", "en", "harbour")}
        time.sleep(0.5)  # some looks at the store, of which the first may empty everything
        worth_asking.look(clearance=1)
        several = len(read)
        worth_asking.look(clearance=1)
        assert len(read) == several  # each is read once
        bundle = app.state.parts.service.model.triager.bundle
        assert bundle is not None and bundle.model.vectorizer._cache
        assert open_repository(tmp_path).forget("T-1")
        wait_until(lambda: not (worth_asking._read or bundle.model.vectorizer._cache), within_s=10)
        assert worth_asking.look(clearance=1).looked_at == 1
