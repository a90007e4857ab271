"""When the first stage answers in the full model's place: where that costs no accuracy, told without any label."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.cascade.first_stage import sureness
from models.heads.head import Probabilities
from triage.decide import in_terms_of
from triage.gate import Gate
from triage.policy import Policy
from triage.prediction import Prediction

MAY_LOSE = 0.0025
"""Accuracy of a target, as a share of all tickets, that the first stage may cost by the full model's own probabilities.
It costs less in truth: where the two differ, the first stage is right more often than the full model believes."""

Band = tuple[float, float]
"""Lowest and first higher probability of what is put to the full model."""

NO_BANDS: Mapping[str, Band] = MappingProxyType({})

_BANDS = ((0.1, 0.1), (0.1, 0.25), (0.25, 0.25), (0.25, 0.5), (0.25, 1.0), (0.25, np.inf), (0.5, np.inf), (1.0, np.inf))
"""Log odds below and above a threshold. Around it the encoder makes out whether a ticket may be decided."""

_ALMOST = 1 - 1e-9

LEAST_ANSWERED = 100
"""Tickets that must be answered for that to be more than chance: fewer would let it be nothing."""


@dataclass(frozen=True)
class FirstAnswers:
    """What the first stage says of n tickets that it had not seen.

    Attributes:
        sureness: How far its first label is ahead of the second in the closest target; -1 where something else than
            that keeps it from answering. Of shape [n].
        labels: By target, the label that it would route, in the policy's own terms; str of shape [n].
        confidence: By target, the probability of that label, of shape [n].
    """

    sureness: NDArray[np.float64]
    labels: Mapping[str, NDArray[np.str_]]
    confidence: Mapping[str, NDArray[np.float64]]

    @classmethod
    def of(cls, predictions: Sequence[Prediction], gate: Gate, policy: Policy) -> FirstAnswers:
        """Read predictions as the cascade does.

        Args:
            predictions: Of the first stage.
            gate: Says what is strange, foreign or too short.
            policy: Folds and ranks labels.
        """
        told = [in_terms_of(policy, one) for one in predictions]
        targets = list(told[0].probabilities) if told else []
        tops = {target: [one.probabilities[target][0] for one in told] for target in targets}
        return cls(
            np.array([sureness(gate, one) for one in told]),
            {target: np.array([top.label for top in found], dtype=np.str_) for target, found in tops.items()},
            {target: np.array([top.probability for top in found]) for target, found in tops.items()},
        )

    def above(self, threshold: float, asks_between: Mapping[str, Band] = NO_BANDS) -> Taken:
        """Return what is answered from a threshold on, but for what is put to the full model in between."""
        passed = self.sureness >= threshold
        for target, (low, high) in asks_between.items():
            passed &= ~((low <= self.confidence[target]) & (self.confidence[target] < high))
        return Taken(passed, self.labels, self.confidence)


class Taken(NamedTuple):
    """Which of n tickets the first stage answers, bool of shape [n], with its labels and their probabilities."""

    passed: NDArray[np.bool_]
    labels: Mapping[str, NDArray[np.str_]]
    confidence: Mapping[str, NDArray[np.float64]]


class Beliefs(NamedTuple):
    """Labels in the policy's own terms, and the full model's probability of each, of shape [n, labels]."""

    labels: tuple[str, ...]
    probabilities: Probabilities

    @classmethod
    def of(cls, target: str, labels: Sequence[str], probabilities: Probabilities, policy: Policy) -> Beliefs:
        """Add up the probabilities of labels that the policy folds into one.

        Args:
            target: Whose labels they are.
            labels: As they were learned.
            probabilities: Of the full model, of shape [n, labels].
            policy: Folds labels.
        """
        folded = [policy.fold(target, label) for label in labels]
        kept = tuple(dict.fromkeys(folded))
        into = np.array([[one == label for label in kept] for one in folded], dtype=np.float64)
        return cls(kept, probabilities @ into)

    def loss(self, routed: NDArray[np.str_]) -> NDArray[np.float64]:
        """Return how much less probable than the most probable label the routed one is, of shape [n]."""
        places = {label: place for place, label in enumerate(self.labels)}
        own = np.array([places.get(label, -1) for label in routed.tolist()])
        rows = np.arange(len(own))
        believed = np.where(own >= 0, self.probabilities[rows, np.maximum(own, 0)], 0.0)
        return np.asarray(self.probabilities.max(axis=1) - believed)


def affordable_threshold(answers: FirstAnswers, full: Mapping[str, Beliefs]) -> float | None:
    """Return the lowest threshold from which the first stage hardly costs accuracy; None where there is none.

    A ticket costs the probability of the full model's label less that of the first stage's, both as the full model
    states them. No label is looked at, so that what is certified afterwards on the same tickets is certified for a rule
    that was fixed before: one sequence of tests at full level covers both stages together.

    Args:
        answers: Of the first stage.
        full: What the full model believes of the same n tickets, by target.
    """
    order = np.argsort(-answers.sureness, kind="stable")
    total = [np.cumsum(beliefs.loss(answers.labels[target])[order]) for target, beliefs in full.items()]
    affordable = np.all([one <= MAY_LOSE * len(order) for one in total], axis=0) & (answers.sureness[order] > 0)
    count = int(affordable.sum())  # costs only grow, so that the tickets that can be afforded come first
    return float(answers.sureness[order[count - 1]]) if count >= LEAST_ANSWERED else None


def bands_around(threshold: float) -> list[Band]:
    """Return bands of probability around the full model's threshold, each wider than the one before.

    Args:
        threshold: From which the full model alone may decide, in (0, 1).
    """
    middle = float(np.log(threshold) - np.log1p(-min(threshold, _ALMOST)))
    ends = ((middle - below, middle + above) for below, above in _BANDS)
    return [(float(1 / (1 + np.exp(-low))), float(1 / (1 + np.exp(-high)))) for low, high in ends]
