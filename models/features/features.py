"""The features of tickets: word and character n-grams, structured fields, embedding, neighbours, matching rules."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.features.vectorizer import SparseRows, Vectorizer
from triage.rules import RuleBook
from triage.ticket import Ticket

FIELD_WEIGHT = 0.5
"""Value of a field's column: half of what all words together weigh."""

_MIN_TICKETS = 5
_MAX_FIELDS = 2000


class ReadTickets(NamedTuple):
    """What is read of n tickets before any encoder is asked.

    Attributes:
        sparse: Lexical columns, then field columns.
        topics: LSA components of the words, float32 of shape [n, topics].
        rule_matches: Which written rules match each ticket, bool of shape [n, rules].
    """

    sparse: SparseRows
    topics: NDArray[np.float32]
    rule_matches: NDArray[np.bool_]

    def take(self, index: NDArray[np.int64]) -> ReadTickets:
        """Return what was read of the tickets at these positions, int64 of shape [m], in their order."""
        return ReadTickets(self.sparse.take(index), self.topics[index], self.rule_matches[index])


class Features(NamedTuple):
    """Features of n tickets.

    Attributes:
        sparse: Lexical columns, then field columns.
        dense: Embeddings, float32 of shape [n, dim].
        topics: LSA components of the words, float32 of shape [n, topics].
        near: Positions of the nearest past tickets, int64 of shape [n, k], most similar first, -1 for none.
        similarity: Their cosine similarity, float32 of shape [n, k].
        hybrid_near: As `near`, by embedding and LSA components together.
        hybrid_similarity: Their mean similarity.
        rule_matches: Which written rules match each ticket, bool of shape [n, rules].
    """

    sparse: SparseRows
    dense: NDArray[np.float32]
    topics: NDArray[np.float32]
    near: NDArray[np.int64]
    similarity: NDArray[np.float32]
    hybrid_near: NDArray[np.int64]
    hybrid_similarity: NDArray[np.float32]
    rule_matches: NDArray[np.bool_]

    def take(self, index: NDArray[np.int64]) -> Features:
        """Return the features of the tickets at these positions, int64 of shape [m], in their order."""
        return Features(
            self.sparse.take(index),
            self.dense[index],
            topics=self.topics[index],
            near=self.near[index],
            similarity=self.similarity[index],
            hybrid_near=self.hybrid_near[index],
            hybrid_similarity=self.hybrid_similarity[index],
            rule_matches=self.rule_matches[index],
        )

    def row(self, place: int) -> Features:
        """Return the features of one ticket."""
        one = slice(place, place + 1)
        return Features(
            self.sparse.row(place),
            self.dense[one],
            topics=self.topics[one],
            near=self.near[one],
            similarity=self.similarity[one],
            hybrid_near=self.hybrid_near[one],
            hybrid_similarity=self.hybrid_similarity[one],
            rule_matches=self.rule_matches[one],
        )


@dataclass(frozen=True)
class Fields:
    """Structured fields as columns: one per field and value seen often enough.

    Attributes:
        names: Such as ``channel=email`` or ``attributes.site=harbour``, in the order of their columns.
    """

    names: tuple[str, ...]

    @cached_property
    def columns(self) -> dict[str, int]:
        """Column by name."""
        return {name: column for column, name in enumerate(self.names)}

    def present(self, ticket: Ticket) -> list[int]:
        """Return the columns that hold for a ticket."""
        return [self.columns[name] for name in field_names(ticket) if name in self.columns]

    def append_to(self, lexical: SparseRows, tickets: Sequence[Ticket]) -> SparseRows:
        """Append the field columns of n tickets to their lexical columns; both have n rows."""
        width = lexical.width + len(self.names)
        added = [np.array(self.present(ticket), dtype=np.int32) + lexical.width for ticket in tickets]
        if not any(len(columns) for columns in added):
            return lexical._replace(width=width)
        starts, columns, values, _ = lexical
        spans = [slice(starts[row], starts[row + 1]) for row in range(len(tickets))]
        joined = [np.concatenate([columns[span], extra]) for span, extra in zip(spans, added, strict=True)]
        weights = [
            np.concatenate([values[span], np.full(len(extra), FIELD_WEIGHT, np.float32)])
            for span, extra in zip(spans, added, strict=True)
        ]
        ends = np.zeros(len(tickets) + 1, dtype=np.int64)
        np.cumsum([len(part) for part in joined], out=ends[1:])
        return SparseRows(
            ends, np.concatenate(joined).astype(np.int32), np.concatenate(weights).astype(np.float32), width
        )


def field_names(ticket: Ticket) -> Iterator[str]:
    """Name every structured field of a ticket with its value; the requester is never one.

    Example:
        >>> list(field_names(Ticket(channel="email", attributes={"site": "harbour"})))
        ['channel=email', 'attributes.site=harbour']
    """
    if ticket.channel:
        yield f"channel={ticket.channel.casefold()}"
    for name, value in ticket.attributes.items():
        if value:
            yield f"attributes.{name}={value.casefold()[:64]}"


def build_fields(tickets: Sequence[Ticket]) -> Fields:
    """Choose the fields and values that enough tickets have; one that all have says nothing and is left out."""
    counts = Counter(name for ticket in tickets for name in field_names(ticket))
    often = [name for name, count in counts.most_common(_MAX_FIELDS) if _MIN_TICKETS <= count < len(tickets)]
    return Fields(tuple(sorted(often)))


def sparse_features(vectorizer: Vectorizer, fields: Fields, tickets: Sequence[Ticket]) -> SparseRows:
    """Return the lexical and field columns of tickets."""
    return fields.append_to(vectorizer.rows([ticket.text for ticket in tickets]), tickets)


def match_rules(rules: RuleBook, tickets: Sequence[Ticket]) -> NDArray[np.bool_]:
    """Return which rules match each ticket, bool of shape [n, rules]; a catch-all counts as matching none."""
    asking = [rule for rule in enumerate(rules.rules) if not rule[1].is_catch_all]
    found = np.zeros((len(tickets), len(rules.rules)), dtype=bool)
    for row, ticket in enumerate(tickets):
        for column, rule in asking:
            found[row, column] = rule.matches(ticket)
    return found
