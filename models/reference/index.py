"""The desk's history as vectors: similar tickets for people to see, and votes for the heads."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from triage.prediction import Neighbour

NEAR = 25
"""Neighbours that the heads and the novelty look at."""

EXCLUDED = -1
"""Code of a label too rare to learn."""

UNLABELLED = -2
"""Code of a row without a label for the target."""

_BLOCK = 256

SHUT = -4.0
"""Score of a pair that must not meet."""

Near = tuple[NDArray[np.int64], NDArray[np.float32], NDArray[np.int64], NDArray[np.float32]]
"""Rows and similarities by meaning, then by meaning and words together, each of shape [n, k], most similar first."""


@dataclass(frozen=True)
class NeighbourIndex:
    """Vectors of past tickets with their labels; the texts stay where the tickets are.

    Attributes:
        vectors: float32 of shape [n, dim], rows of length 1.
        topics: What `LsaProjection` says of their words, float32 of shape [n, topics].
        ids: The helpdesk's identifiers.
        titles: Subject lines to show; empty for sensitive tickets.
        labels: Per target, the labels that `label_ids` counts in.
        label_ids: Per target, int32 of shape [n]: a place in `labels`, `EXCLUDED` or `UNLABELLED`.
        sensitive: Rows that only a sufficient clearance may see; bool of shape [n].
        written: Per target and row, the label as it was written, rare ones included.
    """

    vectors: NDArray[np.float32]
    topics: NDArray[np.float32]
    ids: tuple[str, ...]
    titles: tuple[str, ...]
    labels: Mapping[str, tuple[str, ...]]
    label_ids: Mapping[str, NDArray[np.int32]]
    sensitive: NDArray[np.bool_]
    written: Mapping[str, tuple[str | None, ...]]

    def nearest(self, vectors: NDArray[np.float32], topics: NDArray[np.float32], count: int = NEAR) -> Near:
        """Return the nearest tickets by meaning, and by meaning and words together.

        Where the history is shorter than `count` the rest is -1, with a similarity of 0.
        """
        found = []
        for start in range(0, max(1, len(vectors)), _BLOCK):
            part = slice(start, start + _BLOCK)
            by_meaning = vectors[part] @ self.vectors.T
            together = (by_meaning + topics[part] @ self.topics.T) * np.float32(0.5)
            found.append((*top_k(by_meaning, count), *top_k(together, count)))
        near, similarity, hybrid_near, hybrid_similarity = (np.concatenate(parts) for parts in zip(*found, strict=True))
        return near, similarity, hybrid_near, hybrid_similarity

    @cached_property
    def _open(self) -> NDArray[np.int64]:
        return np.flatnonzero(~self.sensitive)

    @cached_property
    def _open_vectors(self) -> NDArray[np.float32]:
        return self.vectors if not self.sensitive.any() else self.vectors[self._open]

    def similar(self, vector: NDArray[np.float32], count: int, may_see_sensitive: bool) -> tuple[Neighbour, ...]:
        """Return what a reader may see of the most similar tickets; the others are not even searched."""
        rows, vectors = (
            (np.arange(len(self.ids)), self.vectors) if may_see_sensitive else (self._open, self._open_vectors)
        )
        found, similarity = most_similar(vector[None, :], vectors, min(count, len(rows)))
        shown = [
            (int(rows[place]), float(value)) for place, value in zip(found[0], similarity[0], strict=True) if place >= 0
        ]
        return tuple(
            Neighbour(
                self.ids[row],
                round(value, 3),
                {target: label for target, names in self.written.items() if (label := names[row])},
                self.titles[row],
            )
            for row, value in shown
        )


def most_similar(
    queries: NDArray[np.float32], vectors: NDArray[np.float32], count: int
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Find the most similar rows of `vectors` for each query, as `top_k` returns them.

    Args:
        queries: Unit vectors of shape [n, dim].
        vectors: Unit vectors of shape [m, dim].
        count: How many.
    """
    return top_k(queries @ vectors.T, count)


def top_k(scores: NDArray[np.float32], count: int) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Find the highest scores of each row.

    Args:
        scores: Of shape [n, m]; `SHUT` marks pairs that must not meet.
        count: How many.

    Returns:
        Columns, int64 of shape [n, count], highest first, -1 where there are too few; and the scores, 0 there.
    """
    near = np.full((len(scores), count), -1, dtype=np.int64)
    similarity = np.zeros((len(scores), count), dtype=np.float32)
    taken = min(count, scores.shape[1])
    if not taken or not len(scores):
        return near, similarity
    last = scores.shape[1] - taken
    part = np.argpartition(scores, last, axis=1)[:, last:] if last else np.tile(np.arange(taken), (len(scores), 1))
    values = np.take_along_axis(scores, part, axis=1)
    order = np.lexsort((part, -values), axis=1)
    near[:, :taken] = np.take_along_axis(part, order, axis=1)
    similarity[:, :taken] = np.take_along_axis(values, order, axis=1)
    near[similarity <= SHUT / 2] = -1
    similarity[near < 0] = 0.0
    return near, similarity
