"""Labelled tickets out of data files: columns take their roles, every bad row is named."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from training.data.columns import ATTRIBUTES, DESK, GROUP_SOURCE, LABEL_SOURCE, ignored
from training.data.finding import FINE, Finding
from training.data.formats import RawRow
from training.data.labelled_ticket import LabelledTicket
from training.data.labelling.cells import label_text, labels_of
from training.data.labelling.hierarchy import JOINT
from training.data.labelling.settle import settle_labels
from training.data.presets.roles import is_label, roles_of_levels, target_of_role
from training.data.reading import READ_PLAINLY, OpenFile, ReadOptions, open_files, reading_findings
from training.data.values import InvalidValue, parse_bool, parse_text, stated
from triage.errors import BadRow, InvalidDataset, InvalidTicket
from triage.normalise import without_export_marks
from triage.prediction import in_order
from triage.ticket import Ticket

__all__ = [
    "Dataset",
    "LabelledTicket",
    "parse_row",
    "read_dataset",
    "read_rows",
    "refuse_bad_rows",
    "row_digest",
    "targets_in",
]

MACHINE_SOURCES = frozenset(
    {"machine", "model", "auto", "automatic", "automation", "bot", "system", "rule", "rules"}
    | {"bypass_rule", "fallback_rule", "default", "predicted", "prediction"}
)
"""Values of `label_source` that say that no person looked: such labels teach nothing, so their weight is 0."""

MAX_LABEL_CHARS = 120
"""Longest label."""


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
        findings: What was noticed on reading: how files were read, dates, placeholders, several labels in a cell.
    """

    rows: list[LabelledTicket]
    targets: tuple[str, ...]
    digest: str
    ignored_columns: tuple[str, ...] = ()
    bad_rows: tuple[BadRow, ...] = ()
    files: tuple[Path, ...] = ()
    switched_off: frozenset[str] = frozenset()
    findings: tuple[Finding, ...] = ()

    def __len__(self) -> int:
        return len(self.rows)


Progress = Callable[[int], object]
"""Called with the number of rows read since the last call."""


def read_dataset(
    files: Sequence[Path],
    mapping: Mapping[str, str | None] | None = None,
    *,
    options: ReadOptions = READ_PLAINLY,
    skip_bad_rows: bool = False,
    newest: int | None = None,
    progress: Progress | None = None,
) -> Dataset:
    """Read labelled tickets from files; see `training.data.formats.open_source` for their kinds.

    A row is bad where its text is missing or holds a lone surrogate, or where it has neither a label nor a resolver
    group. A row whose date cannot be read stays, undated. Labels stay as written, but for markup and outer spaces;
    `training.data.labels` turns them into the policy's own. What only fills the place of a label is held back.

    Args:
        files: At least one file; each may have its own columns.
        mapping: Roles with the column that plays them, None switching a role off; see `training.data.columns.assign`.
        options: How the files are to be read.
        skip_bad_rows: Leave bad rows out instead of refusing the data.
        newest: Rows of each file that are kept at most, the newest ones; None keeps all.
        progress: Called with the number of rows read.

    Raises:
        InvalidDataset: With every bad row of all files, or where a file cannot be read or nothing usable is in it.
        InvalidRequest: If the mapping does not fit the files, day and month cannot be told apart, or cells hold
            several labels and the options do not say what is to be done.
    """
    reading = open_files(files, mapping or {}, options)
    _check_labels_possible(reading)
    rows: list[LabelledTicket] = []
    bad: list[BadRow] = []
    findings: list[Finding] = []
    for opened in reading:
        of_file = _Newest(newest)
        for found in read_rows(opened, labelled=True):
            if isinstance(found, BadRow):
                bad.append(found)
            else:
                of_file.take(found)
            if progress is not None:
                progress(1)
        kept = of_file.rows if newest is None else newest_of(of_file.rows, newest)
        if len(kept) < of_file.taken:
            findings.append(_newest_finding(len(kept), of_file.taken))
        settled = settle_labels(kept, opened.roles, options, str(opened.source.path))
        rows += settled.rows
        findings += [*reading_findings(opened, of_file.taken), *settled.findings]
    refuse_bad_rows(bad, len(rows) + len(bad), skip_bad_rows)
    if not rows:
        seen = f"{len(bad)} bad ones, the first is {bad[0]}" if bad else "there are none below the header"
        raise InvalidDataset(f"no usable row in {_names(files)}: {seen}; check the export", bad)
    unused = sorted({column for one in reading for column in ignored(one.source.columns, one.roles)})
    off = {role for one in (mapping or {}, options.roles) for role, column in one.items() if column is None}
    return Dataset(
        rows=rows,
        targets=targets_in(rows),
        digest=dataset_digest(rows),
        ignored_columns=tuple(unused),
        bad_rows=tuple(bad),
        files=tuple(files),
        switched_off=frozenset(off),
        findings=tuple(findings),
    )


