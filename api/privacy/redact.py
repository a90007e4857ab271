"""Taking personal data and secrets out of text, by patterns that cannot run away (re2) and by checksums."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache
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
        found: list[Finding] = []
        taken = Spans()
        for pattern in self._patterns:
            for match in _compiled(pattern.expression).finditer(text):
                start, end = match.span(pattern.group)
                if start < end and not taken.overlaps(start, end) and _holds(pattern, text, start, end):
                    taken.take(start, end)
                    found.append(Finding(pattern.kind, start, end))
        return sorted(found, key=lambda finding: finding.start)


def _valid(text: str) -> str:
    return text if text.isascii() else text.encode("utf-8", "replace").decode("utf-8")


def _worth_a_look(text: str) -> bool:
    """Say whether the text can hold anything at all: most texts without digits, marks or announcing words cannot."""
    return _compiled(_SIGNS).search(text) is not None


def _holds(pattern: Pattern, text: str, start: int, end: int) -> bool:
    if pattern.whole and ((start and text[start - 1].isalnum()) or (end < len(text) and text[end].isalnum())):
        return False
    found = text[start:end]
    if pattern.check is not None and _CHECKS[pattern.check](found):
        return True
    if pattern.cue is None:
        return pattern.check is None
    before, after = text[max(0, start - _NEAR) : start], text[end : end + 12]
    return _compiled(pattern.cue).search(f"{before}\x00{after}") is not None


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
