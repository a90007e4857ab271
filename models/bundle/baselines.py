"""Baselines: what the commonest label, words, embedding or neighbours alone would have predicted."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from models.bundle.bundle import Bundle
from models.features.features import Features
from models.heads.base_estimators import Estimator
from triage.ticket import Ticket

NAMES = {"lexical": "TF-IDF", "embedding": "embedding", "neighbours": "neighbours"}
"""Estimators of a head that serve as baselines, and what reports call them."""

Guesser = Callable[[Sequence[Ticket]], Sequence[str]]


def baselines_of(bundle: Bundle) -> dict[str, dict[str, Guesser]]:
    """Return the baselines of each target by name; they were fitted with the model and travel in its bundle.

    Each takes tickets and gives one label each. Nothing here is read while serving.
    """
    reader = _Reader(bundle)
    found: dict[str, dict[str, Guesser]] = {}
    for target, head in bundle.model.heads.items():
        label_ids = bundle.model.history.label_ids[target]
        counts = np.bincount(label_ids[label_ids >= 0], minlength=len(head.labels))
        found[target] = {"majority": _always(head.labels[int(counts.argmax())])} if counts.any() else {}
        for estimator in (*head.estimators, *head.baselines):
            if estimator.name in NAMES:
                found[target][NAMES[estimator.name]] = reader.guesser(target, estimator)
    return found


def _always(label: str) -> Guesser:
    return lambda tickets: [label] * len(tickets)


class _Reader:
    """Computes the features of a list of tickets once for all baselines."""

    def __init__(self, bundle: Bundle) -> None:
        self._bundle = bundle
        self._last: tuple[tuple[Ticket, ...], Features] | None = None

    def guesser(self, target: str, estimator: Estimator) -> Guesser:
        head = self._bundle.model.heads[target]

        def guess(tickets: Sequence[Ticket]) -> list[str]:
            scores = estimator.scores(self._features(tickets))
            return [head.labels[label] for label in scores.argmax(axis=1)]

        return guess

    def _features(self, tickets: Sequence[Ticket]) -> Features:
        key = tuple(tickets)
        if self._last is None or self._last[0] != key:
            vectors = self._bundle.encoder.encode([ticket.text for ticket in tickets])
            self._last = key, self._bundle.model.features(tickets, vectors)
        return self._last[1]
