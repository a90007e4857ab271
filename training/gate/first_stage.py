"""When the first stage answers in the full model's place: where that costs no accuracy, told without any label."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
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
from triage.prediction import Prediction, Score

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


class FirstOpinion(NamedTuple):
    """What the first stage says of n tickets for one target, in the policy's own terms.

    Attributes:
        labels: The label that it would route, str of shape [n].
        confidence: Probability of that label, of shape [n].
        margin: How far that label is ahead of the next one, of shape [n]; 1 where there is no other.
        guarded: By label that must not be missed, its probability, of shape [n].
    """

    labels: NDArray[np.str_]
    confidence: NDArray[np.float64]
    margin: NDArray[np.float64]
    guarded: Mapping[str, NDArray[np.float64]]

    @classmethod
    def of(cls, scores: Sequence[Sequence[Score]], guards: Iterable[str]) -> FirstOpinion:
        """Read the scores of n tickets.

        Args:
            scores: Of each ticket, folded and ranked as the policy has it.
            guards: Labels that must not be missed.
        """
        by_label = [dict(one) for one in scores]
        return cls(
            np.array([one[0].label for one in scores], dtype=np.str_),
            np.array([one[0].probability for one in scores]),
            np.array([one[0].probability - one[1].probability if len(one) > 1 else 1.0 for one in scores]),
            {label: np.array([one.get(label, 0.0) for one in by_label]) for label in guards},
        )


@dataclass(frozen=True)
class FirstAnswers:
    """What the first stage says of n tickets that it had not seen.

    Attributes:
        sureness: How far its first label is ahead of the second in the closest target; -1 where something else than
            that keeps it from answering. Of shape [n].
        targets: What it says of each target.
        stranger: Probability that the ticket belongs to no label, of shape [n].
    """

    sureness: NDArray[np.float64]
    targets: Mapping[str, FirstOpinion]
    stranger: NDArray[np.float64]

    @classmethod
    def of(cls, predictions: Sequence[Prediction], gate: Gate, policy: Policy) -> FirstAnswers:
        """Read predictions as the cascade does.

        Args:
            predictions: Of the first stage.
            gate: Says what is strange, foreign or too short.
            policy: Folds and ranks labels.
        """
        told = [in_terms_of(policy, one) for one in predictions]
        return cls(
            np.array([sureness(gate, one) for one in told]),
            {
                target: FirstOpinion.of([one.probabilities[target] for one in told], policy.guards(target))
                for target in (told[0].probabilities if told else ())
            },
            np.array([one.stranger for one in told]),
        )

    def above(self, threshold: float, asks_between: Mapping[str, Band] = NO_BANDS) -> Taken:
        """Return what is answered from a threshold on, but for what is put to the full model in between."""
        passed = self.sureness >= threshold
        for target, (low, high) in asks_between.items():
            confidence = self.targets[target].confidence
            passed &= ~((low <= confidence) & (confidence < high))
        return Taken(passed, self.targets, self.stranger)


class Taken(NamedTuple):
    """Which of n tickets the first stage answers, bool of shape [n], and what it says of them as `FirstAnswers` does.

    Whatever the gate asks of such a ticket it asks of this: the full model's opinion of it is never heard in service.
    """

    passed: NDArray[np.bool_]
    targets: Mapping[str, FirstOpinion]
    stranger: NDArray[np.float64]


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
    total = [np.cumsum(beliefs.loss(answers.targets[target].labels)[order]) for target, beliefs in full.items()]
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
