"""Alphabets and scripts other than the Latin one: how much of a text is in them, and which languages it may be in."""

from __future__ import annotations

from collections import Counter
from typing import Any

import re2

_LAST_LATIN = "\u024f"
"""Last letter of the block Latin Extended-B; what comes later is of another script."""
_DENSE_LETTER = r"[\p{Han}\p{Hiragana}\p{Katakana}\p{Hangul}ーｰ]"
"""A letter of scripts of which two or three make a word; the mark of a long vowel in Japanese is one."""
_UNSPACED_LETTER = r"[\x{0e01}-\x{0e4e}\x{0e81}-\x{0ecd}\x{1000}-\x{103f}\x{1780}-\x{17d3}]"
"""A letter or vowel sign of Thai, Lao, Burmese and Khmer, which are alphabets without blanks between words."""
_DENSE = re2.compile(f"{_DENSE_LETTER}+")
_DENSE_LETTERS = 3
"""Letters of an alphabet that one of a dense script stands for."""
_OF_A_WORD = re2.compile(f"{_DENSE_LETTER}{{3}}|{_UNSPACED_LETTER}{{5}}")
_UNBROKEN = re2.compile(f"{_DENSE_LETTER}|{_UNSPACED_LETTER}+")
_LANGUAGES = {
    r"\p{Cyrillic}": ("be", "bg", "kk", "mk", "mn", "ru", "sr", "uk"),
    r"\p{Greek}": ("el",),
    r"\p{Arabic}": ("ar", "fa", "ur"),
    r"\p{Hebrew}": ("he",),
    r"[\p{Han}\p{Hiragana}\p{Katakana}]": ("ja", "zh"),
    r"\p{Hangul}": ("ko",),
    r"\p{Thai}": ("th",),
    r"\p{Devanagari}": ("hi", "mr"),
    r"\p{Bengali}": ("bn",),
    r"\p{Gujarati}": ("gu",),
    r"\p{Gurmukhi}": ("pa",),
    r"\p{Tamil}": ("ta",),
    r"\p{Telugu}": ("te",),
    r"\p{Armenian}": ("hy",),
    r"\p{Georgian}": ("ka",),
}
"""By script, the ISO 639-1 codes of the languages that the detector tells and that are written in it."""
_SCRIPTS = tuple((re2.compile(f"(?:{script})+"), languages) for script, languages in _LANGUAGES.items())
_WRITTEN_SHARE = 0.2
"""Share of letters from which on a text counts as written in their script: a name in an English request is less."""


class _Characters:
    """The characters of a text with how often each is there.

    In order of their code points those of a script stand side by side: a match is made for each run of them. One for
    each letter of a text would cost as much as all the rest of screening.
    """

    def __init__(self, text: str) -> None:
        self._counts = Counter(text)
        self._in_order = "".join(sorted(self._counts))

    def of(self, script: Any) -> int:
        """Count the characters of a script."""
        return sum(self._counts[char] for run in script.findall(self._in_order) for char in run)


def holds_other_script(text: str) -> bool:
    """Say whether a text has a letter of another script than the Latin one.

    Example:
        >>> holds_other_script("Grüße, łódź"), holds_other_script("VPN 坏了")
        (False, True)
    """
    return not text.isascii() and any(char > _LAST_LATIN and char.isalpha() for char in text)


def other_letters(text: str) -> int:
    """Count the letters of other scripts than the Latin one, each of a dense script as so many of an alphabet.

    Example:
        >>> other_letters("VPN 坏了"), other_letters("VPN упал")
        (6, 4)
    """
    letters = 0 if text.isascii() else sum(char > _LAST_LATIN and char.isalpha() for char in text)
    return letters + (_DENSE_LETTERS - 1) * dense_letters(text) if letters else 0


def dense_letters(text: str) -> int:
    """Count the letters of scripts of which two or three make a word."""
    return 0 if text.isascii() else _Characters(text).of(_DENSE)


def with_gaps(text: str) -> str:
    """Return a text with a blank after so many letters as make a word in scripts that have none, to count its words.

    Example:
        >>> with_gaps("VPN 连接不上，请帮忙"), with_gaps("VPN упал снова")
        ('VPN 连接不 上，请帮忙 ', 'VPN упал снова')
    """
    return text if text.isascii() else _OF_A_WORD.sub(r"\g<0> ", text)


def words_written(text: str) -> int:
    """Count the words of a text as they are written, in scripts without blanks by their letters.

    Example:
        >>> words_written("I can't log in"), words_written("我的账号被锁定了")
        (4, 3)
    """
    return len(with_gaps(text).split())


def set_apart(text: str) -> str:
    """Return a text with blanks around each letter of a dense script, and around others that no blank ends.

    So a number that touches such letters is a word of its own.

    Example:
        >>> set_apart("房间207").split()
        ['房', '间', '207']
    """
    return text if text.isascii() else _UNBROKEN.sub(r" \g<0> ", text)


def is_mostly_other_script(text: str) -> bool:
    """Say whether most letters of a text, a dense script's counted as so many of an alphabet, are not Latin.

    Example:
        >>> is_mostly_other_script("Excel 打不开了"), is_mostly_other_script("thanks and bye, 王")
        (True, False)
    """
    others = other_letters(text)
    return others > 0 and others > _latin_letters(text)


def languages_written(text: str) -> tuple[str, ...]:
    """Return the languages that a text may be in by the script of at least a fifth of its letters; none where Latin.

    Example:
        >>> languages_written("printer 着火了"), languages_written("The printer of Mr 王 has jammed again")
        (('ja', 'zh'), ())
    """
    others = other_letters(text)
    if not others or others < _WRITTEN_SHARE * (others + _latin_letters(text)):
        return ()
    characters = _Characters(text)
    counted = [(characters.of(script), languages) for script, languages in _SCRIPTS]
    most, languages = max(counted, key=lambda one: one[0])
    return languages if most else ()


def _latin_letters(text: str) -> int:
    return sum(char <= _LAST_LATIN and char.isalpha() for char in text)
