"""Fits one member of a head on rows: support vector machines on words, a network and a kernel on meaning and topics."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from scipy.linalg import solve
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.neural_network import MLPClassifier
from sklearn.svm import LinearSVC
from threadpoolctl import threadpool_limits

from models.features.features import Features
from models.features.vectorizer import SparseRows
from models.heads.base_estimators import FLOOR, Estimator, KernelEstimator, LinearEstimator, MlpEstimator, kernel_values

EMBEDDING_WEIGHT = 1.0
_MANY_ROWS = 12_000
_LOGISTIC = {"freely": 0.5, "tightly": 0.05}
_LOGISTIC_STEPS = 30
_ON_ADAPTED, _ADAPTED_STEPS = 10.0, 100
_SOFTENING = 0.3
_HIDDEN = 256
_NETWORK_STEPS, _EPOCHS = 600, (5, 30)
_BATCH = (32, 256)
_DECAY, _PACE = 1e-2, 5e-4
_CENTRES, _BLOCK = 2500, 2048
_RIDGE, _ROUNDING = 0.3, 1e-5


@dataclass(frozen=True)
class HyperParameters:
    """How freely the members may fit.

    Attributes:
        lexical: C of the lexical support vector machine.
        hybrid: C of the hybrid one.
        tolerance: Where the solvers stop.
        balanced: Whether the hybrid counts every label alike instead of every row, which lets rare labels win.
        seed: Of estimators that shuffle.
        jobs: Processes; None takes one per core where that pays.
    """

    lexical: float = 0.3
    hybrid: float = 0.3
    tolerance: float = 0.1
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
            embedding), ``kernel`` (the same), ``embedding``, or ``adapted`` (an embedding adapted to the labels).
        features: Of n rows.
        label_ids: int64 of shape [n], none negative.
        classes: Number of labels.
        hyper_parameters: Of the estimators.
    """
    dense, seed = features.dense, hyper_parameters.seed
    if len(np.unique(label_ids)) < 2:
        return _constant(name, features, label_ids, classes)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # stopped early on purpose: the stack weighs what comes out
        if name == "network":
            return _network(np.hstack([features.topics, dense]), label_ids, classes, seed)
        if name == "kernel":
            return _kernel(np.hstack([features.topics, dense]), label_ids, classes, seed)
        if name == "embedding":
            return _logistic(dense, label_ids, classes)
        if name == "adapted":
            return _on_adapted(dense, label_ids, classes)
        block = csr_matrix(features.sparse)
        if name == "hybrid":
            block = sp.hstack([block, sp.csr_matrix(dense * EMBEDDING_WEIGHT)], format="csr")
        model = LinearSVC(
            C=getattr(hyper_parameters, name), tol=hyper_parameters.tolerance, random_state=seed, max_iter=300,
            class_weight="balanced" if name == "hybrid" and hyper_parameters.balanced else None,
        )  # fmt: skip
        model.fit(block.astype(np.float64), label_ids)
    coefficients, intercept = _per_label(model.coef_, model.intercept_, model.classes_, classes)
    if name == "lexical":
        return LinearEstimator(name, intercept, coefficients, None)
    columns = features.sparse.width
    return LinearEstimator(
        name, intercept, coefficients[:columns], coefficients[columns:] * np.float32(EMBEDDING_WEIGHT)
    )


def csr_matrix(rows: SparseRows) -> sp.csr_matrix:
    """Return sparse rows as a SciPy matrix, float32 of shape [n, width]."""
    return sp.csr_matrix((rows.values, rows.columns, rows.starts), shape=(len(rows.starts) - 1, rows.width))


def _logistic(dense: NDArray[np.float32], label_ids: NDArray[np.int64], classes: int) -> LinearEstimator:
    """Fit a logistic regression on whitened embeddings, and unfold the whitening into its weights."""
    mean, white = _whitening(dense)
    freedom = _LOGISTIC["freely" if len(label_ids) > _MANY_ROWS else "tightly"]
    model = LogisticRegression(C=freedom, max_iter=_LOGISTIC_STEPS, tol=1e-4)
    model.fit((dense - mean) @ white, label_ids)
    coefficients, intercept = _per_label(model.coef_, model.intercept_, model.classes_, classes)
    unfolded = np.ascontiguousarray(white @ coefficients)
    return LinearEstimator("embedding", intercept - mean @ unfolded, None, unfolded)


def _on_adapted(dense: NDArray[np.float32], label_ids: NDArray[np.int64], classes: int) -> LinearEstimator:
    """Fit a logistic regression on an embedding that was made for one, as the head was that it was adapted with."""
    model = LogisticRegression(C=_ON_ADAPTED, max_iter=_ADAPTED_STEPS).fit(dense, label_ids)
    coefficients, intercept = _per_label(model.coef_, model.intercept_, model.classes_, classes)
    return LinearEstimator("adapted", intercept, None, coefficients)


