"""Distillation of an encoder to one vector a token, without training (as Model2Vec does; Tulkens and van Dongen 2024).

Each token is encoded alone; the vectors are reduced to their principal components, and weighted by how rare the token
is in the desk's own texts (smooth inverse frequency; Arora, Liang and Ma 2017).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from models.cascade.student import TokenVectors
from models.embedding_cache import EmbeddingCache
from models.encoder import OnnxEncoder, Progress
from models.home import triage_home

SIZE = 256
"""Components kept: what Model2Vec keeps by default."""

_RARE = 1e-3
"""Share of all tokens at which one weighs half of what the rarest does, as in the paper on smooth inverse frequency."""


class TokenEncoder:
    """An encoder of single tokens, each named by its id, so that their vectors are remembered as those of texts are.

    Args:
        encoder: Whose tokens they are.
    """

    def __init__(self, encoder: OnnxEncoder) -> None:
        self.name = f"{encoder.name}:single-tokens"
        self.dim = encoder.dim
        self._encoder = encoder

    def encode(self, texts: Sequence[str], progress: Progress | None = None) -> NDArray[np.float32]:
        """Encode tokens, float32 of shape [n, dim].

        Args:
            texts: Their ids in digits.
            progress: Called with the number of tokens done since the last call.
        """
        vectors = self._encoder.token_vectors(np.array([int(text) for text in texts], dtype=np.int64))
        if progress is not None:
            progress(len(texts))
        return vectors

    def truncates(self, texts: Sequence[str]) -> list[bool]:
        """Say for each that all of it is read."""
        return [False] * len(texts)


class Distiller:
    """Makes token vectors of one encoder; each token is encoded once, whatever is asked how often.

    Args:
        encoder: What is distilled.
    """

    def __init__(self, encoder: OnnxEncoder) -> None:
        self.encoder = encoder
        self._cache = EmbeddingCache.under(triage_home())
        self._vectors = np.zeros((encoder.tokens.size, encoder.dim), dtype=np.float32)
        self._is_known = np.zeros(len(self._vectors), dtype=bool)

    def distil(self, texts: Sequence[str]) -> TokenVectors:
        """Return the token vectors for a desk that writes such texts; tokens that occur in none have no vector."""
        tokens, most = self.encoder.tokens, self.encoder.max_tokens
        read = np.concatenate([np.zeros(0, np.int64), *(tokens.read(text, most) for text in texts)])
        counts = np.bincount(read, minlength=len(self._vectors))
        counts[[*tokens.before, *tokens.after]] = 0
        found = np.flatnonzero(counts)
        new = found[~self._is_known[found]]
        self._vectors[new], self._is_known[new] = self._of_tokens(new), True
        vectors = self._vectors[found] - self._vectors[found].mean(axis=0)
        size = min(SIZE, self.encoder.dim, max(1, len(found)))
        directions = np.linalg.eigh(vectors.T.astype(np.float64) @ vectors)[1][:, ::-1][:, :size]
        share = counts[found] / counts.sum()
        weighted = (vectors @ directions) * (_RARE / (_RARE + share))[:, None]
        rows = np.full(len(self._vectors), len(found), dtype=np.int32)
        rows[found] = np.arange(len(found))
        return TokenVectors(tokens, most, rows, np.concatenate([weighted, np.zeros((1, size))]).astype(np.float16))

    def _of_tokens(self, ids: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return vectors of single tokens, float32 of shape [n, dim], without a word: a process beside asks too."""
        return self._cache.encode(TokenEncoder(self.encoder), [str(one) for one in ids.tolist()])