@dataclass
class _Newest:
    """Takes rows one by one and keeps the newest: however long the history, it holds no more than twice as many.

    Attributes:
        limit: Rows kept at most; None keeps all.
        rows: Those kept so far, in the order in which they came.
        taken: How many were taken.
    """

    limit: int | None
    rows: list[LabelledTicket] = field(default_factory=list)
    taken: int = 0

    def take(self, row: LabelledTicket) -> None:
        """Take a row."""
        self.rows.append(row)
        self.taken += 1
        if self.limit is not None and len(self.rows) >= 2 * self.limit:
            self.rows = newest_of(self.rows, self.limit)


def newest_of(rows: Sequence[LabelledTicket], limit: int) -> list[LabelledTicket]:
    """Return the newest rows in the order in which they stand.

    Rows without a date count as older than all others, and of equal dates the later row is the newer one: where no row
    has a date, the last ones are kept, since exports are mostly appended to.

    Args:
        rows: Any number of them.
        limit: How many are returned at most.
    """
    if len(rows) <= limit:
        return list(rows)
    dates = (row.ticket.opened_at for row in rows)
    ages = [(date is not None, 0.0 if date is None else date.timestamp(), place) for place, date in enumerate(dates)]
    return [rows[place] for place in sorted(place for *_, place in sorted(ages)[-limit:])]


def limited(dataset: Dataset, limit: int) -> Dataset:
    """Return a data set with its newest rows only, and a finding that says so where any was left out."""
    kept, total = newest_of(dataset.rows, limit), len(dataset.rows)
    if len(kept) == total:
        return dataset
    return replace(dataset, rows=kept, findings=(*dataset.findings, _newest_finding(limit, total)))


def _newest_finding(kept: int, total: int) -> Finding:
    """Say how many rows were left out."""
    what = f"learned from the newest {kept:,} of {total:,} tickets; the others were not read further"
    return Finding("newest", FINE, what, "--newest N takes more, at the price of memory and time", rows=total - kept)


def targets_in(rows: Sequence[LabelledTicket]) -> tuple[str, ...]:
    """Return the targets that have a label in some row, in the order in which they are decided.

    The resolver group becomes one where it is learned, see `training.data.labels`.
    """
    return in_order({target for row in rows for target in row.labels})


def read_rows(opened: OpenFile, *, labelled: bool) -> Iterator[LabelledTicket | BadRow]:
    """Yield each row of a file as a labelled ticket, or say why it is bad.

    Args:
        opened: The file.
        labelled: Whether a row needs a label; False leaves label columns unread.
    """
    name = str(opened.source.path)
    for raw in opened.rows(LABEL_SOURCE, GROUP_SOURCE, DESK):
        if raw.fault is not None:
            yield BadRow(name, raw.line, raw.fault)
            continue
        try:
            yield parse_row(raw, opened, f"{name}:{raw.line}", labelled=labelled)
        except (InvalidTicket, InvalidValue) as error:
            yield BadRow(name, raw.line, str(error), ticket_id_of(raw, opened))


