"""A rare class that must not be missed: by default its tickets are decided as the common one, guarded they are not."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from models.bundle.bundle import Bundle, load_bundle
from models.triager import Triager
from training.data.dataset import read_dataset
from training.data.labels import in_words_of
from training.evaluation.evaluate import evaluate
from training.evaluation.record import read_record
from training.gate.recall_guard import LIMITS, certify_guard
from training.pipeline import train
from training.reports.model_card import model_card
from training.task import TrainSettings
from triage.decision import Reason
from triage.ticket import Ticket

from .conftest import Triage, write_rows

POLICY = """
[[categories]]
label = "IT > ordinary"
[[categories]]
label = "IT > security"
"""
GUARDED = POLICY + "min_recall = 0.9\n"
WORDS = [f"{start}{end}" for start in ("prin", "scan", "moni", "mous", "desk", "lapt") for end in ("ter", "ner", "tor")]


def tickets(count: int, rare: int, seed: int) -> list[dict[str, Any]]:
    """Draw tickets of a desk: nearly all security tickets mention a link, and so does a third of the others."""
    rng = np.random.default_rng(seed)
    rows = []
    for number in range(count):
        security = number < rare
        words = [str(word) for word in rng.choice(WORDS, 7)]
        if rng.random() < (0.97 if security else 0.35):
            words.insert(3, "link")
        body = " ".join([*words, str(rng.choice(["today", "again", "since", "please"]))])
        rows.append(
            {
                "id": f"T{seed}-{number}",
                "body": body,
                "category": "IT > security" if security else f"IT > ordinary > {words[0]}",
            }
        )
    return [rows[place] for place in rng.permutation(count)]


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("guarded")
    write_rows(place / "history.jsonl", tickets(700, 32, 1))
    (place / "guarded.toml").write_text(GUARDED, "utf-8")
    (place / "rules.toml").write_text('[[rule]]\nname = "rest"\nkind = "fallback"\n', "utf-8")
    return place


@pytest.fixture(scope="module")
def guarded(files: Path, encoder: Path, home: Path) -> Bundle:
    settings = TrainSettings((files / "history.jsonl",), files / "bundle", policy=files / "guarded.toml",
                             rules=files / "rules.toml", encoder=str(encoder), target_risk=0.1)  # fmt: skip
    said: list[str] = []
    found = train(settings, log=said.append).bundle
    assert any("no other label is decided where its probability is" in line for line in said), said
    return found


def test_a_guarded_class_is_left_to_people_instead_of_being_missed(guarded: Bundle, files: Path) -> None:
    path = write_rows(files / "later.jsonl", tickets(1000, 44, 2))
    rows = in_words_of(guarded.policy, read_dataset([path]))
    rare = [row for row in rows if row.labels["category"] == "IT > security"]
    own = guarded.gate.targets["category"]
    bare = replace(guarded.gate, targets={"category": replace(own, guards={})})
    without = Bundle(guarded.model, guarded.encoder, gate=bare, policy=guarded.policy, rules=guarded.rules)
    before = evaluate(Triager(without), rare)["targets"]["category"]["guards"][0]
    assert before["missed"] >= 40  # within the promise of the whole: 44 of 1,000 are rare
    after = evaluate(Triager(guarded), rows)["targets"]["category"]
    guard = after["guards"][0]
    assert guard["label"] == "IT > security" and guard["rows"] == 44
    assert guard["missed"] <= 4 and guard["recall"] >= 0.9
    assert guard["decided_right"] + guard["left_to_people"] + guard["missed"] == 44
    assert after["coverage"] > 0.3  # what cannot be one of them is decided as before
    assert after["selective_risk"] <= 0.1
    first, second, third = after["by_level"]
    assert (first["accuracy"], second["learned_accuracy"]) == (1.0, after["accuracy"])
    assert (third["rows"], third["accuracy"], third["learned_rows"]) == (956, 0.0, 0)  # rolled up: the policy has two


def test_the_guard_is_served_saved_and_said(guarded: Bundle, triage: Triage, files: Path) -> None:
    bundle = load_bundle(files / "bundle")
    limit = bundle.gate.targets["category"].guards["IT > security"]
    assert limit in LIMITS
    body = "printer scanner link monitor desktor lapner mouster scanter today"
    verdict = Triager(bundle).decide([Ticket(body=body)])[0]
    assert verdict.targets["category"].reason is Reason.RECALL_GUARD
    facts = bundle.manifest["gate"]["refitted"]["category"]["guards"]["IT > security"]
    assert facts["limit"] == limit and facts["bound"] <= 0.1 and facts["min_recall"] == 0.9
    card = model_card(bundle.manifest, read_record(files / "bundle"))
    assert "no other label is decided where IT > security has a probability of" in card
    said = triage("report", files / "bundle", "--out", files / "report.html")
    assert said.status == 0, said.err
    assert "must not be missed" in (files / "report.html").read_text("utf-8")


def test_the_policy_says_what_it_guards(triage: Triage, files: Path, tmp_path: Path) -> None:
    assert triage("policy", "check", files / "guarded.toml", "--json").document["min_recall"] == {
        "category": {"IT > security": 0.9}
    }
    assert "at least 90% of its tickets" in triage("policy", "check", files / "guarded.toml").out
    further = tmp_path / "further.toml"
    further.write_text(GUARDED + '[[targets.priority]]\nlabel = "high"\nmin_recall = 0.8\n', "utf-8")
    assert triage("policy", "check", further, "--json").document["min_recall"]["priority"] == {"high": 0.8}
    wrong = tmp_path / "wrong.toml"
    for value in ("1.0", "0", '"most"', "true"):
        wrong.write_text(POLICY + f"min_recall = {value}\n", "utf-8")
        assert "min_recall" in triage("policy", "check", wrong).error


def test_too_few_tickets_of_a_guarded_class_shut_the_gate_for_all_others() -> None:
    found = certify_guard(np.full(28, 0.9), np.ones(28, dtype=bool), min_recall=0.9, delta=0.05)
    assert (found.limit, found.more_tickets) == (0.0, 1)
    assert certify_guard(np.full(29, 0.9), np.ones(29, dtype=bool), min_recall=0.9, delta=0.05).limit == LIMITS[-1]
    assert certify_guard(np.zeros(0), np.zeros(0, dtype=bool), min_recall=0.9, delta=0.05).limit == 0.0


def test_the_guard_is_broken_no_more_often_than_promised() -> None:
    """Populations whose share missed at each limit is known: probabilities of the class are uniform in [0, 0.5]."""
    broken = 0
    for seed in range(200):
        rng = np.random.default_rng(seed)
        found = certify_guard(rng.random(150) / 2, np.ones(150, dtype=bool), min_recall=0.9, delta=0.05)
        broken += 2 * found.limit > 0.1
    assert broken <= 0.05 * 200 + 3 * (0.05 * 0.95 * 200) ** 0.5
    assert json.dumps(vars(found))
