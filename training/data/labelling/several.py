"""Several labels in one cell: noticed from the whole column, so that no combination becomes a label by accident."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence, Set
from itertools import combinations

from training.data.labelling.cells import is_placeholder
from training.data.labelling.hierarchy import SEPARATORS as LEVEL_SEPARATORS

WAYS = ("first", "drop", "split", "keep")
"""What `--multi` takes: the first label alone, none of them, a row for each, or the cell as one label."""

SEPARATORS = (";", "|", ",", " / ", " + ", "&&")
_KNOWN_PARTS = 0.8
"""Share of the combinations whose parts must be known from elsewhere: a comma within a name is not a combination."""

_KEPT_PLACES, _KEPT_BELOW_A_JOINT = 0.8, 0.75
"""Share of the combinations from which on each part has a place of its own: half of those of sorted labels keep it.

Fewer do where the separator speaks for levels.
"""


def separator_in(labels: Mapping[str, int], known: Collection[str] = (), column: str | None = None) -> str | None:
    """Return what separates several labels in the cells of a column; None where cells hold one each.

    Where no part is a label alone, and each has a place of its own (`Hardware / Request`, `Software / Incident`), a
    cell holds one label that has levels. A policy that lists the parts speaks against that, but where the separator
    usually joins levels and no two parts stand in both orders.

    Args:
        labels: What the cells hold, with how many of them.
        known: Labels as a policy lists them: each of these is one label, and what consists of them is several.
        column: Name of the column, where placeholders and this name are no labels; None where they are.

    Example:
        >>> separator_in({"VPN": 5, "Mail": 4, "VPN;Mail": 2, "Mail;VPN": 1})
        ';'
        >>> separator_in({"Printers, copiers": 9, "Mail": 4}) is None
        True
        >>> separator_in({f"{one} / {other}": 5 for one in ("Hardware", "VPN") for other in ("Fault", "Order")}) is None
        True
    """
    listed = {label.strip().casefold() for label in known}
    for separator in SEPARATORS:
        combined = {
            label: parts for label in labels if label not in known and len(parts := parts_of(label, separator)) > 1
        }
        if not combined:
            continue
        alone = {label.strip().casefold() for label in labels if label not in combined}
        joins = _joins_levels(separator, combined) and not _in_both_orders(combined.values())
        are_levels = _are_levels([*combined.values()], alone, _KEPT_BELOW_A_JOINT if joins else _KEPT_PLACES)
        labelled = [_labels_among(parts, column) for parts in combined.values()]
        if not (joins and are_levels) and _consist_of(listed, labelled):
            return separator
        if are_levels and any(labelled):
            continue
        alone |= listed
        within = Counter(part.casefold() for parts in combined.values() for part in parts)
        explained = [
            all(part in alone or within[part] > 1 for part in parts)
            and (not parts or any(part in alone or len(combined) > len(within) for part in parts))
            for parts in labelled
        ]
        if sum(explained) >= _KNOWN_PARTS * len(combined):
            return separator
    return None


def _labels_among(parts: Sequence[str], column: str | None) -> list[str]:
    """Return the parts of a combination that are labels, in lower case; see `separator_in` for the column."""
    return [part.casefold() for part in parts if column is None or not is_placeholder(part, column, alone=False)]


def _consist_of(listed: Set[str], labelled: Collection[Sequence[str]]) -> bool:
    """Say whether the labels in combinations, in lower case, are ones that a policy lists, all of them."""
    return sum(all(part in listed for part in parts) for parts in labelled) >= _KNOWN_PARTS * len(labelled)


def _joins_levels(separator: str, combined: Collection[str]) -> bool:
    """Say whether a separator is one that usually stands between the levels of a label, as it is written there."""
    joint = f" {separator.strip()} "
    return joint in LEVEL_SEPARATORS and all(joint in label for label in combined)


def _in_both_orders(combined: Collection[tuple[str, ...]]) -> bool:
    """Say whether two parts stand in either order, as those of a list do and levels do not."""
    orders = {tuple(part.casefold() for part in parts) for parts in combined}
    pairs = {pair for parts in orders for pair in combinations(parts, 2)}
    return any((below, above) in pairs for above, below in pairs if above != below)


def _are_levels(combined: Sequence[tuple[str, ...]], alone: Set[str], least: float) -> bool:
    """Say whether the parts of combinations are levels of one label: none is a label alone, and each has its place.

    Args:
        combined: The parts of each combination.
        alone: What cells hold that are no combination, in lower case.
        least: Share of the combinations whose parts must all have their places.
    """
    places = [[(part.casefold(), place) for place, part in enumerate(parts)] for parts in combined]
    counts = Counter(one for parts in places for one in parts)
    own: dict[str, int] = {}
    for (part, place), _ in counts.most_common():
        own.setdefault(part, place)
    keeping = sum(all(own[part] == place for part, place in parts) for parts in places)
    return alone.isdisjoint(own) and keeping >= least * len(places)


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
