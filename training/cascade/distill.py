"""Distillation of an encoder to one vector a token, without training (as Model2Vec does; Tulkens and van Dongen 2024).

Each token is encoded alone; the vectors are reduced to their principal components, and weighted by how rare the token
is in the desk's own texts (smooth inverse frequency; Arora, Liang and Ma 2017).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from models.cascade.static_encoder import StaticEncoder
from models.encoder import OnnxEncoder

DIM = 256
"""Components kept: what Model2Vec keeps by default. The table takes 16 MB for a vocabulary of 30,000 tokens."""

_RARE = 1e-3
"""Share of all tokens at which one weighs half of what the rarest does, as in the paper on smooth inverse frequency."""


class Distiller:
    """Makes static encoders of one encoder; each token is encoded once, whatever is asked how often.

    Args:
        encoder: What is distilled.
    """

    def __init__(self, encoder: OnnxEncoder) -> None:
        self.encoder = encoder
        self._vectors = np.zeros((encoder.tokenizer.get_vocab_size(), encoder.dim), dtype=np.float32)
        self._is_known = np.zeros(len(self._vectors), dtype=bool)

    def distil(self, texts: Sequence[str]) -> StaticEncoder:
        """Return the static encoder for a desk that writes such texts; tokens that occur in none have no vector."""
        tokenizer = self.encoder.tokenizer
        tokens = np.array([token for text in texts for token in tokenizer.encode(text).ids], dtype=np.int64)
        counts = np.bincount(tokens, minlength=len(self._vectors))
        counts[tokenizer.encode("").ids] = 0
        found = np.flatnonzero(counts)
        new = found[~self._is_known[found]]
        self._vectors[new], self._is_known[new] = self.encoder.token_vectors(new), True
        vectors = self._vectors[found] - self._vectors[found].mean(axis=0)
        dim = min(DIM, self.encoder.dim, max(1, len(found)))
        directions = np.linalg.eigh(vectors.T.astype(np.float64) @ vectors)[1][:, ::-1][:, :dim]
        share = counts[found] / counts.sum()
        table = np.zeros((len(self._vectors), dim), dtype=np.float16)
        table[found] = (vectors @ directions) * (_RARE / (_RARE + share))[:, None]
        return StaticEncoder(f"static:{dim}:{self.encoder.name}", tokenizer, table)


def static_vectors(encoder: StaticEncoder, texts: Sequence[str]) -> NDArray[np.float32]:
    """Encode texts, rounded as the index of past tickets stores them; float32 of shape [n, dim]."""
    return encoder.encode(texts).astype(np.float16).astype(np.float32)
