"""Labels that are paths (`Hardware > Printer`): learned at the deepest level with enough tickets, else rolled up."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass

SEPARATORS = (">", "::", "»", "→", "\\", " / ", "/", " | ")
SURE_SEPARATORS = (">", "::", "»", "→")
"""Those that names of labels do not hold."""

JOINT = " > "
"""What joins levels that a file has in columns of their own."""

_MOST = 0.5
"""Share of the tickets whose label must be a path for the target to be a hierarchy."""

_WHOLE = 0.9
"""A level that holds this share of all tickets says nothing: nothing is rolled up into it."""


@dataclass(frozen=True)
class Hierarchy:
    """How the labels of a target were levelled.

    Attributes:
        separator: Between levels.
        learned: What each label as written is learned as.
        levels: How many tickets have a label of each depth as written, and as learned.
    """

    separator: str
    learned: Mapping[str, str]
    levels: tuple[Mapping[int, int], Mapping[int, int]]

    @property
    def rolled_up(self) -> int:
        """How many labels as written are learned at a level above."""
        return sum(label != into for label, into in self.learned.items())


def above(label: str, separator: str) -> str | None:
    """Return the level above a label, written as the label is; None at the top.

    Example:
        >>> above("IT > Hardware > Dock", ">")
        'IT > Hardware'
    """
    head, found, _ = label.rpartition(separator)
    return head.rstrip() or None if found else None


def depth(label: str, separator: str) -> int:
    """Return the level of a label, 1 at the top."""
    return len(levels_of(label, separator))


def levels_of(label: str, separator: str) -> tuple[str, ...]:
    """Return the levels of a label from the top, in lower case.

    Example:
        >>> levels_of("IT > Hardware", ">")
        ('it', 'hardware')
    """
    return tuple(part.strip().casefold() for part in label.split(separator) if part.strip())


def separator_of(counts: Mapping[str, int]) -> str | None:
    """Return what separates the levels of labels; None where they are no hierarchy.

    Args:
        counts: Labels with their tickets.
    """
    total = sum(counts.values())
    for separator in SEPARATORS:
        paths = [label for label in counts if depth(label, separator) > 1]
        rows = sum(counts[label] for label in paths)
        tops = {re.split(re.escape(separator), label)[0].strip() for label in paths}
        branching = len(paths) > len(tops) or len({above(label, separator) for label in paths}) < len(paths)
        if total and rows >= _MOST * total and (branching or separator in SURE_SEPARATORS):
            return separator
    return None


def roll_up(counts: Mapping[str, int], minimum: int) -> Hierarchy | None:
    """Roll labels up to the deepest level that has enough tickets; None where they are no hierarchy.

    Args:
        counts: Labels with their tickets.
        minimum: Tickets that a label needs to be learned.
    """
    separator = separator_of(counts)
    if separator is None:
        return None
    learned = {label: label for label in counts}
    total = sum(counts.values())
    for level in range(max(depth(label, separator) for label in counts), 1, -1):
        now = Counter[str]()
        for label, into in learned.items():
            now[into] += counts[label]
        for label, into in learned.items():
            upper = above(into, separator)
            thin = depth(into, separator) == level and now[into] < minimum
            if thin and upper is not None and _below(upper, counts, separator) < _WHOLE * total:
                learned[label] = upper
    before, after = Counter[int](), Counter[int]()
    for label, into in learned.items():
        before[depth(label, separator)] += counts[label]
        after[depth(into, separator)] += counts[label]
    return Hierarchy(separator, learned, (dict(sorted(before.items())), dict(sorted(after.items()))))


def _below(upper: str, counts: Mapping[str, int], separator: str) -> int:
    return sum(
        count
        for label, count in counts.items()
        if label == upper or (label.startswith(upper) and label[len(upper) :].lstrip().startswith(separator.strip()))
    )


def known_level(label: str, is_known: Callable[[str], bool]) -> str | None:
    """Return the deepest level of a label that is known; None where none is.

    Example:
        >>> known_level("IT > Hardware > Dock", {"IT > Hardware", "IT"}.__contains__)
        'IT > Hardware'
    """
    if is_known(label):
        return label
    for separator in SEPARATORS:
        upper = above(label, separator)
        while upper is not None:
            if is_known(upper):
                return upper
            upper = above(upper, separator)
    return None
