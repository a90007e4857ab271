"""A student of the encoder: it guesses the vector of a text from words, n-grams and tokens, by one linear map."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from models.features.tokens import Tokens
from models.features.vectorizer import SparseRows


@dataclass(frozen=True)
class TokenVectors:
    """One vector a token, averaged over a text: what the encoder makes of each token alone.

    Attributes:
        tokens: Of the encoder.
        most: Tokens of a text that the encoder reads at most.
        rows: Row in `table` of each token id, int32 of shape [vocabulary]; the last row where it has none.
        table: float16 of shape [tokens + 1, size], weighted by how much a token says; the last row is zero.
    """

    tokens: Tokens
    most: int
    rows: NDArray[np.int32]
    table: NDArray[np.float16]

    def of(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return float32 of shape [n, size], each row of length 1, or 0 where no token is known."""
        vectors = np.zeros((len(texts), self.table.shape[1]), dtype=np.float32)
        for row, text in enumerate(texts):
            total = self.table[self.rows[self.tokens.read(text, self.most)]].astype(np.float32).sum(axis=0)
            vectors[row] = total / max(float(np.linalg.norm(total)), 1e-9)
        return vectors

    def is_cut(self, text: str) -> bool:
        """Say whether the encoder reads only the beginning of a text."""
        return self.tokens.is_cut(text, self.most)


@dataclass(frozen=True)
class Student:
    """Guesses vectors of an encoder, at a thirtieth of its cost.

    Attributes:
        token_vectors: Of single tokens.
        columns: What each lexical or field column adds along each direction, in steps of `steps`; int8 of shape
            [columns, directions].
        steps: float32 of shape [columns].
        of_tokens: What the mean of the tokens adds, float32 of shape [size of a token's vector, directions].
        mean: Mean vector of the texts that it learned from, float32 of shape [dim].
        directions: Directions in which these texts differ most, float32 of shape [directions, dim].
    """

    token_vectors: TokenVectors
    columns: NDArray[np.int8]
    steps: NDArray[np.float32]
    of_tokens: NDArray[np.float32]
    mean: NDArray[np.float32]
    directions: NDArray[np.float32]

    @cached_property
    def basis(self) -> NDArray[np.float32]:
        """What every guess is a combination of, the directions and the mean; float32 of shape [directions + 1, dim]."""
        return np.vstack([self.directions, self.mean])

    def coordinates(self, texts: Sequence[str], rows: SparseRows) -> NDArray[np.float32]:
        """Return the vectors that the encoder might give, as combinations of `basis`.

        Args:
            texts: n of them.
            rows: Their lexical and field columns.

        Returns:
            float32 of shape [n, directions + 1]; times `basis` these are vectors of length 1.
        """
        along = self.token_vectors.of(texts) @ self.of_tokens
        for row in range(len(along)):
            span = slice(rows.starts[row], rows.starts[row + 1])
            own = rows.columns[span]
            along[row] += (rows.values[span] * self.steps[own]) @ self.columns[own].astype(np.float32)
        found = np.hstack([along, np.ones((len(along), 1), dtype=np.float32)])
        lengths = np.sqrt(np.einsum("ij,ij->i", found @ self._products, found))
        return np.asarray(found / np.maximum(lengths, 1e-9)[:, None], dtype=np.float32)

    @cached_property
    def _products(self) -> NDArray[np.float32]:
        return self.basis @ self.basis.T

    def truncates(self, texts: Sequence[str]) -> list[bool]:
        """Say for each text whether the encoder would read only its beginning."""
        return [self.token_vectors.is_cut(text) for text in texts]
