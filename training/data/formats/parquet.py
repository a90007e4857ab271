"""Parquet files: batches of rows, only the columns that are wanted."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from training.data.formats.nested import flat
from training.data.formats.source import RawRow, Source
from triage.errors import InvalidDataset

_BATCH = 2048


def open_parquet(path: Path) -> Source:
    """Look into a Parquet file.

    Raises:
        InvalidDataset: If it is none.
    """
    import pyarrow
    import pyarrow.parquet

    try:
        file = pyarrow.parquet.ParquetFile(path)
    except (pyarrow.ArrowException, OSError, ValueError) as error:
        raise InvalidDataset(
            f"{path} is not a Parquet file that can be read: {str(error).splitlines()[0]}; export it again"
        ) from error
    names = list(file.schema_arrow.names)
    nested = [name for name in names if pyarrow.types.is_nested(file.schema_arrow.field(name).type)]
    columns = _columns(file, names, nested)

    def read(wanted: Sequence[str]) -> Iterator[RawRow]:
        tops = {one.split(".")[0] for one in wanted}
        chosen = [name for name in names if name in wanted or (name in nested and name in tops)]
        line = 0
        try:
            for batch in file.iter_batches(batch_size=_BATCH, columns=chosen):
                for row in _rows(batch):
                    line += 1
                    yield RawRow(line, row if isinstance(row, dict) else {}, None if isinstance(row, dict) else row)
        except (pyarrow.ArrowException, OSError) as error:
            raise InvalidDataset(
                f"{path} breaks off after row {line}: {str(error).splitlines()[0]}; export it again"
            ) from error

    return Source(path, tuple(columns), file.metadata.num_rows, read, kind="Parquet")


def _columns(file: Any, names: Sequence[str], nested: Sequence[str]) -> list[str]:
    """Return the columns, with the dotted paths that the first rows have below nested ones."""
    columns = dict.fromkeys(names)
    for batch in islice(file.iter_batches(batch_size=_BATCH), 1 if nested else 0):
        for row in _rows(batch):
            columns.update(dict.fromkeys(row if isinstance(row, dict) else ()))
    return [name for name in columns if name != "attributes" or name not in nested]


def _rows(batch: Any) -> list[dict[str, Any] | str]:
    try:
        return [flat(row) for row in batch.to_pylist()]
    except UnicodeDecodeError:  # one wrong string spoils the batch: take the rows one by one
        return [_row(batch, row) for row in range(batch.num_rows)]


def _row(batch: Any, row: int) -> dict[str, Any] | str:
    try:
        return flat(next(islice(batch.slice(row, 1).to_pylist(), 1)))
    except UnicodeDecodeError as error:
        return f"not UTF-8: byte at {error.start}"
