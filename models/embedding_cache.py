"""Embeddings that were computed before, in one SQLite file under `TRIAGE_HOME`; only this module knows their keys."""

from __future__ import annotations

import hashlib
import logging
import shutil
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from models.encoder import Encoder, Progress, SentenceTransformerEncoder
from triage.errors import EncoderUnavailable

_LOG = logging.getLogger(__name__)
_DIGEST_BYTES = 16  # two of a million texts share 128 bits once in 10^26 times
_BATCH = 4096  # texts encoded between two commits: what an interrupted run has to encode again
_ASKED = 30_000  # keys in one query; SQLite takes 32,766 parameters
_PATIENCE_S = 60.0  # a writer holds the file for a fraction of a second for each batch
_PAGE_BYTES = 16_384  # ten vectors of 384 numbers; with SQLite's own 4,096 half of each page stays empty
_MAPPED_BYTES = 1 << 30
_BROKEN = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_ERROR)  # the last: a table of another shape
_CREATE = "CREATE TABLE IF NOT EXISTS embeddings (text BLOB, encoder BLOB, vector BLOB, PRIMARY KEY (text, encoder))"
_SELECT = "SELECT text, vector FROM embeddings WHERE encoder = ? AND length(vector) = ?"
_INSERT = "INSERT OR REPLACE INTO embeddings VALUES (?, ?, ?)"
_DELETE = "DELETE FROM embeddings WHERE text = ?"
Result = TypeVar("Result")


class EmbeddingCache:
    """Vectors by the digests of the text and of what the encoder is; texts themselves are never stored.

    Several processes may use one file. A file that is no longer a database is begun anew: it holds nothing that cannot
    be computed again.

    Args:
        path: The file; made when the first vector is kept.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    @classmethod
    def under(cls, home: Path) -> EmbeddingCache:
        """Return the cache of a directory of state; what earlier versions kept in a folder of arrays is removed."""
        shutil.rmtree(home / "cache" / "embeddings", ignore_errors=True)  # forgetting would not reach it
        return cls(home / "cache" / "embeddings.sqlite")

    def encode(self, encoder: Encoder, texts: Sequence[str], progress: Progress | None = None) -> NDArray[np.float32]:
        """Return the vectors of texts, float32 of shape [n, dim]; only texts never seen before are encoded.

        Args:
            encoder: Its name is part of the key, so that another encoder never meets these vectors; where the name
                says only where a model was found, a digest of the model is as well.
            texts: What to encode; equal texts are encoded once.
            progress: Called with the number of texts done since the last call.

        Raises:
            EncoderUnavailable: If the file cannot be read or written.
        """
        keys = [_digest(text) for text in texts]
        text_of = dict(zip(keys, texts, strict=True))
        row_of = {key: row for row, key in enumerate(text_of)}
        vectors = np.zeros((len(row_of), encoder.dim), dtype=np.float32)
        made_by = _made_by(encoder)
        missing = self._read(made_by, row_of, vectors)
        if progress is not None:
            progress(len(texts) - len(missing))
        for start in range(0, len(missing), _BATCH):
            batch = missing[start : start + _BATCH]
            fresh = encoder.encode([text_of[key] for key in batch], progress)
            self._write(made_by, batch, fresh)
            vectors[[row_of[key] for key in batch]] = fresh
        return vectors if len(row_of) == len(texts) else vectors[[row_of[key] for key in keys]]

    def forget(self, texts: Iterable[str]) -> int:
        """Remove the vectors of some texts, for every encoder, and return their number.

        A vector can be turned back into words (Morris et al. 2023, "Text embeddings reveal almost as much as text"), so
        its bytes are overwritten. A broken file is removed as a whole.

        Args:
            texts: The texts as the model read them; see `triage.ticket.Ticket.readings`.

        Raises:
            EncoderUnavailable: If the file cannot be changed.
        """
        keys = [(_digest(text),) for text in set(texts)]
        if not self.path.is_file():
            return 0
        return self._transact(lambda database: database.executemany(_DELETE, keys).rowcount)

    def _read(self, encoder: str, row_of: Mapping[bytes, int], vectors: NDArray[np.float32]) -> list[bytes]:
        """Fill in the rows of vectors, of shape [n, dim], that are known; return the keys of those that are not."""
        size, found = vectors.shape[1] * vectors.itemsize, set[bytes]()
        flat = vectors.reshape(-1).view(np.uint8).data

        def fill(database: sqlite3.Connection) -> None:
            for key, vector in _look_up(database, (_digest(encoder), size), keys):
                if key in row_of:
                    flat[row_of[key] * size : (row_of[key] + 1) * size] = vector
                    found.add(key)

        keys = list(row_of)
        if keys and self.path.is_file():
            self._transact(fill)
        return [key for key in keys if key not in found]

    def _write(self, encoder: str, keys: Sequence[bytes], vectors: NDArray[np.float32]) -> None:
        rows = [(key, _digest(encoder), vector.tobytes()) for key, vector in zip(keys, vectors, strict=True)]
        self._transact(lambda database: database.executemany(_INSERT, rows))

    def _transact(self, work: Callable[[sqlite3.Connection], Result]) -> Result:
        """Do some work in a transaction of its own; where the file is broken, in a new file."""
        try:
            return self._attempt(work)
        except sqlite3.DatabaseError as error:
            if getattr(error, "sqlite_errorcode", 0) & 0xFF not in _BROKEN:  # the lower byte is the kind of error
                raise self._unusable(error) from error
        except OSError as error:
            raise self._unusable(error) from error
        _LOG.warning("embedding cache %s is broken and begun anew: its texts are encoded again", self.path)
        for file in (self.path, self.path.with_name(f"{self.path.name}-journal")):
            file.unlink(missing_ok=True)
        return self._attempt(work)

    def _attempt(self, work: Callable[[sqlite3.Connection], Result]) -> Result:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.path.touch(mode=0o600)  # vectors are as private as the texts
        with closing(sqlite3.connect(self.path, timeout=_PATIENCE_S)) as database:
            for setting in (f"page_size={_PAGE_BYTES}", "secure_delete=ON", f"mmap_size={_MAPPED_BYTES}"):
                database.execute(f"PRAGMA {setting}")
            with database:
                database.execute(_CREATE)
                return work(database)

    def _unusable(self, error: Exception) -> EncoderUnavailable:
        return EncoderUnavailable(
            f"embedding cache {str(self.path)!r} cannot be used: {error}; make room, or set TRIAGE_HOME to a "
            "directory that can be written"
        )


def _look_up(
    database: sqlite3.Connection, encoder: tuple[bytes, int], keys: Sequence[bytes]
) -> Iterator[tuple[bytes, bytes]]:
    """Yield keys and vectors of an encoder and a size in bytes: those of `keys`, or all where most are asked for."""
    (rows,) = database.execute("SELECT coalesce(max(rowid), 0) FROM embeddings").fetchone()
    if 2 * len(keys) > rows:  # reading the table from end to end is twice as fast as jumping to each row
        yield from database.execute(_SELECT, encoder)
        return
    for start in range(0, len(keys), _ASKED):
        asked = keys[start : start + _ASKED]
        yield from database.execute(f"{_SELECT} AND text IN ({','.join('?' * len(asked))})", (*encoder, *asked))


def _made_by(encoder: Encoder) -> str:
    """Return what is equal for encoders that give equal vectors."""
    return f"{encoder.name}@{encoder.digest}" if isinstance(encoder, SentenceTransformerEncoder) else encoder.name


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()[:_DIGEST_BYTES]
