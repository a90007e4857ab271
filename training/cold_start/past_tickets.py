"""The past tickets of a bundle under a new policy and a newer export: which are known, and which nobody is shown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from models.reference.index import NeighbourIndex
from training.data.dataset import LabelledTicket

_SAME = 0.995
"""Cosine from which on two tickets of one id have the same text: another desk may number its own in the same way."""


def relabelled(
    history: NeighbourIndex, rows: Sequence[LabelledTicket], vectors: NDArray[np.float32], target: str
) -> tuple[NeighbourIndex, NDArray[np.bool_]]:
    """Give past tickets that an export has again the labels that they have there.

    A ticket is known where its text is, and its id; of two tickets of which one has no id the text alone tells.

    Args:
        history: The past tickets.
        rows: Tickets with a label of the target.
        vectors: Their embeddings, rounded as the history's are, float32 of shape [n, dim].
        target: Whose labels are taken over.

    Returns:
        The history, and which rows it does not have, bool of shape [n].
    """
    ids, free = np.array(history.ids, dtype=np.str_), np.ones(len(history.ids), dtype=bool)
    written, sensitive = list(history.written[target]), np.zeros(len(history.ids), dtype=bool)
    fresh = np.ones(len(rows), dtype=bool)
    for number, (row, vector) in enumerate(zip(rows, vectors, strict=True)):
        own_id = row.ticket.id
        may_be = np.flatnonzero(free & (ids == own_id) | free & (ids == "")) if own_id else np.flatnonzero(free)
        likeness = history.vectors[may_be] @ vector
        if not len(may_be) or likeness.max() < _SAME:
            continue
        place = may_be[int(likeness.argmax())]
        free[place], fresh[number] = False, False
        written[place], sensitive[place] = row.labels[target], row.sensitive
    known = replace(history, written={**history.written, target: tuple(written)})
    return closed(known, sensitive), fresh


def closed(history: NeighbourIndex, rows: NDArray[np.bool_] | None) -> NeighbourIndex:
    """Return the history with these tickets sensitive as well: their titles and endings are not kept.

    Args:
        history: The past tickets; its graphs are left out, as they were made for other parts.
        rows: Those to close, bool of shape [n]; None for none.
    """
    if rows is None or not rows.any():
        return history
    sensitive = history.sensitive | rows

    def kept(texts: Sequence[str]) -> tuple[str, ...]:
        return tuple("" if hidden else text for text, hidden in zip(texts, sensitive, strict=True))

    return replace(
        history,
        titles=kept(history.titles),
        endings=kept(history.endings) if history.endings else (),
        sensitive=sensitive,
        graphs={},
        withheld=None,
    )
