"""The hand-over packet: what must be known of a ticket at the next tier, quoted where it says so, asked where not."""

from __future__ import annotations

import re
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
_PARTS = ("cased", "clause", "match", "phrase", "quoted", "tail", "announced")
_ANNOUNCED = (
    r"\b(?:their )?(?:(?:number|numero|num|no\.?|nr\.?|n[°º.]) ?(?:(?:of|de|du|del) |d')?(?:the |la |l')?)?"
    r"(?:{words})(?:[ -]?(?:numbers?|nummer|numero|num|nos?|nr|id|ref(?:erence)?|given|code)\b)*\.?"
    r"(?: (?:of|from|with|at|on|by|bei|beim|vom|von|des|de|du|del) (?:(?:the|our|your|dem|unserem|la|el|le) |l')?"
    r"(?:vendor|supplier|maker|manufacturer|carrier|provider|back|label"
    r"|herstellers?|lieferanten|anbieters?|fournisseur|constructeur|fabricante|proveedor))?"
    r"(?: (?:is|was|ist|lautet|war|est|es))?[ :#=]{1,4}"
    r"(?:\d{1,3}(?: \d{3}){1,4}\b|\d{4}(?: \d{4}){1,3}\b"
    r"|[a-z]{0,6}[-/_]?\d[\da-z/_-]*\d[\da-z-]*|[a-z]{1,6}-\d[\da-z-]*)"
)
"""A number with the words that announce it, over lower-case text without accents."""
_IDIOM = r"\b(?:{words}) [a-z]{0,6}[-/_]?\d"
"""Such a word within a turn of phrase, which announces nothing: "in case 0664 123456 is busy"."""
_CODE, _REST = re.compile(r"\b0\d{1,4}$"), re.compile(r"[ /]\d{3}")
"""The code of a town or network at the end of a match, and what shows that the rest of a telephone number follows."""
_OR, _AND = re.compile(r"\b(?:or|oder|ou|o)\b"), re.compile(r"[;:(]|\b(?:and|und|et|y|with)\b")
"""What joins items of a line of which one is enough, and what shows that each is asked for."""
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
        asks: What to ask of it that the ticket does not say; empty where it says all.
    """

    item: str
    quotes: tuple[str, ...]
    asks: tuple[str, ...] = ()

    @property
    def ask(self) -> str:
        """What to ask, as one text."""
        return " ".join(self.asks)

    def text(self) -> str:
        """Return the line as text: what is said, and what is missing."""
        return f"{self.item}: {' | '.join((*self.quotes, *([f'MISSING - {self.ask}'] if self.asks else [])))}"


@dataclass(frozen=True)
class Packet:
    """A hand-over: from where to where, and everything that must go with it."""

    from_tier: str | None
    to_tier: str | None
    entries: tuple[Entry, ...]

    @property
    def missing(self) -> tuple[str, ...]:
        """The questions that are still open, each once."""
        return tuple(dict.fromkeys(ask for entry in self.entries for ask in entry.asks))

    def text(self) -> str:
        """Return the packet as text to paste into a work order."""
        giver = f" from {self.from_tier or 'the requester'}" if self.from_tier != self.to_tier else ""
        head = f"Hand-over{giver} to {self.to_tier or 'nobody yet'}"
        return "\n".join([head, *(f"- {entry.text()}" for entry in self.entries)])


def packet(policy: Policy, texts: Sequence[str], way: tuple[str | None, str | None], category: str | None) -> Packet:
    """Return the hand-over packet of the edge that a ticket is about to take.

    An outside party is told of no person, and asked for none: lines that speak of nothing else are left out.

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
    kept = _kept_inside() if way[1] in policy.external_tiers else frozenset()
    lines = ((item, _items_of(item)) for item in policy.hand_over(way[1], category))
    said = ((item, names, [name for name in names if name not in kept]) for item, names in lines)
    entries = tuple(_entry(item, told, quotes) for item, names, told in said if told or not names)
    return Packet(way[0], way[1], entries)


