"""The first stage of a bundle: the full model on vectors that a student guesses, where the decision is clear."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from models.cascade.student import Student
from models.explain import Audience
from models.features.features import Features, ReadTickets
from models.heads.head import Probabilities
from models.model import Model
from models.reference.index import NeighbourIndex
from models.reference.reviews import ReviewMemory
from triage.decide import in_terms_of
from triage.gate import Gate
from triage.policy import Policy
from triage.prediction import Prediction, Score
from triage.ticket import Ticket


@dataclass(frozen=True)
class FirstStage:
    """The estimators of the full model, stacked and calibrated for guessed vectors.

    Attributes:
        student: Guesses the vectors.
        model: Shares vocabulary, past tickets and estimators with the full model; its stacking is its own.
        threshold: By how much the first label of every target must be ahead of the second for it to answer, in [0, 1].
        asks_between: By target, probabilities of the first label between which it does not answer, however far ahead
            that is: there the encoder makes out whether a ticket is decided or left to people.
        risk: Target risk of the gate, which the floor under single decisions is a multiple of.
        novelty: What its novelty is in terms of the full model's: quantiles of both, float64 of shape [2, quantiles].
    """

    student: Student
    model: Model
    threshold: float
    risk: float
    novelty: NDArray[np.float64]
    asks_between: Mapping[str, tuple[float, float]] = field(default_factory=dict)

    def answers(
        self,
        tickets: Sequence[Ticket],
        gate: Gate,
        policy: Policy,
        *,
        audience: Audience | None = None,
    ) -> tuple[list[Prediction | None], ReadTickets]:
        """Answer the tickets that it is sure of.

        Args:
            tickets: Any number of them.
            gate: Of the bundle; says when a prediction of the first stage is good enough.
            policy: Whose labels the gate speaks of.
            audience: Whom to tell the terms that counted and similar tickets; None explains nothing.

        Returns:
            A prediction for each ticket, None where the full model has to be asked; and what was read of the tickets.
        """
        read = self.model.read(tickets)
        features = self.features(tickets, read)
        found = self.predictions(tickets, features, self.model.probabilities(features))
        taken = [self._is_taken(gate, policy, prediction) for prediction in found]
        if audience is not None:
            for row in np.flatnonzero(taken).tolist():
                explanation = self.model.explanation(tickets[row], features.row(row), found[row], audience)
                found[row] = replace(found[row], explanation=explanation)
        return [prediction if passed else None for prediction, passed in zip(found, taken, strict=True)], read

    def _is_taken(self, gate: Gate, policy: Policy, prediction: Prediction) -> bool:
        told = in_terms_of(policy, prediction)
        return sureness(gate, told) >= self.threshold and not any(
            low <= told.probabilities[target][0].probability < high for target, (low, high) in self.asks_between.items()
        )

    def features(self, tickets: Sequence[Ticket], read: ReadTickets | None = None) -> Features:
        """Return features of tickets with guessed vectors; `read` is what `Model.read` returned for them."""
        sparse, topics, matches = self.model.read(tickets) if read is None else read
        guessed = self.student.coordinates([one.text for one in tickets], sparse)
        vectors = guessed @ self.student.basis
        near = self._seen.nearest(vectors if self._seen.graphs else guessed, topics)
        return Features(sparse, vectors, topics, **near._asdict(), rule_matches=matches)

    @cached_property
    def _seen(self) -> NeighbourIndex:
        """Past tickets as coordinates see them: half as many numbers are compared; the same where graphs know them."""
        history = self.model.history
        return history if history.graphs else history.in_terms_of(self.student.basis)

    def predictions(
        self, tickets: Sequence[Ticket], features: Features, probabilities: dict[str, Probabilities]
    ) -> list[Prediction]:
        """Return what it predicts, sure or not, with novelty as the full model would state it.

        Args:
            tickets: n of them.
            features: Of the tickets, with guessed vectors.
            probabilities: Its own by target, each of shape [n, classes].
        """
        cut = self.student.truncates([ticket.text for ticket in tickets])
        found = self.model.predictions(tickets, features, probabilities, cut)
        stated = np.interp([one.novelty for one in found], *self.novelty).tolist()
        return [replace(one, by_first_stage=True, novelty=novelty) for one, novelty in zip(found, stated, strict=True)]

    def with_reviews(self, reviews: ReviewMemory | None) -> FirstStage:
        """Return the same stage with a desk's own reviews beside it; None takes them away."""
        return replace(self, model=replace(self.model, reviews=reviews))


def sureness(gate: Gate, prediction: Prediction) -> float:
    """Return how far the first label is ahead of the second in the closest target; -1 where a ticket cannot be read.

    Args:
        gate: Says what is strange, foreign or too short.
        prediction: Of the first stage, folded and ranked as the policy has it.

    Returns:
        A difference of probabilities in [0, 1], or -1.
    """
    if any(gate.unreadable(target, prediction) is not None for target in prediction.probabilities):
        return -1.0
    return min(_lead(scores) for scores in prediction.probabilities.values())


def _lead(scores: Sequence[Score]) -> float:
    return scores[0].probability - (scores[1].probability if len(scores) > 1 else 0.0)
