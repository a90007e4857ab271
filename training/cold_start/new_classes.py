"""Labels that come later: what sets a few tickets and a description apart from the whole history, as honest odds."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression

from training.cold_start.prototypes import unit

DESCRIPTION_BESIDE_HISTORY = 2
"""Tickets that a description counts as beside a history: fewer than alone, as phrases are not written like tickets."""

ROUNDING = 3.0
"""What is added to the variance of every direction, in mean variances: few tickets support few directions."""

DRAWN_OVER = 0.02
"""Share of the past tickets that a new label may take from the others, at most."""

_SCALE = 1000.0
Vectors = NDArray[np.float32]
Scores = NDArray[np.float64]


@dataclass(frozen=True)
class NewClass:
    """A label set apart from the history.

    Attributes:
        weights: By direction of the embedding, float64 of shape [dim].
        intercept: Beside them; both together give the log odds against everything learned before.
        unseen: Probability of each of its tickets when that one was left out, against the history; shape [n].
        drawn_over: Share of the past tickets that are taken for it.
    """

    weights: Scores
    intercept: float
    unseen: Scores
    drawn_over: float


@dataclass(frozen=True)
class Past:
    """The history as it is seen from outside: its middle, and how it spreads.

    Attributes:
        vectors: Embeddings, float32 of shape [m, dim].
        middle: Their mean.
        inverse: Inverse of their covariance, rounded, of shape [dim, dim].
    """

    vectors: Vectors
    middle: Scores
    inverse: Scores

    @classmethod
    def of(cls, vectors: Vectors) -> Past:
        """Summarise a history of at least two tickets."""
        spread = np.cov(vectors.T.astype(np.float64))
        mean_variance = float(np.trace(spread)) / len(spread)
        rounded = spread + (ROUNDING * mean_variance + 1e-9) * np.eye(len(spread))
        inverse: Scores = np.linalg.inv(rounded).astype(np.float64)
        return cls(vectors, vectors.mean(axis=0, dtype=np.float64), inverse)


def set_apart(past: Past, description: Vectors, tickets: Vectors, share: float) -> NewClass:
    """Find the log odds of a new label against everything in the history.

    The direction is that of linear discriminant analysis with one covariance (Fisher 1936), rounded towards a sphere;
    the scale is a logistic curve (Platt 1999, with his targets for few cases) on the label's own tickets, each scored
    without itself, against the history, weighted so that the label has its expected share of traffic. Where more than
    `DRAWN_OVER` of the history would be taken for it, the odds are lowered until it is not.

    Args:
        past: Tickets of all labels known so far.
        description: What the policy says of the label, a unit vector of shape [dim].
        tickets: Those of the label, float32 of shape [n, dim], n at least 1.
        share: Of the traffic that the label is expected to have, in (0, 1).
    """
    own = tickets.astype(np.float64)
    total = DESCRIPTION_BESIDE_HISTORY * description.astype(np.float64) + own.sum(axis=0)
    count = DESCRIPTION_BESIDE_HISTORY + len(own)
    towards = past.inverse @ (total / count - past.middle)
    unseen = np.array([past.inverse @ ((total - one) / (count - 1) - past.middle) @ one for one in own])
    others = past.vectors @ towards
    slope, intercept = _curve(unseen, others, share)
    highest = float(np.quantile(slope * others + intercept, 1 - DRAWN_OVER))
    intercept -= max(0.0, highest)
    return NewClass(
        slope * towards,
        intercept,
        1.0 / (1.0 + np.exp(-(slope * unseen + intercept))),
        float((slope * others + intercept > 0).mean()),
    )


def _curve(own: Scores, others: Scores, share: float) -> tuple[float, float]:
    """Fit slope and intercept of the log odds; a slope below zero, where the tickets tell nothing, becomes zero."""
    sure = (len(own) + 1) / (len(own) + 2)
    scores = np.concatenate([own, own, others])
    truth = np.concatenate([np.ones(len(own)), np.zeros(len(own) + len(others))])
    weights = np.concatenate(
        [
            np.full(len(own), share * sure / len(own)),
            np.full(len(own), share * (1 - sure) / len(own)),
            np.full(len(others), (1 - share) / len(others)),
        ]
    )
    middle, spread = float(scores.mean()), float(scores.std()) or 1.0
    fitted = LogisticRegression(C=100.0).fit(
        ((scores - middle) / spread)[:, None], truth, sample_weight=_SCALE * weights
    )
    slope = max(0.0, float(fitted.coef_[0, 0]) / spread)
    if slope == 0.0:
        return 0.0, float(np.log(share / (1 - share)))
    return slope, float(fitted.intercept_[0]) - slope * middle


def described(phrases: Vectors) -> Vectors:
    """Return the middle of a description's phrases as a unit vector of shape [dim]."""
    middle: Vectors = unit(phrases.mean(axis=0, dtype=np.float64)[None, :])[0].astype(np.float32)
    return middle
