"""Batch scoring: one decision a row into a file, streamed, and continued where it was interrupted."""

from __future__ import annotations

import csv
import fcntl
import hashlib
import json
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import Any

from models.atomic_write import atomic, writable_place
from models.bundle.bundle import Bundle
from models.triager import Triager
from training.data.dataset import parse_row, ticket_id_of
from training.data.formats import RawRow
from training.data.presets.roles import is_label
from training.data.reading import READ_PLAINLY, FileOptions, OpenFile, ReadOptions, open_file
from training.data.values import InvalidValue
from training.engines.engine import BatchLost, Engine, Row
from training.reports.decision_text import as_row, columns_of
from triage.decision import Decision, Reason
from triage.errors import BadRow, InvalidDataset, InvalidRequest, InvalidTicket
from triage.files.csv_cells import inert
from triage.ticket import Ticket

_BATCH = 128
"""Rows that are decided at once. A resumed run begins at a multiple of it: the last digits of a confidence depend on
what a ticket is scored with, and a file that was written in two runs should be the same to the byte."""
_LABEL_ROLES = ("tier", "category", "resolver_group", "resolution", "group", "sensitive")
_UNREADABLE = "nothing could be made out here"
Progress = Callable[[int], object]


@dataclass
class Scored:
    """What a scoring run did.

    Attributes:
        rows: Rows in the output.
        resumed: Rows of them that an interrupted run had done already.
        automatic: Rows whose route is automatic, of those done now.
        unscorable: Rows that got the default route, and why, of those done now.
        left_undated: Why dates were left out; empty where none were.
        left_out: How many lines were taken for no rows, by what they are, such as a line below the table.
    """

    rows: int = 0
    resumed: int = 0
    automatic: int = 0
    unscorable: list[BadRow] = field(default_factory=list)
    left_undated: str = ""
    left_out: dict[str, int] = field(default_factory=dict)


def score(
    engine: Engine,
    data: Path,
    out: Path,
    *,
    mapping: Mapping[str, str | None] | None = None,
    options: ReadOptions = READ_PLAINLY,
    progress: Callable[[int | None, int], Progress] | None = None,
) -> Scored:
    """Decide every row of a data file and write one decision a row, in the order of the input.

    Columns of labels are not read, nor dates whose day and month cannot be told apart: no decision needs them. A row
    that cannot be scored (no text, a NUL, broken syntax) gets the default route with reason ``too_short``: there is
    nothing in it to read. Finished rows are kept in ``OUT.partial``; a run over the same data with the same bundle
    continues there, and the output appears whole or not at all.

    Args:
        engine: Decides, in this process or elsewhere.
        data: Any file that `training.data.formats` reads.
        out: Ends in ``.jsonl``, ``.csv`` or ``.parquet``.
        mapping: Roles with their columns.
        options: How the file is to be read.
        progress: Called with the number of rows (None if unknown) and those done already; returns what to tell of
            more.

    Raises:
        InvalidRequest: If the mapping does not fit, or the output has another ending, is being written by another run
            or cannot be written.
        InvalidDataset: If the file cannot be read, or has no row.
    """
    check_output(out, data)
    opened = open_file(data, mapping or {}, replace(options, need_dates=False))
    roles = {r: c for r, c in opened.roles.items() if r not in _LABEL_ROLES and not is_label(r)}
    opened, source = replace(opened, roles=roles), opened.source
    fingerprint = _fingerprint(engine.triager, opened, options.for_file(data))
    with _alone(out) as partial:
        with _writing(out):
            done = _resume(partial, fingerprint)
        scored = Scored(rows=done, resumed=done, left_undated=opened.left_undated)
        log = progress(source.rows, done) if progress is not None else None
        raws = islice(_read(opened), done, None)
        for rows in _decided(engine, opened, raws, scored):
            with _writing(out), partial.open("a", encoding="utf-8") as file:
                file.writelines(json.dumps(row, ensure_ascii=False, allow_nan=False) + "\n" for row in rows)
            if log is not None:
                log(len(rows))
        scored.left_out = dict(source.skipped)
        with _writing(out):
            if scored.rows:
                with atomic(writable_place(out)) as draft:
                    columns = columns_of(engine.triager.policy.targets)
                    _WRITERS[out.suffix.lower()](_finished(partial), draft, columns)
            partial.unlink()
    if not scored.rows:
        raise InvalidDataset(f"no row in {data}: there are none below the header; check the export")
    return scored


