"""What the screening classifier would surely find ordinary, told from a desk's own words, so that it is not asked."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

BUCKETS = 1 << 18
"""Buckets into which runs of tokens are hashed."""

LONGEST = 3
"""Tokens in a run, at most."""

_MIX, _STEP, _SHIFT = np.uint64(2654435761), np.uint64(1000003), np.uint64(7)
_LEAST_TOKENS = 3
_KNOWN = 0.9
"""Share of a text's tokens that must have occurred where the filter learned: of other languages it knows nothing."""


def token_buckets(tokens: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    """Return the buckets of single tokens, of pairs, and of runs of three; none where a text is shorter.

    Args:
        tokens: Token ids in order, of shape [n].

    Returns:
        For each length of a run, int64 of shape [n - length + 1].
    """
    ids, found = tokens.astype(np.uint64), []
    for length in range(1, LONGEST + 1):
        count = max(0, len(ids) - length + 1)
        mixed = np.zeros(count, dtype=np.uint64)
        for place in range(length):
            mixed = mixed * _STEP + ids[place : place + count] + np.uint64(length)
        found.append((((mixed * _MIX) >> _SHIFT) % np.uint64(BUCKETS)).astype(np.int64))
    return found


@dataclass(frozen=True)
class Prefilter:
    """A ridge regression from runs of tokens to what the classifier says, and how low it must be to say nothing.

    Attributes:
        weights: Of each bucket times its rarity, float32 of shape [BUCKETS].
        squares: Square of each bucket's rarity, float32 of shape [BUCKETS]; zero where it never occurred.
        intercept: Added to every score.
        threshold: Score below which a text is ordinary.
    """

    weights: NDArray[np.float32]
    squares: NDArray[np.float32]
    intercept: float
    threshold: float

    def score(self, tokens: NDArray[np.int64]) -> float:
        """Return how much speaks for asking the classifier; infinite where too little of a text is known.

        Args:
            tokens: Of the classifier, in order, without those that mark beginning and end; of shape [n].
        """
        runs = token_buckets(tokens)
        single = runs[0]
        if len(single) < _LEAST_TOKENS or (self.squares[single] > 0).mean() < _KNOWN:
            return float("inf")
        own = np.unique(np.concatenate(runs))
        length = float(np.sqrt(self.squares[own].sum()))
        return float(self.weights[own].sum()) / max(length, 1e-9) + self.intercept

    def is_ordinary(self, tokens: NDArray[np.int64]) -> bool:
        """Say whether the classifier need not be asked about a text of these tokens."""
        return self.score(tokens) < self.threshold
