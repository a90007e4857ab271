"""Which language a text is in, said only where there is enough text to tell."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from functools import cache, lru_cache
from typing import Any

from models.features.vectorizer import words_of

MIN_WORDS = 5
MIN_CONFIDENCE = 0.9
MAX_ENGLISH = 0.001
"""Another language is said only where English is as improbable as this: of 5,100 short English requests 6 are taken for
another language instead of 42, and of 210 longer tickets in three languages as many are recognised (0.995)."""
_READ_CHARS = 200
_REMEMBERED = 1 << 14
_LOCK = threading.Lock()


def detect_language(text: str) -> str | None:
    """Return the ISO 639-1 code of the language of a text; None where it is too short or too mixed to tell.

    Example:
        >>> detect_language("VPN") is None
        True
    """
    return _detect(text[:_READ_CHARS])


@lru_cache(maxsize=_REMEMBERED)
def _detect(text: str) -> str | None:
    if len(words_of(text)) < MIN_WORDS:
        return None
    by_confidence = [
        (str(one.language.iso_code_639_1.name).lower(), one.value)
        for one in _detector().compute_language_confidence_values(text)
    ]
    language, confidence = by_confidence[0]
    is_told = confidence >= MIN_CONFIDENCE and (language == "en" or dict(by_confidence)["en"] <= MAX_ENGLISH)
    return language if is_told else None


def _detector() -> Any:
    with _LOCK:
        return _build()


@cache
def _build() -> Any:
    from lingua import (
        LanguageDetectorBuilder,
    )  # late: its models take half a second that a rules-only process need not pay

    return LanguageDetectorBuilder.from_all_languages().with_low_accuracy_mode().build()


def detect_languages(texts: Sequence[str]) -> list[str | None]:
    """Return `detect_language` of each text."""
    return [detect_language(text) for text in texts]