@contextmanager
def _writing(out: Path) -> Iterator[None]:
    """Translate what keeps decisions from being written.

    Raises:
        InvalidRequest: If they cannot be.
    """
    try:
        yield
    except OSError as error:
        raise InvalidRequest(
            f"decisions cannot be written to {str(out)!r}: {error.strerror or error}; make room or choose another "
            "--out: what was decided is kept"
        ) from error


def _read(opened: OpenFile) -> Iterator[RawRow]:
    """Yield the rows of a file.

    Raises:
        InvalidDataset: If it can be read no further.
    """
    try:
        yield from opened.rows()
    except OSError as error:
        raise InvalidDataset(
            f"{opened.source.path} cannot be read to its end: {error.strerror or error}; see that the file is there "
            "and whole, and run the same again: what was decided is kept"
        ) from error


def _decided(engine: Engine, opened: OpenFile, raws: Iterator[RawRow], scored: Scored) -> Iterator[list[Row]]:
    """Yield the rows of one batch after another: the engine's, and between them those that cannot be scored.

    Raises:
        InvalidRequest: If the engine cannot decide a batch; its first row is named.
    """
    try:
        yield from _in_order(engine, opened, raws, scored)
    except BatchLost as error:
        first = scored.resumed + error.number * _BATCH + 1
        raise InvalidRequest(f"the batch that begins with row {first} {error.why}") from error


def _in_order(engine: Engine, opened: OpenFile, raws: Iterator[RawRow], scored: Scored) -> Iterator[list[Row]]:
    targets = engine.triager.policy.targets
    read: deque[tuple[Sequence[RawRow], Sequence[bool]]] = deque()

    def batches() -> Iterator[list[Ticket]]:
        while batch := list(islice(raws, _BATCH)):
            tickets = [_ticket_or_none(raw, opened, scored) for raw in batch]
            read.append((batch, [ticket is not None for ticket in tickets]))
            yield [ticket for ticket in tickets if ticket is not None]

    for decided in engine.rows(batches()):
        batch, readable = read.popleft()
        row = iter(decided)
        rows = [
            next(row) if is_readable else as_row(unscorable(engine.triager, ticket_id_of(raw, opened)), targets)
            for raw, is_readable in zip(batch, readable, strict=True)
        ]
        scored.rows += len(rows)
        scored.automatic += sum(row["automation"] == "automatic" for row in rows)
        yield rows


def _ticket_or_none(raw: RawRow, opened: OpenFile, scored: Scored) -> Ticket | None:
    try:
        return _ticket(raw, opened)
    except (InvalidValue, InvalidTicket) as error:
        scored.unscorable.append(BadRow(str(opened.source.path), raw.line, str(error), ticket_id_of(raw, opened)))
        return None


def _ticket(raw: RawRow, opened: OpenFile) -> Ticket:
    """Read a row; where a field beside the text is at fault, such as a date, the text alone is scored.

    Raises:
        InvalidValue: If the text is at fault.
        InvalidTicket: If the text breaks the rules of tickets.
    """
    if raw.fault is not None:
        raise InvalidValue(raw.fault)
    try:
        return parse_row(raw, opened, "", labelled=False).ticket
    except (InvalidValue, InvalidTicket):
        needed = {role: column for role, column in opened.roles.items() if role in ("id", "text", "subject", "body")}
        return parse_row(raw, replace(opened, roles=needed, dates=None), "", labelled=False).ticket


def unscorable(triager: Triager, ticket_id: str) -> Decision:
    """Return the default route for a row that cannot be read; an empty message is no ticket and has none."""
    by_rules = Triager(policy=triager.policy, rules=triager.rules)
    decision = by_rules.decide([Ticket(id=ticket_id, body=_UNREADABLE)])[0]
    verdicts = {target: replace(verdict, reason=Reason.TOO_SHORT) for target, verdict in decision.targets.items()}
    return replace(decision, targets=verdicts, reason=Reason.TOO_SHORT, model_version=triager.model_version)


# ── The partial file ─────────────────────────────────────────────────────────────────────────────────────────────────


