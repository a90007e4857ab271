"""Another model takes over whole, or not at all; what is refused leaves the one in use where it is."""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from api.app import create_app
from api.scoring.learning import ReviewLearner
from api.settings import load_settings
from models.bundle.bundle import load_bundle
from models.local_store import CHAMPION, LocalModelStore
from models.toml_files import dump_policy
from triage.defaults import default_policy

from ..local_client import TestClient

TICKET = {"subject": "VPN drops", "body": "The VPN drops every ten minutes since the update."}


@pytest.fixture
def local_store(tmp_path: Path, make_bundle: Callable[..., Path]) -> LocalModelStore:
    """Two versions on a shelf, the champion pointing to the first."""
    local_store = LocalModelStore(tmp_path)
    for version, name in (("1", "a"), ("2", "b")):
        local_store.add(make_bundle(name), version)
    local_store.point(CHAMPION, "1", digest(local_store, "1"))
    return local_store


@pytest.fixture
def service(local_store: LocalModelStore) -> Iterator[TestClient]:
    settings = load_settings(home=local_store.home, open_loopback=True, poll_s=0.1, request_deadline_s=10)
    with TestClient(create_app(settings)) as client:
        yield client


def digest(local_store: LocalModelStore, version: str) -> str:
    return str(json.loads((local_store.path(version) / "manifest.json").read_text())["digest"])


def in_use(service: TestClient, wanted: str, within_s: float = 20) -> bool:
    until = time.monotonic() + within_s
    while time.monotonic() < until:
        if service.get("/v1/model").json()["model_version"] == wanted[:12]:
            return True
        time.sleep(0.05)
    return False


def failures(service: TestClient | httpx.Client) -> float:
    lines = service.get("/metrics").text.splitlines()
    return next(float(line.split()[-1]) for line in lines if line.startswith("triage_model_load_failures_total"))


def test_the_alias_is_followed_forth_and_back(service: TestClient, local_store: LocalModelStore) -> None:
    assert service.get("/readyz").json() == {"status": "ready", "model_version": digest(local_store, "1")[:12]}
    local_store.point(CHAMPION, "2", digest(local_store, "2"))
    assert in_use(service, digest(local_store, "2"))
    decision = service.post("/v1/predict", json=TICKET).json()
    assert (decision["policy_version"], decision["automation"]) == ("b", "suggested")
    local_store.rollback(CHAMPION)
    assert in_use(service, digest(local_store, "1"))


def test_every_answer_comes_from_one_model_while_they_change(service: TestClient, local_store: LocalModelStore) -> None:
    policies = {digest(local_store, "1")[:12]: "2026-11", digest(local_store, "2")[:12]: "b"}
    answers: list[Any] = []
    over = threading.Event()

    def ask() -> None:
        while not over.is_set():
            answers.append(service.post("/v1/predict/batch", json={"tickets": [TICKET] * 5}))

    clients = [threading.Thread(target=ask) for _ in range(3)]
    for client in clients:
        client.start()
    for turn in range(6):
        version = "21"[turn % 2]
        local_store.point(CHAMPION, version, digest(local_store, version))
        assert in_use(service, digest(local_store, version))
    over.set()
    for client in clients:
        client.join()
    assert {answer.status_code for answer in answers} == {200}
    for answer in answers:
        told = {(decision["model_version"], decision["policy_version"]) for decision in answer.json()["decisions"]}
        assert len(told) == 1 and told <= set(policies.items())


