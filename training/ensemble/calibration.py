"""Calibration: makes confidence honest on out-of-fold logits, by whichever method a proper score prefers."""

from __future__ import annotations

import warnings
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import LogisticRegression

from models.heads.head import Calibrator, Probabilities, softmax

_KNOTS = 200
CLEARLY_BETTER = 1e-3
"""Log loss by which more freedom must win to be chosen."""


def choose_calibrator(
    logits: NDArray[np.float64], label_ids: NDArray[np.int64], folds: NDArray[np.int64]
) -> tuple[Calibrator, Probabilities, dict[str, float]]:
    """Choose among no calibration, temperature, sigmoid and isotonic by cross-validated log loss.

    The simpler one is kept unless a more flexible one is better by more than a thousandth.

    Args:
        logits: Out-of-fold logits of shape [n, classes].
        label_ids: Label codes of shape [n].
        folds: Fold by row.

    Returns:
        The calibrator fitted on all rows, the cross-fitted probabilities, and each candidate's log loss.
    """
    candidates: dict[str, Callable[[NDArray[np.float64], NDArray[np.int64]], Calibrator]] = {
        "none": lambda _, __: Calibrator(),
        "temperature": fit_temperature,
        "sigmoid": fit_sigmoid,
        "isotonic": fit_isotonic,
    }
    probabilities = {name: _cross_fitted(fit, logits, label_ids, folds) for name, fit in candidates.items()}
    losses = {name: log_loss(values, label_ids) for name, values in probabilities.items()}
    top_k = "none"
    for name in candidates:
        if losses[name] < losses[top_k] - CLEARLY_BETTER:
            top_k = name
    return (
        candidates[top_k](logits, label_ids),
        probabilities[top_k],
        {name: round(loss, 5) for name, loss in losses.items()},
    )


def _cross_fitted(
    fit: Callable[[NDArray[np.float64], NDArray[np.int64]], Calibrator],
    logits: NDArray[np.float64],
    label_ids: NDArray[np.int64],
    folds: NDArray[np.int64],
) -> Probabilities:
    probabilities = np.zeros_like(logits)
    for fold in np.unique(folds):
        held = folds == fold
        probabilities[held] = fit(logits[~held], label_ids[~held]).probabilities(logits[held])
    return probabilities


def log_loss(probabilities: Probabilities, label_ids: NDArray[np.int64]) -> float:
    """Return the mean negative log probability of the right label."""
    return float(losses_of(probabilities, label_ids).mean())


def losses_of(probabilities: Probabilities, label_ids: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the negative log probability of the right label by row."""
    return np.asarray(-np.log(np.clip(probabilities[np.arange(len(label_ids)), label_ids], 1e-12, None)))


def brier(probabilities: Probabilities, label_ids: NDArray[np.int64]) -> float:
    """Return the Brier score over all labels, in [0, 2] (Brier 1950)."""
    return float(((probabilities - np.eye(probabilities.shape[1])[label_ids]) ** 2).sum(axis=1).mean())


def fit_temperature(logits: NDArray[np.float64], label_ids: NDArray[np.int64]) -> Calibrator:
    """Fit one factor on all logits (Guo et al. 2017)."""
    found = minimize_scalar(
        lambda slope: log_loss(softmax(logits * np.exp(slope)), label_ids), bounds=(-3.0, 3.0), method="bounded"
    )
    return Calibrator("temperature", slope=np.array([float(np.exp(found.x))]))


def fit_sigmoid(logits: NDArray[np.float64], label_ids: NDArray[np.int64]) -> Calibrator:
    """Fit a logistic curve per label on its log odds (Platt 1999), to be normalised afterwards."""
    probabilities = np.clip(softmax(logits), 1e-9, 1 - 1e-9)
    odds = np.log(probabilities / (1 - probabilities))
    slope, shift = np.ones(logits.shape[1]), np.zeros(logits.shape[1])
    for label in range(logits.shape[1]):
        hit = label_ids == label
        if 0 < hit.sum() < len(label_ids):
            model = LogisticRegression(C=100.0).fit(odds[:, [label]], hit)
            slope[label], shift[label] = float(model.coef_[0, 0]), float(model.intercept_[0])
    return Calibrator("sigmoid", slope=slope, shift=shift)


def fit_isotonic(logits: NDArray[np.float64], label_ids: NDArray[np.int64]) -> Calibrator:
    """Fit a rising step function per label (Zadrozny and Elkan 2002), to be normalised afterwards."""
    probabilities = softmax(logits)
    knots, levels = [], []
    for label in range(logits.shape[1]):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)
            model = IsotonicRegression(y_min=1e-4, y_max=1 - 1e-4, out_of_bounds="clip").fit(
                probabilities[:, label], label_ids == label
            )
        thin = np.unique(np.linspace(0, len(model.X_thresholds_) - 1, _KNOTS).astype(int))
        knots.append(np.asarray(model.X_thresholds_, dtype=np.float64)[thin])
        levels.append(np.asarray(model.y_thresholds_, dtype=np.float64)[thin])
    return Calibrator("isotonic", knots=tuple(knots), levels=tuple(levels))
