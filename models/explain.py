"""Explanations: what each word, field and rule adds to the logit of a label, exact for the linear estimators."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from models.features.features import FIELD_WEIGHT, Fields
from models.features.vectorizer import Vectorizer, word_ngrams_of, words_of
from models.heads.base_estimators import RuleEstimator
from models.heads.head import Head
from triage.prediction import Term
from triage.rules import RuleBook
from triage.ticket import Ticket

SHOWN = 8
"""Terms shown for the label, and against the runner-up, at most."""


def contribution(
    vectorizer: Vectorizer, fields: Fields, head: Head, ticket: Ticket, label: int, rival: int | None = None
) -> dict[str, float]:
    """Return what each word, word pair and field adds to a label, in logits.

    The contributions sum to what the sparse features add to the label's logit, less what they add to the rival's
    (without a rival: to the mean of all labels'). What character n-grams add is credited to the words that hold them.

    Args:
        vectorizer: Of the model.
        fields: Of the model.
        head: Whose logits are explained.
        ticket: What was scored.
        label: Position of the label in `head.labels`.
        rival: Position of the label it is compared with; None compares with all.
    """
    _, columns, values, _ = vectorizer.rows([ticket.text])
    weights = head.lexical_weights(columns)
    margin = weights[:, label] - (weights.mean(axis=1) if rival is None else weights[:, rival])
    contributions = dict(zip(columns.tolist(), (values * margin).tolist(), strict=True))
    total: dict[str, float] = defaultdict(float)
    for term in set(word_ngrams_of(words_of(ticket.text))):
        column = vectorizer.word_ngram_columns.get(term)
        if column is not None:
            total[term] += contributions[column]
    _credit_char_ngrams(vectorizer, ticket.text, contributions, total)
    present = fields.present(ticket)
    if present:
        rows = head.lexical_weights(np.array(present, dtype=np.int32) + vectorizer.size)
        margins = rows[:, label] - (rows.mean(axis=1) if rival is None else rows[:, rival])
        for column, margin_of_field in zip(present, margins, strict=True):
            total[fields.names[column]] += FIELD_WEIGHT * float(margin_of_field)
    return dict(total)


def rule_contribution(
    rules: RuleBook, head: Head, rule_matches: NDArray[np.bool_], label: int, rival: int | None = None
) -> dict[str, float]:
    """Return what the written rule that votes in a head adds to a label, in logits; empty where none votes.

    Args:
        rules: Those that the model was trained with.
        head: Whose logits are explained.
        rule_matches: Which rules match the ticket, bool of shape [rules].
        label: As for `contribution`.
        rival: As for `contribution`.
    """
    for number, estimator in enumerate(head.estimators):
        if not isinstance(estimator, RuleEstimator):
            continue
        voting = np.flatnonzero(rule_matches & (estimator.label_ids >= 0))
        if len(voting):
            weights = head.stacking.weights[number * head.learned + estimator.label_ids[voting[0]]].astype(np.float64)
            weights = np.pad(weights, (0, len(head.labels) - head.learned))
            against = weights.mean() if rival is None else weights[rival]
            return {f"rule={rules.rules[int(voting[0])].name}": float(weights[label] - against)}
    return {}


def _credit_char_ngrams(
    vectorizer: Vectorizer, text: str, contributions: dict[int, float], total: dict[str, float]
) -> None:
    """Share what each character n-gram adds among the tokens that hold it, in proportion to their occurrences."""
    tokens = text.lower().split()
    held = [vectorizer.char_ngram_columns_of(token) for token in tokens]
    if not held:
        return
    columns, counts = np.unique(np.concatenate(held), return_counts=True)
    share = {
        int(column): contributions[int(column)] / int(count) for column, count in zip(columns, counts, strict=True)
    }
    for token, own in zip(tokens, held, strict=True):
        if len(own):
            words = words_of(token)
            total[" ".join(words) if words else token[:40]] += sum(share[int(column)] for column in own)


def strongest(contributions: dict[str, float], count: int = SHOWN) -> tuple[Term, ...]:
    """Return the terms that add or take most, the largest first; what hardly counts is left out."""
    ranked: Iterable[tuple[str, float]] = sorted(contributions.items(), key=lambda pair: (-abs(pair[1]), pair[0]))[
        :count
    ]
    return tuple(Term(term, round(weight, 4)) for term, weight in ranked if abs(weight) >= 5e-4)
