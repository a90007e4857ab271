"""Records of delimited text: lines cut into cells, and rows found again below a quote that is never closed."""

from __future__ import annotations

import csv
import re
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from training.data.formats.table import Record, is_as_wide

_ESCAPED = re.compile(r"\\(.)", re.DOTALL)
_ESCAPES = {"n": "\\\n", "r": "", "t": "\t", "0": "", "N": ""}
csv.field_size_limit(2**31 - 1)  # a ticket may be a million characters long; the module's own limit is 131,072

_RUN, _LEAST_MARKS = 4, 4
"""Lines in a row that must be as wide as the header, and delimiters in them, to be rows by their width alone."""

_LEAST_SWALLOWED = 2
"""Rows that must stand in a field which is closed in the end and leaves a row of the right width."""

_ENOUGH_ROWS, _MOST_ROWS = 20, 5_000
"""Rows from which it is known which columns repeat their values, and rows that are looked at for it."""

_MOST_VALUES, _LONGEST_VALUE = 200, 80
"""A column with more values, or longer ones, does not repeat them as labels are repeated."""

_MOST_AGAIN = 20
"""How often each line is read at most, on average: lost quotes need two, and a file made to cost time gets no more."""


@dataclass(frozen=True)
class Style:
    """How a file separates its cells.

    Attributes:
        delimiter: Between cells.
        escapes: Whether a backslash takes the meaning of what follows, as MySQL writes it.
        quotes: Whether quotes around a cell are no part of it.
    """

    delimiter: str
    escapes: bool = False
    quotes: bool = True

    def reader(self, lines: Iterable[str]) -> Any:
        """Return a reader of the csv module over lines."""
        return csv.reader(
            map(_with_line_breaks, lines) if self.escapes else lines,
            delimiter=self.delimiter,
            escapechar="\\" if self.escapes else None,
            doublequote=True,
            quoting=csv.QUOTE_MINIMAL if self.quotes else csv.QUOTE_NONE,
            strict=True,
        )

    def cells(self, line: str) -> list[str] | None:
        """Return the cells of a line alone; None where it is no whole record."""
        try:
            return next(self.reader([line]), [])
        except csv.Error:
            return None

    def marks(self, line: str) -> int:
        """Count the quotes of a line."""
        return (_ESCAPED.sub("", line) if self.escapes else line).count('"') if self.quotes else 0


def _with_line_breaks(line: str) -> str:
    r"""Write `\n` and its like as the csv module takes them: an escaped line break, a tab, nothing."""
    return _ESCAPED.sub(lambda match: _ESCAPES.get(match[1], match[0]), line)


def records(style: Style, lines: Iterable[str], above: int, table: KnownRows | None = None) -> Iterator[Record]:
    """Yield the records of lines.

    A quote that is never closed would take in every row below it. Where rows of the table are found among the lines
    that a record took in, the record is a fault of its first line alone, and they are read after all.

    Args:
        style: How cells are separated.
        lines: With their line ends.
        above: Lines that stand above the first one given.
        table: What the rows have in common; None takes records as they come.
    """
    given = _Lines(lines, above)
    reader = style.reader(given)
    while True:
        given.begin()
        fault = None
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            cells, fault = None, f"not CSV: {error}"
        taken = given.taken
        if table is not None and style.quotes and len(taken) > 1:
            own = table.lines_of(cells, taken, whole=not given.ended)
            if own < len(taken) and given.give_back(own):
                yield given.first, None, _never_closed(own - 1)
                continue
            if fault is not None:
                fault = f"{fault}; a quote is opened here and takes in {_lines(len(taken) - 1)}"
        if table is not None and cells is not None:
            table.add(cells)
        yield given.first, cells, fault


def _never_closed(below: int) -> str:
    what = "a quote is opened here and never closed"
    return f"{what}; {_lines(below)} cannot be told from its text and left out with it" if below else what


def _lines(count: int) -> str:
    return f"the {count} lines below" if count > 1 else "the line below"


class _Lines:
    """Lines that can be given back, to be read once more.

    Attributes:
        first: The number of the first line that the record took.
        taken: The lines that it took.
        ended: Whether it asked for more than there are.
    """

    def __init__(self, lines: Iterable[str], above: int) -> None:
        self._lines = iter(lines)
        self._again: deque[str] = deque()
        self._seen = self._given_back = 0
        self.first, self.taken, self.ended = above + 1, list[str](), False

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        try:
            line = self._again.popleft() if self._again else next(self._lines)
        except StopIteration:
            self.ended = True
            raise
        self.taken.append(line)
        return line

    def begin(self) -> None:
        """Begin a record."""
        self.first += len(self.taken)
        self._seen += len(self.taken)
        self.taken, self.ended = [], False

    def give_back(self, own: int) -> bool:
        """Let the record have its first lines only; False where lines were given back too often already."""
        back = self.taken[own:]
        if self._given_back + len(back) > _MOST_AGAIN * (self._seen + len(self.taken)):
            return False
        self._given_back += len(back)
        self._again.extendleft(reversed(back))
        self.taken = self.taken[:own]
        return True


