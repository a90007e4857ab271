"""Shares of labels in traffic: learned from tickets without labels, written into a policy that training reads."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from models.bundle.bundle import Bundle
from models.encoder import Encoder
from models.toml_files import dump_policy
from training.data.dataset import LabelledTicket
from training.ensemble.model import fit_model, refit_model
from training.ensemble.sample import Sample
from training.evaluation.traffic_shares import shares_in, with_shares
from training.task import Trained
from triage.policy import Category, Policy, parse_policy
from triage.ticket import Ticket


def test_shares_of_shifted_traffic_are_found_without_its_labels(trained: Trained, bundle: Bundle) -> None:
    rows = [trained.dataset.rows[place] for place in trained.split.test]
    rng = np.random.default_rng(0)
    shifted = [row for row in rows if row.labels["tier"] != "L1" or rng.random() < 0.25]
    true = Counter(row.labels["tier"] for row in shifted)
    found = shares_in(bundle, [row.ticket for row in shifted])["tier"]
    assert sum(found.traffic.values()) == pytest.approx(1, abs=1e-6)

    def off(shares: dict[str, float]) -> float:
        return sum(abs(shares[label] - true[label] / len(shifted)) for label in shares)

    assert off(dict(found.traffic)) < off(dict(found.history))


def test_the_policy_written_states_every_share_and_reads_back(bundle: Bundle, trained: Trained) -> None:
    tickets = [trained.dataset.rows[place].ticket for place in trained.split.test]
    stated = with_shares(bundle.policy, shares_in(bundle, tickets))
    again = parse_policy(dump_policy(stated))
    for target in ("tier", "category"):
        shares = again.expected_shares(target)
        assert set(shares) == set(again.labels(target))
        assert 0.99 < sum(shares.values()) <= 1
        assert min(shares.values()) > 0


def test_a_label_without_a_row_in_training_does_not_swallow_all_tickets(encoder: Encoder) -> None:
    """All of its tickets are in the part set aside, as those of a new kind are; no text says what its label is."""
    words, rng = ["down", "slow", "again", "still", "door", "badge"], np.random.default_rng(0)
    shares = {"printer": 0.5, "vpn": 0.4, "badge": 0.1}
    policy = Policy("p", categories=tuple(Category(label, expected_share=share) for label, share in shares.items()))
    rows = [
        LabelledTicket(Ticket(f"{label}-{place}", body=" ".join(rng.choice(words, 6))), {"category": label})
        for label in shares
        for place in range(60)
    ]
    vectors = encoder.encode([row.ticket.text for row in rows])
    sample = Sample.of(rows, vectors, np.arange(len(rows)))
    fitted = fit_model(sample.take(np.arange(120)), policy, jobs=1)
    place = fitted.model.heads["category"].labels.index("badge")
    assert (fitted.probabilities["category"][:, place] < 0.5).all()
    again = refit_model(fitted, sample, policy).heads["category"]
    assert again.prior_correction is not None
    correction = dict(zip(again.labels, again.prior_correction.tolist(), strict=True))
    assert correction == pytest.approx({label: share * 3 for label, share in shares.items()})
