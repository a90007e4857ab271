"""Opens a data file by what it is: its first bytes, then its ending."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence, Set
from dataclasses import replace
from pathlib import Path

from training.data.formats.delimited import open_delimited
from training.data.formats.json_file import open_json
from training.data.formats.parquet import open_parquet
from training.data.formats.source import RawRow, Source
from training.data.formats.unpacking import Unpacked, check_size, unpack
from training.data.formats.workbook import open_workbook
from training.data.formats.xml_file import open_xml
from triage.errors import InvalidDataset, InvalidRequest, why_unreadable

_TEXT = frozenset((".csv", ".tsv", ".tab", ".psv", ".txt"))
_JSON = frozenset((".jsonl", ".ndjson", ".json"))
_BOOKS = frozenset((".xlsx", ".xlsm"))
_PARQUET = frozenset((".parquet", ".pq"))
_PLAIN = _TEXT | _JSON | _BOOKS | _PARQUET | {".xml"}
_PACKED = frozenset((".gz", ".tgz", ".zip"))

KNOWN_ENDINGS = tuple(sorted(_PLAIN | _PACKED))
"""Endings of files that can be read."""


def open_source(path: Path, encoding: str | None = None, named: Set[str] = frozenset()) -> Source:
    """Look into a data file.

    Args:
        path: Delimited text, JSON, JSON lines, XML, XLSX or Parquet, by its ending; packed or not (.gz, .tgz, .zip).
        encoding: What text in it is encoded in; None to detect it.
        named: Columns that the user named, by which a header is known.

    Raises:
        InvalidDataset: If it is absent, empty, of an unknown kind, or cannot be read as what it is.
        InvalidRequest: If there is no such encoding.
    """
    if not path.is_file():
        there = "it is a folder" if path.is_dir() else "nothing is there"
        raise InvalidDataset(f"no data file {str(path)!r}: {there}; name a CSV, JSON, XML, XLSX or Parquet file")
    if path.suffix.lower() not in KNOWN_ENDINGS:
        raise InvalidDataset(f"{path} has an ending that is not known: {path.suffix!r}; use {', '.join(KNOWN_ENDINGS)}")
    try:
        if path.stat().st_size == 0:
            raise InvalidDataset(f"{path} is empty: 0 bytes; export it again")
        check_size(path)
        source = _unpacked(path, encoding, named) if path.suffix.lower() in _PACKED else _plain(path, encoding, named)
    except OSError as error:
        raise InvalidDataset(
            f"{path} cannot be read: {why_unreadable(error)}; check the file and its permissions"
        ) from error
    broken = [ascii(name) for name in source.columns if not _is_unicode(name)]
    if broken:
        raise InvalidDataset(f"{path} has column names that are not Unicode: {', '.join(broken)}; rename them")
    return source


def _unpacked(path: Path, encoding: str | None, named: Set[str]) -> Source:
    target, held = unpack(path, _PLAIN)
    try:
        source = _plain(target, encoding, named)
    except (InvalidDataset, InvalidRequest) as error:
        raise type(error)(str(error).replace(str(target), f"{path}:{target.name}")) from error
    return replace(source, path=path, read=_holding(source, held))


def _holding(source: Source, held: Unpacked) -> Callable[[Sequence[str]], Iterator[RawRow]]:
    """Return the reading of a source, which keeps the unpacked file there as long as somebody may read it."""

    def read(wanted: Sequence[str]) -> Iterator[RawRow]:
        yield from source.read(wanted)
        assert held.folder  # held until here

    return read


def _plain(path: Path, encoding: str | None, named: Set[str]) -> Source:
    with path.open("rb") as file:
        start = file.read(512)
    ending = path.suffix.lower()
    if start.startswith(b"PK\x03\x04") or ending in _BOOKS:
        return open_workbook(path, named)
    if start.startswith(b"PAR1") or ending in _PARQUET:
        return open_parquet(path)
    if ending == ".xml" or start.lstrip(b"\xef\xbb\xbf\r\n\t ").startswith(b"<?xml"):
        return open_xml(path, encoding)
    if ending in _JSON:
        return open_json(path, encoding)
    return open_delimited(path, encoding, named)


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
