"""The first stage of a bundle: its own small model, and what it must be sure of to answer in the full model's place."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from models.cascade.static_encoder import StaticEncoder
from models.features.features import Features
from models.heads.head import Probabilities
from models.model import Model
from models.reference.reviews import ReviewMemory
from triage.decide import in_terms_of
from triage.decision import Reason
from triage.gate import Gate
from triage.policy import Policy
from triage.prediction import Prediction
from triage.ticket import Ticket


@dataclass(frozen=True)
class FirstStage:
    """A model on words, fields and static vectors.

    Attributes:
        encoder: Distilled from the bundle's own.
        model: Fitted on its vectors; vocabulary, fields and rules are the full model's.
        threshold: How probable its label of every target must be for it to answer, in [0, 1].
        risk: Target risk of the gate, which the floor under single decisions is a multiple of.
        novelty: What its novelty is in terms of the full model's: quantiles of both, float64 of shape [2, quantiles].
    """

    encoder: StaticEncoder
    model: Model
    threshold: float
    risk: float
    novelty: NDArray[np.float64]

    def answers(
        self,
        tickets: Sequence[Ticket],
        gate: Gate,
        policy: Policy,
        *,
        explain: bool = False,
        clearance: int = 0,
    ) -> tuple[list[Prediction | None], Features]:
        """Answer the tickets that it is sure of.

        Args:
            tickets: Any number of them.
            gate: Of the bundle; says when a prediction of the first stage is good enough.
            policy: Whose labels the gate speaks of.
            explain: Whether to add the terms that counted and similar tickets.
            clearance: What the reader may see.

        Returns:
            A prediction for each ticket, None where the full model has to be asked; and what was read of the tickets.
        """
        texts = [ticket.text for ticket in tickets]
        vectors = self.encoder.encode(texts)
        features = self.model.features(tickets, vectors)
        found = self.predictions(tickets, features, self.model.probabilities(features))
        opened = gate.readable(self.risk)
        taken = [sureness(opened, policy, prediction) >= self.threshold for prediction in found]
        for row in np.flatnonzero(taken).tolist() if explain else ():
            one = features.take(np.array([row]))
            explanation = self.model.explanation(tickets[row], one, found[row], clearance=clearance)
            found[row] = replace(found[row], explanation=explanation)
        return [prediction if passed else None for prediction, passed in zip(found, taken, strict=True)], features

    def predictions(
        self, tickets: Sequence[Ticket], features: Features, probabilities: dict[str, Probabilities]
    ) -> list[Prediction]:
        """Return what it predicts, sure or not, with novelty as the full model would state it.

        Args:
            tickets: n of them.
            features: Of the tickets, with static vectors.
            probabilities: Its own by target, each of shape [n, classes].
        """
        cut = self.encoder.truncates([ticket.text for ticket in tickets])
        return [
            replace(one, by_first_stage=True, novelty=float(np.interp(one.novelty, *self.novelty)))
            for one in self.model.predictions(tickets, features, probabilities, cut)
        ]

    def with_reviews(self, reviews: ReviewMemory | None) -> FirstStage:
        """Return the same stage with a desk's own reviews beside it; None takes them away."""
        return replace(self, model=replace(self.model, reviews=reviews))


def sureness(gate: Gate, policy: Policy, prediction: Prediction) -> float:
    """Return the probability of the least sure label of a prediction, in [0, 1]; -1 where something else is amiss.

    Args:
        gate: Says what is strange, foreign, short or ambiguous; its thresholds are for what is automatic.
        policy: Folds and ranks labels.
        prediction: Of the first stage.
    """
    told = in_terms_of(policy, prediction)
    if any(gate.reason(target, told) is not Reason.CONFIDENT for target in told.probabilities):
        return -1.0
    return min(scores[0].probability for scores in told.probabilities.values())
