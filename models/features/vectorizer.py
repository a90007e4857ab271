"""TF-IDF of word and character n-grams: the same code in training and serving, without a machine-learning library."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise
from typing import Any, NamedTuple
from weakref import WeakValueDictionary

import numpy as np
from numpy.typing import NDArray

from triage.languages.alphabets import with_gaps

_WORD = re.compile(r"\w{2,}")
_NGRAM_LENGTHS = (3, 4, 5)
_MAX_TOKEN = 40  # longer tokens are encoded files or keys, whose ends say nothing
_CACHE_SIZE = 200_000  # tokens; a bound on memory that a helpdesk's vocabulary stays below


class SparseRows(NamedTuple):
    """A sparse matrix of shape [n, width] by rows, as SciPy's CSR but without SciPy.

    Attributes:
        starts: int64 of shape [n + 1]; the non-zero entries of row i lie at `starts[i]:starts[i + 1]`.
        columns: Their columns, int32.
        values: Their values, float32.
        width: Number of columns.
    """

    starts: NDArray[np.int64]
    columns: NDArray[np.int32]
    values: NDArray[np.float32]
    width: int

    def take(self, index: NDArray[np.int64]) -> SparseRows:
        """Return the rows at these positions, int64 of shape [m], in their order."""
        counts = np.diff(self.starts)[index]
        starts = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
        entries = np.arange(starts[-1]) + np.repeat(self.starts[index] - starts[:-1], counts)
        return SparseRows(starts, self.columns[entries], self.values[entries], self.width)

    def row(self, place: int) -> SparseRows:
        """Return one row, as a matrix of its own."""
        entries = slice(self.starts[place], self.starts[place + 1])
        columns = self.columns[entries]
        return SparseRows(np.array([0, len(columns)], dtype=np.int64), columns, self.values[entries], self.width)

    def followed_by(self, other: SparseRows) -> SparseRows:
        """Return these rows and then those of another matrix of the same width."""
        starts = np.concatenate([self.starts, self.starts[-1] + other.starts[1:]])
        return SparseRows(
            starts,
            np.concatenate([self.columns, other.columns]),
            np.concatenate([self.values, other.values]),
            self.width,
        )

    def dot(self, weights: NDArray[np.float32]) -> NDArray[np.float32]:
        """Multiply with a dense matrix of shape [width, classes]: float32 of shape [n, classes]."""
        out = np.zeros((len(self.starts) - 1, weights.shape[1]), dtype=np.float32)
        for row in range(len(out)):
            span = slice(self.starts[row], self.starts[row + 1])
            out[row] = self.values[span] @ weights.take(self.columns[span], axis=0)  # twice as fast as indexing
        return out


def words_of(text: str) -> list[str]:
    """Return the words that count, lower case, in order.

    Example:
        >>> words_of("VPN drops, error 0x80!")
        ['vpn', 'drops', 'error', '0x80']
    """
    return _WORD.findall(text.lower())


def count_words(text: str) -> int:
    """Return how many words of a text count; of scripts without blanks between words, by their letters.

    Example:
        >>> count_words("VPN drops!"), count_words("打印机坏了"), count_words("你好")
        (2, 2, 1)
    """
    return len(words_of(with_gaps(text)))


def word_ngrams_of(words: Sequence[str]) -> list[str]:
    """Return single words and pairs of adjacent words."""
    return [*words, *map(" ".join, pairwise(words))]


def char_ngrams_of(token: str) -> list[str]:
    """Return the n-grams of 3 to 5 characters of a token between white space, its two ends marked by blanks.

    Example:
        >>> char_ngrams_of("vpn")
        [' vp', 'vpn', 'pn ', ' vpn', 'vpn ', ' vpn ']
    """
    padded = f" {token[:_MAX_TOKEN]} "
    return [padded[at : at + size] for size in _NGRAM_LENGTHS for at in range(len(padded) - size + 1)]


@dataclass(frozen=True)
class Vectorizer:
    """A fitted vocabulary with inverse document frequencies.

    Attributes:
        word_ngrams: Words and word pairs; their columns come first, in this order.
        char_ngrams: Character n-grams; their columns follow.
        idf: Inverse document frequency by column, float32 of shape [size].
    """

    word_ngrams: tuple[str, ...]
    char_ngrams: tuple[str, ...]
    idf: NDArray[np.float32]
    _cache: dict[str, NDArray[np.int32]] = field(default_factory=dict, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Be known to `forget_words`."""
        _made[id(self)] = self

    @property
    def size(self) -> int:
        """Number of columns."""
        return len(self.word_ngrams) + len(self.char_ngrams)

    @cached_property
    def word_ngram_columns(self) -> Mapping[str, int]:
        """Column by word n-gram."""
        return {ngram: column for column, ngram in enumerate(self.word_ngrams)}

    @cached_property
    def _char_ngram_columns(self) -> Mapping[str, int]:
        return {ngram: column for column, ngram in enumerate(self.char_ngrams, len(self.word_ngrams))}

    def rows(self, texts: Sequence[str]) -> SparseRows:
        """Turn n texts into sparse rows of shape [n, size].

        A value is (1 + ln count) * idf; word n-grams and character n-grams are each scaled to length 1.
        """
        parts = [self._row(text) for text in texts]
        if len(parts) == 1:
            columns, values = parts[0]
            return SparseRows(np.array([0, len(columns)], dtype=np.int64), columns, values, self.size)
        starts = np.zeros(len(parts) + 1, dtype=np.int64)
        np.cumsum([len(columns) for columns, _ in parts], out=starts[1:])
        columns = np.concatenate([np.zeros(0, np.int32), *(columns for columns, _ in parts)])
        values = np.concatenate([np.zeros(0, np.float32), *(values for _, values in parts)])
        return SparseRows(starts, columns, values, self.size)

    def _row(self, text: str) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
        lower = text.lower()
        known = self.word_ngram_columns
        ngrams = word_ngrams_of(_WORD.findall(lower))
        counted = Counter([column for ngram in ngrams if (column := known.get(ngram)) is not None])
        words = np.fromiter(counted, dtype=np.int32, count=len(counted))
        word_counts = np.fromiter(counted.values(), dtype=np.float32, count=len(counted))
        char_ngrams, char_counts = _counted([self.char_ngram_columns_of(token) for token in lower.split()])
        columns = np.concatenate([words, char_ngrams])
        values = np.concatenate([self._weighted(words, word_counts), self._weighted(char_ngrams, char_counts)])
        return columns, values

    def _weighted(self, columns: NDArray[np.int32], counts: NDArray[Any]) -> NDArray[np.float32]:
        values = (1.0 + np.log(counts)) * self.idf[columns]
        length = float(np.sqrt((values * values).sum()))
        return np.asarray(values / length if length else values, dtype=np.float32)

    def char_ngram_columns_of(self, token: str) -> NDArray[np.int32]:
        """Return the columns of the character n-grams of a lower-case token, with repetition; int32.

        They are remembered, but those of long tokens: mail addresses and keys say who wrote, and hardly come again.
        """
        columns = self._cache.get(token)
        if columns is None:
            found = map(self._char_ngram_columns.get, char_ngrams_of(token))
            columns = np.array([column for column in found if column is not None], dtype=np.int32)
            if len(self._cache) >= _CACHE_SIZE:
                self._cache.clear()
            if len(token) <= _MAX_TOKEN:
                self._cache[token] = columns
        return columns