class KnownRows:
    """What the rows of a table have in common, by which a line is told to be one: width, and values that recur.

    Attributes:
        style: How the file separates its cells.
        width: Columns of the table.
    """

    def __init__(self, style: Style, width: int, sample: Sequence[Sequence[str]] = ()) -> None:
        self.style, self.width = style, width
        self._bare = replace(style, quotes=False)
        self._rows = 0
        self._values: dict[int, set[str]] = {column: set() for column in range(width)}
        self._known = 0
        for cells in sample:
            self.add(cells)
        self._known = len(sample)

    def add(self, cells: Sequence[str]) -> None:
        """Learn from a row; the first ones are those of the sample once more."""
        if self._known:
            self._known -= 1
            return
        if self._rows >= _MOST_ROWS or not is_as_wide(cells, self.width):
            return
        self._rows += 1
        for column, values in list(self._values.items()):
            value = cells[column].strip()
            if value and value not in values:
                values.add(value)
                if len(values) > _MOST_VALUES or len(value) > _LONGEST_VALUE:
                    del self._values[column]

    def lines_of(self, cells: Sequence[str] | None, taken: Sequence[str], *, whole: bool) -> int:
        """Return how many of the lines that a record took belong to it: all of them, but for a quote never closed.

        Args:
            cells: Of the record; None where it cannot be read.
            taken: Its lines.
            whole: Whether it ended before the file did.
        """
        known = self._recurring()
        if cells is not None and is_as_wide(cells, self.width):
            marks = (len(taken) - 1) * (self.width - 1)
            surely = known and len(taken) > _LEAST_SWALLOWED and marks >= _LEAST_MARKS
            return 1 if surely and all(self._is_bare(line, known, most=True) for line in taken) else len(taken)
        places = [place for place, line in enumerate(taken) if place and line.strip()]
        rows = [self._is_row(taken[place], known) for place in places]
        if whole and rows:
            rows[-1] = rows[-1] or self._begins_row(taken[-1])
        while rows and not whole and not rows[-1]:
            rows.pop()  # a footer
        quoted = whole and cells is None and self._has_quoted_cell(taken[-1])
        for number, (place, is_row) in enumerate(zip(places, rows, strict=False)):
            run = rows[number : number + _RUN]
            wide = rows[-1] and all(run) and len(run) * (self.width - 1) >= _LEAST_MARKS
            if is_row and (known or wide or (quoted and run == rows[-1:])):
                return place
        return len(taken)

    def _recurring(self) -> dict[int, set[str]]:
        """Return the columns in which values recur, with those values; none before there are enough rows to tell."""
        few = self._rows / 4
        found = {column: values for column, values in self._values.items() if 0 < len(values) <= few}
        return found if self._rows >= _ENOUGH_ROWS else {}

    def _is_row(self, line: str, known: Mapping[int, set[str]]) -> bool:
        """Say whether a line alone is a row, or would be one but for a quote that it opens and does not close."""
        cells = self.style.cells(line)
        if cells is None or self.style.marks(line) % 2:
            bare = self._bare.cells(line) or []
            opened = any(cell.startswith('"') and cell.count('"') == 1 for cell in bare)
            return opened and self._is_bare(line, known)
        return self._fits(cells, known)

    def _is_bare(self, line: str, known: Mapping[int, set[str]], *, most: bool = False) -> bool:
        """Say whether a line is a row if its quotes are letters like others."""
        return self._fits(self._bare.cells(line) or [], known, most=most)

    def _fits(self, cells: Sequence[str], known: Mapping[int, set[str]], *, most: bool = False) -> bool:
        """Say whether cells are a row: as many as there are columns, a value or most values known where any recur."""
        if not is_as_wide(cells, self.width):
            return False
        found = sum(cells[column].strip() in values for column, values in known.items())
        return found * 2 > len(known) if most else found > 0 or not known

    def _has_quoted_cell(self, line: str) -> bool:
        """Say whether quotes stand in a line where cells begin: there a row broke the field that took it in."""
        return any(cell.startswith('"') for cell in self._bare.cells(line) or [])

    def _begins_row(self, line: str) -> bool:
        """Say whether a row that goes on below may begin in a line: it is read in any case, and may be a fault then."""
        return self.style.cells(line) is None and len(self._bare.cells(line) or []) <= self.width
