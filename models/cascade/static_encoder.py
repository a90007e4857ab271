"""A static encoder: one vector a token, averaged; distilled from a transformer, and read without one."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from models.encoder import Progress, cut_texts


class StaticEncoder:
    """Turns a text into the mean of its tokens' vectors, which takes a fiftieth of what a transformer takes.

    Args:
        name: What it is, stable over processes.
        tokenizer: Of the transformer that it was distilled from.
        table: Vector of each token id, weighted by how much the token says, float16 of shape [tokens, dim]; zero for
            tokens that were not distilled.
    """

    def __init__(self, name: str, tokenizer: Tokenizer, table: NDArray[np.float16]) -> None:
        self.name = name
        self.dim = int(table.shape[1])
        self.table = table
        self._tokenizer = tokenizer

    def encode(self, texts: Sequence[str], progress: Progress | None = None) -> NDArray[np.float32]:
        """Encode texts as float32 of shape [n, dim], of length 1, or 0 where no token is known."""
        vectors = np.zeros((len(texts), self.dim), dtype=np.float32)
        for row, text in enumerate(texts):
            total = self.table[self._tokenizer.encode(text).ids].astype(np.float32).sum(axis=0)
            vectors[row] = total / max(float(np.linalg.norm(total)), 1e-9)
            if progress is not None:
                progress(1)
        return vectors

    def truncates(self, texts: Sequence[str]) -> list[bool]:
        """Say for each text whether only its beginning is read."""
        return cut_texts(self._tokenizer, texts)
