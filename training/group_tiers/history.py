"""Which groups had each closed ticket, in what order and for how long, as far as an export says."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

from training.data.columns import ATTRIBUTES
from training.data.dataset import Dataset, read_dataset
from training.data.dates import DateColumn, date_column
from training.data.formats import open_source
from training.data.labelling.cells import label_text
from training.data.presets.known_columns import normal_name
from training.data.reading import OpenFile, ReadOptions, open_files
from training.data.values import InvalidValue, parse_text
from triage.errors import InvalidDataset, InvalidRequest
from triage.ticket import Ticket

_JOURNEY, _CLOSED = "journey", "closed_at"
_KNOWN = {
    _JOURNEY: ("journey", "groups", "group path", "group history", "assignment history", "assignment group history"),
    _CLOSED: (
        *("closed at", "closed", "resolved at", "resolved", "solved at", "resolution date", "resolution time"),
        *("closed on", "date resolved", "close time", "closed time", "geschlossen", "gelöst", "clos"),
    ),
}
"""What exports call the columns that this reads beside the roles of a ticket."""
_OF_MOVES = {
    "ticket": ("ticket", "ticket id", "id", "number", "key", "issue key", "documentkey", "incident"),
    "group": ("group", "resolver group", "assignment group", "new", "new value", "to", "team"),
    "at": ("at", "time", "created", "created at", "sys created on", "updated", "updated at", "timestamp", "date"),
}
"""What a file of reassignments calls its columns."""
_BETWEEN = re.compile(r"\s*(?:->|=>|→|>|;|\|)\s*")


@dataclass(frozen=True)
class Stay:
    """A group that had a ticket, and for how many minutes by the clock on the wall; None where nothing says."""

    group: str
    minutes: float | None = None


@dataclass(frozen=True)
class Closed:
    """A closed ticket.

    Attributes:
        ticket: What came in.
        stays: The groups that had it in order, the last of which resolved it.
        category: None where it has none.
        resolution: What ended it, in words.
        place: Where the row stands.
        told: Whether anything says through which groups it went.
    """

    ticket: Ticket
    stays: tuple[Stay, ...]
    category: str | None = None
    resolution: str = ""
    place: str = ""
    told: bool = False

    @property
    def resolver(self) -> str:
        """The group that resolved it."""
        return self.stays[-1].group

    @property
    def path(self) -> tuple[str, ...]:
        """The groups that had it, in order."""
        return tuple(stay.group for stay in self.stays)


@dataclass(frozen=True)
class History:
    """Closed tickets, and what was read for it.

    Attributes:
        closed: In file order.
        dataset: What they were read from, for the labels of categories.
        read: Which columns and files told of journeys and times, in words.
    """

    closed: list[Closed]
    dataset: Dataset
    read: tuple[str, ...] = ()


@dataclass(frozen=True)
class Places:
    """Where journeys and times stand: columns of the export, None to look for them, and a file of reassignments."""

    journey: str | None = None
    closed: str | None = None
    moves: Path | None = None


def read_history(
    files: Sequence[Path],
    mapping: Mapping[str, str | None],
    places: Places,
    *,
    options: ReadOptions,
    skip_bad_rows: bool = False,
    progress: Callable[[int], object] | None = None,
) -> History:
    """Read closed tickets with the groups that had them.

    Args:
        files: The exports.
        mapping: Roles with their columns; one has to be the resolver group.
        places: Where journeys and times stand.
        options: How the files are to be read.
        skip_bad_rows: Leave unusable rows out.
        progress: Called with the number of rows read.

    Raises:
        InvalidDataset: If a file cannot be read, or no row names a resolver group.
        InvalidRequest: If a column that was named is not there.
    """
    opened = open_files(files, mapping, options)
    found = _columns(opened, places)
    asked = {**mapping, **{f"{ATTRIBUTES}{name}": column for name, column in found.items()}}
    dataset = read_dataset(files, asked, options=options, skip_bad_rows=skip_bad_rows, progress=progress)
    rows = [row for row in dataset.rows if row.resolver_group]
    if not rows:
        raise InvalidDataset("no row names a resolver group: map its column with --map resolver_group=COLUMN")
    orders = _orders(opened, options)
    dates = _dates((row.ticket.attributes.get(_CLOSED) for row in rows), found.get(_CLOSED, ""), orders)
    moves = (
        _read_moves(places.moves, orders, options.for_file(places.moves).encoding) if places.moves is not None else {}
    )
    closed = []
    for row in rows:
        ended = dates.read(row.ticket.attributes.get(_CLOSED)) if dates is not None else None
        mine = moves.get(row.ticket.id, ())
        stays, told = _stays(row.ticket, str(row.resolver_group), mine, ended), _is_told(row.ticket, mine)
        ticket = replace(row.ticket, attributes={})
        closed.append(
            Closed(
                ticket, stays, row.labels.get("category"), resolution=row.resolution or "", place=row.place, told=told
            )
        )
    said = [f"{name.replace('_at', '')} from column {column!r}" for name, column in sorted(found.items())]
    if dates is not None and dates.swapped_back:
        said.append(f"day and month of {dates.swapped_back} of them swapped back, as a spreadsheet had swapped them")
    if places.moves is not None:
        if not any(row.ticket.id in moves for row in rows):
            raise InvalidRequest(
                f"no ticket of {places.moves.name} is one of the export: its column of tickets must hold their ids"
            )
        said.append(f"reassignments of {sum(len(one.stays) > 1 for one in closed)} tickets from {places.moves.name}")
    return History(closed, dataset, tuple(said))


@dataclass(frozen=True)
class _Orders:
    """How dates beside those of the tickets are read: as was stated, else as before where nothing there tells."""

    stated: str | None
    before: str | None


def _orders(opened: Sequence[OpenFile], options: ReadOptions) -> _Orders:
    """Return the order that was stated, and the one that all files have, by their dates or those of earlier files."""
    own = [options.for_file(one.source.path) for one in opened]
    stated, before = {one.date_order for one in own}, set[str]()
    for one, asked in zip(opened, own, strict=True):
        found = one.dates.order if one.dates is not None else None
        before.update(filter(None, [found or asked.date_order_before]))
    return _Orders(
        options.date_order or (stated.pop() if len(stated) == 1 else None), before.pop() if len(before) == 1 else None
    )


def _columns(opened: Sequence[OpenFile], places: Places) -> dict[str, str]:
    """Say which column tells of journeys and which of the end, by what was named or by what exports call them."""
    there = {normal_name(column): column for one in opened for column in one.source.columns if column}
    played = {column for one in opened for role, column in one.roles.items() if not role.startswith(ATTRIBUTES)}
    found = {}
    for name, stated in ((_JOURNEY, places.journey), (_CLOSED, places.closed)):
        if stated is not None and normal_name(stated) not in there:
            shown = ", ".join(map(repr, list(there.values())[:30]))
            raise InvalidRequest(f"--{name.replace('_at', '')} {stated!r} is no column: there are {shown}")
        names = (normal_name(stated),) if stated is not None else _KNOWN[name]
        column = next((there[one] for one in names if one in there and there[one] not in played), None)
        if column is not None:
            found[name] = column
    return found


def _dates(values: Iterable[str | None], column: str, orders: _Orders) -> DateColumn | None:
    return date_column(values, f"column {column!r}", orders.stated, before=orders.before) if column else None


def _read_moves(path: Path, orders: _Orders, encoding: str | None) -> Mapping[str, Sequence[tuple[datetime, str]]]:
    """Read a file with one row for each time that a group got a ticket.

    Those of one moment, as rules of a helpdesk move a ticket on at once, stay in the order of the file.
    """
    source = open_source(path, encoding)
    there = {normal_name(column): column for column in source.columns}
    columns = {}
    for role, names in _OF_MOVES.items():
        columns[role] = next((there[name] for name in names if name in there), "")
        if not columns[role]:
            raise InvalidRequest(
                f"--moves {path.name} has no column for the {role}: name it {names[0]!r}; it has "
                f"{', '.join(map(repr, source.columns[:30]))}"
            )
    rows = [row.cells for row in source.read(list(columns.values())) if row.fault is None]
    where = f"{path.name}, column {columns['at']!r}"
    dates = date_column((row.get(columns["at"]) for row in rows), where, orders.stated, before=orders.before)
    moves: dict[str, list[tuple[datetime, str]]] = defaultdict(list)
    for row in rows:
        at, group = dates.read(row.get(columns["at"])), label_text(_text(row, columns["group"])).strip()
        if at is not None and group:
            moves[_text(row, columns["ticket"]).strip()].append((at, group))
    if not moves:
        raise InvalidDataset(f"{path} has no reassignment with a group and a readable time")
    steps = [later[0] - earlier[0] for found in moves.values() for earlier, later in pairwise(found)]
    if sum(step < timedelta(0) for step in steps) > sum(step > timedelta(0) for step in steps):
        moves = {ticket: found[::-1] for ticket, found in moves.items()}  # the file has the newest first
    return {ticket: sorted(found, key=lambda move: move[0]) for ticket, found in moves.items()}


def _text(row: Mapping[str, Any], column: str) -> str:
    """Return a cell as it is read in an export; nothing where it can be no text."""
    try:
        return parse_text(row.get(column), column) or ""
    except InvalidValue:
        return ""


def _stays(
    ticket: Ticket, resolver: str, moves: Sequence[tuple[datetime, str]], ended: datetime | None
) -> tuple[Stay, ...]:
    if moves:
        begun = _without_repeats(moves)
        until = [at for at, _ in begun[1:]] + [ended]
        stays = [Stay(group, _minutes(at, end)) for (at, group), end in zip(begun, until, strict=True)]
        if stays[-1].group != resolver:  # when it came to the group that ended it, nothing says
            stays[-1:] = [Stay(stays[-1].group), Stay(resolver)]
        return tuple(stays)
    path = [one for one in _BETWEEN.split(ticket.attributes.get(_JOURNEY, "")) if one]
    if path and path[-1] != resolver:
        path.append(resolver)
    if len(path) > 1:
        return tuple(Stay(group) for group, before in zip(path, ["", *path], strict=False) if group != before)
    return (Stay(resolver, _minutes(ticket.opened_at, ended)),)


def _is_told(ticket: Ticket, moves: Sequence[tuple[datetime, str]]) -> bool:
    return bool(moves) or bool(ticket.attributes.get(_JOURNEY, "").strip())


def _without_repeats(moves: Sequence[tuple[datetime, str]]) -> list[tuple[datetime, str]]:
    return [move for place, move in enumerate(moves) if not place or move[1] != moves[place - 1][1]]


def _minutes(start: datetime | None, end: datetime | None) -> float | None:
    minutes = (end - start).total_seconds() / 60 if start is not None and end is not None else -1.0
    return minutes if minutes >= 0 else None
