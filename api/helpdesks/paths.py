"""Dotted paths into the JSON of a helpdesk, such as `ticket.comments.0.text` or `fields[name=Tier].values.0`."""

from __future__ import annotations

import re
from typing import Any

_STEP = re.compile(r"(?:[^.\[]|\[[^\]]*\])+")
_CHOSEN = re.compile(r"(.*?)\[([^=\]]+)=([^\]]*)\]")
"""A step that chooses, out of a list of objects, the one with this value in that member."""

_BLOCKS = ("paragraph", "heading", "listItem", "codeBlock", "blockquote", "tableRow")
"""Nodes of an Atlassian document that end a line."""


def value_at(document: object, path: str) -> object:
    """Return what stands at a path; None where nothing does.

    Example:
        >>> value_at({"fields": [{"name": "Tier", "values": ["L2"]}]}, "fields[name=Tier].values.0")
        'L2'
    """
    found: Any = document
    for step in _STEP.findall(path):
        chosen = _CHOSEN.fullmatch(step)
        if chosen is not None:
            found = _member(found, chosen[1]) if chosen[1] else found
            found = _chosen(found, chosen[2], chosen[3])
        else:
            found = _member(found, step)
    return found


def text_at(document: object, path: str) -> str:
    """Return the text that stands at a path; empty where there is none, or no plain value.

    ``=text`` is that text always. What a helpdesk cannot mend is mended here: NUL characters and broken Unicode go.

    Example:
        >>> text_at({"ticket": {"id": 7}}, "ticket.id"), text_at({}, "=email"), text_at({"a": {}}, "a")
        ('7', 'email', '')
    """
    if path.startswith("="):
        return path[1:]
    found = value_at(document, path)
    if isinstance(found, bool):
        return str(found).lower()
    if _is_document(found):
        found = _document_text(found)
    text = str(found) if isinstance(found, (str, int, float)) else ""
    return text.replace("\x00", "").encode("utf-8", "replace").decode()


def holds_object(document: object, path: str) -> bool:
    """Say whether an object or a list with anything in it stands at a path: something is set there, whatever it says.

    Example:
        >>> [holds_object({"group": one}, "group") for one in ({"link": "…", "value": "7"}, {"value": ""}, {}, "", 7)]
        [True, False, False, False, False]
    """
    found = value_at(document, path)
    members = found.values() if isinstance(found, dict) else found if isinstance(found, list) else ()
    return any(members) and not _is_document(found)


def _member(found: Any, name: str) -> Any:
    if isinstance(found, dict):
        return found.get(name)
    if isinstance(found, list) and name.isdecimal() and len(name) < 6 and int(name) < len(found):
        return found[int(name)]
    return None


def _chosen(found: Any, name: str, value: str) -> Any:
    entries = found if isinstance(found, list) else []
    return next((one for one in entries if isinstance(one, dict) and str(one.get(name)) == value), None)


def _is_document(found: object) -> bool:
    return isinstance(found, dict) and found.get("type") == "doc"


def _document_text(node: Any) -> str:
    """Return the text of an Atlassian document: blocks on lines of their own."""
    if not isinstance(node, dict):
        return ""
    if node.get("type") == "hardBreak":
        return "\n"
    parts = node.get("content")
    inner = "".join(map(_document_text, parts)) if isinstance(parts, list) else str(node.get("text", ""))
    return f"{inner}\n" if node.get("type") in _BLOCKS else inner
