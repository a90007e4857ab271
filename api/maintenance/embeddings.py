"""Removing a text's embedding from the training cache: a vector can be turned back into its words."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

_KEY_BYTES = 16


def forget_embeddings(home: Path, texts: Iterable[str]) -> int:
    """Remove the cached vectors of some texts, for every encoder, and return their number.

    The cache holds segments: ``X.keys.npy`` with the first 16 bytes of each text's SHA-256, sorted, and
    ``X.vectors.npy`` with the vectors in the same order.

    Args:
        home: Directory of all state.
        texts: The texts as the model read them.
    """
    keys = {hashlib.sha256(text.encode()).digest()[:_KEY_BYTES] for text in texts}
    return sum(_cut(path, keys) for path in sorted((home / "cache" / "embeddings").glob("*/*.keys.npy")))


def _cut(path: Path, keys: set[bytes]) -> int:
    vectors_path = path.with_name(path.name.replace(".keys.", ".vectors."))
    known = np.load(path, allow_pickle=False)
    kept = np.array([bytes(key) not in keys for key in known], dtype=bool)
    if kept.all():
        return 0
    if kept.any():
        vectors = np.load(vectors_path, mmap_mode="r", allow_pickle=False)
        stem = hashlib.sha256(known[kept].tobytes()).hexdigest()[:24]
        _write(path.with_name(f"{stem}.vectors.npy"), np.ascontiguousarray(vectors[kept]))
        _write(path.with_name(f"{stem}.keys.npy"), known[kept])
    path.unlink()
    vectors_path.unlink(missing_ok=True)
    return int((~kept).sum())


def _write(path: Path, array: NDArray[Any]) -> None:
    handle, draft = tempfile.mkstemp(prefix=".draft-", dir=path.parent)
    with os.fdopen(handle, "wb") as file:
        np.save(file, array, allow_pickle=False)
    os.replace(draft, path)
