"""What is loaded anew: by every process that shares the store, whenever it was asked, and with rules of a bundle's."""

from __future__ import annotations

import os
import shutil
import sqlite3
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from api.app import create_app
from api.scoring import model_holder
from api.settings import Settings, load_settings
from api.store.repository import open_repository
from models.bundle.bundle import Bundle, load_bundle, save_bundle
from models.local_store import CHAMPION, LocalModelStore
from models.toml_files import dump_policy
from triage.defaults import default_policy
from triage.errors import BundleMismatch, InvalidRules
from triage.policy import read_policy
from triage.rules import NO_RULES

from ...conftest import Serving
from ..local_client import TestClient

Until = Callable[..., float]
ESPRESSO = """
[[rule]]
name = "espresso"
kind = "bypass"
any = ["espresso"]
tier = "L1"
category = "coffee"

[[rule]]
name = "anything"
kind = "fallback"
tier = "L1"
"""


@pytest.fixture
def policy(tmp_path: Path) -> Path:
    path = tmp_path / "policy.toml"
    path.write_text(dump_policy(default_policy()))
    return path


def settings(home: Path, **changes: Any) -> Settings:
    return load_settings(**{"home": home, "open_loopback": True, "rules_only": True, "poll_s": 0.1, **changes})


def version(client: TestClient) -> str:
    return str(client.get("/v1/model").json()["policy_version"])


def test_who_starts_while_a_reload_is_asked_for_follows_it(tmp_path: Path, policy: Path, until: Until) -> None:
    starting = create_app(settings(tmp_path, policy=policy))  # it has read the policy as it was
    policy.write_text(dump_policy(replace(default_policy(), version="the-next")))
    with TestClient(create_app(settings(tmp_path, policy=policy))) as other:
        assert other.post("/v1/model/reload").status_code == 200
    with TestClient(starting) as client:
        until(lambda: version(client) == "the-next", 10)


def test_a_reload_during_a_lock_of_the_store_reaches_the_others_after_it(
    tmp_path: Path, policy: Path, until: Until
) -> None:
    chosen = settings(tmp_path, policy=policy)
    store = open_repository(tmp_path, patience_s=0.3)
    with TestClient(create_app(chosen, store)) as asked, TestClient(create_app(chosen)) as other:
        policy.write_text(dump_policy(replace(default_policy(), version="the-next")))
        with closing(sqlite3.connect(tmp_path / "store.sqlite", isolation_level=None)) as locked:
            locked.execute("BEGIN IMMEDIATE")
            assert asked.post("/v1/model/reload").status_code == 200
            assert (version(asked), version(other)) == ("the-next", default_policy().version)
            locked.execute("ROLLBACK")
        until(lambda: version(other) == "the-next", 10)
    store.close()


def test_the_description_lists_the_labels_in_use_where_the_policy_states_no_other_version(
    tmp_path: Path, policy: Path
) -> None:
    def categories() -> list[str]:
        said = client.get("/openapi.json").json()["components"]["schemas"]["FeedbackIn"]["properties"]["category"]
        return list(said["anyOf"][0]["enum"])

    with TestClient(create_app(settings(tmp_path, policy=policy))) as client:
        assert "coffee" not in categories()
        known = default_policy()
        coffee = replace(known.categories[0], label="coffee", name="Coffee")
        policy.write_text(dump_policy(replace(known, categories=(*known.categories, coffee))))
        assert client.post("/v1/model/reload").status_code == 200
        assert version(client) == known.version and "coffee" in categories()
        state = client.app.state  # type: ignore[attr-defined]
        assert state.described_policy is state.parts.service.model.triager.policy  # so that it is written once


def test_a_policy_that_cannot_be_read_is_refused_and_the_old_one_serves(tmp_path: Path, policy: Path) -> None:
    with TestClient(create_app(settings(tmp_path, policy=policy))) as client:
        before = version(client)
        for broken in ("[" * 5000, "9" * 5000):
            policy.write_text(f"tiers = {broken}")
            answer = client.post("/v1/model/reload")
            assert (answer.status_code, answer.json()["code"]) == (409, "policy-refused")
        assert version(client) == before


