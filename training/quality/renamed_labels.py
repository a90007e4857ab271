"""Labels that were renamed over time: one ends when another begins, and their tickets read alike."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import product

import numpy as np
from numpy.typing import NDArray

from training.data.labelled_ticket import LabelledTicket

_LEAST_ROWS = 10
"""Tickets that each of the two needs: a rare label ends and begins by chance."""

_OVERLAP = 0.1
"""Share of the whole time by which the two may overlap, or lie apart."""

_EDGE = 0.05
"""Share of the whole time at either end in which nothing is said to have ended or begun."""

_ALIKE, _LEAD = 0.3, 0.05
"""Cosine of the mean TF-IDF vectors of the two, and by how much it must exceed that with any label that went on."""


@dataclass(frozen=True)
class Renamed:
    """A label that probably became another.

    Attributes:
        old: The label that ended.
        new: The label that began.
        at: When the new one was first used.
        alike: Cosine of their mean TF-IDF vectors, in [0, 1].
        rows: Tickets with the old label.
    """

    old: str
    new: str
    at: datetime
    alike: float
    rows: int


def renamed_labels(rows: Sequence[LabelledTicket], target: str) -> Iterator[Renamed]:
    """Yield labels of a target that were probably renamed, each once, the most alike first.

    Args:
        rows: The history.
        target: Such as ``category``.
    """
    dated = [row for row in rows if target in row.labels and row.ticket.opened_at is not None]
    spans = _spans(dated, target)
    if len(spans) < 2:
        return
    first, last = min(start for start, _, _ in spans.values()), max(end for _, end, _ in spans.values())
    whole = (last - first).total_seconds()
    ended = [label for label, (_, end, _) in spans.items() if (last - end).total_seconds() > _EDGE * whole]
    begun = [label for label, (start, _, _) in spans.items() if (start - first).total_seconds() > _EDGE * whole]
    pairs = [
        (old, new)
        for old, new in product(ended, begun)
        if old != new and abs((spans[new][0] - spans[old][1]).total_seconds()) <= _OVERLAP * whole
    ]
    if not pairs:
        return
    alike = _likeness(dated, target, list(spans))
    names = list(spans)
    found = []
    for old, new in pairs:
        here = float(alike[names.index(old), names.index(new)])
        others = [float(alike[names.index(old), names.index(name)]) for name in names if name not in (old, new)]
        if here >= _ALIKE and here >= max(others, default=0.0) + _LEAD:
            found.append(Renamed(old, new, at=spans[new][0], alike=here, rows=spans[old][2]))
    taken: set[str] = set()
    for one in sorted(found, key=lambda pair: -pair.alike):
        if not {one.old, one.new} & taken:
            taken |= {one.old, one.new}
            yield one


def _spans(rows: Sequence[LabelledTicket], target: str) -> dict[str, tuple[datetime, datetime, int]]:
    """Return the first and last date of each label with enough tickets, and how many it has."""
    moments: dict[str, list[datetime]] = {}
    for row in rows:
        if row.ticket.opened_at is not None:
            moments.setdefault(row.labels[target], []).append(row.ticket.opened_at)
    return {label: (min(all_of), max(all_of), len(all_of)) for label, all_of in sorted(moments.items())
            if len(all_of) >= _LEAST_ROWS}  # fmt: skip


def _likeness(rows: Sequence[LabelledTicket], target: str, labels: Sequence[str]) -> NDArray[np.float64]:
    """Return the cosines of the labels' mean TF-IDF vectors, shape [labels, labels]."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.metrics.pairwise import cosine_similarity

    chosen = [row for row in rows if row.labels[target] in labels]
    vectors = TfidfVectorizer(sublinear_tf=True, stop_words="english", min_df=2).fit_transform(
        [row.ticket.text for row in chosen]
    )
    of = np.array([labels.index(row.labels[target]) for row in chosen])
    means = np.vstack([np.asarray(vectors[of == code].mean(axis=0)) for code in range(len(labels))])
    likeness: NDArray[np.float64] = cosine_similarity(means)
    return likeness
