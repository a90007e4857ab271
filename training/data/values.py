"""Parses the values of a data file: text, truth values, languages; or says why one cannot be parsed."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from triage.languages.names import language_code

_NOTHING = frozenset(("nan", "NaN", "NaT", "<NA>", "None", "null", "NULL"))
_TRUE, _FALSE = frozenset(("true", "1", "yes", "y", "t")), frozenset(("false", "0", "no", "n", "f"))


class InvalidValue(Exception):
    """A value that cannot be what its role asks."""


def parse_text(value: Any, role: str) -> str | None:
    """Turn a cell into text; None where nothing is in it.

    Raises:
        InvalidValue: If it is a list, an object or bytes, or holds a NUL or a lone surrogate.
    """
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return None
    if isinstance(value, float) and value.is_integer():
        value = int(value)  # pandas writes whole numbers as 1.0 where a column has gaps
    if isinstance(value, bool):
        value = str(value).lower()
    if isinstance(value, (list, dict, bytes)):
        raise InvalidValue(f"{role} is a {type(value).__name__}, not text")
    text = str(value)
    _check_unicode(text, role)
    return None if text in ("nan", "NaN") else text


def _check_unicode(text: str, role: str) -> None:
    if "\x00" in text:
        raise InvalidValue(f"{role} holds a NUL character")
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise InvalidValue(
            f"{role} holds a byte that is not UTF-8, or a lone surrogate, at character {error.start}"
        ) from error


def stated(text: str | None) -> str | None:
    """Return text without outer spaces; None where it says nothing."""
    stripped = (text or "").strip()
    return stripped if stripped and stripped not in _NOTHING else None


@dataclass
class LanguageColumn:
    """The languages of one column.

    Attributes:
        unknown: What stood there that is no known language, and how often so far.
    """

    unknown: Counter[str] = field(default_factory=Counter)

    def read(self, text: str | None) -> str | None:
        """Return the ISO 639-1 code of what is stated; None where that is nothing, or no known language: counted."""
        language = stated(text)
        code = language_code(language)
        if language is not None and code is None:
            self.unknown[language] += 1
        return code


def parse_bool(text: str | None) -> bool:
    """Read true or false; an empty value means false.

    Raises:
        InvalidValue: If it is neither.
    """
    value = (stated(text) or "").casefold()
    if value and value not in _TRUE | _FALSE:
        raise InvalidValue(
            "sensitive is neither true nor false; write one of them, or switch the role off with --map sensitive="
        )
    return value in _TRUE
