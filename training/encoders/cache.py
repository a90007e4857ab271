"""Embeddings of a data set, each text computed once per encoder and kept as `.npy` under `TRIAGE_HOME`."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from models.encoder import Encoder, Progress
from models.home import triage_home
from training.terminal import progress as bar_for

_KEY_BYTES = 16
_SEGMENT = 4096
Digests = NDArray[np.void]


def embed(
    encoder: Encoder, texts: Sequence[str], *, cache: Path | None = None, quiet: bool = False
) -> NDArray[np.float32]:
    """Return the vectors of texts, float32 of shape [n, dim]; only texts never seen before are encoded.

    Args:
        encoder: Its name is part of the key: another encoder never meets these vectors.
        texts: What to encode; equal texts are encoded once.
        cache: Directory of the cache; None puts it under `TRIAGE_HOME`.
        quiet: Whether to leave out the progress bar.
    """
    local_store = _Shelf(
        (cache or triage_home() / "cache" / "embeddings") / hashlib.sha256(encoder.name.encode()).hexdigest()[:24]
    )
    keys = _digests(texts)
    unique, first = np.unique(keys, return_index=True)
    missing = first[~local_store.has(unique)]
    with bar_for(len(missing), "embedding", quiet=quiet or not len(missing)) as bar:
        for start in range(0, len(missing), _SEGMENT):
            rows = missing[start : start + _SEGMENT]
            local_store.add(keys[rows], encoder.encode([texts[row] for row in rows], bar.update))
    return local_store.vectors(keys, encoder.dim)


def _digests(texts: Sequence[str]) -> Digests:
    joined = b"".join(hashlib.sha256(text.encode()).digest()[:_KEY_BYTES] for text in texts)
    return np.frombuffer(joined, dtype=f"V{_KEY_BYTES}")


class _Shelf:
    """Segments of keys and vectors in one directory; a segment appears whole or not at all."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._segments: list[tuple[Digests, NDArray[np.float32]]] = []
        for keys in sorted(directory.glob("*.keys.npy")):
            vectors = keys.with_name(keys.name.replace(".keys.", ".vectors."))
            try:
                self._segments.append(_aligned(keys, vectors))
            except (OSError, ValueError):  # a damaged segment is as good as none: its texts are encoded again
                keys.unlink(missing_ok=True)

    def has(self, keys: Digests) -> NDArray[np.bool_]:
        found = np.zeros(len(keys), dtype=bool)
        for known, _ in self._segments:
            found |= known[_places(known, keys)] == keys
        return found

    def vectors(self, keys: Digests, dim: int) -> NDArray[np.float32]:
        out = np.zeros((len(keys), dim), dtype=np.float32)
        for known, vectors in self._segments:
            places = _places(known, keys)
            rows = np.flatnonzero(known[places] == keys)
            out[rows] = vectors[places[rows]]
        return out

    def add(self, keys: Digests, vectors: NDArray[np.float32]) -> None:
        order = np.argsort(keys)
        keys, vectors = keys[order], vectors[order]
        self._directory.mkdir(parents=True, exist_ok=True)
        stem = hashlib.sha256(keys.tobytes()).hexdigest()[:24]
        for name, array in ((f"{stem}.vectors.npy", vectors), (f"{stem}.keys.npy", keys)):
            handle, draft = tempfile.mkstemp(prefix=".draft-", dir=self._directory)
            with os.fdopen(handle, "wb") as file:
                np.save(file, array, allow_pickle=False)
            os.replace(draft, self._directory / name)
        self._segments.append((keys, vectors))


def _aligned(keys: Path, vectors: Path) -> tuple[Digests, NDArray[np.float32]]:
    known = np.load(keys, allow_pickle=False)
    values = np.load(vectors, mmap_mode="r", allow_pickle=False)
    if len(known) != len(values) or not len(known):
        raise ValueError("segment of unequal halves")
    return known, values


def _places(known: Digests, keys: Digests) -> NDArray[np.intp]:
    return np.minimum(np.searchsorted(known, keys), len(known) - 1)


class CachedEncoder:
    """An encoder that remembers: texts met before are looked up.

    Attributes:
        name: Of the encoder behind it.
        dim: Of the encoder behind it.
    """

    def __init__(self, encoder: Encoder, *, cache: Path | None = None) -> None:
        self.name = encoder.name
        self.dim = encoder.dim
        self._encoder = encoder
        self._cache = cache

    def encode(self, texts: Sequence[str], progress: Progress | None = None) -> NDArray[np.float32]:
        """Encode texts, from the cache where they are known."""
        vectors = embed(self._encoder, texts, cache=self._cache, quiet=progress is not None)
        if progress is not None:
            progress(len(texts))
        return vectors

    def truncates(self, texts: Sequence[str]) -> list[bool]:
        """Say for each text whether only its beginning is read."""
        return self._encoder.truncates(texts)
