"""One cell of a label: cleaned, and told from a placeholder."""

from __future__ import annotations

import json
import re
from ast import literal_eval
from collections import Counter
from collections.abc import Sequence
from html import unescape

from triage.normalise import plain_text, without_export_marks

_PLACEHOLDERS = frozenset(
    [
        "#n/a",
        "#na",
        "#ref!",
        "#value!",
        "#name?",
        "#null!",
        "#div/0!",
        "n/a",
        "n.a.",
        "n.a",
        "na",
        "nan",
        "none",
        "null",
        "nil",
        "\\n",
        "-",
        "--",
        "---",
        "–",
        "—",
        ".",
        "..",
        "...",
        "?",
        "??",
        "???",
        "*",
        "unassigned",
        "not assigned",
        "unknown",
        "undefined",
        "unspecified",
        "not specified",
        "not set",
        "not available",
        "not applicable",
        "no value",
        "no category",
        "no group",
        "tbd",
        "tba",
        "to be determined",
        "to be defined",
        "blank",
        "empty",
        "select",
        "please select",
        "please choose",
        "choose",
        "select one",
        "select an option",
        "default value",
        "uncategorized",
        "uncategorised",
        "unclassified",
        "uncategorized ticket",
        "not categorized",
        "k.a.",
        "k. a.",
        "keine angabe",
        "nicht zugewiesen",
        "nicht gesetzt",
        "unbekannt",
        "keine",
        "ohne",
        "leer",
        "bitte wählen",
        "bitte auswählen",
        "non assigné",
        "non attribué",
        "non défini",
        "non renseigné",
        "inconnu",
        "aucun",
        "aucune",
        "vide",
        "sin asignar",
        "no asignado",
        "desconocido",
        "ninguno",
        "ninguna",
        "no definido",
        "vacío",
        "non assegnato",
        "sconosciuto",
        "nessuno",
        "nessuna",
        "não atribuído",
        "sem categoria",
        "nenhum",
        "desconhecido",
        "niet toegewezen",
        "onbekend",
        "geen",
        "n.v.t.",
        "nvt",
    ]
)
_ALSO_NAMES = frozenset(("na", "nan", "nil", "ohne", "blank", "select", "choose", "empty", "leer"))
"""Placeholders that may be names within a path, such as the region North America: they are some only alone."""
_AROUND = "()[]{}<>-–— .…:*_"


_TAG = re.compile(r"<(?P<close>/?)(?P<name>[a-zA-Z][a-zA-Z0-9]*)(?P<more>[^<>]*)>")
_NEVER_CLOSED = frozenset(("br", "hr", "img", "wbr", "input"))
_SELDOM_CLOSED = frozenset(("p", "li", "td", "tr"))


_LISTED = re.compile(r"\[.*\]", re.DOTALL)
_SHAREPOINT = ";#"
"""What SharePoint puts between values; of those that are looked up each has its number beside it."""


def labels_of(cell: str) -> list[str]:
    """Return the labels in a cell as `label_text` writes them: several where it is a list written down, else one.

    Lists are written as JSON, as Python does, and as SharePoint does.

    Example:
        >>> [labels_of(cell) for cell in ('["Mail", "VPN"]', "['Mail']", "Mail;#1;#VPN;#2", "[IT]", "Mail; VPN")]
        [['Mail', 'VPN'], ['Mail'], ['Mail', 'VPN'], ['[IT]'], ['Mail; VPN']]
    """
    text = label_text(cell)
    if _LISTED.fullmatch(text.strip()):
        return _written_list(text.strip()) or [text]
    if _SHAREPOINT in text:
        parts = [part.strip() for part in text.split(_SHAREPOINT)]
        return [part for part in parts if part and not part.isdecimal()] or [text]
    return [text]


def _written_list(text: str) -> list[str]:
    """Return the texts of a list of texts; none where it is no such list."""
    for read in (json.loads, literal_eval):
        try:
            found = read(text)
        except (ValueError, TypeError, SyntaxError, RecursionError, MemoryError):
            continue
        if isinstance(found, list) and all(isinstance(one, str) for one in found):
            return [label_text(one) for one in found if one.strip()]
    return []


def label_text(cell: str) -> str:
    """Return a label without markup, on one line if markup alone made it several; outer spaces are kept.

    What looks like a tag and is never closed is part of the name: ``Team <A>`` and ``Team <B>`` are two teams.

    Example:
        >>> [label_text(cell) for cell in ("Matériel &gt; Poste", "<b>Poste</b>", "Team <A>")]
        ['Matériel > Poste', 'Poste', 'Team <A>']
    """
    if not ("&" in cell or "<" in cell or "_x" in cell or "#" in cell):
        return cell
    written = unescape(without_export_marks(cell))
    return written if _names_a_tag(written) else plain_text(cell)


def _names_a_tag(label: str) -> bool:
    """Say whether something in a label looks like a tag and marks nothing up: it is bare, and never closed."""
    tags = list(_TAG.finditer(label))
    balance = Counter[str]()
    for tag in tags:
        balance[tag["name"].casefold()] += -1 if tag["close"] else 1
    return any(
        balance[name := tag["name"].casefold()] > 0
        and not tag["more"].strip()
        and name not in _NEVER_CLOSED
        and not (name in _SELDOM_CLOSED and label[tag.end() :].strip())
        for tag in tags
    )


def is_placeholder(label: str, column: str = "", *, alone: bool = True) -> bool:
    """Say whether a label only fills a place: nobody chose it, or it is the name of its own column.

    Args:
        label: The label, or one of its levels.
        column: The column that it stands in.
        alone: Whether it has no other levels.

    Example:
        >>> [is_placeholder(label) for label in ("- Select -", "#N/A", "Unassigned", "Other", "VPN")]
        [True, True, True, False, False]
        >>> is_placeholder("Category", "category")
        True
    """
    folded = " ".join(label.casefold().split())
    bare = folded.strip(_AROUND)
    known = _PLACEHOLDERS if alone else _PLACEHOLDERS - _ALSO_NAMES
    return folded in known or bare in known or not bare or folded == column.casefold().strip()


def above_placeholder(label: str, separator: str, columns: Sequence[str]) -> str:
    """Return a path of labels down to the level above the first placeholder: whole without one, empty at the top.

    Args:
        label: The path.
        separator: What stands between its levels.
        columns: The columns of the levels from the top: a level that is called like its own fills a place.

    Example:
        >>> [above_placeholder(path, ">", ["Area"]) for path in ("IT > -", "IT > Area", "- > Dock", "area", "> IT")]
        ['IT', 'IT > Area', '', '', '> IT']
        >>> [above_placeholder(path, ">", ["Type", "Service"]) for path in ("IT > Service", "Service > VPN")]
        ['IT', 'Service > VPN']
        >>> [above_placeholder(path, "/", ["Area"]) for path in ("IT / N/A", "IT / NA", "NA / IT", "NA")]
        ['IT', 'IT / NA', 'NA / IT', '']
    """
    levels = label.split(separator)
    for place, level in enumerate(levels):
        below = separator.join(levels[place:])  # a placeholder may hold the separator, such as N/A
        own = columns[place] if place < len(columns) else ""
        if level.strip() and any(is_placeholder(one, own, alone=len(levels) == 1) for one in (level, below)):
            return separator.join(levels[:place]).rstrip()
    return label
