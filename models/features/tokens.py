"""Texts as token ids: one vocabulary in memory for all encoders that share it, and each text cut into tokens once."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from functools import lru_cache
from weakref import WeakValueDictionary

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

_REMEMBERED, _REMEMBERED_CHARS = 512, 4_000
"""Texts whose tokens are remembered, and how long one may be: two batches, and some megabytes at most. Student,
prefilter and encoders read the same text one after the other."""

_PROBED = 100


class Tokens:
    """Cuts texts into tokens; safe to call from any thread.

    Args:
        tokenizer: Its truncation and padding are switched off: how much of a text is read is for the reader to say.

    Attributes:
        size: Number of different tokens.
        before: Ids that mark the beginning of a text, int64.
        after: Ids that mark its end, int64.
    """

    def __init__(self, tokenizer: Tokenizer) -> None:
        tokenizer.no_padding()
        tokenizer.no_truncation()
        self._tokenizer = tokenizer
        self.size = int(tokenizer.get_vocab_size())
        self.before, self.after = _marks(tokenizer)
        self._remembered = lru_cache(maxsize=_REMEMBERED)(self._cut)

    def __reduce__(self) -> tuple[object, tuple[bytes]]:
        """Travel as what it was read from: the other process may have the same already."""
        return tokens_of, (self._tokenizer.to_str().encode(),)

    def ids(self, text: str) -> NDArray[np.int64]:
        """Return the ids of a whole text without marks, int64 of shape [n], not to be written to."""
        return self._remembered(text) if len(text) <= _REMEMBERED_CHARS else self._cut(text)

    def read(self, text: str, most: int) -> NDArray[np.int64]:
        """Return the ids that an encoder reads: those of the beginning between its marks, `most` with them."""
        room = max(0, most - len(self.before) - len(self.after))
        return np.concatenate([self.before, self.ids(text)[:room], self.after])

    def is_cut(self, text: str, most: int) -> bool:
        """Say whether an encoder that takes `most` tokens, marks among them, reads only the beginning of a text."""
        room = most - len(self.before) - len(self.after)
        if text.isascii() and len(text) <= room:
            return False  # a token has one character at least
        return len(self.ids(text)) > room

    def forget(self) -> None:
        """Forget the texts that are remembered."""
        self._remembered.cache_clear()

    def _cut(self, text: str) -> NDArray[np.int64]:
        found = np.array(self._tokenizer.encode(text, add_special_tokens=False).ids, dtype=np.int64)
        found.setflags(write=False)
        return found


def _marks(tokenizer: Tokenizer) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the ids that a tokenizer puts before and after a text."""
    for text in _probes(tokenizer):
        own, whole = tokenizer.encode(text, add_special_tokens=False).ids, tokenizer.encode(text).ids
        for place in range(len(whole) - len(own) + 1) if own else ():
            if whole[place : place + len(own)] == own:
                return np.array(whole[:place], dtype=np.int64), np.array(whole[place + len(own) :], dtype=np.int64)
    return np.array(tokenizer.encode("").ids, dtype=np.int64), np.zeros(0, dtype=np.int64)


def _probes(tokenizer: Tokenizer) -> Iterator[str]:
    """Yield texts of one token or few: some letter, and what the vocabulary has."""
    yield "a"
    for number in range(min(_PROBED, tokenizer.get_vocab_size())):
        yield tokenizer.id_to_token(number) or ""


_shared: WeakValueDictionary[str, Tokens] = WeakValueDictionary()
_turn = threading.Lock()


def tokens_of(content: bytes) -> Tokens:
    """Return the tokens of a ``tokenizer.json``; the same object for all that differ in truncation and padding alone.

    Raises:
        ValueError: If it is not JSON.
        Exception: Of a type of its own, from the tokenizer, if it is JSON but no tokenizer.
    """
    facts = json.loads(content)
    if isinstance(facts, dict):
        facts |= {"truncation": None, "padding": None}
    plain = json.dumps(facts)
    key = hashlib.sha256(plain.encode()).hexdigest()
    with _turn:
        found = _shared.get(key)
        if found is None:
            found = _shared[key] = Tokens(Tokenizer.from_str(plain))
        return found


def forget_tokens() -> None:
    """Forget all texts whose tokens are remembered in this process."""
    with _turn:
        for tokens in list(_shared.values()):
            tokens.forget()
