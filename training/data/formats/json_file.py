"""JSON exports: one object a line, a list, an envelope around a list, or objects printed over several lines."""

from __future__ import annotations

import codecs
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import IO, Any

from training.data.formats.encoding import as_utf8, encoding_of
from training.data.formats.nested import flat
from training.data.formats.source import RawRow, Source
from training.data.formats.unpacking import Unpacked
from training.data.presets.roles import LABELS
from triage.errors import BadRow, InvalidDataset

LISTS = ("records", "result", "results", "tickets", "issues", "incidents", "requests", "data", "items", "value", "rows",
         "hits", "nodes", "edges", "entries", "content", "objects", "values")  # fmt: skip
"""Keys under which interfaces and exports put their list of tickets."""

_WRAPPERS = ("_source", "node")
"""Keys within an entry of a list that hold the ticket itself: of Elasticsearch, of GraphQL."""

_TEXTS = frozenset(("text", "body", "description"))
_SUBJECTS = frozenset(("subject", "summary"))
_OF_A_TICKET = _TEXTS | _SUBJECTS | {"id", "number", "key", "title"}
_FIRST_LINE, _FIRST_LINES = 1 << 20, 5
_MOST_COLUMNS = 5000


def open_json(path: Path, encoding: str | None = None) -> Source:
    """Look into a JSON file.

    Raises:
        InvalidDataset: If it is no JSON, or no list of objects is in it.
    """
    found, held = encoding_of(path, encoding), Unpacked()
    file = path if found.name == "utf-8-sig" else as_utf8(path, found, held.folder / "utf8.json")
    plain = _File(path, file, held)
    source = _lines(plain) if _is_lines(plain) else _document(plain)
    return replace(source, notes=(*found.notes, *source.notes))


@dataclass(frozen=True)
class _File:
    """A JSON file in UTF-8: as the user named it, where it lies, and what keeps it there."""

    path: Path
    utf8: Path
    held: Unpacked

    def opened(self) -> IO[bytes]:
        """Open it behind its mark, where it has one."""
        file = self.utf8.open("rb")
        if file.read(3) != codecs.BOM_UTF8:
            file.seek(0)
        return file


def _is_lines(plain: _File) -> bool:
    """Whether each line is an object: told from the first ones."""
    with plain.opened() as file:
        first = ""
        while not first:
            raw = file.readline(_FIRST_LINE)
            if not raw:
                return True
            first = raw.decode("utf-8", "replace").strip()
        if first.startswith("["):
            return False
        others = [line for line in islice(iter(lambda: file.readline(_FIRST_LINE), b""), _FIRST_LINES) if line.strip()]
    row = _object_of(first)
    if row is None:
        return not first.startswith("{") or any(_object_of(line.decode("utf-8", "replace")) for line in others)
    return not (_is_envelope(row, alone=not others))


def _is_envelope(row: dict[str, Any], *, alone: bool) -> bool:
    """Say whether an object holds a list of tickets and is none: many have a title, and a ticket may have parts.

    Args:
        row: The object.
        alone: Whether it is the only one of its file.
    """
    if any(row.get(label) for label in LABELS):
        return False
    if not _OF_A_TICKET & row.keys():
        return any(isinstance(row.get(name), (list, dict)) for name in LISTS)
    entries = [one for name in LISTS for one in _entries_of(row.get(name))]
    return alone and bool(entries) and not _is_ticket(row, entries)


def _is_ticket(row: dict[str, Any], entries: Sequence[dict[str, Any]]) -> bool:
    """Say whether an object is rather a ticket than what it holds: it has a subject alone, or a text and more of one.

    Args:
        row: The object.
        entries: The first objects of the lists in it.
    """
    said = {path.rpartition(".")[2] for one in entries for path in flat(one)}
    if _SUBJECTS & row.keys() and not (_TEXTS | _SUBJECTS) & said:
        return True
    own = len(_OF_A_TICKET & row.keys())
    return bool(_TEXTS & row.keys()) and all(len(_OF_A_TICKET & one.keys()) < own for one in entries)


def _entries_of(value: object) -> list[dict[str, Any]]:
    """Return the first object of a list, or of the list that an object holds under a usual name."""
    if isinstance(value, dict):
        return [one for name in LISTS for one in _entries_of(value.get(name))]
    return [value[0]] if isinstance(value, list) and value and isinstance(value[0], dict) else []


def _object_of(line: str) -> dict[str, Any] | None:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return row if isinstance(row, dict) else None


# ── One object a line ────────────────────────────────────────────────────────────────────────────────────────────────


