"""A head: the base estimators of one target, stacked into calibrated probabilities of its labels."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from models.features.features import Features
from models.heads.base_estimators import Estimator, LinearEstimator

Probabilities = NDArray[np.float64]
"""Of shape [n, classes]; each row adds up to 1."""

NEW_CLASSES = "new-classes"
"""Name of the estimator of labels that a head gained after its training."""

_MAX_LOG_ODDS = 30.0  # beyond this a float64 sum no longer sees the other labels


@dataclass(frozen=True)
class Stacking:
    """A linear map from the scores of the base estimators, side by side, to one logit per label.

    Attributes:
        weights: float32 of shape [estimators * classes, classes].
        bias: float32 of shape [classes].
    """

    weights: NDArray[np.float32]
    bias: NDArray[np.float32]

    def logits(self, scores: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return logits of shape [n, classes] for scores of shape [n, estimators * classes]."""
        return scores.astype(np.float64) @ self._exact_weights + self.bias

    @cached_property
    def _exact_weights(self) -> NDArray[np.float64]:
        return self.weights.astype(np.float64)

    def scaled(self, factor: float) -> Stacking:
        """Return the map with all logits multiplied by a factor, which is what temperature scaling does."""
        return Stacking((self.weights * factor).astype(np.float32), (self.bias * factor).astype(np.float32))


def softmax(logits: NDArray[np.float64]) -> Probabilities:
    """Return the softmax of each row; logits are of shape [n, classes]."""
    raised = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(raised / raised.sum(axis=1, keepdims=True))


def _normalised(values: NDArray[np.float64]) -> Probabilities:
    values = np.clip(values, 1e-9, None)
    return np.asarray(values / values.sum(axis=1, keepdims=True))


@dataclass(frozen=True)
class Head:
    """The classifier of one target.

    Attributes:
        target: Name of the target, such as ``tier``.
        labels: In the order of every array's last axis.
        estimators: Base estimators that are combined.
        stacking: How they are combined; its logits are calibrated.
        prior_correction: Factor by learned label that corrects for another share of labels than in training, float64
            of shape [learned]; None for none.
        baselines: Estimators that are not combined, and only there to be beaten.
        new_classes: Log odds of each label that the head gained after its training, against all learned ones together;
            these labels come last in `labels`. None where there are none.
    """

    target: str
    labels: tuple[str, ...]
    estimators: tuple[Estimator, ...]
    stacking: Stacking
    prior_correction: NDArray[np.float64] | None = None
    baselines: tuple[Estimator, ...] = ()
    new_classes: LinearEstimator | None = None

    @property
    def learned(self) -> int:
        """Number of labels that the estimators know: the first ones."""
        return len(self.labels) - (0 if self.new_classes is None else len(self.new_classes.intercept))

    def probabilities(self, features: Features) -> Probabilities:
        """Return calibrated probabilities under the shares of labels in training, of shape [n, classes]."""
        scores = np.concatenate([estimator.scores(features) for estimator in self.estimators], axis=1)
        known = softmax(self.stacking.logits(scores))
        if self.new_classes is None:
            return known
        odds = np.exp(np.clip(self.new_classes.scores(features).astype(np.float64), -_MAX_LOG_ODDS, _MAX_LOG_ODDS))
        none_of_them = 1.0 / (1.0 + odds.sum(axis=1, keepdims=True))
        return np.concatenate([known * none_of_them, odds * none_of_them], axis=1)

    def in_traffic(self, probabilities: Probabilities) -> Probabilities:
        """Correct probabilities for the shares of labels that traffic has; labels gained later keep theirs."""
        if self.prior_correction is None:
            return probabilities
        known = probabilities[:, : self.learned]
        shifted = _normalised(known * self.prior_correction)
        if self.new_classes is None:
            return shifted
        return np.concatenate([shifted * known.sum(axis=1, keepdims=True), probabilities[:, self.learned :]], axis=1)

    def lexical_margin(self, columns: NDArray[np.int32], direction: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return what a unit of each sparse column adds to a combination of the logits, of shape [len(columns)].

        Args:
            columns: Sparse columns.
            direction: What each logit counts in the combination, of shape [classes].
        """
        total, count = np.zeros(len(columns)), self.learned
        for number, estimator in enumerate(self.estimators):
            if isinstance(estimator, LinearEstimator) and estimator.sparse is not None:
                block = self.stacking.weights[number * count : (number + 1) * count]
                total += estimator.sparse.take(columns, axis=0) @ (block @ direction[:count])
        return total
