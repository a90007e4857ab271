"""Why a head believes what it does: how far each word, field and rule pushed the label, exact for the linear part."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from models.features.features import FIELD_WEIGHT, Fields
from models.features.vectorizer import Lexicon, terms_of, words_of
from models.heads.base_estimators import RuleMember
from models.heads.head import Head
from triage.prediction import Term
from triage.rules.book import RuleBook
from triage.ticket import Ticket

SHOWN = 8
"""Terms shown for the label, and against the runner-up, at most."""


def push(
    lexicon: Lexicon, fields: Fields, head: Head, ticket: Ticket, label: int, rival: int | None = None
) -> dict[str, float]:
    """Return how far each word, word pair and field pushed a label, in logits.

    The pushes add up to what the sparse features add to the label's logit, less what they add to the rival's (without a
    rival: to the mean of all labels'). What pieces of words add is credited to the words that hold them.

    Args:
        lexicon: Of the bundle.
        fields: Of the bundle.
        head: Whose logits are explained.
        ticket: What was scored.
        label: Place of the label in `head.labels`.
        rival: Place of the label it is compared with; None compares with all.
    """
    _, columns, values = lexicon.rows([ticket.text])
    weights = head.lexical_weights(columns)
    margin = weights[:, label] - (weights.mean(axis=1) if rival is None else weights[:, rival])
    pushes = dict(zip(columns.tolist(), (values * margin).tolist(), strict=True))
    total: dict[str, float] = defaultdict(float)
    for term in set(terms_of(words_of(ticket.text))):
        column = lexicon.term_columns.get(term)
        if column is not None:
            total[term] += pushes[column]
    _credit_pieces(lexicon, ticket.text, pushes, total)
    present = fields.present(ticket)
    if present:
        rows = head.lexical_weights(np.array(present, dtype=np.int32) + lexicon.size)
        margins = rows[:, label] - (rows.mean(axis=1) if rival is None else rows[:, rival])
        for place, margin_of_field in zip(present, margins, strict=True):
            total[fields.names[place]] += FIELD_WEIGHT * float(margin_of_field)
    return dict(total)


def push_of_rule(
    rules: RuleBook, head: Head, fitting: NDArray[np.bool_], label: int, rival: int | None = None
) -> dict[str, float]:
    """Return how far the written rule that speaks for a head pushed a label, in logits; empty where none speaks.

    Args:
        rules: Of the training.
        head: Whose logits are explained.
        fitting: Which rules fit the ticket, of shape [rules].
        label: As for `push`.
        rival: As for `push`.
    """
    for place, member in enumerate(head.members):
        if isinstance(member, RuleMember) and (speaking := np.flatnonzero(fitting & (member.codes >= 0))).size:
            weights = head.combiner.weights[place * head.learned + member.codes[speaking[0]]].astype(np.float64)
            weights = np.pad(weights, (0, len(head.labels) - head.learned))
            against = weights.mean() if rival is None else weights[rival]
            return {f"rule={rules.rules[int(speaking[0])].name}": float(weights[label] - against)}
    return {}


def _credit_pieces(lexicon: Lexicon, text: str, pushes: dict[int, float], total: dict[str, float]) -> None:
    """Share what each piece adds among the tokens that hold it, as often as they do."""
    tokens = text.lower().split()
    held = [lexicon.piece_columns_of(token) for token in tokens]
    if not held:
        return
    columns, counts = np.unique(np.concatenate(held), return_counts=True)
    share = {int(column): pushes[int(column)] / int(count) for column, count in zip(columns, counts, strict=True)}
    for token, own in zip(tokens, held, strict=True):
        if len(own):
            words = words_of(token)
            total[" ".join(words) if words else token[:40]] += sum(share[int(column)] for column in own)


def strongest(pushes: dict[str, float], count: int = SHOWN) -> tuple[Term, ...]:
    """Return the terms that pushed hardest, either way, the hardest first; what hardly counted is left out."""
    ranked: Iterable[tuple[str, float]] = sorted(pushes.items(), key=lambda pair: (-abs(pair[1]), pair[0]))[:count]
    return tuple(Term(term, round(weight, 4)) for term, weight in ranked if abs(weight) >= 5e-4)
