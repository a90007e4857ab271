"""When the first stage answers in the full model's place: where it says the same, told without looking at labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.cascade.first_stage import sureness
from models.heads.head import Probabilities
from training.gate.risk_control import GRID
from triage.decide import in_terms_of
from triage.gate import Gate, TargetGate
from triage.policy import Policy
from triage.prediction import Prediction

DISAGREEMENT = 0.02
"""Share of the tickets answered by the first stage for which the full model would name another tier or category: of
these alone can the cascade lose any accuracy, and it may win where the full model is the one that is wrong."""

DISAGREEMENT_OF_ALL = 0.005
"""The same as a share of all tickets: a first stage that answers most of them may differ on fewer of its own."""

LEAST_ANSWERED = 100
"""Tickets that must be answered for that share to be more than chance: fewer would let one be none."""


@dataclass(frozen=True)
class FirstAnswers:
    """What the first stage says of n tickets that it had not seen.

    Attributes:
        sureness: Probability of the least sure of its labels; -1 where something else than that keeps it from
            answering. Of shape [n].
        labels: By target, the label that it would route, in the policy's own terms; str of shape [n].
        confidence: By target, the probability of that label, of shape [n].
    """

    sureness: NDArray[np.float64]
    labels: Mapping[str, NDArray[np.str_]]
    confidence: Mapping[str, NDArray[np.float64]]

    @classmethod
    def of(cls, predictions: Sequence[Prediction], gate: Gate, policy: Policy, risk: float) -> FirstAnswers:
        """Read predictions as the cascade does.

        Args:
            predictions: Of the first stage.
            gate: Says what is strange, foreign or too short.
            policy: Folds and ranks labels.
            risk: Highest error rate among automatic decisions.
        """
        told = [in_terms_of(policy, one).probabilities for one in predictions]
        targets = list(told[0]) if told else []
        opened = replace(gate, targets=dict.fromkeys(targets, TargetGate())).readable(risk)
        tops = {target: [one[target][0] for one in told] for target in targets}
        return cls(
            np.array([sureness(opened, policy, one) for one in predictions]),
            {target: np.array([top.label for top in found], dtype=np.str_) for target, found in tops.items()},
            {target: np.array([top.probability for top in found]) for target, found in tops.items()},
        )

    def above(self, threshold: float) -> Taken:
        """Return what is answered from a threshold on."""
        return Taken(self.sureness >= threshold, self.labels, self.confidence)


class Taken(NamedTuple):
    """Which of n tickets the first stage answers, bool of shape [n], with its labels and their probabilities."""

    passed: NDArray[np.bool_]
    labels: Mapping[str, NDArray[np.str_]]
    confidence: Mapping[str, NDArray[np.float64]]


def agreeing_threshold(answers: FirstAnswers, full: Mapping[str, NDArray[np.str_]]) -> float | None:
    """Return the lowest threshold from which the first stage says what the full model says; None where none does.

    No label is looked at, so that what is certified afterwards on the same tickets is certified for a rule that was
    fixed before: one sequence of tests at full level covers both stages together.

    Args:
        answers: Of the first stage.
        full: By target, what the full model would route, str of shape [n].
    """
    differs = np.zeros(len(answers.sureness), dtype=bool)
    for target, labels in full.items():
        differs |= answers.labels[target] != labels
    for threshold in GRID:
        kept = answers.sureness >= threshold
        if threshold <= 0 or kept.sum() < LEAST_ANSWERED:
            continue
        if differs[kept].mean() <= DISAGREEMENT and differs[kept].sum() <= DISAGREEMENT_OF_ALL * len(kept):
            return float(threshold)
    return None


def stricter_thresholds(answers: FirstAnswers, threshold: float) -> list[float]:
    """Return a threshold, and higher ones from which three quarters, a half and a quarter of as many are answered."""
    sure = answers.sureness[answers.sureness >= threshold]
    higher = [float(np.quantile(sure, share, method="higher")) for share in (0.25, 0.5, 0.75)] if len(sure) else []
    return [threshold, *(one for one in higher if (sure >= one).sum() >= LEAST_ANSWERED)]


def routed_labels(
    probabilities: Mapping[str, Probabilities], labels: Mapping[str, Sequence[str]], policy: Policy
) -> dict[str, NDArray[np.str_]]:
    """Return the most probable label of each ticket by target, folded as the policy has it; each of shape [n]."""
    return {
        target: np.array([policy.fold(target, labels[target][code]) for code in values.argmax(axis=1)], dtype=np.str_)
        for target, values in probabilities.items()
    }
