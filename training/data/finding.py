"""A finding: something about a data set that its owner should know, with what to do about it."""

from __future__ import annotations

from dataclasses import dataclass, field

SERIOUS, NOTICE, FINE = "serious", "notice", "fine"
SHOWN_PLACES = 50
"""Places that a finding names; more of them help nobody."""


@dataclass(frozen=True)
class Finding:
    """One thing found.

    Attributes:
        code: Stable name, such as ``near-duplicates``.
        severity: ``serious`` (training on this misleads), ``notice`` or ``fine``.
        what: What was found, in words, with figures.
        do: What to do about it; empty where nothing needs doing.
        rows: How many rows it concerns.
        places: Some of them, as ``file:line``, with a remark where there is one.
    """

    code: str
    severity: str
    what: str
    do: str = ""
    rows: int = 0
    places: tuple[str, ...] = field(default_factory=tuple)