def ticket_id_of(raw: RawRow, opened: OpenFile) -> str:
    """Return the id of a row's ticket as far as it can be read."""
    try:
        return (parse_text(raw.cells.get(opened.roles.get("id", "")), "id") or "").strip()
    except InvalidValue:
        return ""


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


def parse_row(raw: RawRow, opened: OpenFile, place: str, *, labelled: bool) -> LabelledTicket:
    """Turn a row of a file into a labelled ticket.

    Raises:
        InvalidValue: If a cell cannot be what its role asks, there is no text, or no label where one is needed.
        InvalidTicket: If the ticket breaks its own rules.
    """
    roles = {role: column for role, column in opened.roles.items() if labelled or not is_label(role)}
    plain = {
        role: opened.cell(raw.cells, column)
        for role, column in roles.items()
        if not is_label(role) and role != "opened_at"
    }
    cells = {role: parse_text(value, role) for role, value in plain.items()}
    ticket = Ticket(
        id=(cells.get("id") or "").strip(),
        subject=without_export_marks(cells.get("subject") or ""),
        body=without_export_marks(cells.get("body") or cells.get("text") or ""),
        channel=stated(cells.get("channel")),
        opened_at=opened.dates.read(raw.cells.get(roles["opened_at"])) if opened.dates is not None else None,
        language=opened.languages.read(cells.get("language")),
        requester=stated(cells.get("requester")),
        attributes=_attributes(cells),
    )
    if not ticket.text:
        raise InvalidValue("no text: subject and body are empty")
    found = {target: _labels_in(raw, opened, target) for target in in_order(filter(None, map(target_of_role, roles)))}
    written = {target: labels[0] for target, labels in found.items() if labels and target != "resolver_group"}
    if labelled and not any(found.values()):
        raise InvalidValue(f"no label: {' and '.join(found)} empty")
    return LabelledTicket(
        ticket=ticket,
        labels={target: label.strip() for target, label in written.items()},
        group=stated(cells.get("group")),
        resolver_group=next((label.strip() for label in found.get("resolver_group", ())), None),
        group_said=raw.cells.get(GROUP_SOURCE) == "person",
        resolution=stated(cells.get("resolution")),
        sensitive=parse_bool(cells.get("sensitive")),
        weight=_weight(opened.cell(raw.cells, LABEL_SOURCE)),
        desk=None if (desk := raw.cells.get(DESK)) is None else str(desk).strip(),
        place=place,
        written=written,
        several={target: labels for target, labels in found.items() if len(labels) > 1},
    )


def _weight(label_source: object) -> float:
    """Return 0 where a machine gave the labels; of columns of that name that differ one is enough."""
    said = label_source if isinstance(label_source, list) else [label_source]
    return 0.0 if any(str(one or "").strip().casefold() in MACHINE_SOURCES for one in said) else 1.0


def _labels_in(raw: RawRow, opened: OpenFile, target: str) -> tuple[str, ...]:
    """Return the labels of a row as written, each once: several where the cell is a list, levels joined to a path."""
    own_role, *deeper = roles_of_levels(target, opened.roles)
    value = opened.cell(raw.cells, opened.roles[own_role])
    texts = [parse_text(one, target) for one in (value if isinstance(value, list) else [value])]
    once: dict[str, str] = {}
    for label in (label for text in texts if text and text.strip() for label in labels_of(text)):
        once.setdefault(label.strip(), label)
    labels = list(once.values())
    if len(labels) == 1 and deeper:
        levels = [stated(parse_text(opened.cell(raw.cells, opened.roles[role]), role)) for role in deeper]
        labels = [JOINT.join([labels[0], *(label_text(level) for level in levels if level)])]
    for label in labels:
        _check_label(target, label.strip())
    return tuple(labels)


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


def _check_labels_possible(reading: Sequence[OpenFile]) -> None:
    for opened in reading:
        if not any(target_of_role(role) for role in opened.roles):
            shown = ", ".join(map(repr, opened.source.columns[:30]))
            raise InvalidDataset(
                f"{opened.source.path} has no labels: none of its columns is tier, category or resolver_group; "
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
