"""Text for outside parties: without personal data, as far as patterns and capitals show them."""

from __future__ import annotations

import re
from functools import cache

import re2

from api.privacy.redact import Redactor

_NAME = re2.compile(
    r"\b(?:(?i:caller|mr|mrs|ms|dr|prof|sister|dame|cllr|manager|boss|colleague))\.?:? "
    r"(?:\p{Lu}[\p{L}.'-]*)(?: \p{Lu}[\p{L}.'-]*)*"
)
"""A person who is announced: by a title or a role, and words with capitals after it."""

_CAPITALS = re2.compile(r"\p{Lu}\p{Ll}+(?:[ -](?:(?:de|da|van|von|der|la|el|al) )*\p{Lu}[\p{Ll}.']+)+")
"""Two or more words with capitals in a row: a person, a street, a town, a firm; no business of a vendor."""

_NUMBER = re.compile(r"\b\d[\d .-]{5,}\d\b")
"""Long numbers that no word before them calls a contract, serial or case number."""
_REFERENCE = re.compile(
    r"(?i)(?:contract|serial|case|ref|reference|incident|ticket|order|notice|machine)"
    r"(?: no\.?| number)?:? ?[a-z]{0,4}-?$"
)
_NEAR = 40
"""Characters before a number in which the words that call it a reference lie: they and what may follow fill 24."""


def outward(text: str) -> str:
    """Return a text as an outside party may read it: nobody is named, and only contract, serial and case numbers stay.

    Example:
        >>> outward("Caller Kim Weber, kim@example.org: contract C-77120, badge 123 456 78")
        '[NAME], [EMAIL]: contract C-77120, badge [PHONE]'
    """
    text = _redactor().redact(text)
    text = _CAPITALS.sub("[NAME]", _NAME.sub("[NAME]", text))
    return _NUMBER.sub(lambda number: number[0] if _is_reference(text, number.start()) else "[NUMBER]", text)


def _is_reference(text: str, start: int) -> bool:
    """Say whether the words right before a number call it one that a vendor needs."""
    return _REFERENCE.search(text, max(0, start - _NEAR), start) is not None


@cache
def _redactor() -> Redactor:
    return Redactor()
