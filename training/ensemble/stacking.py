"""Stacking: a logistic regression on the scores of base estimators that is pulled towards one weight per estimator."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from joblib import Parallel, delayed
from numpy.typing import NDArray
from scipy.optimize import minimize
from threadpoolctl import threadpool_limits

from models.heads.head import Stacking
from training.data.folds import left_out

Scores = Sequence[NDArray[np.float32]]
"""Out-of-fold scores, one array of shape [n, classes] per base estimator."""

_VARIANCE = 0.003
"""Prior variance of a deviation from one weight per estimator (decision 0015): 0.03 loses 0.8 points on few rows."""

_BIAS_PENALTY = 1e-3  # enough to keep the biases of labels without rows from running away
_STEPS, _LEAST_GAIN = 120, 1e-6  # of L-BFGS, which ends where the loss falls in its sixth digit only


def fit_stacking(scores: Scores, label_ids: NDArray[np.int64]) -> Stacking:
    """Fit how the scores of base estimators become one logit per label (stacking; Wolpert 1992).

    Each logit is the sum over estimators of `weight(estimator) * score(estimator, label)`, plus a bias, plus what a
    full matrix from all scores to all labels adds. The matrix has a Gaussian prior around zero: with few rows a label
    the estimators are merely weighed, with many the matrix learns which estimator confuses what. A plain multinomial
    logistic regression is pulled towards zero instead, and loses two points on few rows.

    Args:
        scores: One array of shape [n, classes] per estimator.
        label_ids: int64 of shape [n], all learnable.
    """
    spread = np.array([max(float(block.std()), 1e-6) for block in scores])
    scaled = [block.T / np.float32(scale) for block, scale in zip(scores, spread, strict=True)]
    inputs = np.concatenate(scaled)  # a row a score: sums over labels then run along columns, which is faster
    count, (rows, classes) = len(scores), scores[0].shape
    penalty, index = 1.0 / (_VARIANCE * rows), np.arange(rows)

    def table(flat: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the map from scaled scores to logits, of shape [estimators * classes, classes]."""
        each = np.concatenate([np.eye(classes) * weight for weight in flat[:count]])
        return each + flat[count + classes :].reshape(-1, classes)

    def loss(flat: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        """Return the penalised mean log loss, and its gradient."""
        bias, deviation = flat[count : count + classes], flat[count + classes :]
        logits = table(flat).astype(np.float32).T @ inputs + bias.astype(np.float32)[:, None]
        logits -= logits.max(axis=0)
        right = logits[label_ids, index].mean(dtype=np.float64)
        error = np.exp(logits, out=logits)
        total = error.sum(axis=0)
        likelihood = right - np.log(total).mean(dtype=np.float64)
        value = (
            -float(likelihood) + 0.5 * penalty * (deviation @ deviation) + 0.5 * _BIAS_PENALTY / rows * (bias @ bias)
        )
        error /= total * np.float32(rows)
        error[label_ids, index] -= np.float32(1.0 / rows)
        slope = (inputs @ error.T).astype(np.float64)
        of_each = np.trace(slope.reshape(count, classes, classes), axis1=1, axis2=2)
        of_bias = error.sum(axis=1, dtype=np.float64) + _BIAS_PENALTY / rows * bias
        return value, np.concatenate([of_each, of_bias, slope.ravel() + penalty * deviation])

    start = np.concatenate([np.full(count, 2.0 / count), np.zeros(classes + count * classes * classes)])
    with threadpool_limits(1):  # the products are so slim that threads would mostly wait for each other
        options = {"maxiter": _STEPS, "gtol": 1e-5, "ftol": _LEAST_GAIN}
        found = minimize(loss, start, jac=True, method="L-BFGS-B", options=options).x
    weights = table(found) / np.repeat(spread, classes)[:, None]
    return Stacking(np.ascontiguousarray(weights, dtype=np.float32), found[count : count + classes].astype(np.float32))


def out_of_fold_logits(scores: Scores, label_ids: NDArray[np.int64], folds: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the logits of each row by a stacking that was fitted without the row's fold.

    Args:
        scores: One array of shape [n, classes] per estimator.
        label_ids: int64 of shape [n]; rows without a label are scored but not learned from.
        folds: int64 of shape [n]; rows marked `SEEN` are neither.

    Returns:
        float64 of shape [n, classes], zero where the fold is `SEEN`.
    """
    side_by_side, logits = np.concatenate(scores, axis=1), np.zeros(scores[0].shape)
    numbers = left_out(folds)

    def without(fold: int) -> Stacking:
        rows = np.flatnonzero((label_ids >= 0) & (folds >= 0) & (folds != fold))
        return fit_stacking([block[rows] for block in scores], label_ids[rows])

    with threadpool_limits(1):  # around all: the limit is the process's, and the first thread to end would lift it
        fitted = Parallel(n_jobs=-1, prefer="threads")(delayed(without)(fold) for fold in numbers)
    for fold, stacking in zip(numbers, fitted, strict=True):
        logits[folds == fold] = stacking.logits(side_by_side[folds == fold])
    return logits
