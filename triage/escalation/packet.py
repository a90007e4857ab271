"""The hand-over packet: what must be known of a ticket at the next tier, quoted where it says so, asked where not."""

from __future__ import annotations

import tomllib
from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from importlib.resources import files
from typing import Any

from triage.policy import Policy
from triage.screening.cues import compile_cue
from triage.screening.reading import MAX_CHARS, Reading, Spans

_CLAUSE_ENDS, _PHRASE_ENDS = ".;!?\n,:(", ".;!?\n:"
_PARTS = ("cased", "clause", "match", "phrase", "quoted", "tail")
QUOTES = "'\"~"
"""Marks with which a span may begin or end; a tilde stands before a rough number."""
_LASTS = f"{QUOTES})%²"


@dataclass(frozen=True)
class Found:
    """An item found in a text: its name, and its first and one past its last character."""

    item: str
    start: int
    end: int


@dataclass(frozen=True)
class Entry:
    """One line of a packet.

    Attributes:
        item: What must be known, as the policy says it.
        quotes: The words that say it; empty where the ticket does not.
        ask: What to ask where it is missing.
    """

    item: str
    quotes: tuple[str, ...]
    ask: str = ""


@dataclass(frozen=True)
class Packet:
    """A hand-over: from where to where, and everything that must go with it."""

    from_tier: str | None
    to_tier: str | None
    entries: tuple[Entry, ...]

    @property
    def missing(self) -> tuple[str, ...]:
        """The questions that are still open."""
        return tuple(entry.ask for entry in self.entries if not entry.quotes)

    def text(self) -> str:
        """Return the packet as text to paste into a work order."""
        giver = f" from {self.from_tier or 'the requester'}" if self.from_tier != self.to_tier else ""
        lines = [f"Hand-over{giver} to {self.to_tier or 'nobody yet'}"]
        for entry in self.entries:
            lines.append(f"- {entry.item}: {' | '.join(entry.quotes) if entry.quotes else 'MISSING - ' + entry.ask}")
        return "\n".join(lines)


def packet(policy: Policy, texts: Sequence[str], way: tuple[str | None, str | None], category: str | None) -> Packet:
    """Return the hand-over packet of the edge that a ticket is about to take.

    Args:
        policy: Says what each tier must hand over.
        texts: What was written, oldest first.
        way: The tier that hands over, and the one that takes over.
        category: The ticket's category, which may ask for more.
    """
    quotes: dict[str, dict[str, None]] = {}  # each once, in order
    for text in texts:
        for found in find_items(text):
            quotes.setdefault(found.item, {})[" ".join(text[found.start : found.end].split())] = None
    entries = tuple(_entry(item, quotes) for item in policy.hand_over(way[1], category))
    return Packet(way[0], way[1], entries)


def _entry(item: str, quotes: Mapping[str, Iterable[str]]) -> Entry:
    """Fill a line of the policy with what was found of the items that it speaks of."""
    said, asks = _items_of(item), _asks()
    found = tuple(quote for name in said for quote in quotes.get(name, ()))
    missing = [asks[name] for name in said if name not in quotes]
    return Entry(item, found, " ".join(missing) if missing else f"What is known of this: {item}?")


def _items_of(line: str) -> tuple[str, ...]:
    """Return the items that a line of a hand-over list speaks of, by its words."""
    words = line.lower()
    return tuple(name for name, table in _tables().items() if any(word in words for word in table["named_by"]))


def find_items(text: str) -> tuple[Found, ...]:
    """Find the items of a hand-over in a text, in order; spans of one item do not overlap.

    Example:
        >>> text = "Since Monday, it says 'no host'. Restarted twice."
        >>> [(one.item, text[one.start : one.end]) for one in find_items(text)]
        [('since', 'Since Monday'), ('error_text', "'no host'"), ('tried', 'Restarted twice')]
    """
    reading = _Marked(text[:MAX_CHARS])
    found = (span for name in _tables() for span in _spans(name, reading))
    return tuple(sorted(found, key=lambda span: (span.start, span.end)))


def _spans(name: str, reading: _Marked) -> Iterable[Found]:
    taken = Spans(_taken(_tables()[name].get("yields_to"), reading))
    for part, pattern in _patterns(name):
        for match in pattern.finditer(reading.text if part == "cased" else reading.plain):
            start, end = reading.widened(part, *match.span())
            if taken.take(start, end):
                yield Found(name, start, end)


def _taken(other: str | None, reading: _Marked) -> Iterable[tuple[int, int]]:
    """Return what another item has taken: a contract number is no device."""
    return [(span.start, span.end) for span in _spans(other, reading)] if other else []


class _Marked(Reading):
    """A text with the places at which a span may end, begin and stop, found once for all its spans."""

    @cached_property
    def _clause_ends(self) -> list[int]:
        return [place for place, char in enumerate(self.text) if char in _CLAUSE_ENDS]

    @cached_property
    def _phrase_ends(self) -> list[int]:
        return [place for place, char in enumerate(self.text) if char in _PHRASE_ENDS]

    @cached_property
    def _firsts(self) -> list[int]:
        return [place for place, char in enumerate(self.text) if char.isalnum() or char in QUOTES]

    @cached_property
    def _lasts(self) -> list[int]:
        return [place for place, char in enumerate(self.text) if char.isalnum() or char in _LASTS]

    def widened(self, part: str, start: int, end: int) -> tuple[int, int]:
        """Widen a match to what its part says, without blanks and marks around it; empty where nothing is left."""
        if part == "quoted":
            start = min((place for mark in QUOTES if (place := self.text.find(mark, start, end)) >= 0), default=start)
        ends = self._clause_ends if part in ("clause", "tail") else self._phrase_ends
        if part in ("clause", "phrase"):
            start = _before(ends, start) + 1
        if part in ("clause", "phrase", "tail"):
            end = _from(ends, end, len(self.text))
        return _from(self._firsts, start, end), _before(self._lasts, end) + 1


def _before(places: Sequence[int], end: int) -> int:
    """Return the last of the places before one; -1 where there is none."""
    found = bisect_left(places, end)
    return places[found - 1] if found else -1


def _from(places: Sequence[int], start: int, default: int) -> int:
    """Return the first of the places from one on; the default where there is none."""
    found = bisect_left(places, start)
    return places[found] if found < len(places) else default


@cache
def _tables() -> Mapping[str, Mapping[str, Any]]:
    items: Mapping[str, Mapping[str, Any]] = tomllib.loads(
        files(__package__).joinpath("items.toml").read_text("utf-8")
    )["items"]
    return items


@cache
def _patterns(name: str) -> tuple[tuple[str, Any], ...]:
    table = _tables()[name]
    return tuple((part, compile_cue(pattern)) for part in _PARTS for pattern in table.get(part, ()))


@cache
def _asks() -> Mapping[str, str]:
    return {name: str(table["ask"]) for name, table in _tables().items()}
