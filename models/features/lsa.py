"""Latent semantic analysis: words as some hundred directions, learned from the helpdesk's own tickets."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from models.features.vectorizer import SparseRows


@dataclass(frozen=True)
class LsaProjection:
    """A projection of single words (Deerwester et al. 1990): tickets that share a vocabulary come to lie together.

    Attributes:
        columns: Lexical columns that are read, int32 of shape [words], ascending.
        directions: Their directions, float32 of shape [words, dim].
    """

    columns: NDArray[np.int32]
    directions: NDArray[np.float32]

    @property
    def dim(self) -> int:
        """Length of a vector."""
        return int(self.directions.shape[1])

    @cached_property
    def _positions(self) -> NDArray[np.int32]:
        """Position in `columns` of each lexical column, -1 where it is not read; int32."""
        positions = np.full(int(self.columns.max(initial=-1)) + 1, -1, dtype=np.int32)
        positions[self.columns] = np.arange(len(self.columns), dtype=np.int32)
        return positions

    def project(self, rows: SparseRows) -> NDArray[np.float32]:
        """Return unit vectors of shape [n, dim]; zero where no word is known."""
        starts, columns, values, _ = rows
        out = np.zeros((len(starts) - 1, self.dim), dtype=np.float32)
        positions = self._positions
        for row in range(len(out)):
            span = slice(starts[row], starts[row + 1])
            inside = columns[span] < len(positions)
            words = positions[columns[span][inside]]
            known = words >= 0
            out[row] = values[span][inside][known] @ self.directions.take(words[known], axis=0)
        lengths = np.linalg.norm(out, axis=1, keepdims=True)
        return np.asarray(np.where(lengths > 1e-9, out / np.maximum(lengths, 1e-9), 0.0), dtype=np.float32)

    def of_none(self, count: int) -> NDArray[np.float32]:
        """Return the vectors of so many tickets none of whose words is read, of shape [count, dim]."""
        return np.zeros((count, self.dim), dtype=np.float32)


NO_TOPICS = LsaProjection(np.zeros(0, dtype=np.int32), np.zeros((0, 1), dtype=np.float32))
"""Reads no word: for models that do without."""
