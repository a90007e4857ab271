"""A graph of vectors (HNSW, by usearch) that finds near rows of many without looking at all of them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from usearch.index import Index

EXACT_ROWS = 8_192
"""Rows up to which every one is looked at: a product with so many takes half a millisecond, and misses none."""

_CONNECTIVITY, _BUILD_WIDTH, _SEARCH_WIDTH = 16, 128, 96
"""Links of a row, and rows that are held while one is put in and while one is looked for: bench/neighbours.py."""


class NeighbourGraph:
    """Rows of unit vectors, found by inner product; held as float16.

    Args:
        index: As usearch built or read it.
    """

    def __init__(self, index: Index) -> None:
        index.expansion_search = _SEARCH_WIDTH  # type: ignore[misc]  # it has a setter, which its stubs lack
        self._index = index

    @classmethod
    def of(cls, vectors: NDArray[np.float32], rows: NDArray[np.int64]) -> NeighbourGraph:
        """Build the graph of some rows.

        Args:
            vectors: float32 of shape [n, dim].
            rows: Positions of those to put in, int64 of shape [m].
        """
        index = Index(
            ndim=vectors.shape[1],
            metric="ip",
            dtype="f16",
            connectivity=_CONNECTIVITY,
            expansion_add=_BUILD_WIDTH,
            expansion_search=_SEARCH_WIDTH,
        )
        # On several threads the order of rows, and with it the graph, would be another one each time.
        index.add(rows, vectors[rows].astype(np.float16), threads=1)
        return cls(index)

    @classmethod
    def read(cls, content: NDArray[np.uint8], rows: int, dim: int) -> NeighbourGraph:
        """Read what `to_array` wrote.

        Args:
            content: uint8 of shape [bytes].
            rows: Rows that it must hold.
            dim: Length of a vector that it must have.

        Raises:
            ValueError: If it is no graph of such rows.
        """
        try:
            index = Index.restore(content.tobytes())
        except (RuntimeError, ValueError) as error:
            raise ValueError("graph that cannot be read") from error
        if index is None or len(index) != rows or index.ndim != dim:
            raise ValueError("graph of other rows")
        return cls(index)

    def to_array(self) -> NDArray[np.uint8]:
        """Return the graph as bytes, uint8 of shape [bytes]."""
        return np.frombuffer(bytes(self._index.save() or b""), dtype=np.uint8)

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self._index)

    def nearest(self, vectors: NDArray[np.float32], count: int) -> NDArray[np.int64]:
        """Return positions of the nearest rows of each of n vectors, int64 of shape [n, count], -1 for none."""
        taken = min(count, len(self))
        near = np.full((len(vectors), count), -1, dtype=np.int64)
        for row, vector in enumerate(vectors):
            keys = self._index.search(vector.astype(np.float16), taken, threads=1).keys
            near[row, : len(keys)] = keys.astype(np.int64)
        return near
