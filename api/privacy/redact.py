"""Taking personal data and secrets out of text, by patterns that cannot run away (re2) and by checksums."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from itertools import accumulate
from typing import Any

import re2

from api.privacy.patterns import PATTERNS, SECRET_WORD, Pattern
from triage.screening.reading import Spans

_NEAR = 40


@dataclass(frozen=True)
class Finding:
    """Where something stands that should not be kept: its kind, and its first and one past its last character."""

    kind: str
    start: int
    end: int


class Redactor:
    """Replaces what identifies a person or opens a door by the name of its kind.

    It finds what has a shape: e-mail and IP addresses, telephone, card, bank account and social security numbers,
    passwords, keys and tokens, and names and post codes that are announced as such. It does not know people, places or
    streets by themselves; `docs/privacy.md` says how much it finds.

    Args:
        kinds: Only look for these kinds; all of them where not given.

    Example:
        >>> Redactor().redact("Call me on 020 7946 0018 or write to kim@example.org")
        'Call me on [PHONE] or write to [EMAIL]'
    """

    def __init__(self, kinds: Iterable[str] | None = None) -> None:
        wanted = None if kinds is None else set(kinds)
        self._patterns = [pattern for pattern in PATTERNS if wanted is None or pattern.kind in wanted]

    def redact(self, text: str) -> str:
        """Return the text with every finding replaced by ``[KIND]``; what is not valid Unicode becomes ``?``."""
        text = _valid(text)
        parts, done = [], 0
        for finding in self.find(text):
            parts += [text[done : finding.start], f"[{finding.kind}]"]
            done = finding.end
        return "".join([*parts, text[done:]])

    def find(self, text: str) -> list[Finding]:
        """Return all findings in order; none overlaps another, the earlier pattern wins."""
        text = _valid(text)
        if not _worth_a_look(text):
            return []
        read, taken = _Read(text), Spans()
        found = [finding for pattern in self._patterns for finding in _findings(pattern, read, taken)]
        return sorted(found, key=lambda finding: finding.start)


class _Read:
    """A text as re2 reads it: encoded once, however often the search goes on from a place in it."""

    def __init__(self, text: str) -> None:
        self.text = text
        self._encoded = text.encode()
        begins = () if text.isascii() else (byte & 0xC0 != 0x80 for byte in self._encoded)
        self._characters = [0, *accumulate(begins)]
        """How many characters begin before each byte; of a text in which each is one byte only the first is known."""

    def search(self, expression: Any, place: int) -> Any:
        """Return the first match from a place on, a number of bytes as all places in a match are; None without one."""
        return expression.search(self._encoded, place)

    def characters(self, span: tuple[int, int]) -> tuple[int, int]:
        """Return where a stretch of bytes begins and ends in the text."""
        start, end = span
        return span if self.text.isascii() else (self._characters[start], self._characters[end])


def _findings(pattern: Pattern, read: _Read, taken: Spans) -> Iterator[Finding]:
    """Yield and take what a pattern finds where nothing is taken yet.

    A match that does not hold, and that more letters or digits follow, may have swallowed the beginning of one that
    does: the search goes on inside of it where the pattern says what parts it, or which group is replaced.
    """
    expression, place = _compiled(pattern.expression), 0
    while (match := read.search(expression, place)) is not None:
        start, longest = read.characters(match.span(pattern.group))
        end = _end(pattern, read.text, (start, longest), taken)
        if end is not None:
            taken.take(start, end)
            yield Finding(pattern.kind, start, end)
            place = match.end() - len(read.text[end:longest].encode()) if end < longest else match.end()
        else:
            place = _further(pattern, match, _stands_alone(pattern, read.text, start, longest))


def _further(pattern: Pattern, match: Any, stands_alone: bool) -> int:
    """Return where the search goes on behind a match that does not hold."""
    if pattern.group:
        return int(match.start(pattern.group))
    parted = None if pattern.part is None or stands_alone else _compiled(pattern.part).search(match.group())
    return int(match.end() if parted is None else match.start() + parted.end())


def _end(pattern: Pattern, text: str, span: tuple[int, int], taken: Spans) -> int | None:
    """Return where what a pattern matches ends; None where it holds with none of its tails left out.

    What a checksum says comes first: a word near by speaks for the longest one.
    """
    start, longest = span
    free = [
        end
        for end in _ends(pattern, text, start, longest)
        if not taken.overlaps(start, end) and _stands_alone(pattern, text, start, end)
    ]
    for holds in (_passes, _has_cue):
        for end in free:
            if holds(pattern, text, start, end):
                return end
    return None


def _ends(pattern: Pattern, text: str, start: int, end: int) -> Iterator[int]:
    """Yield where a match may end, the longest first."""
    if start < end:
        yield end
    while pattern.tail is not None and (tail := _compiled(pattern.tail).search(text[start:end])) is not None:
        end = start + tail.start()
        if _compiled(pattern.expression).fullmatch(text[start:end]) is None:
            return
        yield end


def _valid(text: str) -> str:
    return text if text.isascii() else text.encode("utf-8", "replace").decode("utf-8")


def _worth_a_look(text: str) -> bool:
    """Say whether the text can hold anything at all: most texts without digits, marks or announcing words cannot."""
    return _compiled(_SIGNS).search(text) is not None


def _stands_alone(pattern: Pattern, text: str, start: int, end: int) -> bool:
    """Say whether no letter and no digit touches a match that may not be touched."""
    return not pattern.whole or not (text[start - 1 : start].isalnum() or text[end : end + 1].isalnum())


def _passes(pattern: Pattern, text: str, start: int, end: int) -> bool:
    """Say whether a match passes the pattern's check; one that needs neither check nor cue does."""
    return pattern.cue is None if pattern.check is None else _CHECKS[pattern.check](text[start:end])


