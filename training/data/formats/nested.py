"""Nested records, as interfaces for programs give them, laid flat: dotted paths become columns."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

_NAMES = ("display_value", "displayName", "display-value", "name", "value", "label", "title", "login", "email")
"""Keys under which an object says in words what it is, the plainest first."""

_DEEPEST = 8
_LISTED = 3
"""Entries of a list that get paths of their own: the first messages of a ticket say what it is about."""

_DOCUMENT = "doc"
"""The type of a text in Atlassian's document format, which Jira uses since version 3 of its interface."""


def flat(row: Mapping[str, Any]) -> dict[str, Any]:
    """Lay a nested record flat.

    An object becomes a column for each of its keys, and where it names itself (``{"name": "Network"}``) the column of
    the object itself holds that name. A list of such objects becomes the list of their names; its first entries have
    paths with their number. Entries with an id and a value, as custom fields have, get the id as a path.

    Example:
        >>> flat({"fields": {"type": {"name": "Incident"}}, "custom_fields": [{"id": 7, "value": "x"}]})
        {'fields.type': 'Incident', 'fields.type.name': 'Incident', 'custom_fields.7': 'x'}
    """
    if not any(isinstance(value, (dict, list)) for value in row.values()):
        return dict(row)
    cells: dict[str, Any] = {}
    for path, value in _leaves("", row, 0):
        cells.setdefault(path, value)
    return cells


def _leaves(path: str, value: Any, depth: int) -> Iterator[tuple[str, Any]]:
    if depth > _DEEPEST:
        return
    if isinstance(value, dict):
        yield from _object(path, value, depth)
    elif isinstance(value, list):
        yield from _list(path, value, depth)
    elif path:
        yield path, value


def _object(path: str, value: Mapping[str, Any], depth: int) -> Iterator[tuple[str, Any]]:
    if value.get("type") == _DOCUMENT and isinstance(value.get("content"), list):
        yield path, "".join(_words(value, 0)).strip()
        return
    name = _name(value)
    if path and name is not None:
        yield path, name
    for key, inner in value.items():
        yield from _leaves(f"{path}.{key}" if path else str(key), inner, depth + 1)


def _list(path: str, values: Sequence[Any], depth: int) -> Iterator[tuple[str, Any]]:
    objects = [value for value in values if isinstance(value, dict)]
    if not objects:
        yield path, list(values) if values else None
        return
    if all(_field_id(one) is not None for one in objects):
        for one in objects:
            value = one.get("value", one.get("values"))
            yield from _leaves(f"{path}.{_field_id(one)}", value, depth + 1)
        return
    names = [_name(one) for one in objects]
    if all(name is not None for name in names):
        yield path, names[0] if len(names) == 1 else names
    for place, one in enumerate(objects[:_LISTED]):
        yield from _leaves(f"{path}.{place}", one, depth + 1)


def _field_id(entry: Mapping[str, Any]) -> str | None:
    """Return what names a custom field; None where an object is none."""
    if "value" not in entry and "values" not in entry:
        return None
    name = entry.get("id", entry.get("name"))
    return str(name) if isinstance(name, (str, int)) else None


def _name(value: Mapping[str, Any]) -> Any:
    for key in _NAMES:
        if isinstance(value.get(key), (str, int, float)) and value[key] != "":
            return value[key]
    return None


def _words(node: Any, depth: int) -> Iterator[str]:
    """Yield the text of a document, a line break after each paragraph."""
    if not isinstance(node, dict) or depth > 40:
        return
    if isinstance(node.get("text"), str):
        yield node["text"]
    for inner in node.get("content") or ():
        yield from _words(inner, depth + 1)
    if node.get("type") in ("paragraph", "heading", "hardBreak", "listItem", "codeBlock"):
        yield "\n"