_made: WeakValueDictionary[int, Vectorizer] = WeakValueDictionary()


def forget_words() -> None:
    """Forget the words of texts that the vectorizers of this process remember."""
    for vectorizer in list(_made.values()):
        vectorizer._cache.clear()


def _counted(parts: Sequence[NDArray[np.int32]]) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    """Return the different numbers of several arrays, ascending, and how often each occurs in them."""
    found = np.concatenate([np.zeros(0, np.int32), *parts])
    found.sort()
    first = np.flatnonzero(np.concatenate([[True], found[1:] != found[:-1]]))[: len(found)]
    return found[first], np.diff(first, append=len(found))


def fit_vectorizer(
    texts: Sequence[str],
    *,
    min_word_texts: int = 2,
    min_char_texts: int = 3,
    max_word_ngrams: int = 100_000,
    max_char_ngrams: int = 60_000,
) -> Vectorizer:
    """Choose a vocabulary: what occurs in enough texts, the most frequent first where there is too much.

    Args:
        texts: Training texts.
        min_word_texts: Texts in which a word n-gram must occur.
        min_char_texts: Texts in which a character n-gram must occur.
        max_word_ngrams: Word n-grams kept at most.
        max_char_ngrams: Character n-grams kept at most.
    """
    word_texts: Counter[str] = Counter()
    token_texts: Counter[frozenset[str]] = Counter()
    for text in texts:
        word_texts.update(set(word_ngrams_of(words_of(text))))
        token_texts[frozenset(token[:_MAX_TOKEN] for token in text.lower().split())] += 1
    char_texts = _char_ngram_texts(token_texts)
    word_ngrams = _frequent(word_texts.items(), min_word_texts, max_word_ngrams)
    char_ngrams = _frequent(char_texts, min_char_texts, max_char_ngrams)
    frequency = dict(char_texts)
    seen = np.array(
        [*(word_texts[ngram] for ngram in word_ngrams), *(frequency[ngram] for ngram in char_ngrams)], dtype=np.float64
    )
    idf = np.log((1 + len(texts)) / (1 + seen)) + 1
    return Vectorizer(tuple(word_ngrams), tuple(char_ngrams), idf.astype(np.float32))


def _char_ngram_texts(token_texts: Counter[frozenset[str]]) -> list[tuple[str, int]]:
    """Count in how many texts each character n-gram occurs.

    Args:
        token_texts: Sets of tokens, with the number of texts that consist of them.
    """
    number: dict[str, int] = {}
    of_token: dict[str, NDArray[np.int64]] = {}
    counts = np.zeros(1 << 16, dtype=np.int64)
    for tokens, times in token_texts.items():
        for token in tokens:
            if token not in of_token:
                of_token[token] = np.array(
                    sorted({number.setdefault(ngram, len(number)) for ngram in char_ngrams_of(token)}), dtype=np.int64
                )
        while len(number) > len(counts):
            counts = np.concatenate([counts, np.zeros_like(counts)])
        if tokens:
            counts[np.unique(np.concatenate([of_token[token] for token in tokens]))] += times
    return [(ngram, int(counts[at])) for ngram, at in number.items()]


def _frequent(counts: Iterable[tuple[str, int]], least: int, most: int) -> list[str]:
    enough = [(ngram, count) for ngram, count in counts if count >= least]
    kept = sorted(enough, key=lambda pair: (-pair[1], pair[0]))[:most]
    return sorted(ngram for ngram, _ in kept)
