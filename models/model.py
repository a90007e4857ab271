"""The learned part of a bundle: from tickets and their vectors to predictions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from operator import itemgetter
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from models.explain import Attribution, Audience, rule_contribution, strongest, towards
from models.features.features import Features, Fields, ReadTickets, match_rules, sparse_features
from models.features.lsa import LsaProjection
from models.features.vectorizer import Vectorizer, count_words
from models.heads.head import Head, Probabilities
from models.language import language_of
from models.reference.index import NeighbourIndex
from models.reference.novelty import StrangerCurve, excluded_share, fifth_distance, novelty
from models.reference.reviews import ReviewMemory
from triage.decide import as_weighed
from triage.languages.alphabets import languages_written
from triage.policy import Policy
from triage.prediction import Explanation, Prediction, Score, Term, in_order
from triage.rules import NO_RULES, RuleBook
from triage.ticket import Ticket

_by_probability = itemgetter(1)

SIMILAR_SHOWN = 5
"""Similar past tickets in an explanation, at most."""


@dataclass(frozen=True)
class Model:
    """Everything that was learned.

    Attributes:
        vectorizer: Vocabulary of word and character n-grams.
        fields: Structured fields that are features.
        topics: Projection of words to LSA components.
        history: Index of past tickets.
        heads: One per target that could be learned.
        set_floors: Per target, the probability from which a label belongs to the prediction set.
        sensitive_clearance: Clearance needed to see sensitive past tickets.
        rules: The written rules as they were in training; which of them match a ticket is a feature.
        strangers: Says how likely a ticket belongs to no label; None takes every ticket for one of the helpdesk's.
        reviews: What the desk's own reviews changed since training; never part of a bundle on disk.
    """

    vectorizer: Vectorizer
    fields: Fields
    topics: LsaProjection
    history: NeighbourIndex
    heads: Mapping[str, Head]
    set_floors: Mapping[str, float] = field(default_factory=lambda: MappingProxyType({}))
    sensitive_clearance: int = 2
    rules: RuleBook = NO_RULES
    strangers: StrangerCurve | None = None
    reviews: ReviewMemory | None = None

    def shown_under(self, policy: Policy) -> Model:
        """Return the same model, which names the similar tickets that a policy lets a reader see.

        What was sensitive in training stays so; a category that the policy does not list is taken to be.
        """
        open_ones = {entry.label for entry in policy.entries("category")} - policy.sensitive_categories
        written = {label for label in self.history.written.get("category", ()) if label is not None}
        kept = {label for label in written if policy.canonical("category", label) not in open_ones}
        history = self.history.withholding("category", kept)
        return replace(self, history=history, sensitive_clearance=policy.sensitive_clearance)

    def read(self, tickets: Sequence[Ticket]) -> ReadTickets:
        """Return what is read of n tickets before any encoder is asked: words, fields, topics and rules."""
        sparse = sparse_features(self.vectorizer, self.fields, tickets)
        return ReadTickets(sparse, self.topics.project(sparse), match_rules(self.rules, tickets))

    def features(
        self, tickets: Sequence[Ticket], vectors: NDArray[np.float32], read: ReadTickets | None = None
    ) -> Features:
        """Return the features of n tickets.

        Args:
            tickets: The tickets.
            vectors: Their embeddings, float32 of shape [n, dim].
            read: What `read` returned for them; None reads them.
        """
        sparse, topics, matches = self.read(tickets) if read is None else read
        near = self.history.nearest(vectors, topics)
        return Features(sparse, vectors, topics, **near._asdict(), rule_matches=matches)

    def probabilities(self, features: Features) -> dict[str, Probabilities]:
        """Return calibrated probabilities by target, each of shape [n, labels]."""
        return {target: head.in_traffic(head.probabilities(features)) for target, head in self.heads.items()}

    def predict(
        self,
        tickets: Sequence[Ticket],
        features: Features,
        truncated: Sequence[bool],
        *,
        audience: Audience | None = None,
    ) -> list[Prediction]:
        """Predict each ticket.

        Args:
            tickets: Any number of them.
            features: Their features.
            truncated: Whether the encoder read only the beginning.
            audience: Whom to tell the terms that counted and similar tickets; None explains nothing.
        """
        found = self.predictions(tickets, features, self.probabilities(features), truncated)
        if audience is None:
            return found
        return [
            replace(one, explanation=self.explanation(ticket, features.row(row), one, audience))
            for row, (ticket, one) in enumerate(zip(tickets, found, strict=True))
        ]

    def predictions(
        self,
        tickets: Sequence[Ticket],
        features: Features,
        own: Mapping[str, Probabilities],
        truncated: Sequence[bool],
    ) -> list[Prediction]:
        """Return predictions without explanations.

        Args:
            tickets: n of them.
            features: Their features.
            own: The model's own probabilities by target, before reviews correct them, each of shape [n, classes].
            truncated: Whether the encoder read only the beginning.
        """
        distance = novelty(features.similarity, own)
        probabilities = own if self.reviews is None else self.reviews.corrected(features.dense, own)
        unreviewed = {} if self.reviews is None else own
        strangers = self.stranger_probability(features)
        rare = {
            target: excluded_share(features.near, features.similarity, label_ids)
            for target, label_ids in self.history.label_ids.items()
        }
        found = []
        for row, ticket in enumerate(tickets):
            ranked = {target: self._ranked(target, values[row]) for target, values in probabilities.items()}
            found.append(
                Prediction(
                    probabilities=ranked,
                    novelty=float(distance[row]),
                    stranger=float(strangers[row]),
                    language=language_of(ticket),
                    written=languages_written(ticket.text),
                    excluded={target: float(values[row]) for target, values in rare.items()},
                    sets={target: self._prediction_set(target, scores) for target, scores in ranked.items()},
                    words=count_words(ticket.text),
                    truncated=truncated[row],
                    unreviewed={target: self._ranked(target, values[row]) for target, values in unreviewed.items()},
                )
            )
        return found

    def stranger_probability(self, features: Features) -> NDArray[np.float64]:
        """Return how likely tickets belong to none of the labels, float64 of shape [n] in [0, 1]."""
        distance = fifth_distance(features.similarity)
        return np.zeros(len(distance)) if self.strangers is None else self.strangers.probability(distance)

    def _ranked(self, target: str, values: NDArray[np.float64]) -> tuple[Score, ...]:
        pairs = zip(self.heads[target].labels, values.tolist(), strict=True)
        return tuple(map(Score._make, sorted(pairs, key=_by_probability, reverse=True)))

    def _prediction_set(self, target: str, ranked: Sequence[Score]) -> tuple[str, ...]:
        """Return the labels probable enough to hold the right one at the stated confidence, at least one."""
        floor = self.set_floors.get(target, 0.0)
        return tuple(score.label for place, score in enumerate(ranked) if not place or score.probability >= floor)

    def explanation(
        self, ticket: Ticket, features: Features, prediction: Prediction, audience: Audience
    ) -> Explanation:
        """Explain the first target that has a head, mostly the tier, with the nearest tickets that may be seen.

        Its first two labels are compared as they are decided by: folded, ranked, and after what was chosen.

        Args:
            ticket: What was scored.
            features: Its own, one row.
            prediction: What was predicted for it.
            audience: Whom to tell.
        """
        target = in_order(self.heads)[0]
        head, vector = self.heads[target], features.dense[0]
        told = as_weighed(ticket, prediction, audience.policy, audience.gate).probabilities
        first, *others = (self._parts(target, score.label, prediction, audience.policy) for score in told[target][:2])
        owned = Attribution.of(self.vectorizer, self.fields, ticket, features.sparse)

        def counted(direction: NDArray[np.float64], least: float = -np.inf) -> tuple[Term, ...]:
            by_rules = rule_contribution(self.rules, head, features.rule_matches[0], direction)
            return strongest(owned.terms, owned.contributions(head, direction), by_rules, least=least)

        may_see_sensitive = audience.clearance >= self.sensitive_clearance
        parts = {
            name: (scores[0].label, tuple(self._parts(name, scores[0].label, prediction, audience.policy)))
            for name, scores in told.items()
        }
        return Explanation(
            target=target,
            label=told[target][0].label,
            rival=told[target][1].label if others else None,
            terms=counted(towards(len(head.labels), first)),
            against=counted(towards(len(head.labels), others[0], first), 0.0) if others else (),
            similar=self.history.similar(
                vector, SIMILAR_SHOWN, may_see_sensitive, (features.near[0], features.similarity[0])
            ),
            reviews=self.reviews.votes(vector, parts, may_see_sensitive) if self.reviews is not None else (),
        )

    def _parts(self, target: str, label: str, prediction: Prediction, policy: Policy) -> dict[int, float]:
        """Return which of a head's labels a policy folds into one: their places, each with its share of it."""
        places = {known: place for place, known in enumerate(self.heads[target].labels)}
        parts = [score for score in prediction.probabilities[target] if policy.fold(target, score.label) == label]
        total = sum(score.probability for score in parts)
        return {places[one.label]: one.probability / total if total else 1.0 / len(parts) for one in parts}
