"""The network of a head: it learns what no linear model can, and the same rows give the same weights."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from training.ensemble.network import Schedule, Weights, train_network

SCHEDULE = Schedule(hidden=32, epochs=40, batch=32, learning_rate=1e-2, weight_decay=1e-3)


def _either_or(rows: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Return points of the plane, and whether their coordinates differ in sign."""
    points = np.random.default_rng(1).normal(size=(rows, 2)).astype(np.float32)
    return points, (points[:, 0] * points[:, 1] < 0).astype(np.int64)


def _logits(weights: Weights, points: NDArray[np.float32]) -> NDArray[np.float32]:
    hidden = np.maximum(points @ weights.hidden + weights.hidden_intercept, 0.0)
    return np.asarray(hidden @ weights.output + weights.intercept)


def test_a_network_learns_what_no_linear_model_can() -> None:
    points, label_ids = _either_or(600)
    weights = train_network(points[:400], label_ids[:400], 2, SCHEDULE)
    assert (_logits(weights, points[400:]).argmax(axis=1) == label_ids[400:]).mean() > 0.95


def test_the_same_rows_and_seed_give_the_same_weights_and_another_seed_others() -> None:
    points, label_ids = _either_or(200)
    first, again = (train_network(points, label_ids, 2, SCHEDULE) for _ in range(2))
    assert all(np.array_equal(one, other) for one, other in zip(first, again, strict=True))
    other = Schedule(hidden=32, epochs=40, batch=32, learning_rate=1e-2, weight_decay=1e-3, seed=1)
    assert not np.array_equal(first.hidden, train_network(points, label_ids, 2, other).hidden)


def test_fewer_rows_than_a_batch_are_one_step_an_epoch() -> None:
    points, label_ids = _either_or(7)
    weights = train_network(points, label_ids, 2, SCHEDULE)
    assert all(np.isfinite(part).all() and part.dtype == np.float32 for part in weights)
