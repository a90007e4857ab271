"""What tables have in common, in text and in workbooks: where the header stands, and cells that fit below it."""

from __future__ import annotations

import re
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from dataclasses import replace
from typing import Any

from training.data.formats.source import FOOTER, Footer, RawRow
from training.data.presets.known_columns import known_columns, normal_name

HEADER_WITHIN = 40
"""Records among which the header is looked for: reports put at most a page of titles and filters above it."""

_LONGEST_NAME = 200
"""A cell with more characters is no name of a column."""

_MOST_FOOTERS = 8
"""Short records at the very end that are taken for a footer ("160 records") and not for broken rows."""

_LAST_IDS = 20
"""Rows whose first cells tell what an id looks like."""

_LETTERS, _DIGITS = re.compile(r"[^\W\d_]+"), re.compile(r"\d+")

_COUNT = re.compile(r"\W*\d+ (?P<behind>[^\W\d]+)|(?P<before>[^\W\d]+):? \d+")
"""A cell that may count rows: a number and a word."""

_ROWS = frozenset((
    "records", "rows", "tickets", "entries", "results", "items", "issues", "incidents", "requests", "lines",
    "datensätze", "zeilen", "einträge", "treffer", "ergebnisse", "vorgänge", "lignes", "enregistrements", "résultats",
    "registros", "filas", "resultados", "righe", "risultati", "rijen"
))  # fmt: skip
"""What counts of rows name them."""

_SUMS = frozenset((
    "total", "totals", "sum", "count", "counts", "subtotal", "summe", "gesamt", "gesamtzahl", "gesamtsumme",
    "insgesamt", "anzahl", "nombre", "totale", "somma", "conteggio", "suma", "recuento", "cantidad",
    "totaal", "aantal", "soma"
))  # fmt: skip
"""Words that stand beside a number of rows."""

_MOST_WORDS = 3
"""Words of a name of a sum, such as "Total of tickets"."""

REPEATED_HEADER = "repeated header"


def header_place(records: Sequence[Sequence[object]], named: Set[str] = frozenset()) -> int:
    """Return which of the first records is the header.

    The record with the most names wins, where it has a column that the user named or two that some helpdesk has; else
    the first record that is as wide as most records are and nearly full. What recurs in its column is no name.

    Args:
        records: The first ones of a file, cells in order.
        named: Columns that the user named.

    Example:
        >>> header_place([["Closed tickets", ""], ["Ticket number", "What was said"], ["1", "It is broken"]])
        1
        >>> header_place([["Nr", "Bereich"], ["Service", "Project"]], {"Bereich"})
        0
    """
    if not records:
        return 0
    texts = [[*map(_text, record)] for record in records]
    first = texts[:HEADER_WITHIN]
    recurring = {
        one for one, count in Counter(cell for cells in texts for cell in enumerate(cells)).items() if count > 2
    }
    scores = [_names_in(cells, named, set() if texts.count(cells) > 1 else recurring) for cells in first]
    if max(scores) >= 2:
        return scores.index(max(scores))
    width = Counter(len(record) for record in records).most_common(1)[0][0]
    needed = max(2, 0.6 * width)
    for place, cells in enumerate(first):
        names = [name for name in cells if name]
        if len(cells) == width and len(names) >= needed and max(map(len, names)) <= _LONGEST_NAME:
            return place
    return 0


def _names_in(cells: Sequence[str], named: Set[str], recurring: Set[tuple[int, str]]) -> int:
    """Count the names of columns in a record: those of helpdesks once, those that the user named twice."""
    names = {cell for place, cell in enumerate(cells) if (place, cell) not in recurring}
    return 2 * len(names & named) + len({normal_name(name) for name in names - named} & known_columns())


def _text(cell: object) -> str:
    return "" if cell is None else str(cell).strip()