def _has_cue(pattern: Pattern, text: str, start: int, end: int) -> bool:
    before, after = text[max(0, start - _NEAR) : start], text[end : end + 12]
    return pattern.cue is not None and _compiled(pattern.cue).search(f"{before}\x00{after}") is not None


@cache
def _compiled(expression: str) -> Any:
    options = re2.Options()
    options.max_mem = 64 << 20
    return re2.compile(expression, options=options)


def _luhn(found: str) -> bool:
    digits = [int(character) for character in found if character.isdecimal()]
    if len(set(digits)) < 2:
        return False
    doubled = [digit if place % 2 == 0 else sum(divmod(digit * 2, 10)) for place, digit in enumerate(reversed(digits))]
    return sum(doubled) % 10 == 0


def _mod97(found: str) -> bool:
    letters = "".join(character for character in found.upper() if character.isalnum())
    turned = letters[4:] + letters[:4]
    return int("".join(str(int(character, 36)) for character in turned)) % 97 == 1


def _is_address(found: str) -> bool:
    try:
        ipaddress.ip_address(found)
    except ValueError:
        return False
    return found.count(":") != 1


def _is_telephone(found: str) -> bool:
    """Say whether a run of digit groups looks like a telephone number rather than a date, a time or a version."""
    digits = sum(character.isdigit() for character in found)
    return 8 <= digits <= 15 and _compiled(_DATES).fullmatch(found.strip()) is None


def _is_password(found: str) -> bool:
    """Say whether a word after "password is" can be one: ordinary words (expired, wrong) are not."""
    inner = found.strip(".,;!?\"')(")
    return len(inner) >= 4 and not (inner.isalpha() and (inner.islower() or inner.istitle() or inner.isupper()))


_SIGNS = (
    r"[0-9@:=_]|->|-----BEGIN|eyJ|[A-Z]{20}|\bglpat-|\bxox|\bAIza|\bsk-|\bSG\."
    rf"|(?i:\bname|\b(?:{SECRET_WORD})\b|bearer|basic|llamo|appelle|heiß|heisse)|\b(?i:(?:[0-9a-f]{{2}}-){{5}}[0-9a-f]{{2}})\b"
)
"""Something of this stands in every text that a pattern matches; words such as "is" or "to" would let most texts in."""
_DATES = r"(?:19|20)\d\d[-. /]\d\d?[-. /]\d\d?(?:[ T-]\d.*)?|\d\d?[-. /]\d\d?[-. /](?:19|20)\d\d(?:[ T-].*)?"
_CHECKS: dict[str, Callable[[str], bool]] = {
    "luhn": _luhn,
    "mod97": _mod97,
    "address": _is_address,
    "telephone": _is_telephone,
    "password": _is_password,
}
