"""The embedding cache: each text is encoded once, writers do not disturb one another, forgotten vectors are gone."""

from __future__ import annotations

import stat
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from models.embedding_cache import EmbeddingCache
from models.encoder import Progress
from triage.errors import EncoderUnavailable


class CountingEncoder:
    """Encodes a text as its length and its first character, and remembers what it was asked."""

    def __init__(self, name: str = "counting", dim: int = 2) -> None:
        self.name = name
        self.dim = dim
        self.asked: list[str] = []

    def encode(self, texts: Sequence[str], progress: Progress | None = None) -> NDArray[np.float32]:
        self.asked += texts
        if progress is not None:
            progress(len(texts))
        rows = [[len(text), ord(text[0])] + [0.0] * (self.dim - 2) for text in texts]
        return np.array(rows, dtype=np.float32).reshape(len(texts), self.dim)

    def truncates(self, texts: Sequence[str]) -> list[bool]:
        return [False] * len(texts)


def test_each_text_is_encoded_once_and_comes_back_in_the_order_asked(tmp_path: Path) -> None:
    cache, encoder = EmbeddingCache(tmp_path / "a.sqlite"), CountingEncoder()
    done: list[int] = []
    first = cache.encode(encoder, ["vpn", "mail is down", "vpn"], done.append)
    assert first.tolist() == [[3.0, 118.0], [12.0, 109.0], [3.0, 118.0]] and first.dtype == np.float32
    assert encoder.asked == ["vpn", "mail is down"] and sum(done) == 3
    again = EmbeddingCache(tmp_path / "a.sqlite").encode(encoder, ["mail is down", "new", "vpn"])
    assert again.tolist() == [[12.0, 109.0], [3.0, 110.0], [3.0, 118.0]]
    assert encoder.asked == ["vpn", "mail is down", "new"]
    assert cache.encode(encoder, []).shape == (0, 2)


def test_a_few_texts_of_a_large_cache_are_found_as_well_as_all_of_them(tmp_path: Path) -> None:
    cache, encoder = EmbeddingCache(tmp_path / "a.sqlite"), CountingEncoder()
    texts = [f"text {number}" + "!" * number for number in range(40)]
    vectors = cache.encode(encoder, texts)
    for few in ([3], [39, 0, 7], list(range(0, 40, 3)), list(range(39, -1, -1))):
        assert cache.encode(encoder, [texts[row] for row in few]).tolist() == vectors[few].tolist()
    assert encoder.asked == texts


def test_another_encoder_never_meets_these_vectors(tmp_path: Path) -> None:
    cache, encoder = EmbeddingCache(tmp_path / "a.sqlite"), CountingEncoder()
    cache.encode(encoder, ["vpn"])
    for other in (CountingEncoder("another"), CountingEncoder("counting", dim=3)):
        assert cache.encode(other, ["vpn"]).shape == (1, other.dim) and other.asked == ["vpn"]


def test_the_file_holds_no_text_and_only_its_owner_reads_it(tmp_path: Path) -> None:
    cache = EmbeddingCache.under(tmp_path)
    cache.encode(CountingEncoder(), ["the password is hunter2"])
    assert b"hunter2" not in cache.path.read_bytes()
    assert stat.S_IMODE(cache.path.stat().st_mode) == 0o600


def test_forgetting_removes_the_vectors_of_every_encoder_from_the_file_itself(tmp_path: Path) -> None:
    cache, texts = EmbeddingCache.under(tmp_path), [f"text {number}" + "!" * number for number in range(6)]
    one, other = CountingEncoder("one"), CountingEncoder("other")
    vectors = cache.encode(one, texts)
    cache.encode(other, texts[2:3])
    assert vectors[4].tobytes() in cache.path.read_bytes()
    assert cache.forget([texts[2], texts[4], texts[4], "never seen"]) == 3
    assert vectors[4].tobytes() not in cache.path.read_bytes() and vectors[3].tobytes() in cache.path.read_bytes()
    one.asked.clear()
    assert cache.encode(one, texts).tolist() == vectors.tolist() and one.asked == [texts[2], texts[4]]
    assert EmbeddingCache.under(tmp_path / "nowhere").forget(["x"]) == 0 and not (tmp_path / "nowhere").exists()


def test_what_an_earlier_version_kept_in_arrays_is_removed(tmp_path: Path) -> None:
    old = tmp_path / "cache" / "embeddings" / "0815" / "a.vectors.npy"
    old.parent.mkdir(parents=True)
    np.save(old, np.ones((1, 2)))
    EmbeddingCache.under(tmp_path).forget(["x"])
    assert not old.parent.parent.exists()


@pytest.mark.parametrize("keep", [0, 40, 5000], ids=lambda keep: f"cut-at-{keep}")
def test_a_broken_file_is_begun_anew(tmp_path: Path, keep: int, caplog: pytest.LogCaptureFixture) -> None:
    cache, encoder = EmbeddingCache(tmp_path / "a.sqlite"), CountingEncoder()
    texts = [f"text {number}" for number in range(2000)]
    vectors = cache.encode(encoder, texts)
    cache.path.write_bytes(cache.path.read_bytes()[:keep] + b"not a database " * 3000)
    assert cache.encode(encoder, texts).tolist() == vectors.tolist()
    assert cache.encode(encoder, texts).tolist() == vectors.tolist() and len(encoder.asked) == 4000
    assert ["is broken and begun anew" in record.getMessage() for record in caplog.records] == [True]


def test_a_cache_that_cannot_be_written_is_reported_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "in the way").write_text("a file")
    with pytest.raises(EncoderUnavailable, match="cannot be used") as caught:
        EmbeddingCache(tmp_path / "in the way" / "a.sqlite").encode(CountingEncoder(), ["vpn"])
    assert "\n" not in str(caught.value) and "TRIAGE_HOME" in str(caught.value)


FILL = """
import pathlib, sys
import numpy as np
from models.embedding_cache import EmbeddingCache

class Counting:
    name, dim = "counting", 2
    def encode(self, texts, progress=None):
        return np.array([[len(text), ord(text[0])] for text in texts], dtype=np.float32)

cache, first = EmbeddingCache(pathlib.Path(sys.argv[1])), int(sys.argv[2])
for number in range(first, first + 150):
    cache.encode(Counting(), [f"text {number}"])
"""
"""A process of its own cannot import a test module, so what it does is written out."""


def test_several_processes_fill_one_file_at_once(tmp_path: Path) -> None:
    path = tmp_path / "a.sqlite"
    workers = [subprocess.Popen([sys.executable, "-c", FILL, str(path), str(first)]) for first in (0, 100, 200)]
    assert [worker.wait(60) for worker in workers] == [0, 0, 0]
    encoder, texts = CountingEncoder(), [f"text {number}" for number in range(350)]
    assert EmbeddingCache(path).encode(encoder, texts)[:, 0].tolist() == [len(text) for text in texts]
    assert encoder.asked == []
