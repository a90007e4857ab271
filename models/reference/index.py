"""The index of past tickets: similar tickets for people to see, and votes for the heads."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from triage.prediction import Neighbour

NEAR = 25
"""Neighbours that the heads and the novelty look at."""

EXCLUDED = -1
"""Label id of a label too rare to learn."""

UNLABELLED = -2
"""Label id of a ticket without a label for the target."""

_BLOCK = 256

MASKED = -4.0
"""Score of a pair that must not count as neighbours; no cosine similarity is as low."""


class Neighbours(NamedTuple):
    """The past tickets nearest to each of n tickets, most similar first, by two measures.

    Attributes:
        near: Positions of the nearest by the embedding, int64 of shape [n, k], -1 for none.
        similarity: Their cosine similarities, float32 of shape [n, k].
        hybrid_near: As `near`, by the mean similarity of embedding and LSA components.
        hybrid_similarity: Their mean similarities.
    """

    near: NDArray[np.int64]
    similarity: NDArray[np.float32]
    hybrid_near: NDArray[np.int64]
    hybrid_similarity: NDArray[np.float32]

    @classmethod
    def of(cls, dense: NDArray[np.float32], topics: NDArray[np.float32], count: int) -> Neighbours:
        """Find the nearest by similarities of embeddings and of LSA components, each of shape [n, past tickets]."""
        return cls(*top_k(dense, count), *top_k((dense + topics) * np.float32(0.5), count))

    @classmethod
    def joined(cls, blocks: Iterable[Neighbours]) -> Neighbours:
        """Put the neighbours of blocks of tickets one below the other."""
        near, similarity, hybrid_near, hybrid_similarity = map(np.concatenate, zip(*blocks, strict=True))
        return cls(near, similarity, hybrid_near, hybrid_similarity)


@dataclass(frozen=True)
class NeighbourIndex:
    """Vectors of past tickets with their labels; the texts stay where the tickets are.

    Attributes:
        vectors: float32 of shape [n, dim], rows of length 1.
        topics: LSA components of their words, float32 of shape [n, topics].
        ids: The helpdesk's identifiers.
        titles: Subject lines to show; empty for sensitive tickets.
        labels: Per target, the labels that `label_ids` counts in.
        label_ids: Per target, int32 of shape [n]: a position in `labels`, `EXCLUDED` or `UNLABELLED`.
        sensitive: Rows that only a sufficient clearance may see; bool of shape [n].
        written: Per target and row, the label as it was written, rare ones included.
        endings: What ended each, in words; empty for sensitive tickets and where nobody wrote it down; no entries where
            the bundle is older than they are.
    """

    vectors: NDArray[np.float32]
    topics: NDArray[np.float32]
    ids: tuple[str, ...]
    titles: tuple[str, ...]
    labels: Mapping[str, tuple[str, ...]]
    label_ids: Mapping[str, NDArray[np.int32]]
    sensitive: NDArray[np.bool_]
    written: Mapping[str, tuple[str | None, ...]]
    endings: tuple[str, ...] = ()

    def nearest(self, vectors: NDArray[np.float32], topics: NDArray[np.float32], count: int = NEAR) -> Neighbours:
        """Return the past tickets nearest to each of n tickets.

        Args:
            vectors: Unit vectors, float32 of shape [n, dim].
            topics: LSA components, float32 of shape [n, topics].
            count: Neighbours per ticket. Where the index is shorter the rest is -1, with a similarity of 0.
        """
        blocks = (slice(start, start + _BLOCK) for start in range(0, max(1, len(vectors)), _BLOCK))
        return Neighbours.joined(
            Neighbours.of(vectors[block] @ self.vectors.T, topics[block] @ self.topics.T, count) for block in blocks
        )

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
        found, similarity = top_k(vector[None, :] @ vectors.T, min(count, len(rows)))
        shown = [
            (int(rows[position]), float(value))
            for position, value in zip(found[0], similarity[0], strict=True)
            if position >= 0
        ]
        return tuple(
            Neighbour(
                self.ids[row],
                round(value, 3),
                {target: label for target, names in self.written.items() if (label := names[row])},
                title=self.titles[row],
                ending=self.endings[row] if self.endings else "",
            )
            for row, value in shown
        )


def top_k(scores: NDArray[np.float32], count: int) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Find the highest scores of each row.

    Args:
        scores: Of shape [n, m]; `MASKED` marks pairs that must not count.
        count: How many per row.

    Returns:
        Their columns, int64 of shape [n, count], highest first, -1 where there are too few; and the scores, 0 there.
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
    near[similarity <= MASKED / 2] = -1
    similarity[near < 0] = 0.0
    return near, similarity
