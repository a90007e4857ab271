"""How files of tickets are to be read, and one file opened that way: preset, roles, dates."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

from training.data.columns import TEXT_ROLES, assign
from training.data.dates import DateColumn, date_column
from training.data.finding import FINE, NOTICE, Finding
from training.data.formats import RawRow, Source, open_source
from training.data.formats.source import FOOTER, Footer
from training.data.presets.guess import Guess, guess
from training.data.presets.known_columns import normal_name
from training.data.presets.roles import is_label
from training.data.values import LanguageColumn
from triage.errors import InvalidRequest

_NONE: Mapping[str, Any] = MappingProxyType({})


@dataclass(frozen=True)
class FileOptions:
    """How one file is to be read.

    Attributes:
        preset: Whose export it is; None to guess.
        encoding: What its text is encoded in; None to detect it.
        date_order: ``dmy`` or ``mdy``, whatever a column of dates tells.
        date_order_before: The order that earlier files had, where a column of dates does not tell.
        roles: Roles with the column that plays them, None switching a role off.
    """

    preset: str | None = None
    encoding: str | None = None
    date_order: str | None = None
    date_order_before: str | None = None
    roles: Mapping[str, str | None] = field(default_factory=lambda: _NONE)


@dataclass(frozen=True)
class ReadOptions(FileOptions):
    """How files of tickets are to be read.

    Attributes:
        multi: What is done with several labels in a cell: ``first``, ``drop``, ``split``, ``keep``; None refuses them.
        known: By target, labels that a policy lists: a cell that holds one of them holds no others.
        keep_placeholders: Whether labels such as ``Unassigned`` are labels all the same.
        examine: Whether faults of the whole are to be found instead of raised, as `triage data check` does.
        need_dates: Whether dates are needed: where they are not, a column of them whose day and month cannot be told
            apart is left out instead of refused.
        files: How single files are to be read instead, by their names, with the folders that tell them apart.
    """

    multi: str | None = None
    known: Mapping[str, Set[str]] = field(default_factory=lambda: _NONE)
    keep_placeholders: bool = False
    examine: bool = False
    need_dates: bool = True
    files: Mapping[str, FileOptions] = field(default_factory=lambda: _NONE)

    def for_file(self, path: Path) -> FileOptions:
        """Return how one file is to be read: as is said for it alone, by most of its path, else as is said for all."""
        parts = path.absolute().parts
        ends = ("/".join(parts[-count:]) for count in range(len(parts), 0, -1))
        return next((self.files[end] for end in ends if end in self.files), self)


_DEEPER = frozenset(
    ("subcategory", "sub category", "category 2", "unterkategorie", "sous catégorie", "subcategoría", "sottocategoria")
)
"""Names of columns that go into detail where the category does not."""

_NAMED = 5  # values in a message: enough to know them

READ_PLAINLY = ReadOptions()


@dataclass(frozen=True)
class OpenFile:
    """A file that can be read as tickets.

    Attributes:
        source: Its rows.
        roles: Which column plays which role.
        dates: How its dates are read; None where no column plays that role.
        guess: What a preset made of it; None where none was used.
        switched_off: Roles that the user switched off.
        left_undated: Why its dates are left out; empty where they are read, or no column plays that role.
        languages: Reads its column of languages, and counts what is none.
    """

    source: Source
    roles: Mapping[str, str]
    dates: DateColumn | None
    guess: Guess | None
    switched_off: Set[str] = frozenset()
    left_undated: str = ""
    languages: LanguageColumn = field(default_factory=LanguageColumn)

    @property
    def notes(self) -> list[str]:
        """What a user should know of how the file was read, one sentence each."""
        notes = [*([str(self.guess)] if self.guess else []), *self.source.notes]
        if self.dates is not None and self.dates.order is not None:
            order = {"dmy": "day first", "mdy": "month first", "ymd": "year first"}[self.dates.order]
            notes.append(f"dates are read {order}: {self.dates.because}")
        notes += self._passed_over(self.guess) if self.guess else []
        for name, columns in self.source.repeated.items():
            role = next((role for role, column in self.roles.items() if column in columns), None)
            if role is not None:
                others = ", ".join(f"--map {role}={one!r}" for one in columns if one != self.roles[role])
                notes.append(
                    f"{len(columns)} columns are named {name!r}: {self.roles[role]!r} is read; else say {others}"
                )
        if "category" in self.roles and "category.2" not in self.roles:
            deeper = [column for column in self.source.columns if normal_name(column) in _DEEPER]
            notes += [
                f"{column!r} may be a level below {self.roles['category']!r}: if so, --map category.2={column!r}"
                for column in deeper
                if column not in self.roles.values()
            ]
        return notes + [f"left out: {count} × {what}" for what, count in self.source.skipped.items()]

    def _passed_over(self, made: Guess) -> Iterator[str]:
        """Say which columns are named like a role that another one plays by the preset; of ids there are mostly two.

        So is a column that usually plays a role and has values in hardly any row.
        """
        by_preset = made.roles
        for role, (column, count, rows) in made.passed_over.items():
            if self.roles.get(role) == by_preset[role]:
                where = f"{column!r} is not read, as it has values in {count} of the first {rows} rows"
                yield f"{where}: {self.roles[role]!r} is the {role}; else say --map {role}={column!r}"
        for column in self.source.columns:
            role = column.strip().casefold()
            played_by = self.roles.get(role)
            chosen = played_by is not None and played_by == by_preset.get(role)
            if role != "id" and chosen and column not in self.roles.values():
                yield f"{column!r} is not read: {played_by!r} is the {role}; else say --map {role}={column!r}"

    def cell(self, cells: Mapping[str, Any], column: str) -> Any:
        """Return the cell of a column; the filled ones of all where several share the name."""
        if column not in self.source.repeated:
            return cells.get(column)
        filled = [value for value in map(cells.get, self.source.repeated[column]) if value not in (None, "")]
        return filled if len(filled) > 1 else next(iter(filled), None)

    def rows(self, *further: str) -> Iterator[RawRow]:
        """Yield the rows of the file but a footer, which is counted: what is below the table is told by the roles.

        Args:
            further: Columns to be read beside those that play a role.
        """
        skipped, labelled = self.source.skipped, False
        for row in self.source.read([*self.wanted(), *further]):
            if self._is_footer(row, labelled=labelled):
                skipped[FOOTER] = skipped.get(FOOTER, 0) + 1
                continue
            labelled = labelled or self._has_label(row)
            yield row

    def _is_footer(self, row: RawRow, *, labelled: bool) -> bool:
        """Say whether a row is a footer: that it has no label tells only where rows above it have one."""
        if row.footer == Footer.NO or self._has_label(row):
            return False
        texts = [text for role in TEXT_ROLES if role in self.roles and (text := self._says(row, role))]
        if len(texts) > 1:
            return False
        return (labelled and row.footer >= Footer.LIKELY) or not any(char.isalpha() for text in texts for char in text)

    def _has_label(self, row: RawRow) -> bool:
        return any(self._says(row, role) for role in self.roles if is_label(role))

    def _says(self, row: RawRow, role: str) -> str:
        cell = self.cell(row.cells, self.roles[role])
        return "" if cell is None else str(cell).strip()

    def wanted(self) -> list[str]:
        """Return the columns that have to be read."""
        return [one for column in self.roles.values() for one in self.source.repeated.get(column, (column,))]


def open_files(
    paths: Sequence[Path], mapping: Mapping[str, str | None], options: ReadOptions = READ_PLAINLY
) -> list[OpenFile]:
    """Open files of tickets, each with its own preset and roles.

    A mapped column has to be in one of the files at least; a file that lacks it goes by preset and names in that role.

    Args:
        paths: The files.
        mapping: Roles with the column that plays them, as the command line has them.
        options: How the files are to be read.

    Raises:
        InvalidDataset: If a file cannot be read.
        InvalidRequest: If the mapping fits no file, or the order of day and month cannot be told.
    """
    own = [options.for_file(path) for path in paths]
    named = [{column for column in {**one.roles, **mapping}.values() if column is not None} for one in own]
    sources = [open_source(path, one.encoding, columns) for path, one, columns in zip(paths, own, named, strict=True)]
    there = {column for source in sources for column in (*source.columns, *source.repeated)}
    return [
        _opened(source, one, mapping, there, need_dates=options.need_dates)
        for source, one in zip(sources, own, strict=True)
    ]


def open_file(path: Path, mapping: Mapping[str, str | None], options: ReadOptions = READ_PLAINLY) -> OpenFile:
    """Do what `open_files` does for one file."""
    return open_files([path], mapping, options)[0]


def _opened(
    source: Source, own: FileOptions, mapping: Mapping[str, str | None], there: set[str], *, need_dates: bool
) -> OpenFile:
    here = {*source.columns, *source.repeated}
    asked = {
        role: column
        for role, column in {**own.roles, **mapping}.items()
        if column is None or column in here or column not in there
    }
    found = guess(source, own.preset)
    roles = assign(
        source.columns, asked, str(source.path), preset=found.roles if found else None, repeated=source.repeated
    )
    off = {role for role, column in asked.items() if column is None}
    column = roles.get("opened_at")
    dates = None
    if column is not None:
        values = (row.cells.get(column) for row in source.read([column]))
        try:
            where = f"{source.path}, column {column!r}"
            dates = date_column(values, where, own.date_order, before=own.date_order_before)
        except InvalidRequest as error:
            if need_dates:
                raise
            undated = {role: one for role, one in roles.items() if role != "opened_at"}
            why = f"the dates are left out: {error}"
            return OpenFile(source, undated, None, found, switched_off=off, left_undated=why)
    return OpenFile(source, roles, dates, found, switched_off=off)


def reading_findings(opened: OpenFile, rows: int) -> Iterator[Finding]:
    """Yield what was noticed about a file as a whole, once all of its rows were read.

    Args:
        opened: The file.
        rows: How many rows were read.
    """
    name = opened.source.path.name
    for note in opened.notes:
        yield Finding("reading", FINE, f"{name}: {note}")
    yield from _language_findings(opened, rows)
    if opened.dates is not None:
        yield from _date_findings(opened, opened.dates, rows)


def _language_findings(opened: OpenFile, rows: int) -> Iterator[Finding]:
    unknown = opened.languages.unknown
    if unknown:
        named = ", ".join(f"{language!r} ({count})" for language, count in unknown.most_common(_NAMED))
        what = (
            f"{opened.source.path.name}: {unknown.total()} of {rows} cells in {opened.roles['language']!r} name no "
            f"known language, such as {named}; the language of their tickets is told by the text"
        )
        do = "write codes or names, such as en or English, or switch the column off by --map language="
        yield Finding("unknown-languages", NOTICE, what, do, rows=unknown.total())


def _date_findings(opened: OpenFile, dates: DateColumn, rows: int) -> Iterator[Finding]:
    name, column = opened.source.path.name, opened.roles["opened_at"]
    if dates.unreadable:
        what = f"{name}: {dates.unreadable} of {rows} dates in {column!r} cannot be read; their tickets stay, undated"
        yield Finding("unreadable-dates", NOTICE, what, "mend the column, or map another to opened_at",
                      rows=dates.unreadable)  # fmt: skip
    if dates.impossible:
        what = (
            f"{name}: {dates.impossible} of {rows} dates in {column!r} are of years that cannot be; they count as none"
        )
        yield Finding("impossible-dates", NOTICE, what, "mend them in the export", rows=dates.impossible)
    if dates.swapped_back:
        what = (
            f"{name}: a spreadsheet had swapped day and month of {dates.swapped_back} of {rows} dates in {column!r}, "
            "those with a day below 13: they are swapped back"
        )
        do = "where that is not so, export anew with that column as text"
        yield Finding("swapped-dates", NOTICE, what, do, rows=dates.swapped_back)
    if dates.zeros:
        yield Finding("zero-dates", FINE, f"{name}: {dates.zeros} dates in {column!r} are all zeros: undated",
                      rows=dates.zeros)  # fmt: skip


def check_choice(option: str, value: str | None, known: Sequence[str]) -> str | None:
    """Return what an option says if it is one of what it may say.

    Raises:
        InvalidRequest: If it is not.
    """
    if value is not None and value not in known:
        raise InvalidRequest(f"{option} {value!r} is not known: write one of {', '.join(known)}")
    return value
