"""Which language a text is in, said only where there is enough text to tell."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

from models.features.vectorizer import words_of
from triage.languages.alphabets import dense_letters
from triage.languages.names import language_code
from triage.ticket import Ticket

MIN_WORDS = 5
_FEW_WORDS, _DENSE_LETTERS = 3, 6
"""Fewer words do where one is common in another language, and so many letters of a script such as the Chinese one."""
MIN_CONFIDENCE = 0.9
MAX_ENGLISH = 0.001
"""Another language is said only where English is as improbable as this: of 5,100 short English requests 6 are taken for
another language instead of 42, and of 210 longer tickets in three languages as many are recognised (0.995)."""
_READ_CHARS = 200
_ENGLISH = frozenset(
    (
        *("the", "and", "this", "that", "these", "with", "please", "cannot", "when", "has"),
        *("after", "you", "your", "since", "does", "they", "there", "which", "would", "could"),
        *("should", "who", "what", "where", "why", "how", "into", "about", "because", "any"),
        *("if", "need", "unable", "able", "received", "issue", "issues", "below", "locked", "working"),
        *("connect", "our", "it", "from"),
    )
)
"""Common words of English that hardly another language has."""
_SHARED = frozenset(
    (
        *("to", "my", "not", "is", "are", "on", "in", "for", "i", "can"),
        *("be", "been", "have", "had", "of", "do", "no", "by", "a", "an"),
        *("new", "out", "get", "got", "still", "log", "phone", "number", "call", "called"),
        *("at", "as", "am", "me", "we", "us", "but", "or", "so", "all"),
        *("was", "will", "reset", "error", "user", "password"),
    )
)
"""Common words of English that other languages have too, or that desks use everywhere."""
_FOREIGN = frozenset(
    (
        *("der", "das", "und", "nicht", "ist", "ich", "wir", "sie", "dem", "den"),
        *("eine", "einen", "einem", "kann", "keine", "kein", "mein", "meine", "mit", "auf"),
        *("seit", "von", "zu", "im", "bitte", "hallo", "heute", "sich", "wird", "werden"),
        *("haben", "het", "een", "niet", "voor", "geen", "ik", "naar", "maar", "ons"),
        *("onze", "zijn", "werkt", "sinds", "iemand", "le", "les", "des", "est", "une"),
        *("pas", "je", "vous", "nous", "pour", "avec", "dans", "que", "qui", "sur"),
        *("mon", "mes", "bonjour", "depuis", "el", "los", "las", "una", "por", "para"),
        *("del", "nos", "hola", "desde", "puedo", "nao", "um", "uma", "meu", "minha"),
        *("ao", "di", "il", "che", "gli", "sono", "non", "mio", "dal", "della"),
        *("nie", "jest", "jak", "moge", "mam", "jeg", "ikke", "og", "som", "det"),
        *("hjelp", "vi", "att", "inte", "och", "jag", "ili", "ali", "bir", "ve"),
        *("ei", "ja", "kan", "wat", "ek", "werk"),
    )
)
"""Common words of other languages: where one stands, the detector is asked."""
_ENGLISH_WORDS, _ENGLISH_SHARE = 2, 0.15
_KNOWN_WORDS, _KNOWN_SHARE = 3, 0.3
"""Different words, and share of all, that tell English at once: of the first list alone, or of the first two with
one of the first among them. So 0.65 of 4,130 English tickets are told, and none of 210 in three other languages; the
detector, which sees the rest, takes a hundred times as long."""
WORDS_FILE = "english-words.txt"
"""Words that English tickets have and tickets in other languages hardly; made by `scripts/english_words.py`."""
_COMMON_WORDS, _COMMON_SHARE = 3, 0.5
"""Different words of that file, and share of all words without a digit, that tell English at once too. Of 4,504 ITSM
tickets 0.19 are then left to the detector instead of 0.41. Of 3,922 texts that it finds to be in other languages, 6 are
told by a list that was made without them, and all of them are English."""
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
    words = words_of(text)
    if len(words) < MIN_WORDS and not _says_enough(text, words):
        return None
    if text.isascii() and _is_plainly_english(words):
        return "en"
    by_confidence = _detector().compute_language_confidence_values(text)
    likeliest = by_confidence[0]
    if likeliest.value < MIN_CONFIDENCE:
        return None
    language = _code(likeliest)
    english = 0.0 if language == "en" else next(one.value for one in by_confidence if _code(one) == "en")
    return language if english <= MAX_ENGLISH else None


def _says_enough(text: str, words: Sequence[str]) -> bool:
    """Say whether a text of few words tells its language: by letters that are half a word each, or by a common word."""
    return dense_letters(text) >= _DENSE_LETTERS or (len(words) >= _FEW_WORDS and not _FOREIGN.isdisjoint(words))


def language_of(ticket: Ticket) -> str | None:
    """Return the ISO 639-1 code of a ticket's language: the stated one, else what its text tells."""
    return language_code(ticket.language) or detect_language(ticket.text)


def forget_languages() -> None:
    """Forget the beginnings of texts whose language is remembered."""
    _detect.cache_clear()


def _code(one: Any) -> str:
    """Return the ISO 639-1 code of a language that the detector gives a confidence for."""
    return str(one.language.iso_code_639_1.name).lower()


def _is_plainly_english(words: Sequence[str]) -> bool:
    if not _FOREIGN.isdisjoint(words):
        return False
    own = [word for word in words if word in _ENGLISH]
    known = [*own, *(word for word in words if word in _SHARED)]
    if len(set(own)) >= _ENGLISH_WORDS and len(own) >= _ENGLISH_SHARE * len(words):
        return True
    if own and len(set(known)) >= _KNOWN_WORDS and len(known) >= _KNOWN_SHARE * len(words):
        return True
    spelled = [word for word in words if word.isalpha()]
    common = [word for word in spelled if word in _common_words()]
    return len(set(common)) >= _COMMON_WORDS and len(common) >= _COMMON_SHARE * len(spelled)


@cache
def _common_words() -> frozenset[str]:
    return _ENGLISH | _SHARED | frozenset(Path(__file__).with_name(WORDS_FILE).read_text("utf-8").split())


def _detector() -> Any:
    with _LOCK:
        return _build()


@cache
def _build() -> Any:
    from lingua import (
        LanguageDetectorBuilder,
    )  # late: its models take half a second that a rules-only process need not pay

    return LanguageDetectorBuilder.from_all_languages().with_low_accuracy_mode().build()
