"""Votes of near tickets: who votes and how much, and that a bundle keeps how its neighbours vote."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from models.bundle.codecs import npy_bytes
from models.bundle.head_serialisation import Widths, head_arrays, head_facts, head_of
from models.features.features import Features
from models.features.vectorizer import SparseRows
from models.heads.base_estimators import POWER, VOTERS, NeighbourEstimator
from models.heads.head import Head, Stacking
from models.reference.index import NEAR

CROWD = 40
LABEL_IDS = np.array([0, 0, 0] + [1] * CROWD + [-1], dtype=np.int32)
SIMILARITIES = np.array([[0.9] * 3 + [0.6] * CROWD], dtype=np.float32)


def near(rows: np.ndarray, similarity: np.ndarray) -> Features:
    """Features of tickets of which nothing but the neighbours is known."""
    count = len(rows)
    empty = SparseRows(np.zeros(count + 1, np.int64), np.zeros(0, np.int32), np.zeros(0, np.float32), 1)
    nothing = np.zeros((count, 1), np.float32)
    return Features(empty, nothing, nothing, rows, similarity, rows, similarity, np.zeros((count, 0), bool))


def shares(estimator: NeighbourEstimator, rows: np.ndarray, similarity: np.ndarray) -> list[float]:
    return [float(share) for share in np.exp(estimator.scores(near(rows, similarity)))[0]]


def test_a_few_near_tickets_outweigh_a_crowd_of_distant_ones() -> None:
    everybody = np.arange(3 + CROWD)[None, :]
    now = shares(NeighbourEstimator("neighbours", LABEL_IDS, 2), everybody, SIMILARITIES)
    flat = shares(NeighbourEstimator("neighbours", LABEL_IDS, 2, voters=CROWD, power=4.0), everybody, SIMILARITIES)
    assert now[0] > 0.8 > 0.5 > flat[0]
    assert sum(now) == pytest.approx(1.0)


def test_only_so_many_neighbours_with_a_label_vote() -> None:
    rows = np.array([[43, 0, 3, 4, 5]])  # the first has a label that is not learned: it takes nobody's vote
    alike = np.full((1, 5), 0.7, dtype=np.float32)
    assert shares(NeighbourEstimator("neighbours", LABEL_IDS, 2, voters=2), rows, alike) == pytest.approx([0.5, 0.5])
    all_four = shares(NeighbourEstimator("neighbours", LABEL_IDS, 2), rows, alike)
    assert all_four == pytest.approx([0.255, 0.745])


def test_as_many_neighbours_are_looked_at_as_vote() -> None:
    assert NEAR >= VOTERS


def _head() -> Head:
    estimators = (
        NeighbourEstimator("neighbours", LABEL_IDS, 2),
        NeighbourEstimator("hybrid-neighbours", LABEL_IDS, 2, hybrid=True, voters=7, power=3.5),
    )
    return Head("tier", ("L1", "L2"), estimators, Stacking(np.zeros((4, 2), np.float32), np.zeros(2, np.float32)))


def _read(facts: dict[str, Any]) -> Head:
    files = {f"head-tier-{name}.npy": npy_bytes(array) for name, array in head_arrays(_head()).items()}
    return head_of("tier", facts, files, LABEL_IDS, Widths(columns=1, topics=1, dim=1))


def test_a_bundle_keeps_how_neighbours_vote() -> None:
    found = _read(head_facts(_head())).estimators
    assert [(one.name, one.hybrid, one.voters, one.power) for one in found if isinstance(one, NeighbourEstimator)] == [
        ("neighbours", False, VOTERS, POWER),
        ("hybrid-neighbours", True, 7, 3.5),
    ]


def test_neighbours_of_an_earlier_bundle_vote_as_they_did_when_it_was_fitted() -> None:
    facts = head_facts(_head())
    facts["estimators"] = [{"name": one["name"], "kind": one["kind"]} for one in facts["estimators"]]
    for one in _read(facts).estimators:
        assert isinstance(one, NeighbourEstimator)
        assert (one.voters, one.power, one.looked_at) == (15, 4.0, 25)


def test_an_earlier_bundle_looks_at_no_more_neighbours_than_it_did() -> None:
    labels = np.array([0] * 5 + [-2] * 20 + [1] * 35, dtype=np.int32)
    rows, alike = np.arange(60)[None, :], np.full((1, 60), 0.6, dtype=np.float32)
    earlier = NeighbourEstimator("neighbours", labels, 2, voters=15, power=4.0, looked_at=25)
    assert shares(earlier, rows, alike)[0] == pytest.approx(0.99)
    assert shares(NeighbourEstimator("neighbours", labels, 2), rows, alike)[1] > 0.8


@pytest.mark.parametrize(
    "wrong", [{"voters": 0}, {"looked_at": 0}, {"voters": 10**9}, {"power": 0.0}, {"power": float("nan")}]
)
def test_neighbours_that_vote_in_an_impossible_way_are_refused(wrong: dict[str, float]) -> None:
    facts = head_facts(_head())
    facts["estimators"][0] |= wrong
    with pytest.raises(ValueError, match="neighbours that vote"):
        _read(facts)