def test_what_was_learned_from_one_model_is_never_put_beside_another(
    local_store: LocalModelStore, until: Callable[..., float], monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = load_settings(home=local_store.home, open_loopback=True, poll_s=0.1, learn_from_reviews=False)
    with TestClient(create_app(settings)) as service:
        parts = service.app.state.parts.service  # type: ignore[attr-defined]
        decided = service.post("/v1/predict", json=TICKET).json()
        path = f"/v1/decisions/{decided['decision_id']}/feedback"
        said = {"verdict": "corrected", "agent": "kim", "category": "printing"}
        until(lambda: service.post(path, json=said).status_code == 200, 20)
        learner, state = ReviewLearner(parts.store, parts.model), parts.store.reviews_state

        def swapped_meanwhile() -> object:
            local_store.point(CHAMPION, "2", digest(local_store, "2"))
            assert in_use(service, digest(local_store, "2"))
            return state()

        monkeypatch.setattr(parts.store, "reviews_state", swapped_meanwhile)
        learner.refresh()
        assert parts.model.triager.bundle.model.reviews is None
        monkeypatch.undo()
        learner.refresh()
        assert parts.model.triager.bundle.model.reviews is not None


def reseal(folder: Path, **changes: object) -> None:
    """Make the manifest agree with the files, as somebody would who knows the format."""
    manifest = json.loads((folder / "manifest.json").read_text())
    files = [path for path in folder.rglob("*") if path.is_file() and path.name != "manifest.json"]
    manifest["files"] = {
        str(path.relative_to(folder)): {
            "bytes": len(data := path.read_bytes()),
            "sha256": hashlib.sha256(data).hexdigest(),
        }
        for path in files
    }
    manifest |= changes
    said = {key: value for key, value in manifest.items() if key != "digest"}
    manifest["digest"] = hashlib.sha256(json.dumps(said, sort_keys=True, ensure_ascii=False).encode()).hexdigest()
    (folder / "manifest.json").write_text(json.dumps(manifest))


def bit_flipped(folder: Path) -> None:
    path = folder / "past-tickets-vectors.npy"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(bytes(data))


def with_file(name: str, data: bytes) -> Callable[[Path], object]:
    def spoil(folder: Path) -> None:
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(data)
        reseal(folder)

    return spoil


def object_array() -> bytes:
    stream = io.BytesIO()
    np.save(stream, np.array([{"a": 1}], dtype=object), allow_pickle=True)
    return stream.getvalue()


def linked(folder: Path) -> None:
    (folder / "rules.toml").unlink()
    (folder / "rules.toml").symlink_to("/etc/hostname")


# A pickle that would run `mkdir mark`, written out by hand: protocol 0, posix.system.
PICKLE = b"cposix\nsystem\n(S'mkdir mark'\ntR."
EVIL: dict[str, Callable[[Path], object]] = {
    "bit flipped": bit_flipped,
    "file dropped": lambda folder: (folder / "gate.json").unlink(),
    "file added": lambda folder: (folder / "extra.json").write_text("{}"),
    "file truncated": lambda folder: os.truncate(folder / "vectorizer.json", 100),
    "link to outside": linked,
    "pickle named npy": with_file("vectorizer-idf.npy", PICKLE),
    "pickle named pkl": with_file("model.pkl", PICKLE),
    "pickle named skops": with_file("model.skops", PICKLE),
    "pickle named joblib": with_file("model.joblib", PICKLE),
    "torch weights": with_file("encoder/pytorch_model.bin", PICKLE),
    "array of objects": with_file("vectorizer-idf.npy", object_array()),
    "model that names its own trust": with_file("MLmodel", b"skops_trusted_types: [posix.system]"),
    "encoder with code": with_file("encoder/modeling.py", b"import os; os.mkdir('mark')"),
    "encoder that is none": with_file("encoder/encoder.onnx", b"\x08\x07" * 50),
    "another format": lambda folder: reseal(folder, format=99),
    "manifest no JSON": lambda folder: (folder / "manifest.json").write_bytes(b"{" * 1000),
    "no manifest": lambda folder: (folder / "manifest.json").unlink(),
    "rules that do not compile": with_file("rules.toml", b'[[rule]]\nname = "x"\nkind = "fallback"\nany = ["(a"]'),
}


@pytest.mark.slow
def test_evil_bundles_are_refused_under_load_and_the_old_model_keeps_serving(
    local_store: LocalModelStore, serve: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)  # where the mark would be made
    assert len(EVIL) >= 12
    with serve("--open-loopback", ready="/readyz", TRIAGE_POLL_S="600", TRIAGE_REQUEST_DEADLINE_S="15") as service:
        answers: list[Any] = []
        over = threading.Event()

        def ask() -> None:
            with httpx.Client(base_url=service.url, timeout=30) as own:
                while not over.is_set():
                    answers.append(own.post("/v1/predict", json=TICKET))

        clients = [threading.Thread(target=ask) for _ in range(2)]
        for client in clients:
            client.start()
        for number, (kind, spoil) in enumerate(EVIL.items(), 10):
            version = str(number)
            shutil.copytree(local_store.path("2"), local_store.path(version))
            local_store.point(CHAMPION, version, "")
            spoil(local_store.path(version))
            counted, answered = failures(service.client), len(answers)
            answer = service.client.post("/v1/model/reload")
            assert (answer.status_code, answer.json()["code"]) == (409, "bundle-refused"), kind
            assert failures(service.client) == counted + 1, kind
            model = service.client.get("/v1/model").json()
            assert model["model_version"] == digest(local_store, "1")[:12] and model["last_error"], kind
            local_store.rollback(CHAMPION)
            while len(answers) < answered + 2 and any(client.is_alive() for client in clients):
                time.sleep(0.01)
        over.set()
        for client in clients:
            client.join()
        assert len(answers) >= 2 * len(EVIL) and {answer.status_code for answer in answers} == {200}
        kept = ("tier", "category", "model_version", "targets")
        told = {json.dumps([answer.json()[name] for name in kept], sort_keys=True) for answer in answers}
        assert len(told) == 1 and digest(local_store, "1")[:12] in told.pop()
        assert service.client.get("/readyz").status_code == 200 and not list(tmp_path.rglob("mark"))


def test_what_was_not_promoted_is_refused(service: TestClient, local_store: LocalModelStore) -> None:
    """An older or other bundle in the place of the one that was promoted has another digest."""
    local_store.point(CHAMPION, "2", digest(local_store, "1"))
    answer = service.post("/v1/model/reload")
    assert answer.status_code == 409 and "digest" in answer.json()["detail"]


def test_a_start_with_a_spoilt_champion_serves_the_last_good_one(local_store: LocalModelStore) -> None:
    local_store.point(CHAMPION, "2", digest(local_store, "2"))
    bit_flipped(local_store.path("2"))
    with TestClient(create_app(load_settings(home=local_store.home, open_loopback=True))) as client:
        assert client.get("/readyz").json()["model_version"] == digest(local_store, "1")[:12]
        assert failures(client) >= 1


def test_a_start_with_nothing_but_spoilt_bundles_is_never_ready(local_store: LocalModelStore) -> None:
    bit_flipped(local_store.path("1"))
    with TestClient(create_app(load_settings(home=local_store.home, open_loopback=True, poll_s=0.1))) as client:
        time.sleep(0.5)
        assert client.get("/readyz").status_code == 503 and client.get("/livez").status_code == 200
        decision = client.post("/v1/predict", json=TICKET).json()
        assert decision["reason"] == "model_unavailable" and decision["model_version"] is None
        local_store.point(CHAMPION, "2", digest(local_store, "2"))
        assert in_use(client, digest(local_store, "2")) and client.get("/readyz").status_code == 200


def test_a_directory_is_watched_too(make_bundle: Callable[..., Path], tmp_path: Path) -> None:
    place = tmp_path / "bundle"
    shutil.copytree(make_bundle("a"), place)
    with TestClient(create_app(load_settings(home=tmp_path, bundle=place, open_loopback=True, poll_s=0.1))) as client:
        shutil.copytree(make_bundle("b"), tmp_path / "next")
        os.rename(place, tmp_path / "old")
        os.rename(tmp_path / "next", place)
        assert in_use(client, load_bundle(place).digest)


def test_probabilities_are_rounded_and_add_up(service: TestClient) -> None:
    for verdict in service.post("/v1/predict", json=TICKET).json()["targets"].values():
        shares = [alternative["probability"] for alternative in verdict["alternatives"]]
        assert shares == sorted(shares, reverse=True) and len(shares) <= 5
        assert all(round(share, 3) == share and 0 <= share <= 1 for share in [*shares, verdict["confidence"]])


def test_disguised_tickets_go_where_plain_ones_go(service: TestClient, make_bundle: Callable[..., Path]) -> None:
    lines = (make_bundle().parent / "tickets.jsonl").read_text("utf-8").splitlines()
    rows = [json.loads(line) for line in lines[:60]]
    similar_label_names = str.maketrans("aeopcx", "аеорсх")

    def disguised(text: str) -> str:
        words = text.split(" ")
        return " ".join(
            word.translate(similar_label_names) if place % 4 == 1 else "\u200b".join((word[:2], word[2:]))
            for place, word in enumerate(words)
        )

    plain = [{"subject": row["subject"], "body": row["body"]} for row in rows]
    hidden = [{name: disguised(text) for name, text in ticket.items()} for ticket in plain]
    asked = [service.post("/v1/predict/batch", json={"tickets": tickets}).json() for tickets in (plain, hidden)]
    tiers = [[decision["tier"] for decision in answer["decisions"]] for answer in asked]
    same = sum(one == other for one, other in zip(*tiers, strict=True))
    assert same >= 0.95 * len(rows)


def test_a_long_ticket_says_that_it_was_cut(service: TestClient) -> None:
    assert service.post("/v1/predict", json={"text": "vpn drops " * 1000}).json()["truncated"] is True
    assert service.post("/v1/predict", json={"text": "vpn drops"}).json()["truncated"] is False


def test_policy_and_rules_are_read_anew_without_a_bundle_too(tmp_path: Path) -> None:
    policy = tmp_path / "policy.toml"
    policy.write_text(dump_policy(default_policy()))
    settings = load_settings(home=tmp_path, open_loopback=True, rules_only=True, policy=policy)
    with TestClient(create_app(settings)) as client:
        policy.write_text(dump_policy(replace(default_policy(), version="the-next")))
        assert client.get("/v1/model").json()["policy_version"] == default_policy().version
        answered = client.post("/v1/model/reload")
        assert (answered.status_code, answered.json()["policy_version"]) == (200, "the-next")
        policy.write_text("[policy]\nversion = 7")
        assert client.post("/v1/model/reload").status_code == 409
        assert client.get("/v1/model").json()["policy_version"] == "the-next"