def _lines(plain: _File) -> Source:
    path = plain.path
    columns: dict[str, None] = {}
    bad: list[BadRow] = []
    rows = 0
    for row in _line_rows(plain):
        rows += 1
        columns.update(dict.fromkeys(row.cells))
        if row.fault is not None and not columns:
            bad.append(BadRow(str(path), row.line, row.fault))
        _check_columns(path, columns)
    if not rows:
        raise InvalidDataset(f"{path} is empty: it has only blank lines; export it again")
    if not columns:
        raise InvalidDataset(f"no row of {path} can be read: the first is {bad[0]}; export it again", bad)

    def read(wanted: Sequence[str]) -> Iterator[RawRow]:
        del wanted  # a line has to be read whole
        return _line_rows(plain)

    return Source(path, tuple(columns), rows, read, kind="JSON lines")


def _check_columns(path: Path, columns: dict[str, None]) -> None:
    if len(columns) > _MOST_COLUMNS:
        raise InvalidDataset(
            f"{path} has more than {_MOST_COLUMNS} different fields: their names seem to be data; export a list with "
            "the same fields in each entry"
        )


def _line_rows(plain: _File) -> Iterator[RawRow]:
    with plain.opened() as file:
        for line, data in enumerate(iter(file.readline, b""), 1):
            if data.strip():
                yield _line_row(line, data)


def _line_row(line: int, data: bytes) -> RawRow:
    try:
        row = json.loads(data.decode("utf-8"), parse_constant=lambda _: None)
    except UnicodeDecodeError as error:
        return RawRow(line, {}, f"not UTF-8: byte 0x{data[error.start]:02x} at {error.start}; state its --encoding")
    except json.JSONDecodeError as error:
        return RawRow(line, {}, f"not JSON: {error.msg} at character {error.pos + 1}")
    except (RecursionError, ValueError):  # nested too deeply, or a number of more digits than Python reads
        return RawRow(line, {}, "not usable JSON: nested too deeply, or a number too long")
    if not isinstance(row, dict):
        return RawRow(line, {}, f"a JSON {type(row).__name__} where an object is expected")
    return RawRow(line, flat(row))


# ── One document, or several over many lines ─────────────────────────────────────────────────────────────────────────


def _document(plain: _File) -> Source:
    """Write the list of a document as lines beside it, once: a document of gigabytes is never in memory."""
    path, held, prefix = plain.path, plain.held, _list_in(plain)
    lines, columns, rows = held.folder / "rows.jsonl", dict[str, None](), 0
    with lines.open("w", encoding="utf-8", errors="surrogatepass") as file:
        for row in _entries(plain, prefix):
            rows += 1
            columns.update(dict.fromkeys(row))
            file.write(json.dumps(row) + "\n")
            _check_columns(path, columns)

    def read(wanted: Sequence[str]) -> Iterator[RawRow]:
        del wanted  # a line has to be read whole
        with lines.open(encoding="utf-8") as file:
            for line, text in enumerate(file, 1):
                yield RawRow(line, json.loads(text))
        assert held.folder  # held until here

    where = prefix.removesuffix(".item")
    note = [f"the list {where!r} in it is read"] if where not in ("item", "") else []
    return Source(path, tuple(columns), rows, read, kind="JSON", notes=tuple(note))


def _list_in(plain: _File) -> str:
    """Return the place of the list of tickets, as ijson writes it; empty where the objects stand by themselves."""
    import ijson

    counts: Counter[str] = Counter()
    try:
        with plain.opened() as file:
            for prefix, event, _ in ijson.parse(file, multiple_values=True):
                if event == "start_map" and (prefix.endswith("item") or not prefix):
                    counts[prefix] += 1
    except (ijson.JSONError, UnicodeError) as error:
        raise InvalidDataset(
            f"{plain.path} is not JSON: {_in_words(error)}; export it again, or state its --encoding if it is not UTF-8"
        ) from error
    lists = [name for name in counts if name == "item" or name.endswith(".item")]
    outer = [name for name in lists if not any(name.startswith(f"{other}.") for other in lists if other != name)]
    usual = [name for name in outer if name == "item" or name.split(".")[-2] in LISTS]
    chosen = usual or ([] if counts[""] > 1 else outer)
    if not chosen and not counts[""]:
        raise InvalidDataset(f"{plain.path} holds no list of objects: JSON of tickets is a list, an envelope or lines")
    return max(chosen, key=lambda name: counts[name], default="")


def _in_words(error: Exception) -> str:
    """Return what a parser says, without the text that it shows."""
    text = error.args[0] if error.args else error
    text = text.decode("utf-8", "replace") if isinstance(text, bytes) else str(text)
    return text.splitlines()[0][:100] if text else type(error).__name__


def _entries(plain: _File, prefix: str) -> Iterator[dict[str, Any]]:
    import ijson

    with plain.opened() as file:
        for row in ijson.items(file, prefix, multiple_values=True, use_float=True):
            if isinstance(row, dict):
                inner = next((row[name] for name in _WRAPPERS if isinstance(row.get(name), dict)), None)
                yield flat(row if inner is None else {**row, **inner})
