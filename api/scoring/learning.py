"""What people say of decisions corrects the model in use at once: learned from the store, taken back with an undo."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import structlog
from numpy.typing import NDArray

from api.scoring.model_holder import ModelHolder
from api.store.repository import Repository
from api.store.rows import ReviewedTicket
from models.bundle.bundle import Bundle, Unreviewed
from models.reference.reviews import MAX_REVIEWS, Reviewed, ReviewMemory
from triage.errors import StoreUnavailable

PORTION = 16
"""Tickets that are scored together: between portions the encoder is free for tickets that somebody waits for."""
log = structlog.get_logger(__name__)


class Predicted(NamedTuple):
    """What the model says of one ticket: its embedding, and probabilities by target."""

    vector: NDArray[np.float32]
    probabilities: Mapping[str, NDArray[np.float64]]

    @classmethod
    def each(cls, said: Unreviewed) -> list[Predicted]:
        """Return what was said of several tickets, ticket by ticket."""
        return [
            cls(vector, {target: values[place] for target, values in said.probabilities.items()})
            for place, vector in enumerate(said.vectors)
        ]


class _ByStage(NamedTuple):
    """What the full model says of one reviewed ticket, and what the first stage does; None where there is none."""

    full: Predicted
    first: Predicted | None


class ReviewLearner:
    """Keeps the model in use corrected by what stands in the store; one per process.

    Everything it knows follows from the feedback that stands, so that a restart, another worker and an undo come to
    the same. Its method asks the store and scores tickets, and so blocks: call it from worker threads.

    Args:
        store: Where feedback is kept.
        model: Holds the model in use.
    """

    def __init__(self, store: Repository, model: ModelHolder) -> None:
        self._store, self._model = store, model
        self._turn = threading.Lock()
        self._learned: tuple[object, ...] | None = None
        self._predictions: dict[str, _ByStage] = {}
        self._digest = ""

    def has_reviews(self) -> bool:
        """Say whether anything was ever said of a decision, as far as the store answers."""
        try:
            return self._store.reviews_state()[1] > 0
        except StoreUnavailable:
            return False

    def refresh(self) -> None:
        """Learn anew where people said something since, or another model is in use; where nothing changed, do nothing.

        A store that does not answer leaves everything as it is.
        """
        with self._turn:
            loads = self._model.loads  # before the model: where another one comes meanwhile, `learn` refuses
            triager = self._model.triager
            if not isinstance(triager.bundle, Bundle):
                return
            try:
                state = (self._store.reviews_state(), loads)
                if state == self._learned:
                    return
                reviewed = self._store.reviewed(MAX_REVIEWS)
            except StoreUnavailable:
                return
            secret = {entry.label for entry in triager.policy.categories if entry.sensitive}
            reviewed = [
                replace(one, sensitive=one.sensitive or one.labels.get("category") in secret) for one in reviewed
            ]
            memory = self._memory(triager.bundle, reviewed)
            if self._model.learn(memory, loads):
                self._learned = state
                log.info("reviews_learned", reviews=len(reviewed), version=triager.model_version)

    def _memory(self, bundle: Bundle, reviewed: Sequence[ReviewedTicket]) -> ReviewMemory | None:
        """Learn from reviewed tickets; each is scored once."""
        if self._digest != bundle.digest:
            self._predictions, self._digest = {}, bundle.digest
        fresh = [one for one in reviewed if one.decision_id not in self._predictions]
        for start in range(0, len(fresh), PORTION):
            self._score(bundle, fresh[start : start + PORTION])
        self._predictions = {one.decision_id: self._predictions[one.decision_id] for one in reviewed}
        if not reviewed:
            return None
        known = list(self._predictions.values())
        first = [one.first for one in known if one.first is not None]
        memory = _learned(bundle, reviewed, [one.full for one in known])
        return memory if len(first) < len(known) else replace(memory, first=_learned(bundle, reviewed, first))

    def _score(self, bundle: Bundle, reviewed: Sequence[ReviewedTicket]) -> None:
        tickets = [one.ticket for one in reviewed]
        full, first = Predicted.each(bundle.probabilities_of(tickets)), bundle.first_probabilities_of(tickets)
        by_first = [None] * len(full) if first is None else Predicted.each(first)
        for one, by_full, guessed in zip(reviewed, full, by_first, strict=True):
            self._predictions[one.decision_id] = _ByStage(by_full, guessed)


def _learned(bundle: Bundle, reviewed: Sequence[ReviewedTicket], predictions: Sequence[Predicted]) -> ReviewMemory:
    """Learn what reviews change of one stage, from what it said of the reviewed tickets on its own."""
    heads = bundle.model.heads
    labels = {name: [one.labels.get(name) for one in reviewed] for name in heads}
    return ReviewMemory.of(
        Reviewed(
            np.stack([prediction.vector for prediction in predictions]),
            {name: np.stack([prediction.probabilities[name] for prediction in predictions]) for name in heads},
            {name: _ids(labels[name], head.labels) for name, head in heads.items()},
            np.array([one.sensitive for one in reviewed], dtype=bool),
        )
    )


def _ids(stated: Sequence[str | None], labels: tuple[str, ...]) -> NDArray[np.int64]:
    """Return the position of each label, -1 for one that is not stated or that the model does not know."""
    known = {label: number for number, label in enumerate(labels)}
    return np.array([known.get(label, -1) if label is not None else -1 for label in stated], dtype=np.int64)
