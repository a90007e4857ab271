"""Out-of-distribution score: how far a ticket is from everything in the index of past tickets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.heads.head import Probabilities

NEIGHBOUR = 5
"""The neighbour whose similarity counts: one or two near tickets may be chance."""

UNCERTAINTY_WEIGHT = 0.25
"""Weight of the uncertainty against that of the distance: being far from every past ticket is stranger."""


@dataclass(frozen=True)
class StrangerCurve:
    """How likely a ticket belongs to no label, by its distance to the fifth nearest past ticket.

    A logistic regression tells tickets from what they would be as strangers: the same tickets with all of their own
    label taken out of the history.

    Attributes:
        slope: Log odds per unit of distance, not negative.
        intercept: Log odds at distance 0, were strangers as frequent as others.
        share: Share of traffic that is expected to belong to no label, in [0, 1).
    """

    slope: float
    intercept: float
    share: float

    def probability(self, distance: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return by how much more tickets at these distances are strangers than any ticket is, in [0, 1].

        The share expected among all tickets is taken for granted: a ticket as near as others gets 0.

        Args:
            distance: To the fifth nearest past ticket, of shape [n].
        """
        odds = np.exp(np.clip(self.intercept + self.slope * distance, -50.0, 50.0)) * self.share / (1.0 - self.share)
        return np.asarray(1.0 - np.minimum(1.0, 1.0 / (1.0 + odds) / (1.0 - self.share)))


def fifth_distance(similarity: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return the distance to the fifth nearest past ticket, in [0, 2].

    Args:
        similarity: To the nearest tickets, most similar first, of shape [n, k].
    """
    place = min(NEIGHBOUR, similarity.shape[1]) - 1
    return np.asarray(1.0 - similarity[:, place].astype(np.float64))


def novelty(similarity: NDArray[np.float32], probabilities: Mapping[str, Probabilities]) -> NDArray[np.float64]:
    """Return how strange tickets are, growing with strangeness, in [0, 2.25].

    The distance to the fifth neighbour (Sun et al. 2022) and the uncertainty of the most confident head (Hendrycks and
    Gimpel 2017) add up: what nobody wrote before and what no label fits.

    Args:
        similarity: To the nearest past tickets, most similar first, of shape [n, k].
        probabilities: By target, each of shape [n, classes].

    Returns:
        float64 of shape [n].
    """
    distance = fifth_distance(similarity)
    if not probabilities:
        return distance
    highest = np.max([values.max(axis=1) for values in probabilities.values()], axis=0)
    return np.asarray(distance + UNCERTAINTY_WEIGHT * (1.0 - highest))


def excluded_share(
    near: NDArray[np.int64], similarity: NDArray[np.float32], label_ids: NDArray[np.int32]
) -> NDArray[np.float64]:
    """Return the share of the five nearest tickets, weighted by similarity, whose label was too rare to learn.

    Args:
        near: Positions of the nearest past tickets, int64 of shape [n, k], -1 for none.
        similarity: Their similarities, of shape [n, k].
        label_ids: Label ids of the past tickets, of shape [m].

    Returns:
        Shares in [0, 1], float64 of shape [n].
    """
    if not len(label_ids):
        return np.zeros(len(near))
    first = slice(0, NEIGHBOUR)
    weights = np.where(near[:, first] >= 0, np.maximum(similarity[:, first], 0.0) ** 4, 0.0)
    rare = np.where(near[:, first] >= 0, label_ids[near[:, first]] == -1, False)
    total = weights.sum(axis=1)
    return np.asarray(np.where(total > 0, (weights * rare).sum(axis=1) / np.maximum(total, 1e-12), 0.0))
