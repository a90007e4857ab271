"""Which helpdesk a file comes from, and which of its columns plays each role, by a preset."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from types import MappingProxyType
from typing import Any

from training.data.formats import Source
from training.data.presets.known_columns import Preset, normal_name, presets
from training.data.presets.roles import LABELS, is_label
from triage.errors import InvalidRequest

_SAMPLE = 400
"""Rows that say whether a column has values; a field that is empty in all of them is hardly used."""

_OWN_NAMES = (*LABELS, "body", "opened_at")
"""Roles that a column of exactly that name plays in every export: no helpdesk calls anything else so. Other names are
also those of a helpdesk's own columns, such as the inner ``id`` beside Jira's key, or a ``group`` of people."""

_FILLED, _MOST_LABELS = 0.3, 0.5
"""Share of the rows in which a custom field must have a value to be the category, and most different ones of those."""


@dataclass(frozen=True)
class Guess:
    """What a preset makes of a file.

    Attributes:
        preset: Whose export it is.
        roles: Roles with the column that plays them; None for a role that no column plays.
        stated: Whether the user named the preset.
        passed_over: By role, the column that usually plays it and has values in hardly any row, with how many of how
            many.
    """

    preset: Preset
    roles: Mapping[str, str | None]
    stated: bool
    passed_over: Mapping[str, tuple[str, int, int]] = field(default_factory=lambda: MappingProxyType({}))

    def __str__(self) -> str:
        pairs = ", ".join(f"{column} → {role}" for role, column in self.roles.items() if column is not None)
        article = "an" if self.preset.title[0] in "AEIOU" else "a"
        head = f"read as {self.preset.title}" if self.stated else f"looks like {article} {self.preset.title} export"
        return f"{head}: {pairs}"


def named_preset(name: str) -> Preset:
    """Return a preset by its name.

    Raises:
        InvalidRequest: If there is none.
    """
    if name not in presets():
        raise InvalidRequest(f"--from {name!r} is not known: known are {', '.join(presets())}; or map columns by --map")
    return presets()[name]


def guess(source: Source, stated: str | None = None) -> Guess | None:
    """Find the helpdesk that a file comes from by its columns, or take the one that is stated.

    Raises:
        InvalidRequest: If no preset has the stated name, or none of its text columns is in the file.
    """
    columns = _by_normal_name(source)
    preset = named_preset(stated) if stated is not None else _looks_like(frozenset(columns))
    if preset is None:
        return None
    sample, passed_over = _Sample(source), dict[str, tuple[str, int, int]]()
    roles = dict(_roles(preset, columns, sample, passed_over))
    if not {"subject", "body"} & roles.keys():
        if stated is None:
            return None
        sought = ", ".join(map(repr, (*preset.roles["subject"], *preset.roles["body"])))
        raise InvalidRequest(
            f"{source.path} does not look like a {preset.title} export: none of its columns is one of {sought}; it has "
            f"{', '.join(map(repr, source.columns[:30]))}; leave out --from and use --map"
        )
    off: dict[str, str | None] = {role: None for role in preset.off if role not in roles}
    return Guess(preset, {**roles, **off}, stated is not None, passed_over)


def _by_normal_name(source: Source) -> dict[str, str]:
    found: dict[str, str] = {}
    for column in (*source.repeated, *source.columns):
        found.setdefault(normal_name(column), column)
    return found


def _looks_like(columns: frozenset[str]) -> Preset | None:
    """Return the preset of which the file has the largest set of columns, and then the most roles."""
    best: tuple[tuple[int, int], Preset] | None = None
    for preset in presets().values():
        sets = [names for names in preset.recognised_by if names <= columns]
        if sets:
            roles = sum(any(name in columns for name in names) for names in preset.roles.values())
            rank = (max(map(len, sets)), roles)
            if best is None or rank > best[0]:
                best = rank, preset
    return best[1] if best else None


def _roles(
    preset: Preset, columns: Mapping[str, str], sample: _Sample, passed_over: dict[str, tuple[str, int, int]]
) -> Iterator[tuple[str, str]]:
    taken: set[str] = set()
    for role, names in preset.roles.items():
        named = role if role in _OWN_NAMES and sample.has_values(role) else None
        candidates = _candidates(names, columns, sample, role=role, taken=taken)
        column = named or next(candidates, None)
        fuller = sample.far_fuller(column, candidates) if column and is_label(role) and not named else None
        if column is not None and fuller is not None:
            passed_over[role] = (column, *sample.filled(column))
            column = fuller
        if column is not None:
            taken.add(column)
            yield role, column if is_label(role) else sample.fullest(column)


def _candidates(
    names: Sequence[str], columns: Mapping[str, str], sample: _Sample, *, role: str, taken: set[str]
) -> Iterator[str]:
    """Yield the columns that may play a role, those with values first; a queue may be both label and group."""
    there = [columns[name] for name in names if name in columns and not name.endswith("*")]
    for name in names:
        if name.endswith("*"):
            fields = [column for plain, column in columns.items() if plain.startswith(name[:-1])]
            repeating = [column for column in fields if sample.repeats(column)]
            if len(repeating) == 1:
                yield repeating[0]
        elif name in columns and sample.has_values(columns[name]) and _free(columns[name], role, taken):
            yield columns[name]
    if role in ("subject", "body", "id"):
        yield from (column for column in there if column not in taken)


def _free(column: str, role: str, taken: set[str]) -> bool:
    return column not in taken or role == "resolver_group"


class _Sample:
    """The values of the first rows of a file, by column; read once, and only if somebody asks."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._rows: list[dict[str, Any]] | None = None

    def _read(self) -> list[dict[str, Any]]:
        if self._rows is None:
            read = islice(self._source.read(self._source.columns), _SAMPLE)
            self._rows = [row.cells for row in read if row.fault is None]
        return self._rows

    def _values(self, column: str) -> list[Any]:
        names = self._source.repeated.get(column, (column,))
        return [value for row in self._read() for value in map(row.get, names) if value not in (None, "", [])]

    def fullest(self, column: str) -> str:
        """Return a column alone; of several that share a name the one with most values, the first of equal ones.

        The ticket's own number or date stands in every row, that of another record which it is linked to does not.
        """
        return max(self._source.repeated.get(column, (column,)), key=lambda one: len(self._values(one)))

    def filled(self, column: str) -> tuple[int, int]:
        """Return in how many rows a column has a value, and how many there are."""
        names = self._source.repeated.get(column, (column,))
        rows = self._read()
        return sum(any(row.get(name) not in (None, "", []) for name in names) for row in rows), len(rows)

    def far_fuller(self, column: str, others: Iterable[str]) -> str | None:
        """Return the first of other columns that has labels in far more rows, where a column has some in few."""
        count, rows = self.filled(column)
        if count >= _FILLED * rows:
            return None
        return next((one for one in others if count < _FILLED * self.filled(one)[0] and self.repeats(one)), None)

    def has_values(self, column: str) -> bool:
        """Whether any row has a value there."""
        return bool(self._values(column))

    def repeats(self, column: str) -> bool:
        """Whether the values of a column are like labels: in many rows, and the same ones again and again."""
        values = [value for value in self._values(column) if isinstance(value, str)]
        different = len(Counter(values))
        rows = len(self._rows or ())
        return len(values) >= max(2, _FILLED * rows) and 2 <= different <= max(2, _MOST_LABELS * len(values))
