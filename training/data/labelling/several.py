"""Several labels in one cell: noticed from the whole column, so that no combination becomes a label by accident."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

WAYS = ("first", "drop", "split")
"""What `--multi` takes: the first label alone, none of them, or a row for each."""

SEPARATORS = (";", "|", ",", " / ", " + ", "&&")
_KNOWN_PARTS = 0.8
"""Share of the combinations whose parts must be known from elsewhere: a comma within a name is not a combination."""


def separator_in(labels: Mapping[str, int]) -> str | None:
    """Return what separates several labels in the cells of a column; None where cells hold one each.

    Args:
        labels: What the cells hold, with how many of them.

    Example:
        >>> separator_in({"VPN": 5, "Mail": 4, "VPN;Mail": 2, "Mail;VPN": 1})
        ';'
        >>> separator_in({"Printers, copiers": 9, "Mail": 4}) is None
        True
    """
    for separator in SEPARATORS:
        combined = {label: parts for label in labels if len(parts := parts_of(label, separator)) > 1}
        if not combined:
            continue
        alone = {label.strip().casefold() for label in labels if label not in combined}
        within = Counter(part.casefold() for parts in combined.values() for part in parts)
        known = [
            all(part.casefold() in alone or within[part.casefold()] > 1 for part in parts)
            and any(part.casefold() in alone or len(combined) > len(within) for part in parts)
            for parts in combined.values()
        ]
        if sum(known) >= _KNOWN_PARTS * len(combined):
            return separator
    return None


def said_once(label: str) -> str:
    """Return what a cell holds where it repeats one label, as joins of tables write it; else the cell as it is.

    Example:
        >>> [said_once(cell) for cell in ("Email, Email", "Email;Email;Email", "Email, Access", "Email,")]
        ['Email', 'Email', 'Email, Access', 'Email,']
    """
    for separator in SEPARATORS:
        parts = [part.strip() for part in label.split(separator) if part.strip()]
        if len(parts) > 1 and len(set(parts)) == 1:
            return parts[0]
    return label


def parts_of(label: str, separator: str) -> tuple[str, ...]:
    """Return the labels in a cell, each once."""
    return tuple(dict.fromkeys(part.strip() for part in label.split(separator) if part.strip()))
