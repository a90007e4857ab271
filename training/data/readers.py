"""Rows out of CSV, JSONL and Parquet files, streamed, with the line each stands in and what is wrong with it."""

from __future__ import annotations

import codecs
import csv
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from charset_normalizer import from_bytes

from triage.errors import BadRow, InvalidDataset

_PARQUET_BATCH = 2048
_CHUNK = 1 << 20
_KINDS = {
    ".csv": "csv",
    ".tsv": "csv",
    ".txt": "csv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "jsonl",
    ".parquet": "parquet",
    ".pq": "parquet",
}


@dataclass(frozen=True)
class RawRow:
    """One row as the file has it: its line (row number for Parquet), its cells, or why it cannot be read."""

    line: int
    cells: dict[str, Any]
    fault: str | None = None


@dataclass(frozen=True)
class Source:
    """A data file that can be read.

    Attributes:
        path: The file.
        columns: Its columns, in order of appearance.
        rows: How many rows it has, the unreadable ones included; None where that is only known at the end.
        read: Yields the rows; takes the columns that are wanted.
    """

    path: Path
    columns: tuple[str, ...]
    rows: int | None
    read: Callable[[Sequence[str]], Iterator[RawRow]]


def open_source(path: Path) -> Source:
    """Look into a data file: CSV (`,` `;` or tab; UTF-8, UTF-16 with a mark, cp1252), JSONL or Parquet, by its ending.

    Raises:
        InvalidDataset: If it is absent, empty, of an unknown kind, or cannot be read as what it is.
    """
    kind = _KINDS.get(path.suffix.lower())
    if not path.is_file():
        there = "it is a folder" if path.is_dir() else "nothing is there"
        raise InvalidDataset(f"no data file {str(path)!r}: {there}; name a CSV, JSONL or Parquet file")
    if kind is None:
        raise InvalidDataset(
            f"{path} has an ending that is not known: {path.suffix!r}; use {', '.join(sorted(_KINDS))}"
        )
    try:
        if path.stat().st_size == 0:
            raise InvalidDataset(f"{path} is empty: 0 bytes; export it again")
        source = {"csv": _csv, "jsonl": _jsonl, "parquet": _parquet}[kind](path)
    except OSError as error:
        raise InvalidDataset(
            f"{path} cannot be read: {error.strerror or error}; check the file and its permissions"
        ) from error
    broken = [ascii(name) for name in source.columns if not _is_unicode(name)]
    if broken:
        raise InvalidDataset(f"{path} has column names that are not Unicode: {', '.join(broken)}; rename them")
    return source


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


# ── CSV ──────────────────────────────────────────────────────────────────────────────────────────────────────────────


def _csv(path: Path) -> Source:
    encoding, errors = detect_encoding(path)
    csv.field_size_limit(2**31 - 1)  # a ticket may be a million characters long; the module's own limit is 131,072
    with path.open(encoding=encoding, errors=errors, newline="") as file:
        first = next((line for line in file if line.strip()), "")
        delimiter = max(",;\t", key=lambda mark: len(next(csv.reader([first], delimiter=mark), [])))
        file.seek(0)
        header = tuple(next((cells for cells in csv.reader(file, delimiter=delimiter) if any(cells)), []))
    if not header:
        raise InvalidDataset(f"{path} is empty: it has no header line; export it again")
    twice = sorted({name for name in header if name and header.count(name) > 1})
    if twice:
        raise InvalidDataset(f"{path} has columns of the same name: {', '.join(map(repr, twice))}; rename them")

    def read(_: Sequence[str]) -> Iterator[RawRow]:
        with path.open(encoding=encoding, errors=errors, newline="") as file:
            yield from _csv_rows(csv.reader(file, delimiter=delimiter, strict=True), header)

    return Source(path, header, None, read)


def _csv_rows(reader: Any, header: tuple[str, ...]) -> Iterator[RawRow]:
    seen_header = False
    while True:
        line = reader.line_num + 1
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            yield RawRow(line, {}, f"not CSV: {error}")
            continue
        if not any(cells):
            continue
        if not seen_header:
            seen_header = True
            continue
        if len(cells) != len(header):
            yield RawRow(line, {}, f"{len(cells)} fields where the header has {len(header)}")
            continue
        yield RawRow(line, dict(zip(header, cells, strict=True)))


def detect_encoding(path: Path) -> tuple[str, str]:
    """Find the encoding of a text file and how to treat wrong bytes, as `open` takes them.

    A UTF-8 file with some wrong bytes stays UTF-8, so that only those rows are bad. Of the encodings of one byte a
    letter, charset-normalizer tells Cyrillic (cp1251) and Greek (cp1253) by their language; asked about the Latin ones
    it takes French for cp1257 and Swedish for cp1250, so what is left is read as cp1252.

    Raises:
        InvalidDataset: If it is in none of the known encodings.
    """
    with path.open("rb") as file:
        start = file.read(_CHUNK)
        if start.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
            return "utf-16", "surrogatepass"
        if start.count(0) > len(start) / 4:
            raise InvalidDataset(f"{path} is no text: it looks like UTF-16 without a mark, or binary; save it as UTF-8")
        file.seek(0)
        strict = codecs.getincrementaldecoder("utf-8")()
        try:
            while chunk := file.read(_CHUNK):
                strict.decode(chunk)
            strict.decode(b"", final=True)
            return "utf-8-sig", "strict"
        except UnicodeDecodeError:
            pass
        file.seek(0)
        data = file.read()
    readable = data.decode("utf-8", errors="ignore")
    if any(char > "\x7f" for char in readable.removeprefix("\ufeff")):
        return "utf-8-sig", "surrogateescape"
    guess = from_bytes(data, cp_isolation=["cp1251", "cp1252", "cp1253"]).best()
    if guess is not None and guess.coherence > 0:
        return guess.encoding, "strict"
    try:
        data.decode("cp1252")
    except UnicodeDecodeError as error:
        raise InvalidDataset(
            f"{path} is neither UTF-8 nor cp1252: byte 0x{data[error.start]:02x} at {error.start}; save it as UTF-8"
        ) from error
    return "cp1252", "strict"


