"""Labelled tickets together with everything that was computed for each of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from models.reference.index import EXCLUDED, UNLABELLED
from training.data.dataset import LabelledTicket
from training.data.labels import learnable
from triage.prediction import in_order

Labels = Mapping[str, tuple[str, ...]]
"""By target, the labels that can be learned; label ids are positions in these tuples."""


@dataclass(frozen=True)
class Sample:
    """Labelled tickets with their vectors and groups; entry i of every part belongs to the same ticket.

    Attributes:
        rows: The n tickets, in the policy's own labels.
        vectors: Their embeddings, float32 of shape [n, dim].
        groups: Tickets with the same number never meet across a fold or a split, int64 of shape [n].
        index: Position of each ticket in the data set that the sample was first made of, int64 of shape [n]. It
            stays with the ticket through `take`, so that two samples can be compared.
        labels: By target, what can be learned; the same for every part of a data set.
        by_organisation: Whether `groups` are groups of the data, such as organisations, rather than near-duplicates.
        seen: Whether the encoder was fine-tuned on a ticket, bool of shape [n].
        used: Whether the encoder was fine-tuned or chosen on a ticket, bool of shape [n]. No gate is chosen on these
            where there are enough others.
        base_dim: Leading columns of `vectors` that come from an encoder which has seen no labels; None means all.
    """

    rows: Sequence[LabelledTicket]
    vectors: NDArray[np.float32]
    groups: NDArray[np.int64]
    index: NDArray[np.int64]
    labels: Labels
    by_organisation: bool = False
    seen: NDArray[np.bool_] = field(default_factory=lambda: np.zeros(0, dtype=bool))
    used: NDArray[np.bool_] = field(default_factory=lambda: np.zeros(0, dtype=bool))
    base_dim: int | None = None

    def __post_init__(self) -> None:
        """Take a ticket as neither seen nor used where nothing is said."""
        for name in ("seen", "used"):
            if not len(getattr(self, name)):
                object.__setattr__(self, name, np.zeros(len(self.rows), dtype=bool))

    @classmethod
    def of(
        cls,
        rows: Sequence[LabelledTicket],
        vectors: NDArray[np.float32],
        groups: NDArray[np.int64],
        *,
        by_organisation: bool = False,
    ) -> Sample:
        """Make a sample of a whole data set; what its tickets have often enough are the labels to learn.

        Args:
            rows: The n tickets.
            vectors: Their embeddings, float32 of shape [n, dim].
            groups: int64 of shape [n].
            by_organisation: Whether `groups` are groups of the data.
        """
        labels = labels_of(rows)
        return cls(
            rows,
            vectors,
            groups=groups if by_organisation else apart_where_recurring(rows, groups, labels),
            index=np.arange(len(rows)),
            labels=labels,
            by_organisation=by_organisation,
        )

    def __len__(self) -> int:
        """Return the number of tickets."""
        return len(self.rows)

    def take(self, index: NDArray[np.int64]) -> Sample:
        """Return the tickets at these positions of the sample, int64 of shape [m], in their order."""
        return replace(
            self,
            rows=[self.rows[position] for position in index],
            **{name: getattr(self, name)[index] for name in ("vectors", "groups", "index", "seen", "used")},
        )

    def label_ids(self, target: str) -> NDArray[np.int64]:
        """Return the label id of each ticket, int64 of shape [n]; see `label_ids_of`."""
        return label_ids_of(self.rows, target, self.labels[target]).astype(np.int64)


def apart_where_recurring(
    rows: Sequence[LabelledTicket], groups: NDArray[np.int64], labels: Labels
) -> NDArray[np.int64]:
    """Take a group of near-duplicates apart where it is all that a label has, such as one message of a monitor.

    In one fold together, such tickets would be scored by models that never met their label, and be wrong with full
    confidence: in traffic the message comes again, and the model knows it.

    Args:
        rows: The n tickets.
        groups: Group of each, int64 of shape [n].
        labels: By target, what can be learned.

    Returns:
        The groups with such tickets alone, int64 of shape [n].
    """
    apart = np.zeros(len(rows), dtype=bool)
    for target, names in labels.items():
        label_ids = label_ids_of(rows, target, names)
        for label in range(len(names)):
            own = label_ids == label
            together = np.flatnonzero(groups == groups[own][0]) if own.any() else np.zeros(0, dtype=np.int64)
            if own.sum() == own[together].sum() > len(together) / 2:
                apart[together[own[together]]] = True
    return np.where(apart, groups.max(initial=0) + 1 + np.arange(len(rows)), groups)


def labels_of(rows: Sequence[LabelledTicket]) -> dict[str, tuple[str, ...]]:
    """Return the labels of each target that has at least two frequent enough to learn, the category first."""
    found = {target: tuple(learnable(rows, target)[0]) for target in _in_order_of_learning(rows)}
    return {target: names for target, names in found.items() if names}


def _in_order_of_learning(rows: Sequence[LabelledTicket]) -> tuple[str, ...]:
    """Return the targets that have labels, first what folds are drawn by: the category, or else the group."""
    targets = in_order({target for row in rows for target in row.labels})
    first = [target for target in ("category", "resolver_group") if target in targets]
    return tuple(dict.fromkeys((*first, *targets)))


def label_ids_of(rows: Sequence[LabelledTicket], target: str, labels: Sequence[str]) -> NDArray[np.int32]:
    """Return the label id of each row, int32 of shape [n]: a position in `labels`, `EXCLUDED` or `UNLABELLED`."""
    position = {label: code for code, label in enumerate(labels)}
    found = (UNLABELLED if target not in row.labels else position.get(row.labels[target], EXCLUDED) for row in rows)
    return np.fromiter(found, dtype=np.int32, count=len(rows))
