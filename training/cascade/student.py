"""Fits a student of the encoder to a desk's texts: ridge regression from words and tokens to the encoder's vectors."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import solve
from threadpoolctl import threadpool_limits

from models.cascade.student import Student
from models.features.features import Features
from models.features.vectorizer import SparseRows
from training.cascade.distill import Distiller
from training.data.folds import left_out
from training.ensemble.cross_fit import neighbours_across_groups
from training.ensemble.model import Prepared
from training.ensemble.support_vectors import csr_matrix, word_products

LEARNED_ROWS = 6_000
"""Rows that a student learns from at most: the time grows with their cube, and more hardly make it better."""

DIRECTIONS = 192
"""Directions in which it guesses: with all 384 of the default encoder as many tickets are answered (decision 0060)."""

_PENALTY = 0.6
"""Of the weights; a row's words, n-grams and tokens have a square length of 3 together."""

_STEPS = 127


class FittedStudent(NamedTuple):
    """A student, and the features of its rows with vectors that it guessed when it had not seen their folds."""

    student: Student
    guessed: Features


def fit_student(prepared: Prepared, distiller: Distiller) -> FittedStudent:
    """Fit a student; no label is looked at.

    Args:
        prepared: Texts with the encoder's vectors, and the folds that the model is cross-fitted on.
        distiller: Of the encoder.
    """
    with threadpool_limits(1):  # sums in one order on any machine
        return _fitted(prepared, distiller)


def _fitted(prepared: Prepared, distiller: Distiller) -> FittedStudent:
    sample, sparse, folds = prepared.sample, prepared.features.sparse, prepared.folds
    texts = [row.ticket.text for row in sample.rows]
    tokens = distiller.distil(texts)
    beside, words = tokens.of(texts), csr_matrix(sparse)
    learned = np.sort(np.random.default_rng(prepared.seed).permutation(len(texts))[:LEARNED_ROWS])
    products = _products(sparse, prepared.products, learned) + beside[learned] @ beside[learned].T
    products[np.diag_indices_from(products)] += _PENALTY
    mean = sample.vectors[learned].mean(axis=0)
    centred = sample.vectors[learned] - mean
    spread = np.linalg.eigh(centred.T.astype(np.float64) @ centred)[1][:, ::-1]
    directions = np.ascontiguousarray(spread[:, :DIRECTIONS].T, dtype=np.float32)
    wanted = centred @ directions.T

    def weights(rows: NDArray[np.int64]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return what columns and tokens add along each direction, learned from some of the rows."""
        dual = solve(products[np.ix_(rows, rows)], wanted[rows], assume_a="pos", overwrite_a=True, check_finite=False)
        return np.asarray(words[learned[rows]].T @ dual), beside[learned[rows]].T @ dual

    guesses = sample.vectors.copy()
    for fold in left_out(folds):
        rows = np.flatnonzero(folds == fold)
        of_columns, of_tokens = weights(np.flatnonzero(folds[learned] != fold))
        found = mean + (words[rows] @ of_columns + beside[rows] @ of_tokens) @ directions
        guesses[rows] = found / np.maximum(np.linalg.norm(found, axis=1, keepdims=True), 1e-9)
    of_columns, of_tokens = weights(np.arange(len(learned)))
    steps = np.maximum(np.abs(of_columns).max(axis=1) / _STEPS, 1e-12).astype(np.float32)
    columns = np.rint(of_columns / steps[:, None]).astype(np.int8)
    student = Student(tokens, columns, steps, of_tokens.astype(np.float32), mean=mean, directions=directions)
    near = neighbours_across_groups(sample.vectors, prepared.features.topics, sample.groups, seen_as=guesses)
    return FittedStudent(student, prepared.features._replace(dense=guesses, **near._asdict()))


def _products(sparse: SparseRows, known: NDArray[np.float32] | None, learned: NDArray[np.int64]) -> NDArray[np.float32]:
    """Return the products of the columns of all learned rows with all, float32 of shape [learned, learned]."""
    if known is not None:
        return known[np.ix_(learned, learned)]
    found = word_products(sparse.take(learned))
    assert found is not None  # `LEARNED_ROWS` are few enough
    return found
