"""Faithfulness of explanations: the words that one names are deleted, then as many others, and both are compared."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from models.bundle.bundle import Bundle
from models.features.vectorizer import words_of
from triage.decide import in_terms_of
from triage.prediction import Prediction, in_order
from triage.ticket import Ticket

WORDS = 3
"""Words deleted from a ticket."""

TICKETS = 200
"""Tickets looked at, at most."""


@dataclass(frozen=True)
class Deletion:
    """What deleting words did to the probability of the label that was explained.

    Attributes:
        tickets: Tickets long enough to lose twice as many words.
        named: Mean fall of the label's probability when the words that the explanation names are gone.
        others: Mean fall when as many of the other words, drawn at random, are gone.
        named_turned: Share of tickets whose label changes without the words named.
        others_turned: Share of tickets whose label changes without the others.
    """

    tickets: int
    named: float
    others: float
    named_turned: float
    others_turned: float


def deletion_test(bundle: Bundle, tickets: Sequence[Ticket], *, seed: int = 0, words: int = WORDS) -> Deletion | None:
    """Measure comprehensiveness (DeYoung et al. 2020), with words drawn at random as a control.

    Args:
        bundle: Whose explanations are tested.
        tickets: Any; those with too few words are left out.
        seed: Of the words drawn, and of the tickets where there are many.
        words: How many words are deleted.

    Returns:
        What it did; None where no ticket is long enough.
    """
    rng = np.random.default_rng(seed)
    if len(tickets) > TICKETS:
        tickets = [tickets[index] for index in np.sort(rng.choice(len(tickets), TICKETS, replace=False))]
    before, without_named, without_others = [], [], []
    for ticket, prediction in zip(tickets, _told(bundle, tickets, explain=True), strict=True):
        present = sorted(set(words_of(ticket.text)))
        named = _named(prediction, present, words)
        rest = [word for word in present if word not in named]
        if len(named) < words or len(rest) < words:
            continue
        before.append(prediction)
        without_named.append(_without(ticket, named))
        without_others.append(_without(ticket, set(rng.choice(rest, words, replace=False))))
    if not before:
        return None
    named_fall, named_turned = _fall(before, _told(bundle, without_named))
    others_fall, others_turned = _fall(before, _told(bundle, without_others))
    return Deletion(len(before), named_fall, others=others_fall, named_turned=named_turned, others_turned=others_turned)


def _told(bundle: Bundle, tickets: Sequence[Ticket], *, explain: bool = False) -> list[Prediction]:
    """Return predictions in the labels that are explained: those of the policy."""
    return [in_terms_of(bundle.policy, one) for one in bundle.predict(tickets, explain=explain)]


def _named(prediction: Prediction, present: Sequence[str], count: int) -> set[str]:
    """Return the words that count most for the label; a pair of words stands for both."""
    found: list[str] = []
    for term in prediction.explanation.terms:
        if term.weight > 0 and "=" not in term.term:  # fields and rules stay: only words can be deleted
            found += [word for word in words_of(term.term) if word in present and word not in found]
    return set(found[:count])


def _without(ticket: Ticket, words: set[str]) -> Ticket:
    """Return the ticket as the model reads it, less some words."""
    kept = " ".join(token for token in ticket.text.split() if not words.intersection(words_of(token)))
    return replace(ticket, subject="", body=kept)


def _fall(before: Sequence[Prediction], after: Sequence[Prediction]) -> tuple[float, float]:
    """Return the mean fall of the explained label's probability, and the share of tickets that change their label."""
    falls, turned = [], []
    for old, new in zip(before, after, strict=True):
        target = next(name for name in in_order(old.probabilities) if old.probabilities[name])
        top = old.probabilities[target][0]
        now = {score.label: score.probability for score in new.probabilities[target]}
        falls.append(top.probability - now.get(top.label, 0.0))
        turned.append(new.probabilities[target][0].label != top.label)
    return float(np.mean(falls)), float(np.mean(turned))
