"""Fits base estimators: support vector machines on words, a small network, logistic regressions on embeddings."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression

from models.features.features import Features
from models.heads.base_estimators import FLOOR, Estimator, LinearEstimator, MlpEstimator
from training.ensemble.composition import FINE_TUNED, HYBRID
from training.ensemble.network import Schedule, train_network
from training.ensemble.support_vectors import Inputs, Machine, Task, train_machines

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
    tolerance: float = 0.2
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
        return _constant(name, features.sparse.width, features.dense.shape[1], label_ids, classes=classes)
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
        every_row = np.ones((len(label_ids), 1), dtype=bool)
        inputs = machine_inputs(name, features)
        return fit_machines(name, inputs, label_ids, every_row, classes=classes, hyper_parameters=hyper_parameters)[0]


def machine_inputs(name: str, features: Features, products: NDArray[np.float32] | None = None) -> Inputs:
    """Return what a support vector machine reads: words and fields, and the embedding too where it is the hybrid.

    Args:
        name: ``lexical`` or ``hybrid``.
        features: Of n rows.
        products: `word_products` of the rows, where they are known.
    """
    return Inputs(features.sparse, features.dense if name == HYBRID else None, products)


def fit_machines(
    name: str,
    inputs: Inputs,
    label_ids: NDArray[np.int64],
    learns: NDArray[np.bool_],
    *,
    classes: int,
    hyper_parameters: HyperParameters = DEFAULT_HYPER_PARAMETERS,
) -> list[Estimator]:
    """Fit linear support vector machines, one for each label and fit.

    Args:
        name: ``lexical`` or ``hybrid``.
        inputs: Of n rows.
        label_ids: int64 of shape [n], not negative where a fit learns.
        learns: Which rows each fit learns from, bool of shape [n, fits].
        classes: Number of labels.
        hyper_parameters: Of the estimators.

    Returns:
        One estimator a fit.
    """
    machines = [machine for fit in range(learns.shape[1])
                for machine in _machines_of(name, label_ids[learns[:, fit]], fit, hyper_parameters)]  # fmt: skip
    weights = train_machines(
        Task(inputs, label_ids, learns, machines), tolerance=hyper_parameters.tolerance, seed=hyper_parameters.seed
    )
    fits, estimators = np.array([machine.fit for machine in machines]), []
    for fit in range(learns.shape[1]):
        own, found = fits == fit, np.unique(label_ids[learns[:, fit]])
        if not own.any():
            estimators.append(_constant(name, inputs.words.width, inputs.beside.shape[1] - 1, found, classes=classes))
            continue
        sparse, intercept = _for_all_labels(weights.words[:, own].T, weights.intercept[own], found, classes)
        dense = _for_all_labels(weights.dense[:, own].T, weights.intercept[own], found, classes)[0]
        estimators.append(LinearEstimator(name, intercept, sparse, dense if name == HYBRID else None))
    return estimators


def _machines_of(
    name: str, label_ids: NDArray[np.int64], fit: int, hyper_parameters: HyperParameters
) -> Iterator[Machine]:
    """Return a machine for each label, one for two labels, and none for a single one.

    Where labels count alike instead of rows, a label's own rows cost more the fewer they are.
    """
    found, counts = np.unique(label_ids, return_counts=True)
    cost = hyper_parameters.hybrid if name == HYBRID else hyper_parameters.lexical
    balanced = name == HYBRID and hyper_parameters.balanced
    costs = cost * (len(label_ids) / (len(found) * counts) if balanced else np.ones(len(found)))
    if len(found) == 2:
        yield Machine(int(found[1]), fit, cost=float(costs[1]), other_cost=float(costs[0]))
    elif len(found) > 2:
        for label, own in zip(found.tolist(), costs.tolist(), strict=True):
            yield Machine(label, fit, cost=own, other_cost=cost)


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


def _constant(name: str, width: int, dim: int, label_ids: NDArray[np.int64], *, classes: int) -> Estimator:
    """Return an estimator that always gives the only label it was shown: a fold of few groups may hold no other."""
    intercept = np.where(np.isin(np.arange(classes), label_ids), 1.0, -1.0).astype(np.float32)
    sparse, dense = np.zeros((width, classes), dtype=np.float32), np.zeros((dim, classes), dtype=np.float32)
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
    coefficients: NDArray[Any], intercept: NDArray[Any], found: NDArray[np.int64], classes: int
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return weights for all labels, also where scikit-learn has one row for two labels, or a fold lacks a label.

    Args:
        coefficients: Of shape [labels found, columns], or [1, columns] for two.
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
