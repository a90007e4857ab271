"""Which tickets people should label next: unsure, typical, unlike what is labelled and one another, of rare labels."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

RARE = 1.0
"""How much more a ticket is worth that is surely of the rarest label, as a multiple: it may count twice, so that rare
labels come in early and the queue does not fill with them."""
NEIGHBOURS = 10
"""How many of the most alike tickets say how typical one is."""
TYPICAL = 2.0
"""The power of how typical a ticket is, by which its value is weighed: at 1 what is odd in itself comes too early, and
at 3 or 4 the picks crowd in one place."""
TAUGHT_BY = 3
"""How many of the most alike labelled tickets say how much of a ticket is known: one may be an odd one, ten blur it."""
_MOST_TAUGHT = 0.99
"""A ticket of which copies are labelled keeps a hundredth of its value: it comes last, and in order."""
CANDIDATES = 20
"""So many times the tickets wanted are looked at for how they differ: the ones of highest value. Only once, and the
picks are near copies of one another; all of them, and easy tickets come in because they are far from everything."""


def next_to_label(
    vectors: NDArray[np.float32],
    probabilities: NDArray[np.float64],
    labelled: NDArray[np.int64],
    how_many: int,
    *,
    taught: NDArray[np.float64] | None = None,
    typical: NDArray[np.float64] | None = None,
) -> NDArray[np.int64]:
    """Return the positions of the tickets to label next, the most useful first.

    A ticket's value is how close its two likeliest labels are (margin sampling: Scheffer, Decomain and Wrobel 2001),
    raised where it may be of a label that few tickets have, and weighed by how typical it is of those that wait
    (information density: Settles and Craven 2008): what is odd in itself teaches nothing about others. It is lowered
    where tickets very much like it are labelled already (as in the core sets of Sener and Savarese 2018): what the
    model is torn about although it has been told, it will not learn from being told again. Among the tickets of highest
    value those are taken that lie apart from the ones taken before, as equal tickets teach the same (Citovsky et al.
    2021, "Batch active learning at scale", choose from the smallest margins in the same way).

    Args:
        vectors: Embeddings of unit length, of shape [n, dim].
        probabilities: What the model says of each ticket, of shape [n, classes] with at least two classes.
        labelled: Tickets that have each label already, of shape [classes].
        how_many: How many are wanted; all where there are fewer.
        taught: How much labelled tickets are like each of these, as a cosine of shape [n]: what `likeness` says with
            `TAUGHT_BY`. None where nothing is labelled.
        typical: What `typicality` said of the tickets, of shape [n], where that was asked before.

    Returns:
        Positions of shape [min(how_many, n)].

    Example:
        >>> vectors = np.full((3, 1), 1, dtype=np.float32)
        >>> sure_and_unsure = np.array([[0.9, 0.1], [0.55, 0.45], [0.7, 0.3]])
        >>> next_to_label(vectors, sure_and_unsure, np.array([5, 5]), 2).tolist()
        [1, 2]
    """
    value = value_of(probabilities, labelled) * (typicality(vectors) if typical is None else typical) ** TYPICAL
    if taught is not None:
        value = value * (1 - np.clip(taught, 0, _MOST_TAUGHT))
    how_many = min(how_many, len(value))
    candidates = np.argsort(-value, kind="stable")[: how_many * CANDIDATES]
    worth, near = value[candidates], np.zeros(len(candidates))
    taken: list[int] = []
    for _ in range(how_many):
        place = int(np.argmax(worth * (1 - near)))
        taken.append(place)
        near = np.maximum(near, np.clip(vectors[candidates] @ vectors[candidates[place]], 0, 1))
        worth[place] = -np.inf
        near[place] = 0
    return candidates[taken]


def likeness(vectors: NDArray[np.float32], others: NDArray[np.float32], count: int = TAUGHT_BY) -> NDArray[np.float64]:
    """Return how near the nearest of other tickets are to each ticket on average, as a cosine of shape [n].

    Args:
        vectors: Embeddings of unit length, of shape [n, dim].
        others: Likewise, of shape [m, dim].
        count: How many of the nearest are averaged; all where there are fewer, and none is a likeness of zero.
    """
    if not len(others):
        return np.zeros(len(vectors))
    most = min(count, len(others))
    nearest = np.partition(vectors @ others.T, -most, axis=1)[:, -most:]
    return np.asarray(nearest.mean(axis=1), dtype=np.float64)


def typicality(vectors: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return how near the nearest other tickets are on average, as a cosine of shape [n], in [0.05, 1]."""
    if len(vectors) < 2:
        return np.ones(len(vectors))
    alike = vectors @ vectors.T
    np.fill_diagonal(alike, -1)
    most = min(NEIGHBOURS, len(vectors) - 1)
    nearest = np.partition(alike, -most, axis=1)[:, -most:]
    return np.asarray(np.clip(nearest.mean(axis=1), 0.05, 1), dtype=np.float64)


def value_of(probabilities: NDArray[np.float64], labelled: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return what labelling each ticket is worth before it is asked what others teach, of shape [n], in [0, 2]."""
    top = np.partition(probabilities, -2, axis=1)[:, -2:]
    unsure = 1 - (top[:, 1] - top[:, 0])
    rare = 1 / np.sqrt(1 + labelled)
    return np.asarray(unsure * (1 + RARE * (probabilities @ (rare / rare.max()))))
