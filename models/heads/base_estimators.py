"""Members of a head: models on words and meaning, votes of similar tickets, what the written rules say."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from models.features.features import Features

VOTERS = 15
FLOOR = float(np.log(1e-6))
"""Lowest logarithm of a probability that a network gives."""

_NARROW = np.float32(2.0)
_POWER = 4.0
_DOUBT = 0.02


class Estimator(Protocol):
    """Scores labels from features.

    Attributes:
        name: Unique within a head.
    """

    @property
    def name(self) -> str:
        """Unique within a head."""
        ...

    def scores(self, features: Features) -> NDArray[np.float32]:
        """Return raw scores of shape [n, classes]."""
        ...


@dataclass(frozen=True)
class LinearEstimator:
    """A linear model on the sparse features, on the embedding, or on both side by side.

    Attributes:
        name: Unique within a head.
        intercept: float32 of shape [classes].
        sparse: Weights of shape [columns, classes]; None where it does not look at words.
        dense: Weights of shape [dim, classes]; None where it does not look at the embedding.
    """

    name: str
    intercept: NDArray[np.float32]
    sparse: NDArray[np.float32] | None = None
    dense: NDArray[np.float32] | None = None

    def scores(self, features: Features) -> NDArray[np.float32]:
        """Return raw scores of shape [n, classes]."""
        total = np.tile(self.intercept, (len(features.dense), 1))
        if self.sparse is not None:
            total += features.sparse.dot(self.sparse)
        if self.dense is not None:
            total += features.dense @ self.dense
        return total


@dataclass(frozen=True)
class MlpEstimator:
    """A network with one hidden layer (rectified linear units) on topics and embedding side by side.

    Attributes:
        name: Unique within a head.
        inward: float32 of shape [topics + dim, hidden].
        threshold: float32 of shape [hidden].
        outward: float32 of shape [hidden, classes].
        intercept: float32 of shape [classes].
    """

    name: str
    inward: NDArray[np.float32]
    threshold: NDArray[np.float32]
    outward: NDArray[np.float32]
    intercept: NDArray[np.float32]

    def scores(self, features: Features) -> NDArray[np.float32]:
        """Return log probabilities of shape [n, classes], none below `FLOOR`."""
        hidden = np.maximum(np.hstack([features.topics, features.dense]) @ self.inward + self.threshold, 0.0)
        raw = hidden @ self.outward + self.intercept
        raw -= raw.max(axis=1, keepdims=True)
        logs = raw - np.log(np.exp(raw).sum(axis=1, keepdims=True))
        return np.asarray(np.maximum(logs, FLOOR), dtype=np.float32)


@dataclass(frozen=True)
class KernelEstimator:
    """Kernel ridge regression: labels by how alike a ticket is, in topics and meaning, to each of some past ones.

    Attributes:
        name: Unique within a head.
        centres: Topics and embedding of the past tickets side by side, float32 of shape [centres, topics + dim].
        weights: How far likeness to each pushes each label, float32 of shape [centres, classes].
        intercept: float32 of shape [classes].
    """

    name: str
    centres: NDArray[np.float32]
    weights: NDArray[np.float32]
    intercept: NDArray[np.float32]

    def scores(self, features: Features) -> NDArray[np.float32]:
        """Return raw scores of shape [n, classes]."""
        return kernel_values(np.hstack([features.topics, features.dense]), self.centres) @ self.weights + self.intercept


def kernel_values(one: NDArray[np.float32], other: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the Gaussian kernel of rows that are two unit vectors side by side, of shape [n, m]; 1 for equal rows."""
    return np.asarray(np.exp(_NARROW * (one @ other.T - np.float32(2.0))), dtype=np.float32)


@dataclass(frozen=True)
class RuleEstimator:
    """What the written rules say: the first that fits and names a label of this target has the voice.

    Attributes:
        name: Unique within a head.
        label_ids: Label code by rule, negative for one that names no label of the head; int32 of shape [rules].
        classes: Number of labels.
    """

    name: str
    label_ids: NDArray[np.int32]
    classes: int

    def scores(self, features: Features) -> NDArray[np.float32]:
        """Return 1 for the label named and 0 for the others, of shape [n, classes]."""
        return rule_votes(features.rule_matches, self.label_ids, self.classes)


def rule_votes(rule_matches: NDArray[np.bool_], label_ids: NDArray[np.int32], classes: int) -> NDArray[np.float32]:
    """Return 1 for the label that the first fitting rule names and 0 for the others, of shape [n, classes]."""
    speaking = rule_matches & (label_ids >= 0)
    votes = np.zeros((len(rule_matches), classes), dtype=np.float32)
    rows = np.flatnonzero(speaking.any(axis=1))
    votes[rows, label_ids[speaking[rows].argmax(axis=1)]] = 1.0
    return votes


@dataclass(frozen=True)
class NeighbourEstimator:
    """Votes of the nearest tickets, weighted by similarity to the fourth power, as log shares.

    Attributes:
        name: Unique within a head.
        label_ids: Label code by row of the history, negative where it has no vote; int32 of shape [history].
        classes: Number of labels.
        by_words: Whether words count beside meaning in who is near.
    """

    name: str
    label_ids: NDArray[np.int32]
    classes: int
    by_words: bool = False

    def scores(self, features: Features) -> NDArray[np.float32]:
        """Return the logarithm of each label's share of the votes, of shape [n, classes]."""
        if self.by_words:
            return log_votes(features.hybrid_near, features.hybrid_similarity, self.label_ids, self.classes)
        return log_votes(features.near, features.similarity, self.label_ids, self.classes)


def log_votes(
    near: NDArray[np.int64], similarity: NDArray[np.float32], label_ids: NDArray[np.int32], classes: int
) -> NDArray[np.float32]:
    """Turn neighbours into log shares of the votes of the first `VOTERS` that have one, a little doubt added."""
    labels = np.where(near >= 0, label_ids[near], -1)
    votes = np.where(labels >= 0, np.maximum(similarity, 0.0) ** _POWER, 0.0)
    votes[np.cumsum(labels >= 0, axis=1) > VOTERS] = 0.0
    shares = np.zeros((len(near), classes), dtype=np.float64)
    rows = np.repeat(np.arange(len(near))[:, None], near.shape[1], axis=1)
    np.add.at(shares, (rows, np.maximum(labels, 0)), votes)
    total = shares.sum(axis=1, keepdims=True)
    shares = np.where(total > 0, shares / np.maximum(total, 1e-12), 1.0 / classes)
    return np.log((1 - _DOUBT) * shares + _DOUBT / classes).astype(np.float32)
