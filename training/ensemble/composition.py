"""Which estimators a head combines, by the number of rows, and by whether there are rules and a fine-tuned encoder."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from triage.rules import RuleBook

FINE_TUNED = "fine-tuned"
"""The estimator that reads the fine-tuned part of the vectors, and nothing else."""

HYBRID, NEIGHBOURS, HYBRID_NEIGHBOURS, RULES = "hybrid", "neighbours", "hybrid-neighbours", "rules"
LEXICAL = "lexical"
MACHINES = (HYBRID, LEXICAL)
"""Support vector machines: all folds of one are fitted at once."""

USUAL = (HYBRID, LEXICAL, "network", NEIGHBOURS, HYBRID_NEIGHBOURS)
WITH_WEIGHTS = (*USUAL[:3], FINE_TUNED)
"""Estimators that are fitted, the slowest first; the others are votes."""

BASELINES = ("embedding",)
"""Fitted once and not combined: there to be beaten."""

MANY_ROWS = 20_000
"""From so many rows on the lexical estimator adds nothing to what hybrid and network know, so that it too is but a
baseline; and rare labels have rows enough to need no balance."""


def estimators_for(
    rows: int, rule_labels: NDArray[np.int32], *, fine_tuned: bool = False
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the names of the estimators that are combined, and of those that are baselines only.

    Args:
        rows: Number of rows to learn from.
        rule_labels: Label id that each rule names, -1 for none: where no rule names a label, none votes.
        fine_tuned: Whether a part of the vectors comes from a fine-tuned encoder.
    """
    names = (*USUAL, *([FINE_TUNED] if fine_tuned else []), *([RULES] if (rule_labels >= 0).any() else []))
    if rows < MANY_ROWS:
        return names, BASELINES
    return tuple(name for name in names if name != LEXICAL), (LEXICAL, *BASELINES)


def rule_label_ids(rules: RuleBook, target: str, labels: Sequence[str]) -> NDArray[np.int32]:
    """Return the label id that each rule names, int32 of shape [rules], -1 for one that names none of these labels."""
    label_ids = {label: number for number, label in enumerate(labels)}
    named = (rule.names(target) for rule in rules.rules)
    return np.array([-1 if label is None else label_ids.get(label, -1) for label in named], dtype=np.int32)
