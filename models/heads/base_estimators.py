"""Base estimators of a head: linear models, a small network, votes of similar tickets, the written rules."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from models.features.features import Features

VOTERS = LOOKED_AT = 60
"""Neighbours that vote, and that are looked at for voters: some have no label of the target (decision 0055)."""

POWER, HYBRID_POWER = 12.0, 6.0
"""Powers of a similarity in its vote, by the embedding and by embedding and words together: similarities of sentence
embeddings are crowded near the top, and this spreads them."""

FLOOR = float(np.log(1e-6))
"""Lowest logarithm of a probability that a network gives: below it the differences are noise."""

_SMOOTHING = 0.02  # no label is ruled out by so few votes


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
    """A linear model on the sparse features, on the embedding, or on both.

    Attributes:
        name: Unique within a head.
        intercept: float32 of shape [classes].
        sparse: Weights of shape [columns, classes]; None where it does not read words.
        dense: Weights of shape [dim, classes]; None where it does not read the embedding.
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
    """A multi-layer perceptron with one hidden layer of rectified linear units, on topics and embedding.

    Attributes:
        name: Unique within a head.
        hidden_weights: float32 of shape [topics + dim, hidden].
        hidden_intercept: float32 of shape [hidden].
        weights: float32 of shape [hidden, classes].
        intercept: float32 of shape [classes].
    """

    name: str
    hidden_weights: NDArray[np.float32]
    hidden_intercept: NDArray[np.float32]
    weights: NDArray[np.float32]
    intercept: NDArray[np.float32]

    def scores(self, features: Features) -> NDArray[np.float32]:
        """Return log probabilities of shape [n, classes], none below `FLOOR`."""
        inputs = np.hstack([features.topics, features.dense])
        hidden = np.maximum(inputs @ self.hidden_weights + self.hidden_intercept, 0.0)
        raw = hidden @ self.weights + self.intercept
        raw -= raw.max(axis=1, keepdims=True)
        logs = raw - np.log(np.exp(raw).sum(axis=1, keepdims=True))
        return np.asarray(np.maximum(logs, FLOOR), dtype=np.float32)


@dataclass(frozen=True)
class RuleEstimator:
    """The written rules: the first that matches a ticket and names a label of the target votes for that label.

    Attributes:
        name: Unique within a head.
        label_ids: Label id that each rule names, negative for none of the head's; int32 of shape [rules].
        classes: Number of labels.
    """

    name: str
    label_ids: NDArray[np.int32]
    classes: int

    def scores(self, features: Features) -> NDArray[np.float32]:
        """Return 1 for the label named and 0 for the others, of shape [n, classes]."""
        naming = features.rule_matches & (self.label_ids >= 0)
        votes = np.zeros((len(naming), self.classes), dtype=np.float32)
        rows = np.flatnonzero(naming.any(axis=1))
        votes[rows, self.label_ids[naming[rows].argmax(axis=1)]] = 1.0
        return votes


@dataclass(frozen=True)
class NeighbourEstimator:
    """Votes of the nearest past tickets, weighted by similarity.

    Attributes:
        name: Unique within a head.
        label_ids: Label ids of the past tickets, negative for no vote; int32 of shape [past tickets].
        classes: Number of labels.
        hybrid: Whether nearness counts LSA components as well as the embedding.
        voters: How many of the nearest with a label vote.
        power: Of a similarity, in its vote.
        looked_at: How many of the nearest are looked at for voters.
    """

    name: str
    label_ids: NDArray[np.int32]
    classes: int
    hybrid: bool = False
    voters: int = VOTERS
    power: float = POWER
    looked_at: int = LOOKED_AT

    def scores(self, features: Features) -> NDArray[np.float32]:
        """Return the logarithm of each label's share of the votes, smoothed, of shape [n, classes].

        The first `voters` neighbours with a label vote, each by its similarity to the power of `power`.
        """
        seen = slice(0, self.looked_at)
        near = (features.hybrid_near if self.hybrid else features.near)[:, seen]
        similarity = (features.hybrid_similarity if self.hybrid else features.similarity)[:, seen]
        labels = np.where(near >= 0, self.label_ids[near], -1)
        voting = labels >= 0
        votes = np.where(voting, np.maximum(similarity, 0.0) ** self.power, 0.0)
        if labels.shape[1] > self.voters:
            votes[np.cumsum(voting, axis=1) > self.voters] = 0.0
        places = np.maximum(labels, 0) + np.arange(len(labels))[:, None] * self.classes
        shares = np.bincount(places.ravel(), votes.ravel(), len(labels) * self.classes)
        shares = shares.reshape(len(labels), self.classes)
        total = shares.sum(axis=1, keepdims=True)
        shares = np.where(total > 0, shares / np.maximum(total, 1e-12), 1.0 / self.classes)
        return np.asarray(np.log((1 - _SMOOTHING) * shares + _SMOOTHING / self.classes), dtype=np.float32)
