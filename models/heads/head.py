"""A head: members side by side, combined into calibrated probabilities of the labels of one target."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.features.features import Features
from models.heads.base_estimators import Estimator, LinearEstimator

Probabilities = NDArray[np.float64]

_MAX_LOG_ODDS = 30.0


@dataclass(frozen=True)
class Stacking:
    """A linear map from the members' scores, side by side, to one logit per label.

    Attributes:
        weights: float32 of shape [inputs, classes].
        bias: float32 of shape [classes].
    """

    weights: NDArray[np.float32]
    bias: NDArray[np.float32]

    def logits(self, inputs: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return logits of shape [n, classes]."""
        return inputs.astype(np.float64) @ self.weights.astype(np.float64) + self.bias


@dataclass(frozen=True)
class Calibrator:
    """What turns logits into probabilities that can be taken at their word.

    Attributes:
        kind: ``none``, ``temperature``, ``sigmoid`` or ``isotonic``.
        slope: By label for sigmoid, one number for temperature.
        shift: By label for sigmoid.
        knots: Places of the steps of isotonic regression, one array per label.
        levels: Their values.
    """

    kind: str = "none"
    slope: NDArray[np.float64] | None = None
    shift: NDArray[np.float64] | None = None
    knots: tuple[NDArray[np.float64], ...] = ()
    levels: tuple[NDArray[np.float64], ...] = ()

    def probabilities(self, logits: NDArray[np.float64]) -> Probabilities:
        """Return probabilities of shape [n, classes] that add up to 1."""
        if self.kind == "temperature" and self.slope is not None:
            return softmax(logits * self.slope[0])
        plain = softmax(logits)
        if self.kind == "sigmoid" and self.slope is not None and self.shift is not None:
            clipped = np.clip(plain, 1e-9, 1 - 1e-9)
            return _normalised(1.0 / (1.0 + np.exp(-(self.slope * np.log(clipped / (1 - clipped)) + self.shift))))
        if self.kind == "isotonic":
            steps = zip(plain.T, self.knots, self.levels, strict=True)
            return _normalised(np.stack([np.interp(column, knots, levels) for column, knots, levels in steps], axis=1))
        return plain


def softmax(logits: NDArray[np.float64]) -> Probabilities:
    """Return the softmax of each row."""
    raised = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(raised / raised.sum(axis=1, keepdims=True))


def _normalised(values: NDArray[np.float64]) -> Probabilities:
    values = np.clip(values, 1e-9, None)
    return np.asarray(values / values.sum(axis=1, keepdims=True))


@dataclass(frozen=True)
class Head:
    """One target's classifier.

    Attributes:
        target: ``tier`` or ``category``.
        labels: In the order of every array's last axis.
        estimators: What is combined.
        combiner: How.
        calibrator: What makes it honest.
        reads_category: Whether the combiner's last inputs are the log beliefs of the category head.
        odds: Factor by learned label that corrects for another share of labels than in training; None for none.
        beside: Members that are not combined: baselines.
        new_classes: Log odds of each label that the head gained after its training, against all learned ones together;
            these labels come last in `labels`. None where there are none.
    """

    target: str
    labels: tuple[str, ...]
    estimators: tuple[Estimator, ...]
    combiner: Stacking
    calibrator: Calibrator = Calibrator()
    reads_category: bool = False
    odds: NDArray[np.float64] | None = None
    beside: tuple[Estimator, ...] = ()
    new_classes: LinearEstimator | None = None

    @property
    def learned(self) -> int:
        """Number of labels that the members know: the first ones."""
        return len(self.labels) - (0 if self.new_classes is None else len(self.new_classes.intercept))

    def probabilities(self, features: Features, category: Probabilities | None = None) -> Probabilities:
        """Return calibrated probabilities under the shares of labels in training, of shape [n, classes].

        Args:
            features: Of n tickets.
            category: The category head's probabilities, for a head that reads them.
        """
        inputs = stacked(
            [estimator.scores(features) for estimator in self.estimators], category if self.reads_category else None
        )
        known = self.calibrator.probabilities(self.combiner.logits(inputs))
        if self.new_classes is None:
            return known
        odds = np.exp(np.clip(self.new_classes.scores(features).astype(np.float64), -_MAX_LOG_ODDS, _MAX_LOG_ODDS))
        none_of_them = 1.0 / (1.0 + odds.sum(axis=1, keepdims=True))
        return np.concatenate([known * none_of_them, odds * none_of_them], axis=1)

    def without_new_classes(self, probabilities: Probabilities) -> Probabilities:
        """Return beliefs about the learned labels alone, adding up to 1 again."""
        return probabilities if self.new_classes is None else _normalised(probabilities[:, : self.learned])

    def in_traffic(self, probabilities: Probabilities) -> Probabilities:
        """Return beliefs corrected for the shares of labels that traffic has; newcomers keep theirs."""
        if self.odds is None:
            return probabilities
        known = probabilities[:, : self.learned]
        shifted = _normalised(known * self.odds)
        if self.new_classes is None:
            return shifted
        return np.concatenate([shifted * known.sum(axis=1, keepdims=True), probabilities[:, self.learned :]], axis=1)

    def lexical_weights(self, columns: NDArray[np.int32]) -> NDArray[np.float64]:
        """Return how far a unit of each sparse column pushes each logit, of shape [len(columns), classes]."""
        total, count = np.zeros((len(columns), len(self.labels))), self.learned
        for place, estimator in enumerate(self.estimators):
            if isinstance(estimator, LinearEstimator) and estimator.sparse is not None:
                block = self.combiner.weights[place * count : (place + 1) * count]
                total[:, :count] += estimator.sparse[columns].astype(np.float64) @ block
        return total


def stacked(scores: Sequence[NDArray[np.float32]], category: Probabilities | None) -> NDArray[np.float32]:
    """Put the members' scores side by side, and the log beliefs of the category head after them where they are read."""
    parts = list(scores)
    if category is not None:
        parts.append(np.log(np.clip(category, 1e-6, None)).astype(np.float32))
    return np.concatenate(parts, axis=1)
