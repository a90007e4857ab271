"""Makes the first stage of a fitted model: a student's guesses, and the heads as they were stacked for them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from models.cascade.first_stage import FirstStage
from models.cascade.student import Student
from models.heads.head import Probabilities
from models.model import Model
from models.reference.novelty import novelty
from training.cascade.student import FittedStudent
from training.ensemble.model import FittedModel, Prepared
from training.gate.strangers import fit_strangers, tells_strangers
from triage.policy import Policy

LEAST_ROWS = 1000
"""Rows below which there is no first stage: too few would show whether it agrees with the full model."""

TELLS_STRANGERS = 0.75
"""Area under the ROC curve from which distance tells strangers well: then it is worth the encoder on every ticket."""

_QUANTILES = 101


@dataclass(frozen=True)
class FittedFirstStage:
    """A first stage, and its probabilities for the rows of its sample when it had not seen them.

    Attributes:
        student: Guesses vectors.
        fitted: The full model with the heads as they are stacked for guessed vectors, and what these say.
        novelty: Quantiles of its novelty and of the full model's, float64 of shape [2, quantiles].
    """

    student: Student
    fitted: FittedModel
    novelty: NDArray[np.float64]

    def stage(self, risk: float) -> FirstStage:
        """Return the stage as it is before its threshold is chosen: it answers nothing."""
        return FirstStage(self.student, self.fitted.model, threshold=1.0, risk=risk, novelty=self.novelty)

    def of_refitted(self, full: Model, risk: float) -> FirstStage:
        """Return the stage of the full model fitted to more rows; student, stacking and calibration stay."""
        own = self.fitted.model
        heads = {target: replace(head, stacking=own.heads[target].stacking) for target, head in full.heads.items()}
        model = replace(full, heads=heads, strangers=own.strangers)
        return FirstStage(self.student, model, threshold=1.0, risk=risk, novelty=self.novelty)


def needs_encoder(prepared: Prepared) -> bool:
    """Say whether the encoder's vectors tell well what belongs to no label, so that no guess should take their place.

    Guesses tell labels left out of the history as well as the encoder does, and what truly belongs to none worse: words
    that a desk knows draw a strange request near (decision 0060).
    """
    sample = prepared.sample
    label_ids = {target: sample.label_ids(target) for target in sample.labels}
    found = tells_strangers(sample.vectors, sample.groups, label_ids, seed=prepared.seed)
    return found is not None and found >= TELLS_STRANGERS


def first_stage_of(full: FittedModel, student: FittedStudent, policy: Policy, *, seed: int = 0) -> FittedFirstStage:
    """Return the first stage of a model whose heads were stacked for guessed vectors as well.

    Args:
        full: Fitted with these guesses.
        student: Whose they are.
        policy: Says how much of traffic is expected to belong to no label.
        seed: Of the sample by which strangers are told.
    """
    sample, guessed = full.sample, student.guessed
    heads = {target: one.of_guesses for target, one in full.heads.items() if one.of_guesses is not None}
    label_ids = {target: sample.label_ids(target) for target in heads}
    strangers = fit_strangers(
        sample.vectors, sample.groups, label_ids, policy.gate.stranger_share, seen_as=guessed.dense, seed=seed
    )
    model = replace(full.model, heads={target: one.head for target, one in heads.items()}, strangers=strangers)
    fitted = replace(full, model=model, heads=heads, features=guessed)
    return FittedFirstStage(student.student, fitted, _same_scale(fitted, full))


def _same_scale(first: FittedModel, full: FittedModel) -> NDArray[np.float64]:
    """Return quantiles of the novelty of both models, so that one can be stated as the other; of shape [2, n]."""
    quantiles = [np.quantile(_novelty(one), np.linspace(0.0, 1.0, _QUANTILES)) for one in (first, full)]
    return np.stack(quantiles)


def _novelty(fitted: FittedModel) -> NDArray[np.float64]:
    index = fitted.out_of_fold
    probabilities: Mapping[str, Probabilities] = {name: values[index] for name, values in fitted.probabilities.items()}
    return novelty(fitted.features.similarity[index], probabilities)
