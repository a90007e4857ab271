"""An encoder that remembers what it has encoded, with a progress bar for what is new."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from models.embedding_cache import EmbeddingCache
from models.encoder import Encoder, Progress
from models.home import triage_home
from models.terminal import progress as progress_bar


class CachedEncoder:
    """An encoder that looks up the vectors of texts that it has met before.

    Args:
        encoder: Encodes what is new.
        cache: File of the cache; None takes the one under `TRIAGE_HOME`.

    Attributes:
        name: Name of the encoder.
        dim: Length of a vector.
    """

    def __init__(self, encoder: Encoder, *, cache: Path | None = None) -> None:
        self.name = encoder.name
        self.dim = encoder.dim
        self._encoder = encoder
        self._cache = EmbeddingCache(cache) if cache else EmbeddingCache.under(triage_home())

    def encode(self, texts: Sequence[str], progress: Progress | None = None) -> NDArray[np.float32]:
        """Return the vectors of texts, float32 of shape [n, dim]; a bar is shown where nobody takes the progress."""
        with progress_bar(len(texts), "embedding", quiet=progress is not None) as bar:
            return self._cache.encode(self._encoder, texts, progress or bar.update)

    def truncates(self, texts: Sequence[str]) -> list[bool]:
        """Say for each text whether only its beginning is read."""
        return self._encoder.truncates(texts)
