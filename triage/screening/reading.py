"""A text as cues read it: lower case, without accents, cut into sentences; every place is a place of the original."""

from __future__ import annotations

import re
import unicodedata
from bisect import bisect_left, insort
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

MAX_CHARS = 20_000
"""Characters of a ticket that cues read: what has not come up by then is a log or a thread."""

# A line that goes on in lower case was only wrapped by a mail program.
# To begin only where a row of marks begins keeps a long row from taking time with the square of its length.
_END = re.compile(r"(?<![.!?;])[.!?;]++(?=\s|$)|\n(?![ \t]*[a-zà-öø-ÿ])")


def _plain(char: str) -> str:
    """Return one lower-case character without accent for one character."""
    base = unicodedata.normalize("NFD", char)[0] if not char.isascii() else char
    lower = base.lower()
    return lower if len(lower) == 1 else char


_TABLE = {ord(char): _plain(char) for char in map(chr, range(0x250))} | {
    ord("ß"): "s",
    ord("ø"): "o",
    ord("ł"): "l",
    ord("Ł"): "l",
    ord("\u2019"): "'",
    ord("\u2018"): "'",
    ord("\u00b4"): "'",
    ord("`"): "'",
    ord("\n"): " ",
    ord("\t"): " ",
}


def plain(text: str) -> str:
    r"""Lower a text and take its accents off, character by character: the length stays.

    Example:
        >>> plain("Brûlé\nÜBER")
        'brule uber'
    """
    return text.translate(_TABLE)


@dataclass(frozen=True)
class Reading:
    """A text cut into sentences.

    Attributes:
        text: The text as written.
    """

    text: str

    @cached_property
    def plain(self) -> str:
        """The text for matching, of the same length."""
        return plain(self.text)

    @cached_property
    def sentences(self) -> tuple[tuple[int, int], ...]:
        """Start and end of each sentence that has something in it."""
        found, start = [], 0
        for end in _END.finditer(self.text):
            found.append((start, end.end()))
            start = end.end()
        found.append((start, len(self.text)))
        return tuple((a, b) for a, b in found if self.text[a:b].strip())

    def window(self, start: int, end: int, around: int = 1) -> tuple[int, int]:
        """Return start and end of the sentences that a span touches, and of `around` more on both sides."""
        spans = self.sentences
        touched = [place for place, (a, b) in enumerate(spans) if a < end and start < b]
        if not touched:
            return start, end
        return spans[max(0, touched[0] - around)][0], spans[min(len(spans) - 1, touched[-1] + around)][1]


class Spans:
    """Stretches of a text of which none overlaps another; whether one has room is seen without reading them all.

    Args:
        taken: Start and end of the first ones, which do not overlap.

    Example:
        >>> spans = Spans()
        >>> [spans.take(*place) for place in [(0, 4), (3, 5), (4, 6), (2, 2)]]
        [True, False, True, False]
    """

    def __init__(self, taken: Iterable[tuple[int, int]] = ()) -> None:
        self._spans = sorted(taken)

    def overlaps(self, start: int, end: int) -> bool:
        """Say whether a stretch and one of these have a character in common."""
        last = bisect_left(self._spans, (end, end)) - 1
        return last >= 0 and self._spans[last][1] > start

    def take(self, start: int, end: int) -> bool:
        """Add a stretch that has a character and overlaps none, and say whether it was added."""
        if end <= start or self.overlaps(start, end):
            return False
        insort(self._spans, (start, end))
        return True
