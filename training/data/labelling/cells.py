"""One cell of a label: cleaned, and told from a placeholder."""

from __future__ import annotations

from triage.normalise import plain_text

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


def label_text(cell: str) -> str:
    """Return a label without markup, on one line if markup alone made it several; outer spaces are kept.

    Example:
        >>> label_text("Matériel &gt; Poste")
        'Matériel > Poste'
    """
    return plain_text(cell) if "&" in cell or "<" in cell or "_x" in cell or "#" in cell else cell


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