def _network(inputs: NDArray[np.float32], label_ids: NDArray[np.int64], classes: int, seed: int) -> MlpEstimator:
    """Fit a network with one hidden layer, for a fixed number of rounds, and unfold the scaling into its weights.

    It sees what no linear member does: that a word means one thing beside this topic and another beside that.
    """
    mean, spread = inputs.mean(axis=0), np.maximum(inputs.std(axis=0), 1e-3)
    rounds = int(np.clip(np.ceil(_NETWORK_STEPS * _BATCH[1] / len(label_ids)), *_EPOCHS))
    batch = int(np.clip(len(label_ids) // 50, *_BATCH))
    model = MLPClassifier(
        (_HIDDEN,), alpha=_DECAY, learning_rate_init=_PACE, batch_size=min(batch, len(label_ids)), max_iter=rounds,
        n_iter_no_change=rounds, random_state=seed,
    )  # fmt: skip
    with threadpool_limits(1):  # sums come out the same whatever else runs on the machine
        model.fit((inputs - mean) / spread, label_ids)
    inward = model.coefs_[0] / spread[:, None]
    outward, intercept = _per_label(model.coefs_[1].T, model.intercepts_[1], model.classes_, classes)
    return MlpEstimator(
        "network",
        inward.astype(np.float32),
        (model.intercepts_[0] - mean @ inward).astype(np.float32),
        outward,
        np.where(np.isin(np.arange(classes), model.classes_), intercept, FLOOR).astype(np.float32),
    )


def _kernel(inputs: NDArray[np.float32], label_ids: NDArray[np.int64], classes: int, seed: int) -> KernelEstimator:
    """Fit a kernel ridge regression on some rows as centres (Nyström; Williams and Seeger 2001), in closed form."""
    count = len(label_ids)
    chosen = np.arange(count)
    if count > _CENTRES:
        chosen = np.sort(np.random.default_rng(seed).choice(count, _CENTRES, replace=False))
    centres = np.ascontiguousarray(inputs[chosen])
    present = np.unique(label_ids)
    truth = (label_ids[:, None] == present).astype(np.float64)
    shares = truth.mean(axis=0)
    square = _RIDGE * kernel_values(centres, centres).astype(np.float64)
    square[np.diag_indices(len(chosen))] += _ROUNDING * count
    towards = np.zeros((len(chosen), len(present)))
    with threadpool_limits(1):
        for start in range(0, count, _BLOCK):
            mine = slice(start, start + _BLOCK)
            hybrid_near = kernel_values(inputs[mine], centres).astype(np.float64)
            square += hybrid_near.T @ hybrid_near
            towards += hybrid_near.T @ (truth[mine] - shares)
        found = solve(square, towards, assume_a="pos", overwrite_a=True)
    table = np.zeros((len(chosen), classes), dtype=np.float32)
    table[:, present] = found
    intercept = np.full(classes, -1.0, dtype=np.float32)
    intercept[present] = shares
    return KernelEstimator("kernel", centres, table, intercept)


def _constant(name: str, features: Features, label_ids: NDArray[np.int64], classes: int) -> Estimator:
    """Return a member that says the only label it was shown: a fold of few groups may hold no other."""
    intercept = np.where(np.isin(np.arange(classes), label_ids), 1.0, -1.0).astype(np.float32)
    sparse = np.zeros((features.sparse.width, classes), dtype=np.float32)
    dense = np.zeros((features.dense.shape[1], classes), dtype=np.float32)
    no_words = name in ("embedding", "adapted", "network", "kernel")
    return LinearEstimator(name, intercept, None if no_words else sparse, None if name == "lexical" else dense)


def _whitening(dense: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return the mean and a map that gives every direction a like spread: the solver then needs few steps."""
    mean = dense.mean(axis=0)
    spread, directions = np.linalg.eigh(np.cov(dense.T.astype(np.float64)))
    return mean, (directions / np.sqrt(np.maximum(spread, 0.0) + _SOFTENING * spread.mean())).astype(np.float32)


def _per_label(
    coefficients: NDArray[Any], intercept: NDArray[Any], found: NDArray[Any], classes: int
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return weights of shape [columns, classes] and intercepts, also for two labels and for those a fold lacks."""
    if len(found) == 2:
        coefficients, intercept = (
            np.vstack([-coefficients, coefficients]) / 2,
            np.concatenate([-intercept, intercept]) / 2,
        )
    full = np.zeros((coefficients.shape[1], classes), dtype=np.float32)
    shift = np.full(classes, float(intercept.min()) - 1.0, dtype=np.float32)
    full[:, found] = coefficients.T
    shift[found] = intercept
    return np.ascontiguousarray(full), shift
