"""Labels that probably mean the same: spelled with other case, other marks, or one letter off."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping

from triage.disguise import unmask

_NEAR = 0.85
_SHORTEST = 5
MOST_COMPARED = 2000
"""Labels above which none is compared with each other one: that takes minutes, and so many are hardly labels."""


def similar_label_names(counts: Mapping[str, int]) -> Iterator[tuple[str, str, str]]:
    """Yield pairs of labels that look alike: the commoner one, the rarer one, and why.

    Of more than `MOST_COMPARED` labels only those are found that differ in case, marks or spaces.

    Args:
        counts: Rows of each label.

    Example:
        >>> for one, other, why in similar_label_names({"Network": 90, "network": 4, "Netwrok": 1}):
        ...     print(one, other, why)
        Network network they differ in case, marks or spaces only
        Network Netwrok they differ by a letter or two
    """
    ranked = sorted(counts, key=lambda label: (-counts[label], label))
    seen: dict[str, str] = {}
    for label in ranked:
        bare = _bare(label)
        if bare in seen:
            yield seen[bare], label, "they differ in case, marks or spaces only"
            continue
        others = [other for other in seen if _comparable(bare, other)] if len(counts) <= MOST_COMPARED else []
        near = difflib.get_close_matches(bare, others, n=1, cutoff=_NEAR)
        if near and counts[label] * 5 < counts[seen[near[0]]]:
            yield seen[near[0]], label, "they differ by a letter or two"
        seen[bare] = label


def _bare(label: str) -> str:
    return re.sub(r"[\W_]+", "", unmask(label).casefold()) or label


def _comparable(one: str, other: str) -> bool:
    """Say whether two names may be misspellings of each other: long enough, and the same numbers in them."""
    return min(len(one), len(other)) >= _SHORTEST and re.findall(r"\d+", one) == re.findall(r"\d+", other)
