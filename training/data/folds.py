"""Folds for cross-fitting: rows that belong together (one group, one cluster of near-duplicates) share a fold."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

SEEN = -1
"""Fold of rows that what is fitted has seen already: always learned from, never scored."""

FEW_UNITS = 60
"""Up to so many units, folds are balanced by their size; from there on chance does it."""


def make_folds(groups: NDArray[np.int64], labels: NDArray[np.int64], count: int, seed: int) -> NDArray[np.int64]:
    """Assign each row a fold, such that no unit is split and every label is spread as evenly as that allows.

    Args:
        groups: Which rows belong together, of shape [n].
        labels: Label codes to spread, of shape [n].
        count: Number of folds; fewer are made where there are fewer units.
        seed: Of the shuffle.

    Returns:
        Fold numbers of shape [n], from 0.
    """
    names, first, rows_of, sizes = np.unique(groups, return_index=True, return_inverse=True, return_counts=True)
    count = max(2, min(count, len(names)))
    shuffled = np.random.default_rng(seed).permutation(len(names))
    if len(names) <= FEW_UNITS:
        fold_of_unit = _by_size(sizes, shuffled, count)
    else:
        order = shuffled[np.argsort(labels[first][shuffled], kind="stable")]
        fold_of_unit = np.empty(len(names), dtype=np.int64)
        fold_of_unit[order] = np.arange(len(names)) % count
    return fold_of_unit[rows_of]


def left_out(folds: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the folds that are left out in turn, ascending."""
    return np.unique(folds[folds != SEEN])


def _by_size(sizes: NDArray[np.int64], shuffled: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    """Put the largest units first, each into the fold that has least."""
    folds = np.empty(len(sizes), dtype=np.int64)
    filled = np.zeros(count, dtype=np.int64)
    for unit in shuffled[np.argsort(-sizes[shuffled], kind="stable")]:
        folds[unit] = int(filled.argmin())
        filled[folds[unit]] += sizes[unit]
    return folds
