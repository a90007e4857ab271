"""Explanations: what each word, field and rule adds to the logit of a label, exact for the linear estimators."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from models.features.features import Fields
from models.features.vectorizer import SparseRows, Vectorizer, words_of
from models.heads.base_estimators import RuleEstimator
from models.heads.head import Head
from triage.gate import Gate
from triage.policy import Policy
from triage.prediction import Term
from triage.rules import RuleBook
from triage.ticket import Ticket

SHOWN = 8
"""Terms shown for the label, and against the runner-up, at most."""

_HARDLY = 5e-4
"""Logits below which a term hardly counts: it moves no probability by a thousandth."""

_NAMES_KEPT, _NAME_CHARS = 1 << 14, 40
"""Names of tokens that are remembered: a bound on memory that the everyday words of a helpdesk stay below. Those of
longer tokens are not, which are keys and encoded files."""


@dataclass(frozen=True)
class Audience:
    """Whom predictions are explained to.

    Attributes:
        policy: In whose labels.
        gate: Says which labels no answer talks away.
        clearance: What the reader may see.
    """

    policy: Policy
    gate: Gate
    clearance: int = 0


@dataclass(frozen=True)
class Attribution:
    """Which words, word pairs and fields of a ticket own its sparse columns; the same for every label.

    Attributes:
        terms: The words, word pairs and fields that the vocabulary knows.
        columns: The ticket's sparse columns, int32 of shape [entries].
        values: Their values, float32 of shape [entries].
        owners: Position in `terms` of who owns a share, int64 of shape [shares].
        places: Position in `columns` of what is owned, int64 of shape [shares].
        shares: How much of it, in (0, 1], float64 of shape [shares].
    """

    terms: tuple[str, ...]
    columns: NDArray[np.int32]
    values: NDArray[np.float32]
    owners: NDArray[np.int64]
    places: NDArray[np.int64]
    shares: NDArray[np.float64]

    @classmethod
    def of(cls, vectorizer: Vectorizer, fields: Fields, ticket: Ticket, row: SparseRows) -> Attribution:
        """Find the owners of a ticket's columns. What character n-grams add is credited to the words that hold them.

        Args:
            vectorizer: Of the model.
            fields: Of the model.
            ticket: What was scored.
            row: Its sparse features, one row: words and word pairs, character n-grams in ascending order, fields.
        """
        words, size = len(vectorizer.word_ngrams), vectorizer.size
        of_chars = (row.columns >= words) & (row.columns < size)
        char_places, whole_places = np.flatnonzero(of_chars), np.flatnonzero(~of_chars)
        whole = row.columns[whole_places].tolist()
        names = (vectorizer.word_ngrams[one] if one < words else fields.names[one - size] for one in whole)
        number = {name: at for at, name in enumerate(names)}
        tokens = Counter(ticket.text.lower().split())
        parts = [vectorizer.char_ngram_columns_of(token) for token in tokens]
        holders = [number.setdefault(_name_of(token), len(number)) for token in tokens]
        lengths = list(map(len, parts))
        owned = np.concatenate([np.zeros(0, np.int32), *parts])
        places = np.concatenate([whole_places, char_places[np.searchsorted(row.columns[char_places], owned)]])
        times = np.concatenate([np.ones(len(whole)), np.repeat(list(tokens.values()), lengths)])
        return cls(
            tuple(number),
            row.columns,
            values=row.values,
            owners=np.concatenate([np.arange(len(whole)), np.repeat(holders, lengths)]).astype(np.int64),
            places=places,
            shares=times / np.bincount(places, times)[places],
        )

    def contributions(self, head: Head, direction: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return what each word, word pair and field adds in a direction, in logits, in the order of `terms`.

        The contributions sum to what the sparse features add to that combination of the logits.

        Args:
            head: Whose logits are explained.
            direction: What each logit counts, of shape [classes]; see `towards`.
        """
        added = self.values * head.lexical_margin(self.columns, direction)
        total = np.bincount(self.owners, self.shares * added[self.places], minlength=len(self.terms))
        return np.asarray(total, dtype=np.float64)


def towards(classes: int, label: Mapping[int, float], rival: Mapping[int, float] | None = None) -> NDArray[np.float64]:
    """Return what each logit counts where a label is compared with another one, or with the mean of all.

    A label that others are folded into is the sum of several: to the first order, the logit of a sum of probabilities
    changes as those of its parts do, each by its share.

    Args:
        classes: How many labels the head has.
        label: Positions of the labels that it consists of, each with its share of their probability.
        rival: Those of the other one; None compares with all labels.

    Returns:
        Of shape [classes]; it adds up to 0.

    Example:
        >>> towards(4, {0: 0.75, 1: 0.25}, {2: 1.0}).tolist(), towards(4, {3: 1.0}).tolist()
        ([0.75, 0.25, -1.0, 0.0], [-0.25, -0.25, -0.25, 0.75])
    """
    direction = np.full(classes, -1.0 / classes if rival is None else 0.0)
    for place, share in label.items():
        direction[place] += share
    for place, share in (rival or {}).items():
        direction[place] -= share
    return direction


def rule_contribution(
    rules: RuleBook, head: Head, rule_matches: NDArray[np.bool_], direction: NDArray[np.float64]
) -> dict[str, float]:
    """Return what the written rule that votes in a head adds in a direction, in logits; empty where none votes.

    Args:
        rules: Those that the model was trained with.
        head: Whose logits are explained.
        rule_matches: Which rules match the ticket, bool of shape [rules].
        direction: As for `Attribution.contributions`.
    """
    for number, estimator in enumerate(head.estimators):
        if not isinstance(estimator, RuleEstimator):
            continue
        voting = np.flatnonzero(rule_matches & (estimator.label_ids >= 0))
        if len(voting):
            weights = head.stacking.weights[number * head.learned + estimator.label_ids[voting[0]]].astype(np.float64)
            return {f"rule={rules.rules[int(voting[0])].name}": float(weights @ direction[: head.learned])}
    return {}


def _named(token: str) -> str:
    return " ".join(words_of(token)) or token[:_NAME_CHARS]


_remembered = lru_cache(maxsize=_NAMES_KEPT)(_named)


def _name_of(token: str) -> str:
    """Return what a token between white space is called in an explanation: its words, or else its beginning."""
    return _remembered(token) if len(token) <= _NAME_CHARS else _named(token)


def forget_names() -> None:
    """Forget what tokens of texts are called."""
    _remembered.cache_clear()


def strongest(
    terms: Sequence[str], weights: NDArray[np.float64], beside: Mapping[str, float], *, least: float = -np.inf
) -> tuple[Term, ...]:
    """Return the terms that add or take most, the largest first; what hardly counts is left out.

    Args:
        terms: Words, word pairs and fields.
        weights: What each adds, of shape [len(terms)].
        beside: What else adds something, by name.
        least: Weights below it are left out.
    """
    sizes = np.where(weights >= least, np.abs(weights), 0.0)
    beyond = len(sizes) - SHOWN
    least_size = max(_HARDLY, float(np.partition(sizes, beyond)[beyond])) if beyond > 0 else _HARDLY
    found = {terms[place]: float(weights[place]) for place in np.flatnonzero(sizes >= least_size).tolist()}
    found |= {name: weight for name, weight in beside.items() if weight >= least and abs(weight) >= _HARDLY}
    ranked = sorted((-abs(weight), term, weight) for term, weight in found.items())
    return tuple(Term(term, round(weight, 4)) for _, term, weight in ranked[:SHOWN])
