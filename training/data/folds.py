"""Folds for cross-fitting: rows that belong together (one group, one cluster of near-duplicates) share a fold."""

from __future__ import annotations

import warnings

import numpy as np
from numpy.typing import NDArray
from sklearn.model_selection import BaseCrossValidator, StratifiedGroupKFold, StratifiedKFold

SEEN = -1
"""Fold of rows that what is fitted has seen already: always learned from, never scored."""

FEW_GROUPS = 60
"""Up to so many groups their sizes matter, and each is put where it fits best; that takes too long for thousands."""


def make_folds(groups: NDArray[np.int64], labels: NDArray[np.int64], count: int, seed: int) -> NDArray[np.int64]:
    """Assign each row a fold, such that no group is split and every label is spread as evenly as that allows.

    Args:
        groups: Which rows belong together, of shape [n].
        labels: Label ids to spread, of shape [n].
        count: Number of folds; fewer are made where there are fewer groups.
        seed: Seed of the shuffle.

    Returns:
        Fold numbers from 0, int64 of shape [n].
    """
    _, first, group_of = np.unique(groups, return_index=True, return_inverse=True)
    count = max(2, min(count, len(first)))
    few = len(first) <= FEW_GROUPS
    spread = labels if few else labels[first]
    if np.unique(spread, return_counts=True)[1].max() < count:  # no label reaches every fold: only groups matter then
        spread = np.zeros_like(spread)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # a label with fewer rows than folds is spread as far as it goes
        if few:
            return _folds(StratifiedGroupKFold(count, shuffle=True, random_state=seed), spread, group_of)
        return _folds(StratifiedKFold(count, shuffle=True, random_state=seed), spread)[group_of]


def _folds(
    splitter: BaseCrossValidator, labels: NDArray[np.int64], groups: NDArray[np.int64] | None = None
) -> NDArray[np.int64]:
    folds = np.empty(len(labels), dtype=np.int64)
    for fold, (_, rows) in enumerate(splitter.split(labels, labels, groups)):
        folds[rows] = fold
    return folds


def left_out(folds: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the folds that are left out in turn, ascending."""
    return np.unique(folds[folds != SEEN])
