"""Which members a head has: by the number of rows, by whether rules speak and whether the encoder was adapted."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from triage.rules import RuleBook

ADAPTED = "adapted"
"""The member that reads an adapted encoder's half of the vectors, and nothing else."""

NEIGHBOURS, HYBRID_NEIGHBOURS, RULES = "neighbours", "look-alikes", "rules"
MEMBERS = ("hybrid", "lexical", "network", "kernel", NEIGHBOURS, HYBRID_NEIGHBOURS)
FITTED = (*MEMBERS[:4], ADAPTED)
"""Members with weights, the slowest first; the others have none."""

BESIDE = ("embedding",)
"""Fitted once and not combined: a baseline, no more."""

MANY_ROWS = 20_000
"""From so many rows on the lexical member adds nothing to what hybrid and network know: it too is but a baseline. The
kernel, which takes long there, is left out, and rare labels need no balance."""


def members_for(
    rows: int, rule_labels: NDArray[np.int32], *, adapted: bool = False
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return which members are combined where there are so many rows, and which stand beside as baselines.

    Args:
        rows: Number of rows to learn from.
        rule_labels: Label code by rule: without any the rules are no member.
        adapted: Whether a part of the vectors comes from an adapted encoder.
    """
    names = (*MEMBERS, *([ADAPTED] if adapted else []), *([RULES] if (rule_labels >= 0).any() else []))
    if rows < MANY_ROWS:
        return names, BESIDE
    return tuple(name for name in names if name not in ("lexical", "kernel")), ("lexical", *BESIDE)


def rule_label_ids(rules: RuleBook, target: str, labels: Sequence[str]) -> NDArray[np.int32]:
    """Return the code of the label that each rule names, -1 for one that names none of these."""
    place = {label: code for code, label in enumerate(labels)}
    named = (rule.names(target) for rule in rules.rules)
    return np.array([-1 if label is None else place.get(label, -1) for label in named], dtype=np.int32)
