"""Every reason for abstaining, each brought about by a ticket and a trained bundle."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest

from models.bundle.bundle import Bundle
from models.encoder import Encoder
from models.triager import Triager
from training.pipeline import train
from training.task import Trained, TrainSettings
from triage.decision import Reason
from triage.rules import NO_RULES
from triage.ticket import Ticket


def _reasons(bundle: Bundle, tickets: list[Ticket], target: str = "tier") -> list[str]:
    plain = Bundle(bundle.model, bundle.encoder, bundle.gate, bundle.policy, NO_RULES)
    return [str(decision.targets[target].reason) for decision in Triager(plain).decide(tickets)]


def test_the_text_alone_is_reason_enough(bundle: Bundle) -> None:
    said = {
        Reason.TOO_SHORT: Ticket(body="help"),
        Reason.UNSUPPORTED_LANGUAGE: Ticket(body="Tulostin ei toimi kolmannessa kerroksessa enää, voisitteko auttaa"),
        Reason.OUT_OF_DISTRIBUTION: Ticket(
            language="en", body="velmora trindak opelu sastiv kerolin dapu murzen gotali fesk nuvar holbi werstan"
        ),
    }
    assert _reasons(bundle, list(said.values())) == [str(reason) for reason in said]


def test_doubt_is_low_confidence_or_two_labels_nearly_as_likely(trained: Trained, bundle: Bundle) -> None:
    tickets = [row.ticket for row in trained.dataset.rows[:160]]
    torn = [Ticket(body=f"{one.text} {other.text}") for one, other in pairwise(tickets)]
    shut = {name: replace(gate, threshold=None) for name, gate in bundle.gate.targets.items()}
    gate = replace(bundle.gate, targets=shut, max_novelty=None, min_margin=0.3)
    found = _reasons(Bundle(bundle.model, bundle.encoder, gate, bundle.policy, NO_RULES), torn, "category")
    assert {"low_confidence", "ambiguous"} <= set(found)
    assert "confident" not in found


def test_a_pair_that_cannot_be_holds_both_targets_back(trained: Trained, bundle: Bundle) -> None:
    open_gates = {name: replace(gate, threshold=0.0) for name, gate in bundle.gate.targets.items()}
    gate = replace(bundle.gate, targets=open_gates, max_novelty=None)
    ticket = trained.dataset.rows[int(trained.split.test[0])].ticket
    willing = Bundle(bundle.model, bundle.encoder, gate, bundle.policy, NO_RULES)
    first = Triager(willing).decide([ticket])[0]
    assert first.targets["tier"].reason is Reason.CONFIDENT
    tier, category = (first.targets[name].label for name in ("tier", "category"))
    assert tier and category
    barred = replace(bundle.policy, illegal=bundle.policy.illegal | {(tier, category)})
    second = Triager(Bundle(bundle.model, bundle.encoder, gate, barred, NO_RULES)).decide([ticket])[0]
    assert {verdict.reason for verdict in second.targets.values()} == {Reason.ILLEGAL_PAIR}


def test_a_ticket_like_those_of_a_label_too_rare_to_learn_is_left_alone(
    tmp_path: Path, encoder: Encoder, write: Callable[[Path, list[dict[str, object]]], Path]
) -> None:
    topics = {"mail": "mailbox outlook inbox spam quota", "print": "printer toner paper jam tray"}
    rows: list[dict[str, object]] = [
        {"id": f"{label}{n}", "text": f"{words} case number {n} at desk {n * 7 % 13}", "category": label}
        for label, words in topics.items()
        for n in range(40)
    ]
    rare = "forklift battery charger bay gate sensor"
    rows += [{"id": f"r{n}", "text": f"{rare} number {n}", "category": "warehouse"} for n in range(6)]
    data = write(tmp_path / "tickets.jsonl", rows)
    made = train(TrainSettings((data,), tmp_path / "b", policy="learn"), encoder=encoder, log=lambda _: None)
    gate = replace(made.bundle.gate, max_novelty=None)
    bundle = Bundle(made.bundle.model, encoder, gate, made.bundle.policy, made.bundle.rules)
    assert made.bundle.manifest["targets"]["category"]["excluded"] == {"warehouse": 6}
    assert _reasons(bundle, [Ticket(body=f"{rare} again")], "category") == ["class_excluded"]


@pytest.mark.parametrize("target", ["tier", "category"])
def test_a_policy_may_forbid_that_a_target_is_decided(trained: Trained, bundle: Bundle, target: str) -> None:
    tickets = [trained.dataset.rows[place].ticket for place in trained.split.test]
    cautious = replace(bundle.policy, suggest_only=frozenset({target}))
    only = Bundle(bundle.model, bundle.encoder, bundle.gate, cautious, NO_RULES)
    assert all(decision.targets[target].automation != "automatic" for decision in Triager(only).decide(tickets))