# ── JSONL ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def _jsonl(path: Path) -> Source:
    with path.open("rb") as file:
        start = file.read(4096).removeprefix(codecs.BOM_UTF8).lstrip()
    if start.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) or b"\x00" in start[:4]:
        raise InvalidDataset(f"{path} is not UTF-8: it looks like UTF-16; save it as UTF-8")
    if start.startswith(b"["):
        raise InvalidDataset(f"{path} holds one JSON list: JSONL has one object a line; write it that way")
    columns: dict[str, None] = {}
    bad: list[BadRow] = []
    rows = 0
    for row in _jsonl_rows(path):
        rows += 1
        columns.update(dict.fromkeys(row.cells))
        if row.fault is not None and not columns:
            bad.append(BadRow(str(path), row.line, row.fault))
    if not rows:
        raise InvalidDataset(f"{path} is empty: nothing but blank lines; export it again")
    if not columns:
        raise InvalidDataset(f"no row of {path} can be read: the first is {bad[0]}; export it again", bad)

    def read(_: Sequence[str]) -> Iterator[RawRow]:
        return _jsonl_rows(path)

    return Source(path, tuple(columns), rows, read)


def _jsonl_rows(path: Path) -> Iterator[RawRow]:
    with path.open("rb") as file:
        for line, data in enumerate(file, 1):
            data = data.removeprefix(codecs.BOM_UTF8) if line == 1 else data
            if data.strip():
                yield _jsonl_row(line, data)


def _jsonl_row(line: int, data: bytes) -> RawRow:
    try:
        row = json.loads(data.decode("utf-8"), parse_constant=lambda _: None)
    except UnicodeDecodeError as error:
        return RawRow(line, {}, f"not UTF-8: byte 0x{data[error.start]:02x} at {error.start}")
    except json.JSONDecodeError as error:
        return RawRow(line, {}, f"not JSON: {error.msg} at character {error.pos + 1}")
    except (RecursionError, ValueError):  # nested too deeply, or a number of more digits than Python reads
        return RawRow(line, {}, "not usable JSON: nested too deeply, or a number too long")
    if not isinstance(row, dict):
        return RawRow(line, {}, f"a JSON {type(row).__name__} where an object is expected")
    return RawRow(line, _flat(row))


def _flat(row: dict[str, Any]) -> dict[str, Any]:
    """Spread an `attributes` object over columns `attributes.NAME`."""
    attributes = row.get("attributes")
    if not isinstance(attributes, dict):
        return row
    spread = {f"attributes.{name}": value for name, value in attributes.items()}
    return {**{name: value for name, value in row.items() if name != "attributes"}, **spread}


# ── Parquet ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def _parquet(path: Path) -> Source:
    import pyarrow
    import pyarrow.parquet

    try:
        file = pyarrow.parquet.ParquetFile(path)
    except (pyarrow.ArrowException, OSError, ValueError) as error:
        raise InvalidDataset(
            f"{path} is not a Parquet file that can be read: {str(error).splitlines()[0]}; export it again"
        ) from error
    names = list(file.schema_arrow.names)
    columns = list(
        dict.fromkeys([*(n for n in names if n != "attributes"), *(_first_keys(file) if "attributes" in names else ())])
    )

    def read(wanted: Sequence[str]) -> Iterator[RawRow]:
        chosen = [
            name
            for name in names
            if name in wanted or (name == "attributes" and any(w.startswith("attributes.") for w in wanted))
        ]
        line = 0
        try:
            for batch in file.iter_batches(batch_size=_PARQUET_BATCH, columns=chosen):
                for row in _parquet_rows(batch):
                    line += 1
                    yield RawRow(line, row if isinstance(row, dict) else {}, None if isinstance(row, dict) else row)
        except (pyarrow.ArrowException, OSError) as error:
            raise InvalidDataset(
                f"{path} breaks off after row {line}: {str(error).splitlines()[0]}; export it again"
            ) from error

    return Source(path, tuple(columns), file.metadata.num_rows, read)


def _first_keys(file: Any) -> list[str]:
    import pyarrow

    kind = file.schema_arrow.field("attributes").type
    if not pyarrow.types.is_struct(kind):
        return ["attributes"]
    return [f"attributes.{kind.field(column).name}" for column in range(kind.num_fields)]


def _parquet_rows(batch: Any) -> list[dict[str, Any] | str]:
    try:
        return [_flat(row) for row in batch.to_pylist()]
    except UnicodeDecodeError:  # one wrong string spoils the batch: take the rows one by one
        return [_parquet_row(batch, row) for row in range(batch.num_rows)]


def _parquet_row(batch: Any, row: int) -> dict[str, Any] | str:
    try:
        return _flat(next(islice(batch.slice(row, 1).to_pylist(), 1)))
    except UnicodeDecodeError as error:
        return f"not UTF-8: byte at {error.start}"
