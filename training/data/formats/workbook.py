"""Workbooks (XLSX): the sheet with the most rows, its header below titles or not."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence, Set
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any

from training.data.formats.source import RawRow, Source
from training.data.formats.table import HEADER_WITHIN, Record, header_place, numbered, rows_below
from training.data.formats.unpacking import check_archive
from triage.errors import InvalidDataset


def open_workbook(path: Path, named: Set[str] = frozenset()) -> Source:
    """Look into a workbook.

    Args:
        path: The file.
        named: Columns that the user named.

    Raises:
        InvalidDataset: If it is none, is protected, or none of its sheets holds a table.
    """
    check_archive(path)
    with _workbook(path) as book:
        sizes = {sheet.title: _size(sheet) for sheet in book.worksheets if sheet.sheet_state == "visible"}
        name = max(sizes, key=lambda one: sizes[one], default="")
        if not name or not sizes[name]:
            raise InvalidDataset(f"{path} has no table: no sheet has two cells beside each other; export it again")
        records = [list(cells) for _, cells in islice(_filled(book[name]), 2 * HEADER_WITHIN)]
        place = header_place([_trimmed(record) for record in records], named)
        header = _trimmed(records[place])
    columns, repeated = numbered(header)
    skipped: dict[str, int] = {}

    def read(wanted: Sequence[str]) -> Iterator[RawRow]:
        del wanted  # a sheet has to be read whole
        with _workbook(path) as book:
            below = islice(_filled(book[name]), place + 1, None)
            records = (_record(line, cells, len(columns)) for line, cells in below)
            yield from rows_below(records, columns, header, skipped, padded=True)

    others = [title for title, size in sizes.items() if size and title != name]
    notes = [f"sheet {name!r} is read, the one with the most rows; left out: {', '.join(others)}"] if others else []
    notes += [f"{place} lines above the header are left out"] if place else []
    return Source(path, columns, None, read, kind="workbook", notes=tuple(notes), skipped=skipped, repeated=repeated)


@contextmanager
def _workbook(path: Path) -> Iterator[Any]:
    from openpyxl import load_workbook

    try:
        with warnings.catch_warnings():  # openpyxl remarks on styles and extensions, which nobody reads here
            warnings.simplefilter("ignore")
            book = load_workbook(path, read_only=True, data_only=True)
    except Exception as error:  # openpyxl raises whatever its parsers do
        raise InvalidDataset(
            f"{path} is no workbook that can be read ({type(error).__name__}): it may be protected or broken off; "
            "save it anew as .xlsx"
        ) from error
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for sheet in book.worksheets:
                sheet.reset_dimensions()  # some programs state wrong ones, and rows would be cut off
            yield book
    finally:
        book.close()


def _filled(sheet: Any) -> Iterator[tuple[int, tuple[Any, ...]]]:
    """Yield the rows of a sheet in which something stands, with their line."""
    for line, cells in enumerate(sheet.iter_rows(values_only=True), 1):
        if any(cell is not None and cell != "" for cell in cells):
            yield line, cells


def _size(sheet: Any) -> int:
    """Count the rows of a sheet with two cells or more."""
    return sum(sum(cell is not None for cell in cells) > 1 for _, cells in _filled(sheet))


def _trimmed(cells: Sequence[Any]) -> list[Any]:
    end = max((place for place, cell in enumerate(cells, 1) if cell is not None and str(cell).strip()), default=0)
    return list(cells[:end])


def _record(line: int, cells: Sequence[Any], width: int) -> Record:
    filled = _trimmed(cells)
    return line, [*filled, *[None] * (width - len(filled))], None
