"""Near-duplicate tickets: MinHash signatures on word 3-grams, banded, verified and joined into clusters."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

SIMILAR = 0.8
"""Jaccard similarity of word 3-grams from which two tickets count as near-duplicates."""

_BANDS, _ROWS = 16, 4
_SEED = 20_240_229
_WORD = re.compile(r"\w+")
_MIX = np.array([0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9], dtype=np.uint64)


def near_duplicates(texts: Sequence[str], similar: float = SIMILAR) -> NDArray[np.int64]:
    """Group texts that say nearly the same.

    Two texts are joined where the Jaccard similarity of their sets of word 3-grams reaches `similar`; joining is
    transitive. Texts of fewer than three words are joined only where their words are equal. Candidates come from
    MinHash with banding (Broder 1997; Leskovec, Rajaraman and Ullman, Mining of Massive Datasets, chapter 3): a pair
    at 0.8 is found with probability 0.9998.

    Args:
        texts: Any number of texts.
        similar: Smallest Jaccard similarity of a pair, in (0, 1].

    Returns:
        The cluster of each text, int64 of shape [n]: the index of the first text of its cluster.

    Example:
        >>> near_duplicates(["the disk is full again today", "VPN drops", "The disk is full, again today!"]).tolist()
        [0, 1, 0]
    """
    shingles, starts = _shingles(texts)
    first = _first_equal(shingles, starts)
    unique = np.flatnonzero(first == np.arange(len(texts)))
    clusters = first.copy()
    for a, b in _candidates(_signatures(shingles, starts, unique), unique):
        if _root(clusters, a) != _root(clusters, b) and _jaccard(shingles, starts, a, b) >= similar:
            _join(clusters, a, b)
    return np.array([_root(clusters, row) for row in range(len(texts))], dtype=np.int64)


def _shingles(texts: Sequence[str]) -> tuple[NDArray[np.uint64], NDArray[np.int64]]:
    """Hash the word 3-grams of every text: one flat array, each text's part sorted and free of repetition."""
    vocabulary: dict[str, int] = {}
    parts, starts = [], np.zeros(len(texts) + 1, dtype=np.int64)
    rng = np.random.default_rng(_SEED)
    label_ids = rng.integers(1, 2**63, size=1 << 16, dtype=np.uint64)
    for row, text in enumerate(texts):
        ids = [vocabulary.setdefault(word, len(vocabulary)) for word in _WORD.findall(text.casefold())]
        if len(vocabulary) > len(label_ids):
            label_ids = np.concatenate([label_ids, rng.integers(1, 2**63, size=len(vocabulary), dtype=np.uint64)])
        words = label_ids[ids] if ids else np.zeros(1, dtype=np.uint64)
        if len(words) < 3:
            words = np.concatenate([words, np.zeros(3 - len(words), dtype=np.uint64)])
        grams = np.unique(_mixed(words[:-2] * _MIX[0] + words[1:-1] * _MIX[1] + words[2:] * _MIX[2]))
        parts.append(grams)
        starts[row + 1] = starts[row] + len(grams)
    return (np.concatenate(parts) if parts else np.zeros(0, dtype=np.uint64)), starts


def _mixed(values: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Scatter the bits (the finaliser of SplitMix64)."""
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))


def _first_equal(shingles: NDArray[np.uint64], starts: NDArray[np.int64]) -> NDArray[np.int64]:
    seen: dict[bytes, int] = {}
    parts = (shingles[starts[row] : starts[row + 1]].tobytes() for row in range(len(starts) - 1))
    return np.array([seen.setdefault(part, row) for row, part in enumerate(parts)], dtype=np.int64)


def _signatures(shingles: NDArray[np.uint64], starts: NDArray[np.int64], rows: NDArray[np.int64]) -> NDArray[np.uint64]:
    """MinHash signatures of some texts, uint64 of shape [len(rows), bands × rows a band]."""
    if not len(rows):
        return np.zeros((0, _BANDS * _ROWS), dtype=np.uint64)
    keys = np.random.default_rng(_SEED + 1).integers(1, 2**63, size=_BANDS * _ROWS, dtype=np.uint64)
    columns = [np.minimum.reduceat(_mixed(shingles ^ key), starts[:-1])[rows] for key in keys]
    return np.stack(columns, axis=1)


def _candidates(signatures: NDArray[np.uint64], rows: NDArray[np.int64]) -> Iterator[tuple[int, int]]:
    """Yield pairs that agree in a whole band: each member of a bucket with the first and with its neighbour."""
    seen: set[tuple[int, int]] = set()
    for band in range(_BANDS):
        part = np.ascontiguousarray(signatures[:, band * _ROWS : (band + 1) * _ROWS])
        keys = (part * np.arange(1, 2 * _ROWS, 2, dtype=np.uint64)).sum(axis=1, dtype=np.uint64)
        order = np.argsort(keys, kind="stable")
        same = np.flatnonzero(keys[order][1:] == keys[order][:-1]) + 1
        head = 0
        for place in same.tolist():
            if not place - 1 or keys[order[place - 1]] != keys[order[place - 2]]:
                head = place - 1
            for other in {head, place - 1}:
                pair = (int(rows[order[other]]), int(rows[order[place]]))
                if pair not in seen:
                    seen.add(pair)
                    yield pair


def _jaccard(shingles: NDArray[np.uint64], starts: NDArray[np.int64], a: int, b: int) -> float:
    one, other = shingles[starts[a] : starts[a + 1]], shingles[starts[b] : starts[b + 1]]
    common = len(np.intersect1d(one, other, assume_unique=True))
    return common / (len(one) + len(other) - common)


def _root(clusters: NDArray[np.int64], row: int) -> int:
    while clusters[row] != row:
        clusters[row] = clusters[clusters[row]]
        row = int(clusters[row])
    return row


def _join(clusters: NDArray[np.int64], a: int, b: int) -> None:
    low, high = sorted((_root(clusters, a), _root(clusters, b)))
    clusters[high] = low


def joined(*groupings: NDArray[np.int64]) -> NDArray[np.int64]:
    """Join groupings of the same rows: rows that share a group in any of them share one in the result.

    Example:
        >>> import numpy as np
        >>> joined(np.array([0, 0, 2, 3]), np.array([7, 8, 8, 9])).tolist()
        [0, 0, 0, 3]
    """
    clusters = np.arange(len(groupings[0]), dtype=np.int64)
    for grouping in groupings:
        first: dict[int, int] = {}
        for row, group in enumerate(grouping.tolist()):
            _join(clusters, first.setdefault(group, row), row)
    return np.array([_root(clusters, row) for row in range(len(clusters))], dtype=np.int64)
