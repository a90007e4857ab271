"""What a desk's own reviews say: a correction of calibrated probabilities that needs no training, and can be undone.

The correction is a logistic regression with the model's log probabilities as offset and a Gaussian process prior on
what is added to them (Rasmussen and Williams, Gaussian Processes for Machine Learning, 2006, section 3.5): a shift of
each label for the whole desk, a shift by what the model predicts, and one that tickets near a reviewed one share. The
prior's mean is no correction at all, so that without reviews, and far from them, the model's word stands.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.heads.head import Probabilities, softmax
from triage.prediction import ReviewVote

MAX_REVIEWS = 500
"""Reviews that are learned from, the newest: fitting takes a few seconds of one core then, for 1,000 it took 19 on a
busy machine; and with more there is enough to train on."""

_DESK, _PREDICTION, _NEAR = 0.1, 0.3, 10.0
"""Variance of the three shifts, in logits squared; bench/learning_from_reviews.py measures them."""

_REACH = 4.0
"""How fast the shift of near tickets fades: at cosine 0.5 it is e^-2 of its variance."""

_CAUTIOUS, _FEWEST = 0.3, 10
"""Strength below so many reviews, with which cross-validation cannot tell what helps: it did no harm on average in
bench/learning_from_reviews.py, and a ticket that comes again after its correction follows it."""

_STRENGTHS = (0.0, _CAUTIOUS, 1.0)
"""Multiples of the prior's variance among which the reviews themselves choose, by cross-validation."""

_FOLDS = 5
_STEPS = 40  # of the bound optimiser; changes are below 1e-3 logits by then
_FLOOR = 1e-6  # least probability whose logarithm is taken
_SIMILAR = 0.4
"""Cosine similarity from which a reviewed ticket counts as similar: two pairs in a hundred of a desk are that near."""


@dataclass(frozen=True)
class Reviewed:
    """Reviewed tickets of one desk, oldest first.

    Attributes:
        vectors: Embeddings, float32 of shape [n, dim], of length 1.
        probabilities: By target, the model's own calibrated probabilities, each of shape [n, classes].
        label_ids: By target, the label that people say is right, int64 of shape [n]; -1 where they said nothing.
        sensitive: Which of them only cleared readers may be told of, bool of shape [n].
    """

    vectors: NDArray[np.float32]
    probabilities: Mapping[str, Probabilities]
    label_ids: Mapping[str, NDArray[np.int64]]
    sensitive: NDArray[np.bool_]


@dataclass(frozen=True)
class Correction:
    """The correction of one target.

    Attributes:
        vectors: Embeddings of the n reviewed tickets.
        probabilities: The model's own for them, of shape [n, classes].
        weights: What each of them adds, float64 of shape [n, classes].
        label_ids: The right labels, int64 of shape [n].
        sensitive: As in `Reviewed`.
        strength: Which multiple of the prior's variance the reviews chose; 0 corrects nothing.
    """

    vectors: NDArray[np.float32]
    probabilities: Probabilities
    weights: NDArray[np.float64]
    label_ids: NDArray[np.int64]
    sensitive: NDArray[np.bool_]
    strength: float

    def corrected(self, vectors: NDArray[np.float32], probabilities: Probabilities) -> Probabilities:
        """Return corrected probabilities of m tickets, of shape [m, classes]."""
        if not self.strength:
            return probabilities
        kernel = _kernel(vectors, probabilities, self.vectors, self.probabilities)
        return softmax(np.log(probabilities + _FLOOR) + self.strength * kernel @ self.weights)


