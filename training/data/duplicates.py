"""Near-duplicate tickets: MinHash signatures of word 3-grams find candidates, which are compared and joined."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
from datasketch import MinHash
from datasketch.hashfunc import sha1_hash64
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from triage.languages.alphabets import set_apart

SIMILAR = 0.8
"""Jaccard similarity of word 3-grams from which two tickets count as near-duplicates."""

_BANDS, _ROWS = 16, 4  # a pair at 0.8 shares a band with probability 0.9998, one at 0.4 with 0.34
_SEED = 20_240_229
_WORD = re.compile(r"\w+|#")
_VARIABLE = re.compile(r"\S*[\d@]\S*|\w+(?:[.-]\w+)*\.[a-z]{2,}\b")
"""Words of a text in lower case that differ from one copy of a message to the next: with a digit or @, or a domain."""

_OF_A_DATE = (
    "mon|tues?|wed|thu|fri|sat|sun|monday|tuesday|wednesday|thursday|friday|saturday|sunday|am|pm|utc|gmt|cet|cest|uhr"
    "|jan|feb|mar|apr|may|jun|jul|aug|sep|sept|oct|nov|dec|january|february|march|april|june|july|august|september"
    "|october|november|december"
)
_MOMENT = re.compile(rf"(?:\b(?:{_OF_A_DATE})\b[\s,.]*)*#(?:[\s,.]*(?:#|\b(?:{_OF_A_DATE})\b))*")


def masked(text: str) -> str:
    """Return a text in lower case with one mark in the place of what differs from one copy of a message to the next.

    That are numbers, addresses, hosts, dates and times: every word with a digit or an @ in it, and names of domains. In
    scripts without blanks between words each letter stands alone, so that a number takes nothing along.

    Example:
        >>> masked("Disk of srv-01.example.org full at 10:31 AM, 3 May 2024"), " ".join(masked("房间207").split())
        ('disk of # full at #', '房 间 #')
    """
    return _MOMENT.sub("#", _variables_masked(text))


def words_told_apart(text: str) -> list[str]:
    """Return the words of a text in lower case, with a mark in the place of each with a digit or an @, and of domains.

    Example:
        >>> words_told_apart("Disk of srv-01 full at 10:31 AM")
        ['disk', 'of', '#', 'full', 'at', '#', 'am']
    """
    return _WORD.findall(_variables_masked(text))


def _variables_masked(text: str) -> str:
    return _VARIABLE.sub("#", _folded(text))


def _folded(text: str) -> str:
    """Return a text in lower case, with blanks where its script has none between words."""
    return set_apart(text.casefold())


def near_duplicates(texts: Sequence[str], similar: float = SIMILAR, *, as_written: bool = False) -> NDArray[np.int64]:
    """Group texts that say nearly the same.

    Two texts are joined where the Jaccard similarity of their sets of word 3-grams reaches `similar`; joining is
    transitive. Words that differ in numbers, hosts and times only count as equal (see `masked`). Texts of fewer than
    three words are joined only where their words are equal; a letter of the Chinese script and its like is a
    word here. Candidates come from MinHash with banding (Broder 1997; Leskovec, Rajaraman and Ullman, Mining of Massive
    Datasets, chapter 3).

    Args:
        texts: Any number of texts.
        similar: Smallest Jaccard similarity of a pair, in (0, 1].
        as_written: Numbers, hosts and times count as other words do.

    Returns:
        The cluster of each text, int64 of shape [n]: the index of the first text of its cluster.

    Example:
        >>> near_duplicates(["the disk is full again today", "VPN drops", "The disk is full, again today!"]).tolist()
        [0, 1, 0]
    """
    shingles = [shingles_of(_folded(text) if as_written else masked(text)) for text in texts]
    seen: dict[bytes, int] = {}
    equal = [(row, seen.setdefault(part.tobytes(), row)) for row, part in enumerate(shingles)]
    pairs = _candidates(shingles, list(seen.values()))
    near = [(row, other) for row, other in pairs if _jaccard(shingles[row], shingles[other]) >= similar]
    return _clusters(len(texts), np.array([*equal, *near], dtype=np.int64).reshape(-1, 2))


def joined(*groupings: NDArray[np.int64]) -> NDArray[np.int64]:
    """Join groupings of the same rows: rows that share a group in any of them share one in the result.

    Args:
        groupings: At least one, each int64 of shape [n].

    Returns:
        The index of the first row of each row's group, int64 of shape [n].

    Example:
        >>> import numpy as np
        >>> joined(np.array([0, 0, 2, 3]), np.array([7, 8, 8, 9])).tolist()
        [0, 0, 0, 3]
    """
    rows = np.arange(len(groupings[0]))
    pairs = []
    for grouping in groupings:
        _, first, group = np.unique(grouping, return_index=True, return_inverse=True)
        pairs.append(np.column_stack([rows, first[group]]))
    return _clusters(len(rows), np.concatenate(pairs))


def shingles_of(text: str) -> NDArray[np.uint64]:
    """Return the hashes of the word 3-grams of a text as `masked` returns it, uint64, ascending; at least one."""
    words = _WORD.findall(text)
    grams = {" ".join(words[start : start + 3]) for start in range(max(1, len(words) - 2))}
    return np.array(sorted(sha1_hash64(gram.encode()) for gram in grams), dtype=np.uint64)


def _candidates(shingles: Sequence[NDArray[np.uint64]], rows: Sequence[int]) -> list[tuple[int, int]]:
    """Pair rows that agree in a whole band of their signatures: each with the first of its bucket and with the last.

    `datasketch.MinHashLSH` would return everything in the bucket, so that a template of n tickets costs n² comparisons.
    """
    signatures = MinHash.generator(
        (shingles[row].tolist() for row in rows),
        num_perm=_BANDS * _ROWS, seed=_SEED, scheme="affine64", hashfunc=int,
    )  # fmt: skip
    pairs: set[tuple[int, int]] = set()
    buckets: dict[tuple[int, bytes], tuple[int, int]] = {}
    for row, signature in zip(rows, signatures, strict=True):
        for band, values in enumerate(signature.hashvalues.reshape(_BANDS, _ROWS)):
            bucket = (band, values.tobytes())
            first, last = buckets.get(bucket, (row, row))
            pairs |= {(row, first), (row, last)}
            buckets[bucket] = (first, row)
    return sorted(pairs)


def _jaccard(one: NDArray[np.uint64], other: NDArray[np.uint64]) -> float:
    common = len(np.intersect1d(one, other, assume_unique=True))
    return common / (len(one) + len(other) - common)


def _clusters(count: int, pairs: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the first member of each row's connected component, int64 of shape [count]; pairs has shape [m, 2]."""
    graph = coo_array((np.ones(len(pairs), dtype=np.int8), (pairs[:, 0], pairs[:, 1])), shape=(count, count))
    _, component = connected_components(graph, directed=False)
    _, first, cluster = np.unique(component, return_index=True, return_inverse=True)
    return first[cluster].astype(np.int64)
