"""The support vector machines of a head: the same as scikit-learn's, whether rows are few or many."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp
from numpy.typing import NDArray
from sklearn.svm import LinearSVC

from models.features.vectorizer import SparseRows
from training.ensemble import support_vectors
from training.ensemble.support_vectors import Inputs, Machine, Task, Weights, train_machines, word_products

ROWS, WORDS, DIM = 300, 500, 8


def _task(seed: int = 0) -> Task:
    """Three labels, two fits, and the second learns from half of the rows."""
    random = np.random.default_rng(seed)
    label_ids = random.integers(0, 3, ROWS)
    dense = random.normal(size=(ROWS, DIM)).astype(np.float32) + label_ids[:, None].astype(np.float32) * 0.3
    words = sp.random(ROWS, WORDS, density=0.05, format="csr", dtype=np.float32, random_state=seed)
    rows = SparseRows(words.indptr.astype(np.int64), words.indices.astype(np.int32), words.data, WORDS)
    learns = np.stack([np.ones(ROWS, dtype=bool), np.arange(ROWS) % 2 == 0], axis=1)
    machines = [Machine(label, fit, 0.3 + label, 0.3) for fit in (0, 1) for label in range(3)]
    return Task(Inputs(rows, dense), label_ids, learns, machines)


def _expected(task: Task, machine: Machine) -> NDArray[np.float64]:
    """Return the weights by scikit-learn: of words, of the embedding, and the intercept."""
    rows = task.learns[:, machine.fit]
    inputs = sp.hstack([task.inputs.matrix, sp.csr_matrix(task.inputs.dense)], format="csr").astype(np.float64)[rows]
    cost = machine.other_cost
    own = task.label_ids[rows] == machine.label
    model = LinearSVC(C=cost, tol=1e-6, max_iter=100_000, class_weight={True: machine.cost / cost, False: 1.0})
    model.fit(inputs, own)
    return np.concatenate([model.coef_[0], model.intercept_])


def _all_of(weights: Weights) -> NDArray[np.float32]:
    return np.concatenate([weights.words, weights.dense, weights.intercept[None]])


def _in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(support_vectors, "MOST_PRODUCTS", 50)
    monkeypatch.setattr(support_vectors, "_PART", 90)


@pytest.mark.parametrize("in_parts", [False, True])
def test_machines_are_those_of_scikit_learn(monkeypatch: pytest.MonkeyPatch, in_parts: bool) -> None:
    if in_parts:
        _in_parts(monkeypatch)
    task = _task()
    found = _all_of(train_machines(task, tolerance=1e-4, seed=0))
    for column, machine in enumerate(task.machines):
        assert np.abs(found[:, column] - _expected(task, machine)).max() < 2e-3


@pytest.mark.parametrize("in_parts", [False, True])
def test_the_same_seed_gives_the_same_weights(monkeypatch: pytest.MonkeyPatch, in_parts: bool) -> None:
    if in_parts:
        _in_parts(monkeypatch)
    first, again, other = (_all_of(train_machines(_task(), tolerance=0.2, seed=seed)) for seed in (1, 1, 2))
    assert np.array_equal(first, again) and not np.array_equal(first, other)


def test_more_machines_than_are_trained_together_come_out_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    together = _all_of(train_machines(_task(), tolerance=1e-4, seed=0))
    monkeypatch.setattr(support_vectors, "_MOST_MACHINES", 4)
    apart = _all_of(train_machines(_task(), tolerance=1e-4, seed=0))
    assert np.abs(together - apart).max() < 1e-3


def test_products_are_those_of_all_rows_and_are_not_made_of_too_many(monkeypatch: pytest.MonkeyPatch) -> None:
    words = _task().inputs
    products = word_products(words.words)
    assert products is not None
    assert np.allclose(products, (words.matrix @ words.matrix.T).toarray(), atol=1e-5)
    monkeypatch.setattr(support_vectors, "MOST_PRODUCTS", ROWS - 1)
    assert word_products(words.words) is None