def numbered(header: Sequence[object]) -> tuple[tuple[str, ...], Mapping[str, tuple[str, ...]]]:
    """Give columns of the same name a number each.

    Returns:
        The names by which the columns are read, and the repeated names with their numbered ones.

    Example:
        >>> numbered(["id", "Labels", "Labels"])
        (('id', 'Labels (1)', 'Labels (2)'), {'Labels': ('Labels (1)', 'Labels (2)')})
    """
    names = [_text(name) for name in header]
    counts = Counter(name for name in names if name)
    seen: Counter[str] = Counter()
    columns, repeated = [], dict[str, tuple[str, ...]]()
    for name in names:
        seen[name] += 1
        own = f"{name} ({seen[name]})" if counts[name] > 1 else name
        columns.append(own)
        if counts[name] > 1:
            repeated[name] = (*repeated.get(name, ()), own)
    return tuple(columns), repeated


Record = tuple[int, Sequence[Any] | None, str | None]
"""A record of a table: its line, its cells (None where it cannot be read), and its fault."""


def rows_below(
    records: Iterator[Record],
    columns: Sequence[str],
    header: Sequence[object],
    skipped: dict[str, int],
    *,
    padded: bool = False,
    may_be_cut: Callable[[], bool] = lambda: True,
) -> Iterator[RawRow]:
    """Yield the rows below a header: headers repeated by paging and a footer are left out and counted.

    A record that has an empty cell too many is a row; one that has too few or too many is a fault. Where they are
    padded, as in a workbook, which has no number of fields, one that has too few is a row. At the very end, records
    with at most two filled cells are a footer where they are too short, or have their first cell alone in a padded
    table; else whoever knows what the columns are has to tell. One at the end that begins with an id is a row, or a
    fault where it goes on and is too short, as a download that breaks off leaves it.

    Args:
        records: All of them, in their order.
        columns: The names of the columns, each of them once.
        header: The names as they stand there.
        skipped: What is left out is counted here.
        padded: Whether records have no number of fields of their own.
        may_be_cut: Asked after the last record: whether the end of the file does not speak against its breaking off.
    """
    names = [_text(name) for name in header]
    skipped.clear()
    end = _End(len(columns), padded=padded)
    for line, cells, fault in records:
        if cells is None:
            yield from end.let_go()
            yield RawRow(line, {}, fault)
            continue
        if not any(_text(cell) for cell in cells):
            continue
        if [_text(cell) for cell in cells[: len(columns)]] == names:
            skipped[REPEATED_HEADER] = skipped.get(REPEATED_HEADER, 0) + 1
            continue
        yield from end.take(_fitted(line, cells, columns), cells)
    if end.ids.was_broken_off and may_be_cut():
        yield from end.let_go()
    for row in end.held:
        if row.footer == Footer.SURELY:
            skipped[FOOTER] = skipped.get(FOOTER, 0) + 1
        else:
            yield row


