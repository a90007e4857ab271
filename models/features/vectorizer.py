"""Words and pieces of words as TF-IDF rows: one code for training and serving, without a machine-learning library."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

_WORD = re.compile(r"\w{2,}")
_PIECE_LENGTHS = (3, 4, 5)
_MAX_TOKEN = 40
_REMEMBERED = 200_000


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
            out[row] = self.values[span] @ weights[self.columns[span]]
        return out


def words_of(text: str) -> list[str]:
    """Return the words that count, lower case, in order.

    Example:
        >>> words_of("VPN drops, error 0x80!")
        ['vpn', 'drops', 'error', '0x80']
    """
    return _WORD.findall(text.lower())


def word_ngrams_of(words: Sequence[str]) -> list[str]:
    """Return single words and pairs of neighbours."""
    return [*words, *(f"{first} {second}" for first, second in pairwise(words))]


def char_ngrams_of(token: str) -> list[str]:
    """Return the pieces of one token between white space: 3 to 5 characters, its two ends marked by blanks.

    Example:
        >>> char_ngrams_of("vpn")
        [' vp', 'vpn', 'pn ', ' vpn', 'vpn ', ' vpn ']
    """
    padded = f" {token[:_MAX_TOKEN]} "
    return [padded[at : at + size] for size in _PIECE_LENGTHS for at in range(len(padded) - size + 1)]


@dataclass(frozen=True)
class Vectorizer:
    """A vocabulary of terms and pieces, with how much each counts.

    Attributes:
        terms: Words and word pairs; their columns come first, in this order.
        char_ngrams: Pieces of words; their columns follow.
        idf: Inverse document frequency by column, float32.
    """

    terms: tuple[str, ...]
    char_ngrams: tuple[str, ...]
    idf: NDArray[np.float32]
    _remembered: dict[str, NDArray[np.int32]] = field(default_factory=dict, repr=False, compare=False)

    @property
    def size(self) -> int:
        """Number of columns."""
        return len(self.terms) + len(self.char_ngrams)

    @cached_property
    def word_ngram_columns(self) -> Mapping[str, int]:
        """Column by term."""
        return {term: column for column, term in enumerate(self.terms)}

    @cached_property
    def _piece_columns(self) -> Mapping[str, int]:
        return {piece: column for column, piece in enumerate(self.char_ngrams, len(self.terms))}

    def rows(self, texts: Sequence[str]) -> SparseRows:
        """Turn texts into sparse rows: terms and pieces, each weighted (1 + ln count) * idf and scaled to length 1."""
        parts = [self._row(text) for text in texts]
        starts = np.zeros(len(parts) + 1, dtype=np.int64)
        np.cumsum([len(columns) for columns, _ in parts], out=starts[1:])
        columns = np.concatenate([np.zeros(0, np.int32), *(columns for columns, _ in parts)])
        values = np.concatenate([np.zeros(0, np.float32), *(values for _, values in parts)])
        return SparseRows(starts, columns, values, self.size)

    def _row(self, text: str) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
        known = self.word_ngram_columns
        counts = Counter(known[term] for term in word_ngrams_of(words_of(text)) if term in known)
        terms = np.fromiter(counts, dtype=np.int32, count=len(counts))
        tally = np.fromiter(counts.values(), dtype=np.float32, count=len(counts))
        found = [self.char_ngram_columns_of(token) for token in text.lower().split()]
        char_ngrams, piece_tally = (
            np.unique(np.concatenate(found), return_counts=True) if found else (np.zeros(0, np.int32), np.zeros(0))
        )
        columns = np.concatenate([terms, char_ngrams.astype(np.int32)])
        values = np.concatenate([self._weighted(terms, tally), self._weighted(char_ngrams, piece_tally)])
        return columns, values

    def _weighted(self, columns: NDArray[np.int32], counts: NDArray[Any]) -> NDArray[np.float32]:
        values = (1.0 + np.log(counts)) * self.idf[columns]
        length = float(np.sqrt((values * values).sum()))
        return np.asarray(values / length if length else values, dtype=np.float32)

    def char_ngram_columns_of(self, token: str) -> NDArray[np.int32]:
        """Return the columns of the pieces of a lower-case token, with repetition; they are remembered."""
        columns = self._remembered.get(token)
        if columns is None:
            known = self._piece_columns
            columns = np.array([known[piece] for piece in char_ngrams_of(token) if piece in known], dtype=np.int32)
            if len(self._remembered) >= _REMEMBERED:
                self._remembered.clear()
            self._remembered[token] = columns
        return columns


def fit_vectorizer(
    texts: Sequence[str],
    *,
    min_texts_term: int = 2,
    min_texts_piece: int = 3,
    max_terms: int = 100_000,
    max_pieces: int = 60_000,
) -> Vectorizer:
    """Choose a vocabulary: what occurs in enough texts, the most frequent first where there is too much.

    Args:
        texts: Training texts.
        min_texts_term: Texts in which a term must occur.
        min_texts_piece: Texts in which a piece must occur.
        max_terms: Terms kept at most.
        max_pieces: Pieces kept at most.
    """
    term_texts: Counter[str] = Counter()
    token_texts: Counter[frozenset[str]] = Counter()
    for text in texts:
        term_texts.update(set(word_ngrams_of(words_of(text))))
        token_texts[frozenset(token[:_MAX_TOKEN] for token in text.lower().split())] += 1
    piece_texts = _count_pieces(token_texts)
    terms = _frequent(term_texts.items(), min_texts_term, max_terms)
    char_ngrams = _frequent(piece_texts, min_texts_piece, max_pieces)
    frequency = dict(piece_texts)
    seen = np.array(
        [*(term_texts[term] for term in terms), *(frequency[piece] for piece in char_ngrams)], dtype=np.float64
    )
    idf = np.log((1 + len(texts)) / (1 + seen)) + 1
    return Vectorizer(tuple(terms), tuple(char_ngrams), idf.astype(np.float32))


def _count_pieces(token_texts: Counter[frozenset[str]]) -> list[tuple[str, int]]:
    """Count in how many texts each piece occurs."""
    number: dict[str, int] = {}
    of_token: dict[str, NDArray[np.int64]] = {}
    counts = np.zeros(1 << 16, dtype=np.int64)
    for tokens, times in token_texts.items():
        for token in tokens:
            if token not in of_token:
                of_token[token] = np.array(
                    sorted({number.setdefault(piece, len(number)) for piece in char_ngrams_of(token)}), dtype=np.int64
                )
        while len(number) > len(counts):
            counts = np.concatenate([counts, np.zeros_like(counts)])
        if tokens:
            counts[np.unique(np.concatenate([of_token[token] for token in tokens]))] += times
    return [(piece, int(counts[at])) for piece, at in number.items()]


def _frequent(counts: Iterable[tuple[str, int]], least: int, most: int) -> list[str]:
    enough = [(term, count) for term, count in counts if count >= least]
    kept = sorted(enough, key=lambda pair: (-pair[1], pair[0]))[:most]
    return sorted(term for term, _ in kept)
