"""Fits base estimators: support vector machines on words, a small network, logistic regressions on embeddings."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.svm import LinearSVC

from models.features.features import Features
from models.features.vectorizer import SparseRows
from models.heads.base_estimators import FLOOR, Estimator, LinearEstimator, MlpEstimator
from training.ensemble.composition import FINE_TUNED
from training.ensemble.network import Schedule, train_network

_MANY_ROWS = 12_000  # from here on the logistic regression on embeddings needs less regularisation
_LOGISTIC_C, _LOGISTIC_C_MANY_ROWS = 0.05, 0.5
_LOGISTIC_STEPS = 30  # whitened inputs converge in as many
_FINE_TUNED_C, _FINE_TUNED_STEPS = 10.0, 100  # as weakly regularised as the head that the encoder was tuned with
_SHRINKAGE = 0.3  # of the covariance towards a sphere, in mean variances: 384 directions from some thousand rows

_HIDDEN = 384  # a third fewer cost 0.4 points, a third more pay nothing (decision 0056)
_WEIGHT_DECAY, _LEARNING_RATE = 1e-2, 3e-3
_BATCH_SIZES = (32, 256)  # a thirtieth of the rows, within these
_STEPS, _EPOCHS = 600, (5, 10)  # as many batches of the largest size as settle the network, within these epochs


@dataclass(frozen=True)
class HyperParameters:
    """Hyper-parameters of the base estimators, and how they are run.

    Attributes:
        lexical: C of the lexical support vector machine.
        hybrid: C of the hybrid one.
        tolerance: Where the solvers stop.
        balanced: Whether the hybrid counts every label alike instead of every row, so that rare labels can win.
        seed: Of estimators that shuffle.
        jobs: Processes; None takes one per core where that pays.
    """

    lexical: float = 0.3
    hybrid: float = 0.3
    tolerance: float = 0.3
    balanced: bool = False
    seed: int = 0
    jobs: int | None = None


DEFAULT_HYPER_PARAMETERS = HyperParameters()


def fit_estimator(
    name: str,
    features: Features,
    label_ids: NDArray[np.int64],
    classes: int,
    hyper_parameters: HyperParameters = DEFAULT_HYPER_PARAMETERS,
) -> Estimator:
    """Fit an estimator that has weights.

    Args:
        name: ``lexical`` (words and fields), ``hybrid`` (these and the embedding), ``network`` (topics and the
            embedding), ``embedding``, or ``fine-tuned`` (an embedding that was tuned to the labels).
        features: Of n rows.
        label_ids: int64 of shape [n], none negative.
        classes: Number of labels.
        hyper_parameters: Of the estimators.
    """
    if len(np.unique(label_ids)) < 2:
        return _constant(name, features, label_ids, classes)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # stopped early on purpose: stacking weighs what comes out
        if name == "network":
            return _network(features, label_ids, classes, hyper_parameters.seed)
        if name == "embedding":
            return _on_whitened_embedding(features.dense, label_ids, classes)
        if name == FINE_TUNED:
            model = LogisticRegression(C=_FINE_TUNED_C, max_iter=_FINE_TUNED_STEPS).fit(features.dense, label_ids)
            weights, intercept = _for_all_labels(model.coef_, model.intercept_, model.classes_, classes)
            return LinearEstimator(name, intercept, None, weights)
        return _support_vector_machine(
            name, features, label_ids=label_ids, classes=classes, hyper_parameters=hyper_parameters
        )


def csr_matrix(rows: SparseRows) -> sp.csr_matrix:
    """Return sparse rows as a SciPy matrix, float32 of shape [n, width]."""
    return sp.csr_matrix((rows.values, rows.columns, rows.starts), shape=(len(rows.starts) - 1, rows.width))


def _support_vector_machine(
    name: str, features: Features, label_ids: NDArray[np.int64], classes: int, hyper_parameters: HyperParameters
) -> LinearEstimator:
    """Fit a linear support vector machine on words and fields, and on the embedding too where it is the hybrid."""
    hybrid, inputs = name == "hybrid", csr_matrix(features.sparse)
    if hybrid:
        inputs = sp.hstack([inputs, sp.csr_matrix(features.dense)], format="csr")
    model = LinearSVC(
        C=hyper_parameters.hybrid if hybrid else hyper_parameters.lexical,
        tol=hyper_parameters.tolerance,
        random_state=hyper_parameters.seed,
        max_iter=300,
        class_weight="balanced" if hybrid and hyper_parameters.balanced else None,
    )
    model.fit(inputs.astype(np.float64), label_ids)
    weights, intercept = _for_all_labels(model.coef_, model.intercept_, model.classes_, classes)
    words = features.sparse.width
    return LinearEstimator(name, intercept, weights[:words], weights[words:] if hybrid else None)


def _on_whitened_embedding(dense: NDArray[np.float32], label_ids: NDArray[np.int64], classes: int) -> LinearEstimator:
    """Fit a logistic regression on whitened embeddings, and unfold the whitening into its weights."""
    mean, whitening = _whitening(dense)
    model = LogisticRegression(
        C=_LOGISTIC_C_MANY_ROWS if len(label_ids) > _MANY_ROWS else _LOGISTIC_C, max_iter=_LOGISTIC_STEPS, tol=1e-4
    )
    model.fit((dense - mean) @ whitening, label_ids)
    weights, intercept = _for_all_labels(model.coef_, model.intercept_, model.classes_, classes)
    unfolded = np.ascontiguousarray(whitening @ weights)
    return LinearEstimator("embedding", intercept - mean @ unfolded, None, unfolded)


def _network(features: Features, label_ids: NDArray[np.int64], classes: int, seed: int) -> MlpEstimator:
    """Fit a network with one hidden layer, for a fixed number of epochs, and unfold the scaling into its weights.

    It learns what no linear estimator does: that a word means one thing with this topic and another with that.
    """
    inputs = np.hstack([features.topics, features.dense])
    mean, spread = inputs.mean(axis=0), np.maximum(inputs.std(axis=0), 1e-3)
    schedule = Schedule(
        hidden=_HIDDEN,
        epochs=int(np.clip(np.ceil(_STEPS * _BATCH_SIZES[1] / len(label_ids)), *_EPOCHS)),
        batch=int(np.clip(len(label_ids) // 30, *_BATCH_SIZES)),
        learning_rate=_LEARNING_RATE,
        weight_decay=_WEIGHT_DECAY,
        seed=seed,
    )
    found, codes = np.unique(label_ids, return_inverse=True)
    trained = train_network((inputs - mean) / spread, codes, len(found), schedule)
    hidden_weights = trained.hidden / spread[:, None]
    weights = np.zeros((_HIDDEN, classes), dtype=np.float32)
    intercept = np.full(classes, FLOOR, dtype=np.float32)  # what the rows lack is as improbable as can be
    weights[:, found], intercept[found] = trained.output, trained.intercept
    return MlpEstimator(
        "network",
        hidden_weights.astype(np.float32),
        hidden_intercept=(trained.hidden_intercept - mean @ hidden_weights).astype(np.float32),
        weights=weights,
        intercept=intercept,
    )


def _constant(name: str, features: Features, label_ids: NDArray[np.int64], classes: int) -> Estimator:
    """Return an estimator that always gives the only label it was shown: a fold of few groups may hold no other."""
    intercept = np.where(np.isin(np.arange(classes), label_ids), 1.0, -1.0).astype(np.float32)
    sparse = np.zeros((features.sparse.width, classes), dtype=np.float32)
    dense = np.zeros((features.dense.shape[1], classes), dtype=np.float32)
    return LinearEstimator(
        name, intercept, sparse if name in ("hybrid", "lexical") else None, None if name == "lexical" else dense
    )


def _whitening(dense: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return the mean and a map that gives every direction a like spread: the solver then needs few steps.

    Args:
        dense: float32 of shape [n, dim].

    Returns:
        Mean of shape [dim], and a matrix of shape [dim, dim].
    """
    mean = dense.mean(axis=0)
    spread, directions = np.linalg.eigh(np.cov(dense.T.astype(np.float64)))
    return mean, (directions / np.sqrt(np.maximum(spread, 0.0) + _SHRINKAGE * spread.mean())).astype(np.float32)


def _for_all_labels(
    coefficients: NDArray[np.float64], intercept: NDArray[np.float64], found: NDArray[np.int64], classes: int
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return weights for all labels, also where scikit-learn has one row for two labels, or a fold lacks a label.

    Args:
        coefficients: As scikit-learn has them, of shape [labels found, columns], or [1, columns] for two.
        intercept: Of the same first dimension.
        found: Ids of the labels that the rows had.
        classes: Number of labels.

    Returns:
        Weights of shape [columns, classes] and intercepts of shape [classes].
    """
    if len(found) == 2:
        coefficients = np.vstack([-coefficients, coefficients]) / 2
        intercept = np.concatenate([-intercept, intercept]) / 2
    weights = np.zeros((coefficients.shape[1], classes), dtype=np.float32)
    shift = np.full(classes, float(intercept.min()) - 1.0, dtype=np.float32)
    weights[:, found] = coefficients.T
    shift[found] = intercept
    return np.ascontiguousarray(weights), shift
