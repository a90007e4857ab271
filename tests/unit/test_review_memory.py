"""What a desk's own reviews change: near tickets follow, far ones stay, noise is not followed."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from models.reference.reviews import Reviewed, ReviewMemory
from triage.prediction import ReviewVote

SURE = np.array([[0.8, 0.15, 0.05]])


def units(count: int, seed: int = 0) -> NDArray[np.float32]:
    """Directions that have little to do with each other."""
    drawn = np.random.default_rng(seed).normal(size=(count, 64))
    return np.asarray(drawn / np.linalg.norm(drawn, axis=1, keepdims=True), dtype=np.float32)


def memory(vectors: NDArray[np.float32], label_ids: list[int], sensitive: bool = False) -> ReviewMemory:
    count = len(label_ids)
    predicted = {"category": np.repeat(SURE, count, axis=0)}
    said = {"category": np.array(label_ids, dtype=np.int64)}
    return ReviewMemory.of(Reviewed(vectors, predicted, said, np.full(count, sensitive)))


def predicted(learned: ReviewMemory, vector: NDArray[np.float32]) -> NDArray[np.float64]:
    return np.asarray(learned.corrected(vector[None, :], {"category": SURE})["category"][0])


def test_a_ticket_that_comes_again_follows_its_correction_and_a_strange_one_hardly_moves() -> None:
    again, other = units(2)
    learned = memory(again[None, :], [2])
    assert predicted(learned, again).argmax() == 2
    assert predicted(learned, other).argmax() == 0
    assert predicted(learned, other)[2] < 0.15


def test_what_a_desk_calls_otherwise_throughout_moves_strange_tickets_too() -> None:
    learned = memory(units(60), [1] * 60)
    assert predicted(learned, units(1, seed=9)[0]).argmax() == 1


def test_reviews_that_say_what_the_model_says_leave_its_shares_nearly_as_they_are() -> None:
    drawn = np.random.default_rng(3).choice(3, size=400, p=SURE[0])
    assert predicted(memory(units(400), drawn.tolist()), units(1, seed=9)[0]) == pytest.approx(SURE[0], abs=0.05)


def test_probabilities_stay_probabilities() -> None:
    learned = memory(units(30), [0, 1, 2] * 10)
    assert predicted(learned, units(1, seed=5)[0]).sum() == pytest.approx(1.0)


def test_no_review_changes_nothing() -> None:
    vector = units(1)[0]
    for learned in (memory(units(0), []), memory(units(3), [-1, -1, -1])):
        assert (predicted(learned, vector) == SURE[0]).all()
        assert learned.votes(vector, {"category": ("access", (0,))}, may_see_sensitive=True) == ()


def test_similar_reviews_are_counted_and_sensitive_ones_only_for_the_cleared() -> None:
    near = units(1)[0]
    vectors = np.stack([near, near, near, *units(20, seed=4)])
    labels = [2, 2, 0] + [0] * 20
    counted = memory(vectors, labels).votes(near, {"category": ("network", (2,))}, may_see_sensitive=False)
    assert counted == (ReviewVote("category", "network", 2, 3),)
    folded = memory(vectors, labels).votes(near, {"category": ("network", (0, 2))}, may_see_sensitive=False)
    assert folded == (ReviewVote("category", "network", 3, 3),)
    secret = memory(vectors, labels, sensitive=True)
    assert secret.votes(near, {"category": ("network", (2,))}, may_see_sensitive=False) == ()
    assert secret.votes(near, {"category": ("network", (2,))}, may_see_sensitive=True) == counted
