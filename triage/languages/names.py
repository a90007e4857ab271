"""The ISO 639-1 code of a language that is stated as a name, a locale or a number."""

from __future__ import annotations

import locale
import re
import unicodedata
from functools import cache, lru_cache
from pathlib import Path

NAMES_FILE = "names.txt"
"""A code and all that stands for it on each line; made by `scripts/language_names.py`."""

DETECTED_AS = {"no": "nb", "nor": "nb", "fil": "tl", "sh": "sr"}
"""Languages that the detector knows by another code: what is stated has to agree with what is detected."""

_LOCALE = re.compile(
    r"([a-z]{2,3})(?:[_-][a-z0-9]{1,8}){1,3}(?:\.[a-z0-9_-]+)?(?:@[a-z]+)?|([a-z]{2,3})(?:\.|@)[a-z0-9-]+"
)
_QUALIFIED = re.compile(r"\s*(?:[(\[,;:]|\s[-–—]\s)\s*")
_LEAST_NAME = 4
"""Characters of a name that may have a region behind it: shorter ones are codes, or of regions themselves."""


def language_code(stated: str | None) -> str | None:
    """Return the ISO 639-1 code of a language as it is stated; None where no known one is.

    Args:
        stated: A code (``de``, ``deu``), a locale (``de_AT``, ``de-AT.UTF-8``), Windows' number of one (``1031``), or a
            name in a language of Europe or in itself (``German``, ``Deutsch (Österreich)``, ``allemand``).

    Example:
        >>> [language_code(one) for one in ("EN-us", "Français", "niemiecki", "1033", "Klingon", "English, German")]
        ['en', 'fr', 'de', 'en', None, None]
    """
    return _code(stated) if stated else None


@lru_cache(maxsize=1024)
def _code(stated: str) -> str | None:
    text = folded(stated)
    exact = _names().get(text)
    if exact is not None or not text:
        return exact
    if text.isascii() and text.isdigit():
        text = folded(locale.windows_locale.get(int(text), "")) if len(text) < 7 else ""
    found = _LOCALE.fullmatch(text)
    return _names().get(found[1] or found[2]) if found else _without_region(text)


def _without_region(text: str) -> str | None:
    """Read a name with something behind it that is no other language: ``english (us)``, ``english - united states``."""
    parts = [part.strip(" )]") for part in _QUALIFIED.split(text)]
    if len(parts) == 1:
        parts = text.split()
    code = _names().get(parts[0]) if parts else None
    if code is None or (len(parts[0]) < _LEAST_NAME and parts[0] == text):
        return None
    codes = len(parts[0]) < _LEAST_NAME  # of two codes neither is a region
    others = {_names().get(part) for part in parts[1:] if codes or len(part) >= _LEAST_NAME}
    return code if others <= {code, None} else None


def folded(text: str) -> str:
    """Return a name in small letters without accents, with single spaces.

    Example:
        >>> folded(" Français ")
        'francais'
    """
    plain = unicodedata.normalize("NFKD", text).casefold()
    return " ".join("".join(char for char in plain if unicodedata.category(char) not in ("Mn", "Cf")).split())


@cache
def _names() -> dict[str, str]:
    lines = Path(__file__).with_name(NAMES_FILE).read_text("utf-8").splitlines()
    return {name: code for code, *names in (line.split("\t") for line in lines) for name in (code, *names)}
