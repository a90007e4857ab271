"""Themes among tickets that the model does not know: alike ones together, named by the words that set them apart."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from api.store.rows import DecisionRow

ALIKE = 0.5
"""Cosine to a theme's middle from which a ticket belongs to it: with the shipped encoder tickets about one thing lie
between 0.5 and 0.8 of each other, and tickets of one category about different things below 0.4."""
LEAST, MOST = 3, 12
"""Tickets that make a theme, and themes that are shown."""
_WORDS = 4
_WORD = re.compile(r"[^\W\d_]{3,30}")
_ROUNDS = 3
_APART = 2
"""So many times as often as elsewhere a word must stand in a theme to name it."""


@dataclass(frozen=True)
class Theme:
    """Tickets that are about the same thing.

    Attributes:
        words: What names it: words that many of its tickets have and few of the others.
        tickets: Decision ids and titles, the most typical first.
    """

    words: tuple[str, ...]
    tickets: tuple[tuple[str, str], ...]

    @property
    def name(self) -> str:
        """Its words as a line."""
        return ", ".join(self.words)


def themes_of(rows: Sequence[DecisionRow], vectors: NDArray[np.float32]) -> list[Theme]:
    """Return the themes of some tickets, the largest first.

    Leaders are chosen one after another, each the ticket with most tickets near it that have no theme yet, and moved to
    the middle of what they gathered (as in spherical k-means, with a number of themes that follows from the tickets).

    Args:
        rows: The tickets' decisions.
        vectors: Their embeddings of unit length, of shape [n, dim].
    """
    words = [set(_WORD.findall(f"{row.subject} {row.body}".casefold())) for row in rows]
    spread = Counter(word for mine in words for word in mine)
    found = []
    for places in _gathered(vectors):
        inside = Counter(word for place in places for word in words[place])
        named = tuple(_names(inside, spread, len(places), len(rows)))
        tickets = tuple((rows[place].id, rows[place].title) for place in places)
        found.append(Theme(named or ("unnamed",), tickets))
    return found[:MOST]


def _gathered(vectors: NDArray[np.float32]) -> list[list[int]]:
    """Return the places of each theme's tickets, the most typical first; the largest theme first."""
    if len(vectors) < LEAST:
        return []
    free = np.ones(len(vectors), dtype=bool)
    near = vectors @ vectors.T >= ALIKE
    found: list[list[int]] = []
    while free.sum() >= LEAST:
        leader = int(np.argmax(np.where(free, (near & free).sum(axis=1), -1)))
        middle = vectors[leader]
        for _ in range(_ROUNDS):
            mine = free & (vectors @ middle >= ALIKE)
            if not mine.any():
                break
            middle = vectors[mine].mean(axis=0)
            middle /= float(np.linalg.norm(middle)) or 1.0
        places = np.flatnonzero(free & (vectors @ middle >= ALIKE))
        if len(places) < LEAST:
            break
        found.append(places[np.argsort(-(vectors[places] @ middle), kind="stable")].tolist())
        free[places] = False
    return sorted(found, key=len, reverse=True)


def _names(inside: Counter[str], spread: Counter[str], size: int, total: int) -> list[str]:
    """Return the words that tell most: the share inside against the share elsewhere, by log-likelihood."""

    def tells(word: str) -> float:
        share, others = inside[word] / size, (spread[word] - inside[word] + 0.5) / (total - size + 1)
        return inside[word] * math.log(share / others) if share >= _APART * others else 0.0

    often = [word for word, count in inside.items() if count >= max(2, size / 3)]
    return [word for word in sorted(often, key=lambda word: (-tells(word), word))[:_WORDS] if tells(word) > 0]
