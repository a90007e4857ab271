"""Which knowledge entries fit a ticket: by the words that its kind of tickets share."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from triage.knowledge.entry import Entry
from triage.screening.reading import MAX_CHARS, plain

_WORD = re.compile(r"[^\W_][\w'-]*[^\W_]")


@dataclass(frozen=True)
class Suggestion:
    """An entry that fits a ticket: its score in [0, 1], and the shared words that the ticket has."""

    entry: Entry
    score: float
    words: tuple[str, ...]


def words_of(text: str) -> frozenset[str]:
    """Return the words of a text as they are compared: lower case, without accents, and without quotes around them.

    Example:
        >>> sorted(words_of("Café Wi-Fi, again: 'wi-fi' isn't there!"))
        ['again', 'cafe', "isn't", 'there', 'wi-fi']
    """
    return frozenset(_WORD.findall(plain(text[:MAX_CHARS])))


def score(words: Mapping[str, float], said: Collection[str]) -> float:
    """Return the share of the words' weights that a ticket has, in [0, 1]."""
    return sum(weight for word, weight in words.items() if word in said)


def suggestions(entries: Iterable[Entry], text: str, count: int = 3) -> tuple[Suggestion, ...]:
    """Return the entries that fit a ticket, the best first.

    Example:
        >>> entry = Entry("k", 1, "Scanner", "script", "L1", "", "", {"scanner": 0.6, "cradle": 0.4}, bar=0.5)
        >>> [one.words for one in suggestions([entry], "The scanner is dead")]
        [('scanner',)]
    """
    said = words_of(text)
    found = [
        Suggestion(one, value, tuple(word for word in one.words if word in said))
        for one in entries
        if (value := score(one.words, said)) >= one.bar and value > 0
    ]
    return tuple(sorted(found, key=lambda one: (-one.score, one.entry.id))[:count])