def _entry(item: str, names: Sequence[str], quotes: Mapping[str, Iterable[str]]) -> Entry:
    """Fill a line of the policy with what was found of the items that it speaks of, and ask for those that were not.

    Of items that it joins by "or" one is enough; where none was found, the first one is asked for. A line that speaks
    of no known item is asked for in its own words, since these may be of any form and language.
    """
    found = tuple(quote for name in names for quote in quotes.get(name, ()))
    open_ones = (group for group in _alternatives(item, names) if not any(name in quotes for name in group))
    missing = tuple(str(_tables()[group[0]]["ask"]) for group in open_ones)
    return Entry(item, found, missing if names else (f'Please say: "{item}"',))


def _items_of(line: str) -> tuple[str, ...]:
    """Return the items that a line of a hand-over list speaks of, by its words."""
    words = line.lower()
    return tuple(name for name, table in _tables().items() if any(word in words for word in table["named_by"]))


def _alternatives(line: str, names: Sequence[str]) -> list[list[str]]:
    """Return the items of a line in groups: those that it joins by "or" are in one.

    Example:
        >>> _alternatives("serial or contract number, and the error", ["error_text", "contract", "serial"])
        [['serial', 'contract'], ['error_text']]
    """
    words = line.lower()
    named = {
        name: min(place for word in _tables()[name]["named_by"] if (place := words.find(word)) >= 0) for name in names
    }
    groups: list[list[str]] = []
    is_or = False  # a comma is the "or" that comes after it: "contract, serial or case number"
    for name in sorted(names, key=lambda name: -named[name]):
        between = words[named[name] : named[groups[0][0]]] if groups else ""
        is_or = _OR.search(between) is not None or (is_or and "," in between)
        if is_or and not _AND.search(between):
            groups[0].insert(0, name)
        else:
            groups.insert(0, [name])
            is_or = False
    return groups


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


def find_references(text: str) -> tuple[Found, ...]:
    """Find the numbers by which an outside party knows a matter, with the words that announce them, in order.

    Example:
        >>> text = "Case ID 5381234567, S/N 012 345 678, call 020 7946 0018"
        >>> [text[one.start : one.end] for one in find_references(text)]
        ['Case ID 5381234567', 'S/N 012 345 678']
    """
    reading = _Marked(text[:MAX_CHARS])
    stay = (name for name, table in _tables().items() if table.get("outside") == "stays")
    found = (span for name in stay for span in _spans(name, reading, ("announced", "match")))
    return tuple(sorted(found, key=lambda span: (span.start, span.end)))


def _spans(name: str, reading: _Marked, parts: Sequence[str] = _PARTS) -> Iterable[Found]:
    taken = Spans()
    for other in _tables()[name].get("yields_to", ()):
        for span in _spans(other, reading):  # a contract number is no device
            taken.take(span.start, span.end)
    for idiom in (match.span() for pattern in _idioms(name) for match in pattern.finditer(reading.plain)):
        taken.take(*idiom)
    for part, pattern in (one for one in _patterns(name) if one[0] in parts):
        for match in pattern.finditer(reading.text if part == "cased" else reading.plain):
            start, end = reading.widened(part, *match.span())
            if part == "announced" and _CODE.search(match[0]) and _REST.match(reading.plain, match.end()):
                continue
            if taken.take(start, end):
                yield Found(name, start, end)


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
def _kept_inside() -> frozenset[str]:
    """Return the items that no outside party is told of."""
    return frozenset(name for name, table in _tables().items() if table.get("outside") == "never")


@cache
def _idioms(name: str) -> tuple[Any, ...]:
    return tuple(compile_cue(_IDIOM.replace("{words}", words)) for words in _tables()[name].get("idioms", ()))


@cache
def _patterns(name: str) -> tuple[tuple[str, Any], ...]:
    table = _tables()[name]
    announced = [_ANNOUNCED.replace("{words}", "|".join(table["announced"]))] if "announced" in table else []
    stated = {**table, "announced": announced}
    return tuple((part, compile_cue(pattern)) for part in _PARTS for pattern in stated.get(part, ()))
