"""XML exports: the element that repeats is the ticket; what stands in it, and its attributes, are its cells."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from training.data.formats.encoding import Encoding, as_utf8, encoding_of
from training.data.formats.nested import flat
from training.data.formats.source import RawRow, Source
from training.data.formats.unpacking import Unpacked
from triage.errors import InvalidDataset

_DEEPEST = 100
"""Levels of nesting; deeper than any export, and little enough for every parser."""

_MOST_COLUMNS = 5000
_START = 400  # bytes in which a declaration stands

_OF_SCHEMAS = "{http://www.w3.org/2001/XMLSchema-instance}"
_WRITTEN_AS = frozenset((
    "array", "binary", "boolean", "date", "datetime", "decimal", "double", "duration", "file", "float", "hash",
    "integer", "string", "symbol", "yaml",
))  # fmt: skip
"""What Ruby on Rails, in which several helpdesks are written, says of a value in the attribute `type`."""

_Path = tuple[str, ...]
_DECLARED = re.compile(rb"<\?xml[^>]{0,200}?encoding\s*=")


@dataclass(frozen=True)
class _File:
    """An XML file: as the user named it, as it is read, in what encoding if not as it declares, and what keeps it."""

    path: Path
    as_read: Path
    encoding: str | None
    held: Unpacked


def _encoding(path: Path, stated: str | None) -> Encoding | None:
    """Return the encoding that was stated, or that of a file which declares none; None where XML itself tells."""
    if stated is not None:
        return encoding_of(path, stated)
    with path.open("rb") as file:
        start = file.read(_START)
    if b"\0" in start or _DECLARED.search(start):
        return None
    found = encoding_of(path)
    return None if found.name == "utf-8-sig" else found


def open_xml(path: Path, encoding: str | None = None) -> Source:
    """Look into an XML file.

    Args:
        path: The file.
        encoding: What it is encoded in, whatever it declares; None goes by that, or else by its bytes.

    Raises:
        InvalidDataset: If it is no XML, defines entities, or nothing in it repeats.
    """
    found, held = _encoding(path, encoding), Unpacked()
    as_read = path if found is None else as_utf8(path, found, held.folder / "utf8.xml")
    xml = _File(path, as_read, None if found is None else "utf-8", held)
    counts: Counter[_Path] = Counter()
    for here, _ in _elements(xml, None):
        counts[here] += 1
    rows_at = _rows_at(counts)
    if rows_at is None:
        raise InvalidDataset(f"{path} holds no list of tickets: no element in it has others in it; export it again")
    columns: dict[str, None] = {}
    for row in _rows(xml, rows_at):
        columns.update(dict.fromkeys(row.cells))
        if len(columns) > _MOST_COLUMNS:
            raise InvalidDataset(
                f"{path} has more than {_MOST_COLUMNS} different fields in <{rows_at[-1]}>: that is no list of tickets"
            )

    def read(wanted: Sequence[str]) -> Iterator[RawRow]:
        del wanted  # XML has to be read whole
        return _rows(xml, rows_at)

    notes = (*(found.notes if found is not None else ()), f"each <{rows_at[-1]}> is read as a ticket")
    return Source(path, tuple(columns), counts[rows_at], read, kind="XML", notes=notes)


def _rows_at(counts: Counter[_Path]) -> _Path | None:
    """Choose the path of the rows: the outermost element with others in it that repeats, else the outermost one."""
    below = [path for path in counts if len(path) > 1]
    repeated = [path for path in below if counts[path] > 1]
    return min(repeated or below, key=lambda path: (len(path), -counts[path]), default=None)


def _rows(xml: _File, rows_at: _Path) -> Iterator[RawRow]:
    for line, (_, element) in enumerate(_elements(xml, rows_at), 1):
        yield RawRow(line, flat(_row(element)))


def _elements(xml: _File, wanted: _Path | None) -> Iterator[tuple[_Path, Any]]:
    """Yield elements that have others in them with their path, each as soon as it ends; what was read is let go."""
    from xml.etree.ElementTree import ParseError

    from defusedxml import DefusedXmlException
    from defusedxml.ElementTree import DefusedXMLParser, iterparse

    path = xml.path
    parser = DefusedXMLParser(encoding=xml.encoding)
    try:
        yield from _ended(path, iterparse(xml.as_read, events=("start", "end"), parser=parser), wanted)
    except DefusedXmlException as error:
        raise InvalidDataset(
            f"{path} defines entities ({type(error).__name__}), which can blow a file up: export it without them"
        ) from error
    except ParseError as error:
        raise InvalidDataset(
            f"{path} is no XML: {error}; export it again, or state its --encoding if it is not what it declares"
        ) from error
    except (LookupError, ValueError) as error:
        raise InvalidDataset(
            f"{path} cannot be read as XML: {error}; save it as UTF-8, or state its --encoding"
        ) from error


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
