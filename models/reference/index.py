"""The index of past tickets: similar tickets for people to see, and votes for the heads."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.reference.graph import EXACT_ROWS, NeighbourGraph
from triage.prediction import Neighbour

NEAR = 60
"""Neighbours that the heads and the novelty look at."""

EXCLUDED = -1
"""Label id of a label too rare to learn."""

UNLABELLED = -2
"""Label id of a ticket without a label for the target."""

OPEN, SENSITIVE, BOTH = "open", "sensitive", "both"
"""Names of the graphs: of tickets that everybody may see, of the others, and of all by embedding and LSA components."""

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
        """Find the nearest by similarities of embeddings and of LSA components, each of shape [n, past tickets].

        The mean of both takes the place of the former: a third array of that shape would be half as much memory again.
        """
        by_embedding = top_k(dense, count)
        dense += topics
        dense *= np.float32(0.5)
        return cls(*by_embedding, *top_k(dense, count))

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
        graphs: What finds near rows in a part too large to look through, by the part's name; see `indexed`.
        withheld: Rows that are shown to no one either whom the sensitive ones are not, as a policy has it that came
            after the training; bool of shape [n], None for none.
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
    graphs: Mapping[str, NeighbourGraph] = field(default_factory=dict)
    withheld: NDArray[np.bool_] | None = None

    def withholding(self, target: str, labels: Collection[str]) -> NeighbourIndex:
        """Return the same index, which shows tickets with one of these labels only to whom it shows sensitive ones."""
        rows = np.array([label in labels for label in self.written.get(target, ())], dtype=np.bool_)
        return replace(self, withheld=rows if rows.any() else None)

    def nearest(self, vectors: NDArray[np.float32], topics: NDArray[np.float32], count: int = NEAR) -> Neighbours:
        """Return the past tickets nearest to each of n tickets.

        Args:
            vectors: Unit vectors, float32 of shape [n, dim].
            topics: LSA components, float32 of shape [n, topics].
            count: Neighbours per ticket. Where the index is shorter the rest is -1, with a similarity of 0.
        """
        if self.graphs:
            dense = self._by_parts(vectors, count)
            return Neighbours(*dense, *self._nearest_by_both(vectors, topics, count))
        blocks = (slice(start, start + _BLOCK) for start in range(0, max(1, len(vectors)), _BLOCK))
        return Neighbours.joined(
            Neighbours.of(vectors[block] @ self.vectors.T, topics[block] @ self.topics.T, count) for block in blocks
        )

    def in_terms_of(self, basis: NDArray[np.float32]) -> NeighbourIndex:
        """Return an index without graphs that is asked for combinations of a basis: it finds what their sums would.

        Args:
            basis: Vectors, float32 of shape [m, dim]; a row of m numbers says how much of each.
        """
        return replace(self, vectors=self.vectors @ basis.T, graphs={})

    def likeness(self, vectors: NDArray[np.float32], count: int) -> NDArray[np.float64]:
        """Return how near the nearest past tickets are to each of n tickets on average, as a cosine of shape [n].

        Args:
            vectors: Unit vectors, float32 of shape [n, dim].
            count: How many are averaged; all where there are fewer, and none is a likeness of zero.
        """
        near, values = self._by_parts(vectors, count)
        there = near >= 0
        return np.asarray(np.where(there, values, 0).sum(axis=1) / np.maximum(there.sum(axis=1), 1), dtype=np.float64)

    def indexed(self) -> NeighbourIndex:
        """Return the same index with a graph for each part that is too large to look through.

        Tickets that only some may see are a part of their own: who may not is answered from the others' graph alone.
        """
        parts = {OPEN: self._open, SENSITIVE: np.flatnonzero(self.sensitive)}
        wanted = {name: (self.vectors, rows) for name, rows in parts.items() if len(rows) > EXACT_ROWS}
        if wanted and self.topics.any():
            wanted[BOTH] = side_by_side(self.vectors, self.topics), np.arange(len(self.ids))
        with ThreadPoolExecutor() as threads:  # usearch works without the interpreter's lock
            built = threads.map(lambda one: NeighbourGraph.of(*one), wanted.values())
            return replace(self, graphs=dict(zip(wanted, built, strict=True)))

    def _by_parts(self, vectors: NDArray[np.float32], count: int) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Search the open part and the sensitive one; as `top_k` returns it."""
        found = [self._in_part(OPEN, vectors, count)]
        if self._any_sensitive:
            found.append(self._in_part(SENSITIVE, vectors, count))
        rows = np.concatenate([near for near, _ in found], axis=1)
        similarity = np.concatenate([np.where(near >= 0, values, MASKED) for near, values in found], axis=1)
        place, values = top_k(similarity.astype(np.float32), count)
        near = np.take_along_axis(rows, np.maximum(place, 0), axis=1)
        return np.where(place >= 0, near, -1), values

    def _in_part(
        self, part: str, vectors: NDArray[np.float32], count: int
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        if part in self.graphs:
            return _scored(self.graphs[part].nearest(vectors, count), self.vectors, vectors)
        return _within(self._open_part if part == OPEN else self._sensitive_part, vectors, count)

    def _nearest_by_both(
        self, vectors: NDArray[np.float32], topics: NDArray[np.float32], count: int
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Search by the mean similarity of embedding and LSA components; none where there are no components."""
        if BOTH not in self.graphs:
            return np.full((len(vectors), count), -1, dtype=np.int64), np.zeros((len(vectors), count), np.float32)
        near = self.graphs[BOTH].nearest(side_by_side(vectors, topics), count)
        by_vectors, by_topics = (
            _similarities(near, past, own) for past, own in ((self.vectors, vectors), (self.topics, topics))
        )
        return _ordered(near, (by_vectors + by_topics) * np.float32(0.5))

    @cached_property
    def _any_sensitive(self) -> bool:
        return bool(self.sensitive.any())

    @cached_property
    def _open(self) -> NDArray[np.int64]:
        return np.flatnonzero(~self.sensitive)

    @cached_property
    def _shown(self) -> NDArray[np.bool_]:
        """Rows that everybody may be shown."""
        return ~self.sensitive if self.withheld is None else ~(self.sensitive | self.withheld)

    @cached_property
    def _shown_part(self) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        rows = np.flatnonzero(self._shown)
        return rows, self.vectors[rows]

    def _shown_to_all(self, vectors: NDArray[np.float32], count: int) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Search what everybody may be shown; a graph has the rows that are withheld too, so they are passed over."""
        if self.withheld is None:
            return self._in_part(OPEN, vectors, count)
        if OPEN not in self.graphs:
            return _within(self._shown_part, vectors, count)
        near, similarity = self._in_part(OPEN, vectors, max(count, NEAR))
        near, similarity = _ordered(np.where(self._shown[near], near, -1), similarity)
        return near[:, :count], similarity[:, :count]

    @cached_property
    def _open_part(self) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        return self._open, self.vectors if not self._any_sensitive else self.vectors[self._open]

    @cached_property
    def _sensitive_part(self) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        rows = np.flatnonzero(self.sensitive)
        return rows, self.vectors[rows]

    def similar(
        self,
        vector: NDArray[np.float32],
        count: int,
        may_see_sensitive: bool,
        nearest: tuple[NDArray[np.int64], NDArray[np.float32]] | None = None,
    ) -> tuple[Neighbour, ...]:
        """Return what a reader may see of the most similar tickets; the others are not even searched.

        Args:
            vector: Of length 1, float32 of shape [dim].
            count: How many are shown at most.
            may_see_sensitive: Whether all may be shown.
            nearest: Rows and similarities of the nearest of all, where they are known: they serve where no ticket is
                hidden from the reader.
        """
        if nearest is not None and (may_see_sensitive or self._shown.all()):
            found, similarity = nearest[0][None, :count], nearest[1][None, :count]
        elif may_see_sensitive:
            found, similarity = self._by_parts(vector[None, :], count)
        else:
            found, similarity = self._shown_to_all(vector[None, :], count)
        shown = [(int(row), float(value)) for row, value in zip(found[0], similarity[0], strict=True) if row >= 0]
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


def _within(
    part: tuple[NDArray[np.int64], NDArray[np.float32]], vectors: NDArray[np.float32], count: int
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Search a part, its rows and their vectors, through; as `top_k` returns it."""
    rows, own = part
    place, values = top_k(vectors @ own.T, count)
    return np.where(place >= 0, rows[np.maximum(place, 0)], -1) if len(rows) else place, values


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
    if not taken:
        return near, similarity
    last = scores.shape[1] - taken
    for row, own in enumerate(scores):
        part = np.argpartition(own, last)[last:] if last else np.arange(taken)
        part = part[np.lexsort((part, -own[part]))]
        near[row, :taken], similarity[row, :taken] = part, own[part]
    near[similarity <= MASKED / 2] = -1
    similarity[near < 0] = 0.0
    return near, similarity


def side_by_side(vectors: NDArray[np.float32], topics: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return vectors whose inner product is the mean of those of embeddings and of LSA components."""
    return np.hstack([vectors, topics]) * np.float32(np.sqrt(0.5))


def _similarities(near: NDArray[np.int64], past: NDArray[np.float32], own: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the inner products of vectors of shape [n, dim] with the rows found for each, of shape [n, count]."""
    return np.asarray(np.einsum("ijk,ik->ij", past[np.maximum(near, 0)], own), dtype=np.float32)


def _scored(
    near: NDArray[np.int64], past: NDArray[np.float32], own: NDArray[np.float32]
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Return rows found with their exact similarities, most similar first; as `top_k` returns them."""
    return _ordered(near, _similarities(near, past, own))


def _ordered(near: NDArray[np.int64], similarity: NDArray[np.float32]) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    place, values = top_k(np.where(near >= 0, similarity, np.float32(MASKED)), near.shape[1])
    return np.where(place >= 0, np.take_along_axis(near, np.maximum(place, 0), axis=1), -1), values
