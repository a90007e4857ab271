"""Texts as token ids: as the tokenizer itself cuts and frames them, shared by encoders, and forgotten on demand."""

from __future__ import annotations

import json
from copy import copy
from pathlib import Path

import numpy as np
import pytest
from tokenizers import Tokenizer, models, pre_tokenizers, processors

from models.explain import _name_of, _remembered, forget_names
from models.features.tokens import Tokens, forget_tokens, tokens_of
from models.features.vectorizer import fit_vectorizer, forget_words
from models.screening import shipped_classifier

SCREENING = Path(__file__).parents[2] / "models" / "screening" / "data" / "tokenizer.json"
TEXTS = (
    "",
    "vpn",
    "My VPN drops, error 0x80070005!",
    "Der Drucker im 2. Stock druckt nicht – bitte helfen",
    "火事です" * 30,
    "one two three " * 200,
)


def framed(content: bytes, text: str, most: int) -> list[int]:
    tokenizer = Tokenizer.from_str(content.decode())
    tokenizer.no_padding()
    tokenizer.enable_truncation(most)
    return list(tokenizer.encode(text).ids)


def worded(single: str) -> bytes:
    """Return a tokenizer of whole words that frames a text in its own way."""
    vocabulary = {"[CLS]": 0, "[SEP]": 1, "[UNK]": 2, "one": 3, "two": 4, "three": 5}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single=single, special_tokens=[(mark, vocabulary[mark]) for mark in ("[CLS]", "[SEP]") if mark in single]
    )
    return tokenizer.to_str().encode()


@pytest.mark.parametrize("most", [5, 80, 256])
@pytest.mark.parametrize("text", TEXTS)
def test_an_encoder_reads_what_its_tokenizer_would_give_it(text: str, most: int) -> None:
    content = SCREENING.read_bytes()
    tokens = tokens_of(content)
    wanted = framed(content, text, most)
    assert tokens.read(text, most).tolist() == wanted
    assert tokens.is_cut(text, most) == (len(tokens.ids(text)) + 2 > most) == (wanted != framed(content, text, 9_999))


@pytest.mark.parametrize("single", ["$A", "[CLS] $A", "$A [SEP]", "[CLS] $A [SEP]"])
@pytest.mark.parametrize("text", ["", "one two three", "one four " * 20])
def test_any_frame_is_found(single: str, text: str) -> None:
    content = worded(single)
    assert tokens_of(content).read(text, 12).tolist() == framed(content, text, 12)


def test_encoders_with_one_vocabulary_share_it() -> None:
    content = SCREENING.read_bytes()
    otherwise = {**json.loads(content), "truncation": None, "padding": None}
    assert tokens_of(content) is tokens_of(json.dumps(otherwise).encode())
    assert tokens_of(content) is shipped_classifier().encoder.tokens
    assert tokens_of(content) is not tokens_of(worded("$A"))


def test_a_text_is_cut_once_and_cannot_be_changed() -> None:
    tokens = Tokens(Tokenizer.from_str(SCREENING.read_text("utf-8")))
    found = tokens.ids("the printer jams")
    assert tokens.ids("the printer jams") is found
    with pytest.raises(ValueError, match="read-only"):
        found[0] = 0
    tokens.forget()
    again = tokens.ids("the printer jams")
    assert again is not found and np.array_equal(again, found)


def test_a_very_long_text_is_not_remembered() -> None:
    tokens, text = tokens_of(SCREENING.read_bytes()), "word " * 2_000
    assert tokens.ids(text) is not tokens.ids(text)


def test_everything_is_forgotten_at_once() -> None:
    tokens = tokens_of(SCREENING.read_bytes())
    found = tokens.ids("a password that should be forgotten")
    forget_tokens()
    assert tokens.ids("a password that should be forgotten") is not found


def test_single_words_are_forgotten_too_and_long_ones_never_remembered() -> None:
    vectorizer = fit_vectorizer(["the printer jams", "the printer is out"], min_char_texts=1)
    key, text = "A9" * 21, "Printer of ann.zanzibar@example.org"
    before = vectorizer.rows([f"{text} {key}"])
    assert set(vectorizer._cache) == {"printer", "of", "ann.zanzibar@example.org"}
    forget_names()
    assert [_name_of("ann@example.org"), _name_of(key)] == ["ann example org", key.lower()]
    assert _remembered.cache_info().currsize == 1
    forget_words()
    forget_names()
    assert not vectorizer._cache and not _remembered.cache_info().currsize
    after = vectorizer.rows([f"{text} {key}"])
    assert np.array_equal(before.columns, after.columns) and np.array_equal(before.values, after.values)


def test_tokens_travel_as_what_they_were_read_from() -> None:
    tokens = tokens_of(SCREENING.read_bytes())
    assert copy(tokens) is tokens  # this process has them already
