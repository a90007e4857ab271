"""One cell of a label: cleaned, and told from a placeholder."""

from __future__ import annotations

import re
from collections import Counter
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
_AROUND = "()[]{}<>-–— .…:*_"


_TAG = re.compile(r"<(?P<close>/?)(?P<name>[a-zA-Z][a-zA-Z0-9]*)(?P<more>[^<>]*)>")
_NEVER_CLOSED = frozenset(("br", "hr", "img", "wbr", "input"))
_SELDOM_CLOSED = frozenset(("p", "li", "td", "tr"))


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


def is_placeholder(label: str, column: str = "") -> bool:
    """Say whether a label only fills a place: nobody chose it, or it is the name of its own column.

    Example:
        >>> [is_placeholder(label) for label in ("- Select -", "#N/A", "Unassigned", "Other", "VPN")]
        [True, True, True, False, False]
        >>> is_placeholder("Category", "category")
        True
    """
    folded = " ".join(label.casefold().split())
    bare = folded.strip(_AROUND)
    return folded in _PLACEHOLDERS or bare in _PLACEHOLDERS or not bare or folded == column.casefold().strip()