@contextmanager
def _alone(out: Path) -> Iterator[Path]:
    """Give the partial file of an output to one run at a time, of all processes of this machine.

    Raises:
        InvalidRequest: If another run has it: both would append their rows to it.
    """
    partial = out.with_name(out.name + ".partial")
    with _writing(out):
        partial.parent.mkdir(parents=True, exist_ok=True)
        held = partial.open("ab")
    with held as lock:  # closing it, however the run ends, lets the next one in
        with _writing(out):
            mine = _is_mine(partial, lock.fileno())
        if not mine:
            raise InvalidRequest(f"--out {str(out)!r} is being written by another triage score: wait until it has "
                                 "ended, or name another file")  # fmt: skip
        yield partial


def _is_mine(partial: Path, lock: int) -> bool:
    """Take the lock of a partial file, and say whether it could be taken, and the file is not finished meanwhile."""
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return partial.exists() and os.path.samestat(partial.stat(), os.fstat(lock))


def _fingerprint(triager: Triager, opened: OpenFile, stated: FileOptions) -> str:
    """Return a line that differs where the bundle, its use, the data, the mapping or the way of reading does."""
    with opened.source.path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    bundle = triager.bundle
    made_of = {
        "model": triager.model_version,
        "policy": triager.policy.version,
        "short_cuts": isinstance(bundle, Bundle) and [part is not None for part in (bundle.cascade, bundle.prefilter)],
        "data": digest,
        "roles": dict(opened.roles),
        "reading": [stated.preset, stated.encoding, stated.date_order or stated.date_order_before],
    }
    return json.dumps(made_of, sort_keys=True)


def _resume(partial: Path, fingerprint: str) -> int:
    """Count the rows of whole batches that an interrupted run left behind; the rest of the file is overwritten."""
    with partial.open("rb+") as file:
        if file.readline().decode("utf-8", "replace").rstrip("\n") == fingerprint:
            rows, end = 0, file.tell()
            while len(batch := list(islice(file, _BATCH))) == _BATCH and batch[-1].endswith(b"\n"):
                rows, end = rows + _BATCH, end + sum(map(len, batch))
            file.truncate(end)
            return rows
        file.seek(0)
        file.truncate()
        file.write(fingerprint.encode() + b"\n")
    return 0


def _finished(partial: Path) -> Iterator[dict[str, Any]]:
    with partial.open(encoding="utf-8") as file:
        next(file)
        for line in file:
            yield json.loads(line)


# ── The finished file ────────────────────────────────────────────────────────────────────────────────────────────────


def check_output(out: Path, data: Path) -> None:
    """Make sure that a scored file can be written as what its name ends in.

    Raises:
        InvalidRequest: If the ending is unknown, a folder, a device or a pipe is in the way, or it would
            take the place of the data.
    """
    if out.suffix.lower() not in _WRITERS:
        raise InvalidRequest(f"--out {str(out)!r} ends in {out.suffix!r}: known are {', '.join(_WRITERS)}; rename it")
    if out.is_dir():
        raise InvalidRequest(f"--out {str(out)!r} is a folder: name a file in it")
    writable_place(out)
    if out.exists() and data.exists() and out.samefile(data):
        raise InvalidRequest(f"--out {str(out)!r} is the file that is read: the tickets would be lost; name another")


def _to_jsonl(rows: Iterable[dict[str, Any]], path: Path, _columns: Sequence[str]) -> None:
    with path.open("w", encoding="utf-8") as file:
        for row in rows:
            file.write(json.dumps(row, ensure_ascii=False, allow_nan=False) + "\n")


def _to_csv(rows: Iterable[dict[str, Any]], path: Path, columns: Sequence[str]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, columns)
        writer.writeheader()
        writer.writerows({name: inert(value) for name, value in row.items()} for row in rows)


def _to_parquet(rows: Iterator[dict[str, Any]], path: Path, columns: Sequence[str]) -> None:
    import pyarrow
    import pyarrow.parquet

    numbers = {name for name in columns if name == "novelty" or name.endswith("_confidence")}
    fields = [(name, pyarrow.float64() if name in numbers else pyarrow.string()) for name in columns]
    schema = pyarrow.schema(fields)
    with pyarrow.parquet.ParquetWriter(path, schema) as writer:
        while batch := list(islice(rows, 4096)):
            writer.write_table(pyarrow.Table.from_pylist(batch, schema=schema))


_WRITERS: Mapping[str, Callable[[Iterator[dict[str, Any]], Path, Sequence[str]], None]] = {
    ".jsonl": _to_jsonl,
    ".csv": _to_csv,
    ".parquet": _to_parquet,
}
