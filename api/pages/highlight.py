"""The words of a ticket that counted, found in its text: for the page that shows both side by side."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

_WORD = re.compile(r"\w+")
_LONGEST = 3
"""Most words in a row that are looked up as one term: word pairs are the longest terms of a model."""


@dataclass(frozen=True)
class Piece:
    """A part of a text, and what it is: ``for`` or ``against`` a label, an ``alarm``, or nothing in particular."""

    text: str
    kind: str = ""
    title: str = ""


def pieces(text: str, terms: Mapping[str, float], alarms: Iterable[str] = ()) -> list[Piece]:
    """Cut a text where words of it counted; joined again, the pieces are the text.

    Args:
        text: What the requester wrote.
        terms: Words and word pairs in lower case, and how far each pushed the label, in logits.
        alarms: Places that say that something must never wait, as they stand in the text.

    Example:
        >>> [(one.text, one.kind) for one in pieces("The VPN drops", {"vpn": 1.2})]
        [('The ', ''), ('VPN', 'for'), (' drops', '')]
    """
    marks = _alarm_marks(text, alarms) + _term_marks(text, {fold(term): weight for term, weight in terms.items()})
    found, place = [], 0
    for start, end, kind, title in sorted(marks, key=lambda mark: (mark[0], -mark[1])):
        if start < place:
            continue
        if start > place:
            found.append(Piece(text[place:start]))
        found.append(Piece(text[start:end], kind, title))
        place = end
    if place < len(text):
        found.append(Piece(text[place:]))
    return found


def fold(text: str) -> str:
    """Return a text in lower case without accents.

    Example:
        >>> fold("Übergröße VPN")
        'ubergroße vpn'
    """
    return "".join(sign for sign in unicodedata.normalize("NFKD", text.lower()) if not unicodedata.combining(sign))


def _alarm_marks(text: str, alarms: Iterable[str]) -> list[tuple[int, int, str, str]]:
    marks = []
    for alarm in alarms:
        start = text.find(alarm) if alarm.strip() else -1
        if start >= 0:
            marks.append((start, start + len(alarm), "alarm", "must not wait"))
    return marks


def _term_marks(text: str, terms: Mapping[str, float]) -> list[tuple[int, int, str, str]]:
    words = list(_WORD.finditer(text))
    folded = [fold(word.group()) for word in words]
    marks, place = [], 0
    while place < len(words):
        for count in range(min(_LONGEST, len(words) - place), 0, -1):
            weight = terms.get(" ".join(folded[place : place + count]))
            if weight is not None:
                span = words[place].start(), words[place + count - 1].end()
                marks.append((*span, "for" if weight > 0 else "against", f"{weight:+.2f}"))
                place += count - 1
                break
        place += 1
    return marks
