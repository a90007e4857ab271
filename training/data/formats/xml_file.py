"""XML exports: the element that repeats is the ticket; what stands in it, and its attributes, are its cells."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from training.data.formats.nested import flat
from training.data.formats.source import RawRow, Source
from triage.errors import InvalidDataset

_DEEPEST = 100
"""Levels of nesting; deeper than any export, and little enough for every parser."""

_MOST_COLUMNS = 5000

_OF_SCHEMAS = "{http://www.w3.org/2001/XMLSchema-instance}"
_WRITTEN_AS = frozenset((
    "array", "binary", "boolean", "date", "datetime", "decimal", "double", "duration", "file", "float", "hash",
    "integer", "string", "symbol", "yaml",
))  # fmt: skip
"""What Ruby on Rails, in which several helpdesks are written, says of a value in the attribute `type`."""

_Path = tuple[str, ...]


def open_xml(path: Path) -> Source:
    """Look into an XML file.

    Raises:
        InvalidDataset: If it is no XML, defines entities, or nothing in it repeats.
    """
    counts: Counter[_Path] = Counter()
    for here, _ in _elements(path, None):
        counts[here] += 1
    rows_at = _rows_at(counts)
    if rows_at is None:
        raise InvalidDataset(f"{path} holds no list of tickets: no element in it has others in it; export it again")
    columns: dict[str, None] = {}
    for row in _rows(path, rows_at):
        columns.update(dict.fromkeys(row.cells))
        if len(columns) > _MOST_COLUMNS:
            raise InvalidDataset(
                f"{path} has more than {_MOST_COLUMNS} different fields in <{rows_at[-1]}>: that is no list of tickets"
            )

    def read(wanted: Sequence[str]) -> Iterator[RawRow]:
        del wanted  # XML has to be read whole
        return _rows(path, rows_at)

    note = f"each <{rows_at[-1]}> is read as a ticket"
    return Source(path, tuple(columns), counts[rows_at], read, kind="XML", notes=(note,))


def _rows_at(counts: Counter[_Path]) -> _Path | None:
    """Choose the path of the rows: the outermost element with others in it that repeats, else the outermost one."""
    below = [path for path in counts if len(path) > 1]
    repeated = [path for path in below if counts[path] > 1]
    return min(repeated or below, key=lambda path: (len(path), -counts[path]), default=None)


def _rows(path: Path, rows_at: _Path) -> Iterator[RawRow]:
    for line, (_, element) in enumerate(_elements(path, rows_at), 1):
        yield RawRow(line, flat(_row(element)))


def _elements(path: Path, wanted: _Path | None) -> Iterator[tuple[_Path, Any]]:
    """Yield elements that have others in them with their path, each as soon as it ends; what was read is let go."""
    from xml.etree.ElementTree import ParseError

    from defusedxml import DefusedXmlException
    from defusedxml.ElementTree import iterparse

    try:
        yield from _ended(path, iterparse(path, events=("start", "end")), wanted)
    except DefusedXmlException as error:
        raise InvalidDataset(
            f"{path} defines entities ({type(error).__name__}), which can blow a file up: export it without them"
        ) from error
    except ParseError as error:
        raise InvalidDataset(f"{path} is no XML: {error}; export it again") from error
    except (LookupError, ValueError) as error:
        raise InvalidDataset(f"{path} cannot be read as XML: {error}; save it as UTF-8") from error


def _ended(path: Path, events: Iterator[tuple[str, Any]], wanted: _Path | None) -> Iterator[tuple[_Path, Any]]:
    open_elements: list[Any] = []
    for event, element in events:
        if event == "start":
            open_elements.append(element)
            if len(open_elements) > _DEEPEST:
                raise InvalidDataset(f"{path} nests more than {_DEEPEST} elements: that is no export of tickets")
            continue
        here = tuple(one.tag for one in open_elements)
        open_elements.pop()
        if here == wanted or (wanted is None and (len(element) or element.attrib)):
            yield here, element
        if wanted is None or len(here) <= len(wanted):
            _let_go(element, open_elements)


def _let_go(element: Any, above: Sequence[Any]) -> None:
    """Forget an element that was read; its parent only remembers that there was one."""
    element.clear()
    if above and len(above[-1]) > 1:
        del above[-1][:-1]


def _row(element: Any) -> dict[str, Any]:
    """Return the cells of a ticket: its attributes and what stands in it, or its text where no element does."""
    if len(element):
        return dict(_content(element, 0))
    text = (element.text or "").strip()
    return {**_attributes(element), **({"text": text} if text else {})}


def _content(element: Any, depth: int) -> Any:
    """Return what an element holds: text, an object of its attributes and of what stands in it, or None."""
    if not len(element):
        return _text(element)
    cells: dict[str, Any] = {}
    for child in element:
        tag = _local(str(child.tag))
        value = _content(child, depth + 1)
        if tag not in cells:
            cells[tag] = value
        elif isinstance(cells[tag], list):
            cells[tag].append(value)
        else:
            cells[tag] = [cells[tag], value]
    if len(cells) == 1 and depth:
        (only,) = cells.values()
        if isinstance(only, list):
            return only  # <notes><note/><note/></notes> is a list of notes
    return {**_attributes(element), **cells}


def _text(element: Any) -> Any:
    attributes = _attributes(element)
    if "true" in (element.get("nil"), element.get(f"{_OF_SCHEMAS}nil")):
        return None
    return (element.text or "").strip() or attributes or None


def _attributes(element: Any) -> dict[str, Any]:
    """Return what the attributes of an element say, less those that say how its content is written."""
    return {
        _local(name): value
        for name, value in element.attrib.items()
        if not name.startswith(_OF_SCHEMAS) and name != "nil" and not (name == "type" and value in _WRITTEN_AS)
    }


def _local(name: str) -> str:
    return name.rpartition("}")[2]