@dataclass(frozen=True)
class ReviewMemory:
    """What reviews changed; another set of reviews is another memory.

    Attributes:
        corrections: By target.
        first: What the same reviews change of the first stage; None where it was not learned.
    """

    corrections: Mapping[str, Correction]
    first: ReviewMemory | None = None

    @classmethod
    def of(cls, reviewed: Reviewed) -> ReviewMemory:
        """Learn from reviews: how far to trust them is cross-validated on the reviews themselves, target by target."""
        found = {}
        for target, label_ids in reviewed.label_ids.items():
            known = np.flatnonzero(label_ids >= 0)[-MAX_REVIEWS:]
            if len(known):
                found[target] = _learned(
                    reviewed.vectors[known],
                    reviewed.probabilities[target][known],
                    label_ids[known],
                    reviewed.sensitive[known],
                )
        return cls(found)

    def corrected(
        self, vectors: NDArray[np.float32], probabilities: Mapping[str, Probabilities]
    ) -> dict[str, Probabilities]:
        """Return corrected probabilities by target; a target without reviews keeps the model's own."""
        return {
            target: self.corrections[target].corrected(vectors, values) if target in self.corrections else values
            for target, values in probabilities.items()
        }

    def vote(
        self, target: str, vector: NDArray[np.float32], label_ids: Sequence[int], may_see_sensitive: bool
    ) -> tuple[int, int]:
        """Return how many similar reviewed tickets have one of the labels, and how many there are that one may see."""
        if target not in self.corrections:
            return 0, 0
        one = self.corrections[target]
        near = one.vectors @ vector >= _SIMILAR
        if not may_see_sensitive:
            near &= ~one.sensitive
        return int(np.isin(one.label_ids[near], label_ids).sum()), int(near.sum())

    def votes(
        self, vector: NDArray[np.float32], tops: Mapping[str, tuple[str, Sequence[int]]], may_see_sensitive: bool
    ) -> tuple[ReviewVote, ...]:
        """Return what similar reviewed tickets say of the top label of each target, where there are any.

        Args:
            vector: Of the ticket.
            tops: By target, the top label and the places of those of the head that the policy folds into it.
            may_see_sensitive: Whether sensitive reviews count.
        """
        votes = {target: self.vote(target, vector, tops[target][1], may_see_sensitive) for target in tops}
        return tuple(ReviewVote(target, tops[target][0], *counts) for target, counts in votes.items() if counts[1])


def _learned(
    vectors: NDArray[np.float32],
    probabilities: Probabilities,
    label_ids: NDArray[np.int64],
    sensitive: NDArray[np.bool_],
) -> Correction:
    kernel = _kernel(vectors, probabilities, vectors, probabilities)
    offset = np.log(probabilities + _FLOOR)
    strength = _CAUTIOUS
    if len(label_ids) >= _FEWEST:
        losses = [_held_out_loss(one * kernel, offset, label_ids) for one in _STRENGTHS]
        strength = _STRENGTHS[int(np.argmin(losses))]
    weights = _fitted(strength * kernel, offset, label_ids)
    return Correction(vectors, probabilities, weights, label_ids=label_ids, sensitive=sensitive, strength=strength)


def _held_out_loss(kernel: NDArray[np.float64], offset: NDArray[np.float64], label_ids: NDArray[np.int64]) -> float:
    """Return the log loss of reviews under corrections that were learned without them; each fifth in turn."""
    total, fold = 0.0, np.arange(len(label_ids)) % _FOLDS
    for held in range(_FOLDS):
        inside, outside = np.flatnonzero(fold != held), np.flatnonzero(fold == held)
        weights = _fitted(kernel[np.ix_(inside, inside)], offset[inside], label_ids[inside])
        predicted = softmax(offset[outside] + kernel[np.ix_(outside, inside)] @ weights)
        total -= float(np.log(predicted[np.arange(len(outside)), label_ids[outside]] + _FLOOR).sum())
    return total


def _fitted(
    kernel: NDArray[np.float64], offset: NDArray[np.float64], label_ids: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Return the weights of the most probable correction, of shape [n, classes].

    Newton's steps with a fixed bound of the curvature in the place of the curvature, which cannot overshoot (Böhning,
    Multinomial logistic regression algorithm, 1992): one matrix is inverted once.
    """
    count = len(label_ids)
    right, weights = np.eye(offset.shape[1])[label_ids], np.zeros_like(offset)
    if not kernel.any():
        return weights
    step = np.linalg.inv(np.eye(count) + kernel / 2)
    for _ in range(_STEPS):
        weights += step @ (right - softmax(offset + kernel @ weights) - weights)
    return weights


def _kernel(
    vectors: NDArray[np.float32],
    probabilities: Probabilities,
    others: NDArray[np.float32],
    other_probabilities: Probabilities,
) -> NDArray[np.float64]:
    """Return the prior covariance of the corrections of m tickets with those of n others, float64 of shape [m, n]."""
    similarity = (vectors @ others.T).astype(np.float64)
    return _DESK + _PREDICTION * probabilities @ other_probabilities.T + _NEAR * np.exp(_REACH * (similarity - 1.0))
