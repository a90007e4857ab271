"""Calibration by temperature, and the proper scores that tell whether probabilities can be taken at their word."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar

from models.heads.head import Probabilities, softmax


def fit_temperature(logits: NDArray[np.float64], label_ids: NDArray[np.int64]) -> float:
    """Return the factor on all logits that gives the lowest log loss: one over the temperature (Guo et al. 2017).

    Args:
        logits: Out-of-fold logits of shape [n, classes].
        label_ids: int64 of shape [n], all learnable.
    """
    found = minimize_scalar(
        lambda power: log_loss(softmax(logits * np.exp(power)), label_ids), bounds=(-3.0, 3.0), method="bounded"
    )
    return float(np.exp(found.x))


def log_loss(probabilities: Probabilities, label_ids: NDArray[np.int64]) -> float:
    """Return the mean negative log probability of the right label; probabilities are of shape [n, classes]."""
    return float(losses_of(probabilities, label_ids).mean())


def losses_of(probabilities: Probabilities, label_ids: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the negative log probability of the right label of each row, of shape [n]."""
    return np.asarray(-np.log(np.clip(probabilities[np.arange(len(label_ids)), label_ids], 1e-12, None)))


def brier(probabilities: Probabilities, label_ids: NDArray[np.int64]) -> float:
    """Return the Brier score over all labels, in [0, 2] (Brier 1950); probabilities are of shape [n, classes]."""
    return float(((probabilities - np.eye(probabilities.shape[1])[label_ids]) ** 2).sum(axis=1).mean())