class _End:
    """The last rows of a table: those with few filled cells are held until it is known that no other row follows.

    Args:
        width: Columns of the table.
        padded: Whether records have no number of fields of their own.

    Attributes:
        held: The rows that are held.
        ids: What the first cells of rows look like.
    """

    def __init__(self, width: int, *, padded: bool) -> None:
        self._width, self._padded = width, padded
        self._fewest = 0
        self.held: list[RawRow] = []
        self.ids = _Ids()

    def take(self, row: RawRow, cells: Sequence[Any]) -> Iterator[RawRow]:
        """Take a row as it would be read, with its cells, and yield those that are known to be rows."""
        filled = [place for place, cell in enumerate(cells) if _text(cell)]
        footer = self._footer(row, cells, filled)
        if footer <= Footer.MAYBE and row.fault is None:
            self._fewest = min(self._fewest or len(filled), len(filled))
        if footer == Footer.NO:
            self.ids.note_row(cells)
            yield from self.let_go()
            yield row
            return
        self.held.append(replace(row, footer=footer))
        self.ids.note_short(cells)
        if len(self.held) > _MOST_FOOTERS:
            yield from self.let_go()

    def let_go(self) -> Iterator[RawRow]:
        """Yield the rows that are held, as rows."""
        yield from (replace(row, footer=Footer.NO) for row in self.held)
        self.held.clear()

    def _footer(self, row: RawRow, cells: Sequence[Any], filled: Sequence[int]) -> Footer:
        """Say whether a row would be a footer if no other followed."""
        if len(filled) > 2 or self._width <= 2:
            return Footer.NO
        if row.fault is not None:
            return Footer.SURELY
        if self.ids.begins_a_row(cells):
            return Footer.NO
        if self._padded and filled == [0]:
            return Footer.SURELY
        return self._by_words([_text(cells[place]) for place in filled], begins=filled[0] == 0)

    def _by_words(self, said: Sequence[str], *, begins: bool) -> Footer:
        """Say whether a record would be a footer by its filled cells, the first of which may begin it."""
        if len(said) == 2:
            sums = self._fewest > 2 and _is_sum(said[0]) and _is_number(said[1])
            return Footer.SURELY if sums else Footer.MAYBE
        counted = _COUNT.fullmatch(said[0]) if begins and self._fewest > 2 else None
        if counted is None:
            return Footer.MAYBE
        word = (counted["behind"] or counted["before"]).casefold()
        return Footer.SURELY if word in _ROWS | _SUMS else Footer.LIKELY


def _is_sum(text: str) -> bool:
    """Say whether a cell names a sum.

    Example:
        >>> [_is_sum(cell) for cell in ("Grand total:", "Anzahl Tickets", "Printer broken", "Total loss of mails")]
        [True, True, False, False]
    """
    words = text.casefold().removesuffix(":").split()
    return len(words) <= _MOST_WORDS and not _SUMS.isdisjoint(words)


def _is_number(text: str) -> bool:
    return text.replace(".", "").replace(",", "").isdecimal()


class _Ids:
    """What the first cells of the last rows look like, by which a row that breaks off is told from a footer.

    Attributes:
        was_broken_off: Whether the last record, a short one, begins as rows do and has something behind that.
    """

    def __init__(self) -> None:
        self._last: deque[str] = deque(maxlen=_LAST_IDS)
        self.was_broken_off = False

    def note_row(self, cells: Sequence[object]) -> None:
        """Note the first cell of a whole row."""
        self._last.append(_text(cells[0]))
        self.was_broken_off = False

    def note_short(self, cells: Sequence[object]) -> None:
        """Note a record with few cells."""
        self.was_broken_off = self.begins_a_row(cells) and any(map(_text, cells[1:]))

    def begins_a_row(self, cells: Sequence[object]) -> bool:
        """Say whether a record begins with an id, of the look of those before and none of them."""
        first = _text(cells[0])
        looks = {_look(one) for one in self._last}
        are_ids = len(set(self._last)) == len(self._last) and all("0" in look for look in looks)
        return are_ids and first not in self._last and _look(first) in looks


def _look(cell: str) -> str:
    """Return what a cell looks like: its letters and digits, whichever and however many they are.

    Example:
        >>> _look("INC0012345"), _look("160 records")
        ('a0', '0 a')
    """
    return _DIGITS.sub("0", _LETTERS.sub("a", cell))


def is_as_wide(cells: Sequence[object], width: int) -> bool:
    """Say whether a record has as many cells as there are columns; further ones that are empty do no harm."""
    return len(cells) >= width and not any(_text(cell) for cell in cells[width:])


def _fitted(line: int, cells: Sequence[Any], columns: Sequence[str]) -> RawRow:
    if not is_as_wide(cells, len(columns)):
        return RawRow(line, {}, f"{len(cells)} fields where the header has {len(columns)}")
    return RawRow(line, dict(zip(columns, cells, strict=False)))
