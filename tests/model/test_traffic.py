"""Shares of labels in traffic: learned from tickets without labels, written into a policy that training reads."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from models.bundle.bundle import Bundle
from models.toml_files import dump_policy
from training.evaluation.traffic_shares import shares_in, with_shares
from training.task import Trained
from triage.policy import parse_policy


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
