"""What tells a desk's ordinary tickets, as files and back."""

from __future__ import annotations

import json
from collections.abc import Mapping

import numpy as np

from models.bundle.codecs import array_of, json_bytes, npy_bytes
from models.screening.prefilter import BUCKETS, Prefilter
from triage.errors import BundleTampered

_NAME = "screening-prefilter"


def pack_prefilter(prefilter: Prefilter) -> dict[str, bytes]:
    """Write a prefilter as files."""
    return {
        f"{_NAME}.npy": npy_bytes(np.stack([prefilter.weights, prefilter.squares])),
        f"{_NAME}.json": json_bytes({"intercept": prefilter.intercept, "threshold": prefilter.threshold}),
    }


def unpack_prefilter(files: Mapping[str, bytes]) -> Prefilter | None:
    """Build a prefilter from files that were checked already; None where a bundle has none.

    Raises:
        BundleTampered: If the files do not fit together.
    """
    if f"{_NAME}.json" not in files:
        return None
    try:
        facts, tables = json.loads(files[f"{_NAME}.json"]), array_of(files, _NAME, np.float32, 2)
        if tables.shape != (2, BUCKETS) or not np.isfinite(tables).all():
            raise ValueError("tables of another shape")
        weights, squares = tables
        return Prefilter(weights, squares, float(facts["intercept"]), threshold=float(facts["threshold"]))
    except (KeyError, ValueError, TypeError, EOFError) as error:
        raise BundleTampered(
            f"bundle does not fit together: {type(error).__name__} in the screening; pull or train it again"
        ) from error