def test_a_policy_that_is_a_pipe_is_refused_and_nobody_waits_for_it(
    tmp_path: Path, policy: Path, serve: Callable[..., AbstractContextManager[Serving]]
) -> None:
    stated = {"TRIAGE_POLICY": str(policy), "TRIAGE_RULES_ONLY": "1"}
    with serve("--open-loopback", **stated) as service:
        plain = policy.read_text()
        policy.unlink()
        os.mkfifo(policy)
        answer = service.client.post("/v1/model/reload", timeout=10)
        assert (answer.status_code, answer.json()["code"]) == (409, "policy-refused")
        assert "it is no plain file" in answer.json()["detail"]
        policy.unlink()
        policy.write_text(plain)
        assert service.client.post("/v1/model/reload").status_code == 200


def test_a_disk_that_does_not_answer_holds_up_neither_a_reload_nor_what_else_is_watched(
    tmp_path: Path, policy: Path, until: Until, monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen, answers = settings(tmp_path, policy=policy), threading.Event()
    with TestClient(create_app(chosen)) as asked, TestClient(create_app(chosen)) as following:
        asked.post("/v1/model/reload")
        monkeypatch.setattr(model_holder, "_DEADLINE_S", 0.5)
        monkeypatch.setattr(model_holder, "read_policy", lambda path: answers.wait(60) and read_policy(path))
        refused = asked.post("/v1/model/reload")
        assert (refused.status_code, refused.json()["code"]) == (503, "loading-slow") and refused.headers["Retry-After"]
        until(lambda: asked.get("/readyz").json().get("because") == "loading-stuck", 10)
        store = following.app.state.parts.service.store  # type: ignore[attr-defined]
        store.move_position("reload", "asked", "by another")
        until(lambda: following.get("/readyz").json().get("because") == "loading-stuck", 10)
        policy.write_text(dump_policy(replace(default_policy(), version="the-next")))
        answers.set()
        until(lambda: version(following) == "the-next", 10)  # it was not given up
        until(lambda: following.get("/readyz").json()["status"] == "rules-only", 10)


def test_a_reload_that_takes_longer_than_anybody_waits_is_done_once_and_by_all(
    tmp_path: Path, policy: Path, until: Until, monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen, read = settings(tmp_path, policy=policy), list[str]()

    def slowly(path: Path) -> Any:
        read.append(threading.current_thread().name)
        time.sleep(1.5)
        return read_policy(path)

    with TestClient(create_app(chosen)) as asked, TestClient(create_app(chosen)) as following:
        monkeypatch.setattr(model_holder, "_DEADLINE_S", 0.4)
        monkeypatch.setattr(model_holder, "read_policy", slowly)
        policy.write_text(dump_policy(replace(default_policy(), version="the-next")))
        assert asked.post("/v1/model/reload").json()["code"] == "loading-slow"
        until(lambda: (version(asked), version(following)) == ("the-next", "the-next"), 20)
        time.sleep(2)  # longer than a second one would need to begin
        assert len(read) == 2
        described = asked.get("/openapi.json").json()["paths"]["/v1/model/reload"]["post"]["responses"]
        assert "503" in described


def test_rules_of_a_bundles_own_labels_need_no_policy_beside_them(
    tmp_path: Path, make_bundle: Callable[..., Path]
) -> None:
    old = load_bundle(make_bundle())
    own = replace(
        old.policy,
        categories=(*old.policy.categories, replace(old.policy.categories[0], label="coffee", name="Coffee")),
    )
    place, rules = tmp_path / "own", tmp_path / "rules.toml"
    bundle = Bundle(old.model, old.encoder, old.gate, own, old.rules)
    save_bundle(place, bundle, {"settings": {"name": "own"}}, encoder_files=make_bundle() / "encoder")
    rules.write_text(ESPRESSO)
    chosen = settings(tmp_path, rules_only=False, bundle=place, rules=rules)
    with TestClient(create_app(chosen)) as client:
        answer = client.post("/v1/predict", json={"text": "the espresso machine leaks"}).json()
        assert answer["category"] == "coffee" and answer["model_version"] == load_bundle(place).version
    with pytest.raises(InvalidRules, match="coffee"), TestClient(create_app(settings(tmp_path, rules=rules))):
        pass


def renamed(bundle: Path, place: Path, category: str) -> Path:
    """Save the bundle of another one, in which a category has another name."""
    old = load_bundle(bundle)
    head = old.model.heads["category"]
    labels = tuple("renamed" if label == category else label for label in head.labels)
    written = place.with_suffix(".toml")
    written.write_text(dump_policy(old.policy).replace(f'"{category}"', '"renamed"'))
    policy = read_policy(written, of_bundle=True)
    model = replace(old.model, heads={**old.model.heads, "category": replace(head, labels=labels)})
    made = Bundle(model, old.encoder, old.gate, policy, NO_RULES)
    save_bundle(place, made, {"settings": {"name": "renamed"}}, encoder_files=bundle / "encoder")
    return place


def test_the_pages_let_no_version_serve_that_the_policy_refuses_and_say_what_was_refused(
    tmp_path: Path, make_bundle: Callable[..., Path], until: Until, policy: Path
) -> None:
    category = load_bundle(make_bundle()).model.heads["category"].labels[0]
    models = LocalModelStore(tmp_path)
    models.add(make_bundle(), "1")
    models.add(renamed(make_bundle(), tmp_path / "other", category), "2")
    models.point(CHAMPION, "1", "")
    with TestClient(create_app(settings(tmp_path, rules_only=False, policy=policy))) as client:
        store = client.app.state.parts.service.store  # type: ignore[attr-defined]
        job = store.begin_job("extend", "a new category", "kim")
        store.end_job(job, ok=True, result={"version": "2"}, log="")
        assert "is refused until the file lists that label" in client.get("/learning").text
        answer = client.post(f"/learning/{job.id}/promote")
        assert answer.status_code == 409 and "category &#39;renamed&#39;; list it there" in answer.text
        assert models.aliases()[CHAMPION].version == "1" and len(store.jobs()) == 1
        models.point(CHAMPION, "2", "")
        until(lambda: client.get("/v1/model").json()["last_error"] is not None, 20)
        for page in ("/learning", "/overview/models/2"):
            shown = client.get(page).text
            assert "The model that should serve is not in use" in shown and "category &#39;renamed&#39;" in shown


def test_a_bundle_whose_labels_the_policy_lacks_is_refused_and_the_old_one_serves(
    tmp_path: Path, make_bundle: Callable[..., Path], until: Until, policy: Path
) -> None:
    served = tmp_path / "served"
    shutil.copytree(make_bundle(), served)
    category = load_bundle(served).model.heads["category"].labels[0]
    other = renamed(make_bundle(), tmp_path / "other", category)
    with TestClient(create_app(settings(tmp_path, rules_only=False, bundle=served, policy=policy))) as client:
        before = client.get("/v1/model").json()
        served.rename(tmp_path / "old")
        other.rename(served)
        until(lambda: client.get("/v1/model").json()["last_error"] is not None, 20)
        after = client.get("/v1/model").json()
        assert after["model_version"] == before["model_version"]
        assert "does not list: category 'renamed'; list it there, as sensitive where it is" in after["last_error"]
        assert client.post("/v1/model/reload").status_code == 409
    with (
        pytest.raises(BundleMismatch, match="category 'renamed'"),
        TestClient(create_app(settings(tmp_path / "b", rules_only=False, bundle=served, policy=policy))) as client,
    ):
        client.app.state.parts.service.model.start()  # type: ignore[attr-defined]
