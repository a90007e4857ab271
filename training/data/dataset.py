"""Labelled tickets out of data files: columns take their roles, every bad row is named."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

from training.data.columns import ATTRIBUTES, LABEL_SOURCE, assign, ignored
from training.data.readers import RawRow, Source, open_source
from training.data.values import InvalidValue, parse_bool, parse_datetime, parse_language, parse_text, stated
from triage.errors import BadRow, InvalidDataset, InvalidTicket
from triage.prediction import TARGETS
from triage.ticket import Ticket

MACHINE_SOURCES = frozenset(
    {"machine", "model", "auto", "automatic", "automation", "bot", "system", "rule", "rules"}
    | {"bypass_rule", "fallback_rule", "default", "predicted", "prediction"}
)
"""Values of `label_source` that say that no person looked: such labels teach nothing, so their weight is 0."""

MAX_LABEL_CHARS = 120
"""Longest label."""

_EMPTY: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True)
class LabelledTicket:
    """A ticket of the desk's history with what is known about it.

    Attributes:
        ticket: What came in; the only part that a model may see.
        labels: The label of each target that has one (`tier`, `category`), outer spaces removed.
        group: Rows of one group stay on one side of a split; None where no column plays the role.
        resolver_group: The team that resolved it; never a feature.
        resolution: What ended it, in words; never a feature.
        sensitive: Whether only some tiers may see it.
        weight: 0 where the labels came from a machine alone, else 1.
        place: Where the row stands, as ``file:line``.
        written: The labels as the file has them, outer spaces and all.
    """

    ticket: Ticket
    labels: Mapping[str, str]
    group: str | None = None
    resolver_group: str | None = None
    resolution: str | None = None
    sensitive: bool = False
    weight: float = 1.0
    place: str = ""
    written: Mapping[str, str] = field(default_factory=lambda: _EMPTY)


@dataclass(frozen=True)
class Dataset:
    """Everything usable that was read.

    Attributes:
        rows: In file order.
        targets: Targets that have a label in some row.
        digest: SHA-256 over what the rows say, whatever the file format.
        ignored_columns: Columns that play no role, sorted.
        bad_rows: Rows left out because the caller asked to skip bad ones.
        files: The files read.
        switched_off: Roles that the mapping switched off.
    """

    rows: list[LabelledTicket]
    targets: tuple[str, ...]
    digest: str
    ignored_columns: tuple[str, ...] = ()
    bad_rows: tuple[BadRow, ...] = ()
    files: tuple[Path, ...] = ()
    switched_off: frozenset[str] = frozenset()

    def __len__(self) -> int:
        return len(self.rows)


Progress = Callable[[int], object]
"""Called with the number of rows read since the last call."""


def read_dataset(
    files: Sequence[Path],
    mapping: Mapping[str, str | None] | None = None,
    *,
    skip_bad_rows: bool = False,
    progress: Progress | None = None,
) -> Dataset:
    """Read labelled tickets from CSV, JSONL and Parquet files.

    A row is bad where its text is missing, holds a NUL or a lone surrogate, where a date cannot be read, or where it
    has neither a label nor a resolver group. Labels stay as written, but for outer spaces; `training.data.labels` turns
    them into the policy's own.

    Args:
        files: At least one file; each may have its own columns.
        mapping: Roles with the column that plays them, None switching a role off; see `training.data.columns.assign`.
        skip_bad_rows: Leave bad rows out instead of refusing the data.
        progress: Called with the number of rows read.

    Raises:
        InvalidDataset: With every bad row of all files, or where a file cannot be read or nothing usable is in it.
        InvalidRequest: If the mapping does not fit the files.
    """
    reading = [(source, assign(source.columns, mapping or {}, str(source.path))) for source in map(open_source, files)]
    _check_labels_possible(reading)
    rows: list[LabelledTicket] = []
    bad: list[BadRow] = []
    for source, roles in reading:
        for found in read_rows(source, roles, labelled=True):
            if isinstance(found, BadRow):
                bad.append(found)
            else:
                rows.append(found)
            if progress is not None:
                progress(1)
    refuse_bad_rows(bad, len(rows) + len(bad), skip_bad_rows)
    if not rows:
        seen = f"{len(bad)} bad ones, the first is {bad[0]}" if bad else "there are none below the header"
        raise InvalidDataset(f"no usable row in {_names(files)}: {seen}; check the export", bad)
    unused = sorted({column for source, roles in reading for column in ignored(source.columns, roles)})
    return Dataset(
        rows=rows,
        targets=tuple(target for target in TARGETS if any(target in row.labels for row in rows)),
        digest=dataset_digest(rows),
        ignored_columns=tuple(unused),
        bad_rows=tuple(bad),
        files=tuple(files),
        switched_off=frozenset(role for role, column in (mapping or {}).items() if column is None),
    )


def read_rows(source: Source, roles: Mapping[str, str], *, labelled: bool) -> Iterator[LabelledTicket | BadRow]:
    """Yield each row of a file as a labelled ticket, or say why it is bad.

    Args:
        source: The file.
        roles: Which column plays which role.
        labelled: Whether a row needs a label; False leaves label columns unread.
    """
    used = (
        roles
        if labelled
        else {role: column for role, column in roles.items() if role not in (*TARGETS, "resolver_group")}
    )
    name = str(source.path)
    for raw in source.read([*used.values(), LABEL_SOURCE]):
        if raw.fault is not None:
            yield BadRow(name, raw.line, raw.fault)
            continue
        try:
            yield parse_row(raw, used, f"{name}:{raw.line}", labelled=labelled)
        except (InvalidTicket, InvalidValue) as error:
            yield BadRow(name, raw.line, str(error))


def refuse_bad_rows(bad: Sequence[BadRow], total: int, skip: bool) -> None:
    """Raise all bad rows at once, unless they are to be skipped.

    Raises:
        InvalidDataset: Carrying every bad row.
    """
    if bad and not skip:
        message = (
            f"{len(bad)} bad rows of {total}: the first is {bad[0]}; mend them, or leave them out by --skip-bad-rows"
        )
        raise InvalidDataset(message, bad)


def parse_row(raw: RawRow, roles: Mapping[str, str], place: str, *, labelled: bool) -> LabelledTicket:
    """Turn a row of a file into a labelled ticket.

    Raises:
        InvalidValue: If a cell cannot be what its role asks, there is no text, or no label where one is needed.
        InvalidTicket: If the ticket breaks its own rules.
    """
    cells = {role: parse_text(raw.cells.get(column), role) for role, column in roles.items()}
    ticket = Ticket(
        id=(cells.get("id") or "").strip(),
        subject=cells.get("subject") or "",
        body=cells.get("body") or cells.get("text") or "",
        channel=stated(cells.get("channel")),
        opened_at=parse_datetime(raw.cells.get(roles.get("opened_at", ""))),
        language=parse_language(cells.get("language")),
        requester=stated(cells.get("requester")),
        attributes=_attributes(cells),
    )
    if not ticket.text:
        raise InvalidValue("no text: subject and body are empty")
    written = {target: cells[target] or "" for target in TARGETS if stated(cells.get(target))}
    for target, label in written.items():
        _check_label(target, label.strip())
    group = stated(cells.get("resolver_group"))
    if labelled and not written and group is None:
        raise InvalidValue(
            "no label: " + " and ".join(role for role in (*TARGETS, "resolver_group") if role in roles) + " empty"
        )
    source = str(raw.cells.get(LABEL_SOURCE) or "").strip().casefold()
    return LabelledTicket(
        ticket=ticket,
        labels={target: label.strip() for target, label in written.items()},
        group=stated(cells.get("group")),
        resolver_group=group,
        resolution=stated(cells.get("resolution")),
        sensitive=parse_bool(cells.get("sensitive")),
        weight=0.0 if source in MACHINE_SOURCES else 1.0,
        place=place,
        written=written,
    )


def _check_label(target: str, label: str) -> None:
    """Refuse what cannot be a label: a wrong column must not become thousands of labels, nor its text an error."""
    if len(label) > MAX_LABEL_CHARS or len(label.splitlines()) > 1:
        raise InvalidValue(
            f"{target} is no label: {len(label)} characters or several lines; is that column the {target}?"
        )


def _attributes(cells: Mapping[str, str | None]) -> dict[str, str]:
    found = (
        (role.removeprefix(ATTRIBUTES), stated(value)) for role, value in cells.items() if role.startswith(ATTRIBUTES)
    )
    return {name: value for name, value in found if value is not None}


def _check_labels_possible(reading: Sequence[tuple[Source, Mapping[str, str]]]) -> None:
    for source, roles in reading:
        if not any(role in roles for role in (*TARGETS, "resolver_group")):
            shown = ", ".join(map(repr, source.columns[:30]))
            raise InvalidDataset(
                f"{source.path} has no labels: none of its columns is tier, category or resolver_group; "
                f"it has {shown}; pass --map category=COLUMN"
            )


def dataset_digest(rows: Sequence[LabelledTicket]) -> str:
    """Return the SHA-256 over what the rows say, in order."""
    whole = hashlib.sha256()
    for row in rows:
        whole.update(row_digest(row).encode())
    return whole.hexdigest()


def row_digest(row: LabelledTicket) -> str:
    """Return the SHA-256 of one row: its ticket and labels, not its place."""
    ticket = row.ticket
    opened = ticket.opened_at.isoformat() if ticket.opened_at else None
    fields = [
        ticket.id,
        ticket.subject,
        ticket.body,
        ticket.channel,
        opened,
        ticket.language,
        ticket.requester,
        sorted(ticket.attributes.items()),
    ]
    known = [sorted(row.labels.items()), row.group, row.resolver_group, row.resolution, row.sensitive, row.weight]
    return hashlib.sha256(json.dumps([fields, known], ensure_ascii=False).encode()).hexdigest()


def _names(files: Sequence[Path]) -> str:
    return ", ".join(str(file) for file in files)
