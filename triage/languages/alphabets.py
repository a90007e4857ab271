"""Alphabets and scripts other than the Latin one: how much of a text is in them, and which languages it may be in."""

from __future__ import annotations

import re
from collections import Counter
from functools import cached_property
from typing import Any

import re2

_BEYOND_LATIN = re.compile("[^\\0-\u024f]+")
"""What comes after the block Latin Extended-B: letters of other scripts, and marks such as dashes and quotes."""
_DENSE_LETTER = r"[\p{Han}\p{Hiragana}\p{Katakana}\p{Hangul}ーｰ]"
"""A letter of scripts of which two or three make a word; the mark of a long vowel in Japanese is one."""
_UNSPACED_LETTER = r"[\x{0e01}-\x{0e4e}\x{0e81}-\x{0ecd}\x{1000}-\x{103f}\x{1780}-\x{17d3}]"
"""A letter or vowel sign of Thai, Lao, Burmese and Khmer, which are alphabets without blanks between words."""
_DENSE = re2.compile(f"{_DENSE_LETTER}+")
_DENSE_LETTERS = 3
"""Letters of an alphabet that one of a dense script stands for."""
_MAY_BE_UNBROKEN = re.compile("[\u0e01-\u17d3\u2e80-\U0010ffff]")
"""Where the letters of scripts without blanks lie, among others: most texts hold none, which is seen at once."""
_UNBROKEN_LETTERS = {"\ufdd0": _DENSE, "\ufdd1": re2.compile(f"{_UNSPACED_LETTER}+")}
"""Letters of scripts without blanks, by a noncharacter that stands for each: the standard library, which knows no
scripts, finds six thousand words of these in the time that re2 takes for a few hundred."""
_OF_A_WORD = re.compile("\ufdd0{3}|\ufdd1{5}")
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
    """The characters of a text beyond the Latin ones with how often each is there.

    In order of their code points those of a script stand side by side: a match is made for each run of them. One for
    each letter of a text would cost as much as all the rest of screening.
    """

    def __init__(self, text: str) -> None:
        self._counts = Counter("" if text.isascii() else "".join(_BEYOND_LATIN.findall(text)))

    @cached_property
    def _in_order(self) -> str:
        return "".join(sorted(self._counts))

    def of(self, script: Any) -> int:
        """Count the characters of a script."""
        return sum(self._counts[char] for run in script.findall(self._in_order) for char in run) if self._counts else 0

    @property
    def letters(self) -> int:
        """How many are letters."""
        return sum(count for char, count in self._counts.items() if char.isalpha())

    @property
    def weight(self) -> int:
        """How many are letters, each of a dense script as so many of an alphabet."""
        letters = self.letters
        return letters + (_DENSE_LETTERS - 1) * self.of(_DENSE) if letters else 0


def holds_other_script(text: str) -> bool:
    """Say whether a text has a letter of another script than the Latin one.

    Example:
        >>> holds_other_script("Grüße, łódź"), holds_other_script("VPN 坏了")
        (False, True)
    """
    return _Characters(text).letters > 0


def other_letters(text: str) -> int:
    """Count the letters of other scripts than the Latin one, each of a dense script as so many of an alphabet.

    Example:
        >>> other_letters("VPN 坏了"), other_letters("VPN упал")
        (6, 4)
    """
    return _Characters(text).weight


def dense_letters(text: str) -> int:
    """Count the letters of scripts of which two or three make a word."""
    return _Characters(text).of(_DENSE)


def with_gaps(text: str) -> str:
    """Return a text with a blank after so many letters as make a word in scripts that have none, to count its words.

    Example:
        >>> with_gaps("VPN 连接不上，请帮忙"), with_gaps("VPN упал снова")
        ('VPN 连接不 上，请帮忙 ', 'VPN упал снова')
    """
    if text.isascii() or not _MAY_BE_UNBROKEN.search(text):
        return text
    in_order = "".join(sorted(set(text)))
    found = ((kind, run) for kind, letters in _UNBROKEN_LETTERS.items() for run in letters.findall(in_order))
    kinds = {ord(char): kind for kind, run in found for char in run}
    if not kinds:
        return text
    ends = [word.end() for word in _OF_A_WORD.finditer(text.translate(kinds))]
    return " ".join(map(text.__getitem__, map(slice, [0, *ends], [*ends, len(text)])))


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
    characters = _Characters(text)
    others = characters.weight
    return others > 0 and others > _latin_letters(text, characters)


def languages_written(text: str) -> tuple[str, ...]:
    """Return the languages that a text may be in by the script of at least a fifth of its letters; none where Latin.

    Example:
        >>> languages_written("printer 着火了"), languages_written("The printer of Mr 王 has jammed again")
        (('ja', 'zh'), ())
    """
    characters = _Characters(text)
    others = characters.weight
    if not others or others < _WRITTEN_SHARE * (others + _latin_letters(text, characters)):
        return ()
    counted = [(characters.of(script), languages) for script, languages in _SCRIPTS]
    most, languages = max(counted, key=lambda one: one[0])
    return languages if most else ()


def _latin_letters(text: str, characters: _Characters) -> int:
    return sum(map(str.isalpha, text)) - characters.letters
