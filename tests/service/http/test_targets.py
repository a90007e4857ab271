"""A service whose bundle decides more than tier and category: what it answers, and what people may say of it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from httpx2 import Response

from api.app import create_app
from api.settings import load_settings
from api.store.export import ExportRules
from models.bundle.bundle import Bundle, load_bundle, save_bundle
from models.model import Model
from triage.gate import TargetGate

from ..local_client import TestClient

TICKET = {"id": "T-1", "subject": "printer", "body": "The printer on the third floor prints nothing since this morning"}
TEAMS = {"access": "identity", "network": "networks", "printing": "workplace"}
WORDS = {"access": "high", "network": "high", "printing": "low"}


def with_target(model: Model, target: str, names: Mapping[str, str]) -> Model:
    """Return a model that decides one more target, with the weights of its category."""
    head, past = model.heads["category"], model.history
    labels = tuple(f"{names[label]}-{number}" if target == "priority" else names[label] for number, label in
                   enumerate(head.labels))  # fmt: skip
    history = replace(
        past,
        labels={**past.labels, target: labels},
        label_ids={**past.label_ids, target: past.label_ids["category"]},
        written={**past.written, target: tuple(names.get(label or "") for label in past.written["category"])},
    )
    return replace(model, heads={**model.heads, target: replace(head, target=target, labels=labels)}, history=history)


@pytest.fixture(scope="module")
def several(make_bundle: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    old, place = load_bundle(make_bundle()), tmp_path_factory.mktemp("several") / "bundle"
    model = with_target(with_target(old.model, "resolver_group", TEAMS), "priority", WORDS)
    policy = old.policy.with_labels({name: model.heads[name].labels for name in ("resolver_group", "priority")})
    gates = {**old.gate.targets, "resolver_group": TargetGate(0.0), "priority": TargetGate(None)}
    gate = replace(old.gate, targets=gates, min_margin=0.0, max_novelty=None, max_stranger=1.0, max_excluded=1.0)
    bundle = Bundle(model, old.encoder, gate, policy, old.rules)
    save_bundle(place, bundle, {"settings": {"name": "several"}}, encoder_files=make_bundle() / "encoder")
    return place


@pytest.fixture
def service(several: Path, tmp_path: Path) -> Iterator[TestClient]:
    settings = load_settings(
        home=tmp_path, bundle=several, open_loopback=True, autonomy="certified", request_deadline_s=30, grace_s=60
    )
    with TestClient(create_app(settings)) as client:
        yield client


def say(service: TestClient, decision: Mapping[str, Any], **said: Any) -> Response:
    return service.post(f"/v1/decisions/{decision['decision_id']}/feedback", json={"agent": "kim", **said})


def test_the_map_of_targets_holds_all_of_them_and_the_learned_group_stands(service: TestClient) -> None:
    decision = service.post("/v1/predict", json=TICKET).json()
    assert list(decision["targets"]) == ["tier", "category", "resolver_group", "priority"]
    group = decision["targets"]["resolver_group"]
    assert (group["source"], group["reason"], group["automation"]) == ("model", "confident", "automatic")
    assert decision["resolver_group"] == group["label"] and group["label"] in TEAMS.values()
    assert decision["targets"]["priority"]["reason"] == "low_confidence"
    assert service.get("/v1/policy").json()["targets"]["resolver_group"] == sorted(TEAMS.values())
    assert set(service.get("/v1/model").json()["targets"]) == set(decision["targets"])


def test_a_correction_of_any_target_is_kept_shown_learned_and_exported(service: TestClient) -> None:
    decision = service.post("/v1/predict", json=TICKET).json()
    own = decision["targets"]
    group = next(name for name in TEAMS.values() if name != decision["resolver_group"])
    urgent = next(one["label"] for one in own["priority"]["alternatives"] if one["label"] != own["priority"]["label"])
    said = say(service, decision, verdict="corrected", targets={"resolver_group": group, "priority": urgent})
    assert said.status_code == 200, said.text
    assert said.json()["targets"] == {"resolver_group": group, "priority": urgent}
    shown = service.get(f"/v1/decisions/{decision['decision_id']}").json()
    assert shown["resolver_group"] == group and shown["tier"] == decision["tier"]
    assert shown["standing"]["targets"]["priority"] == urgent
    store = service.app.state.parts.service.store  # type: ignore[attr-defined]
    [reviewed] = store.reviewed(10)
    assert reviewed.labels == {"resolver_group": group, "priority": urgent}
    [row] = store.training_rows(ExportRules())
    assert (row["resolver_group"], row["targets.priority"], row["tier"]) == (group, urgent, None)
    assert row["resolver_group_source"] == "person"


def test_what_is_accepted_is_accepted_of_every_target_and_a_tier_leaves_the_learned_group(service: TestClient) -> None:
    decision = service.post("/v1/predict", json=TICKET).json()
    accepted = say(service, decision, verdict="accepted").json()
    assert accepted["targets"] == {name: verdict["label"] for name, verdict in decision["targets"].items()}
    other = "L2" if decision["tier"] == "L1" else "L1"
    assert say(service, decision, verdict="corrected", tier=other).json()["targets"] == {"tier": other}
    shown = service.get(f"/v1/decisions/{decision['decision_id']}").json()
    assert (shown["tier"], shown["resolver_group"]) == (other, decision["resolver_group"])


def test_a_target_or_a_label_that_is_not_there_is_refused(service: TestClient) -> None:
    decision = service.post("/v1/predict", json=TICKET).json()
    for targets, code in (({"colour": "red"}, "unknown-target"), ({"priority": "red"}, "unknown-label"),
                          ({"resolver_group": "red"}, "unknown-group")):  # fmt: skip
        refused = say(service, decision, verdict="corrected", targets=targets)
        assert (refused.status_code, refused.json()["code"]) == (422, code)


def test_the_page_lets_people_correct_every_target(service: TestClient) -> None:
    decision = service.post("/v1/predict", json=TICKET).json()
    page = service.get(f"/decisions/{decision['decision_id']}").text
    assert 'name="targets.priority"' in page and 'name="resolver_group"' in page and "identity" in page
    label = decision["targets"]["priority"]["alternatives"][1]["label"]
    token = page.split('name="csrf_token" value="')[1].split('"')[0]
    form = {"verdict": "corrected", "targets.priority": label, "reason": "the CFO waits", "csrf_token": token}
    sent = service.post(f"/decisions/{decision['decision_id']}/feedback", data=form, follow_redirects=False)
    assert sent.status_code == 303, sent.text
    kept = service.get(f"/v1/decisions/{decision['decision_id']}").json()["standing"]
    assert json.dumps(kept["targets"]) == json.dumps({"priority": label})
