"""A file of delimited text opened: which delimiter, quotes and escapes it has, and where its table begins."""

from __future__ import annotations

import io
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence, Set
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

from training.data.formats.delimited.records import KnownRows, Style, records
from training.data.formats.encoding import Encoding, encoding_of
from training.data.formats.source import RawRow, Source
from training.data.formats.table import header_place, numbered, rows_below
from training.data.presets.known_columns import known_columns, normal_name
from triage.errors import InvalidDataset

_DELIMITERS = (",", ";", "\t", "|", "^", "~")
_SAMPLE_CHARS = 1 << 18
_SAMPLE_RECORDS = 200
_SEP_LINE = re.compile(r"""["']?sep=(?P<mark>.)["']?\s*""", re.IGNORECASE)
_NAMES = {"\t": "tab", ",": "comma", ";": "semicolon", "|": "bar"}


@dataclass(frozen=True)
class _Layout:
    """Where the table of a file begins.

    Attributes:
        style: How cells are separated.
        line: How many lines stand above the header.
        header: The names of the columns.
        sample: The first records, the header before all.
    """

    style: Style
    line: int
    header: tuple[str, ...]
    sample: tuple[tuple[str, ...], ...]


def open_delimited(path: Path, encoding: str | None = None, named: Set[str] = frozenset()) -> Source:
    """Look into a file of delimited text.

    Args:
        path: The file.
        encoding: What it is encoded in; None to detect it.
        named: Columns that the user named.

    Raises:
        InvalidDataset: If it has no header, or its encoding cannot be told.
    """
    found = encoding_of(path, encoding)
    layout = _layout(path, found, named)
    columns, repeated = numbered(layout.header)
    skipped: dict[str, int] = {}

    def read(wanted: Sequence[str]) -> Iterator[RawRow]:
        del wanted  # a text has to be read whole
        with _opened(path, found) as file:
            tail = _Tail()
            lines = tail.of(line.replace("\0", "") for line in islice(file, layout.line, None))
            table = KnownRows(layout.style, len(columns), layout.sample)
            below = records(layout.style, lines, layout.line, table)
            next(below, None)  # the header
            yield from rows_below(below, columns, layout.header, skipped, may_be_cut=tail.is_open)

    style = layout.style
    notes = [*found.notes]
    if layout.line:
        notes.append(f"{layout.line} lines above the header are left out")
    if style.delimiter != "," or style.escapes:
        mark = _NAMES.get(style.delimiter, repr(style.delimiter))
        notes.append(f"cells are separated by {mark}{', and backslashes escape' if style.escapes else ''}")
    return Source(path, columns, None, read, kind="CSV", notes=tuple(notes), skipped=skipped, repeated=repeated)


class _Tail:
    """Whether the last line that was read is open, as a download that breaks off leaves it, or ends in a line break."""

    def __init__(self) -> None:
        self._last = ""

    def of(self, lines: Iterable[str]) -> Iterator[str]:
        """Yield lines as they are."""
        for line in lines:
            self._last = line
            yield line

    def is_open(self) -> bool:
        """Say whether the last line has no end."""
        return not self._last.endswith(("\n", "\r"))


def _opened(path: Path, encoding: Encoding) -> Any:
    return path.open(encoding=encoding.name, errors=encoding.errors, newline="")


def _layout(path: Path, encoding: Encoding, named: Set[str]) -> _Layout:
    with _opened(path, encoding) as file:
        text = file.read(_SAMPLE_CHARS)
    # Where a line ends is for the file to say: `str.splitlines` ends one at further characters, such as U+2028.
    lines = list(io.StringIO(text.replace("\0", ""), newline=""))
    if len(text) == _SAMPLE_CHARS and len(lines) > 1:
        lines.pop()  # cut in the middle
    above = next((place for place, line in enumerate(lines) if line.strip()), len(lines))
    if above == len(lines):
        raise InvalidDataset(f"{path} is empty: it has no header line; export it again")
    stated = _SEP_LINE.fullmatch(lines[above].strip("\r\n"))
    above += bool(stated)
    body = lines[above:]
    styles = [Style(stated["mark"])] if stated else [Style(mark) for mark in _DELIMITERS]
    candidates = [*styles, *_unusual(styles, body)]
    style = max(candidates, key=lambda one: (_fitness(one, body, named), -candidates.index(one)))
    sample = list(islice(_readable(style, body), _SAMPLE_RECORDS))
    if not sample:
        raise InvalidDataset(f"{path} is empty: it has no header line; export it again")
    place = header_place([cells for _, cells in sample], named)
    line, header = sample[place]
    return _Layout(style, above + line - 1, tuple(header), tuple(tuple(cells) for _, cells in sample[place:]))


def _unusual(styles: Sequence[Style], lines: Sequence[str]) -> list[Style]:
    """Return further styles to try, only where their mark is there: each is chosen only where it fits better."""
    escaped = [replace(style, escapes=True) for style in styles] if any('\\"' in line for line in lines) else []
    quoted = any('"' in line for line in lines)
    plain = [replace(style, quotes=False) for style in styles if style.delimiter in "\t|" and quoted]
    return [*escaped, *plain]


def _fitness(style: Style, lines: Sequence[str], named: Set[str]) -> tuple[bool, float, int]:
    """Say how well a style fits: known names in the header, records of the commonest width, and that width."""
    sample = [cells for _, cells, _ in islice(records(style, lines, 0), _SAMPLE_RECORDS)]
    readable = [cells for cells in sample if cells is not None and any(cells)]
    widths = Counter(len(cells) for cells in readable if len(cells) > 1)
    if not widths:
        return False, 0.0, 1
    header = readable[header_place(readable, named)]
    width = len(header)
    fitting = sum(
        count for size, count in Counter(len(cells) for cells in readable).items() if size in (width, width + 1)
    )
    known = any(name.strip() in named or normal_name(name) in known_columns() for name in header) and width > 1
    return known, round(fitting / len([cells for cells in sample if cells is None or any(cells)]), 2), width


def _readable(style: Style, lines: Sequence[str]) -> Iterator[tuple[int, list[str]]]:
    for line, cells, _ in records(style, lines, 0):
        if cells is not None and any(cells):
            yield line, list(cells)
