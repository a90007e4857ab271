"""Numbers and words as bytes and back: `.npy` and strict JSON, nothing that runs."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


def json_bytes(document: object) -> bytes:
    """Write a document as strict JSON, the same bytes for equal documents."""
    return json.dumps(document, ensure_ascii=False, allow_nan=False, separators=(",", ":"), sort_keys=True).encode()


def npy_bytes(array: Array) -> bytes:
    """Write an array as `.npy`, C-contiguous whatever it was."""
    stream = io.BytesIO()
    np.save(stream, np.ascontiguousarray(array), allow_pickle=False)
    return stream.getvalue()


def npy_array(content: bytes) -> Array:
    """Read an array; one that would need unpickling is refused."""
    return np.asarray(np.load(io.BytesIO(content), allow_pickle=False))


def array_of(files: Mapping[str, bytes], name: str, kind: Any, dimensions: int) -> Array:
    """Read the array `name`.

    Raises:
        ValueError: If it is of another kind, or has another number of dimensions.
        KeyError: If it is not among the files.
    """
    array = npy_array(files[f"{name}.npy"])
    if array.dtype != np.dtype(kind) or array.ndim != dimensions:
        raise ValueError(f"{name} is {array.dtype} of {array.ndim} dimensions")
    return array
