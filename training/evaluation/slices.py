"""Slices of an evaluation: by language, channel, length, group and label, the worst first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.evaluation import metrics
from training.evaluation.record import Outcome, Record

LEAST = 10
"""Rows that a slice needs to be shown: fewer say nothing."""

_LENGTHS = (
    (0, 10, "up to 10 words"),
    (11, 30, "11 to 30"),
    (31, 80, "31 to 80"),
    (81, 200, "81 to 200"),
    (201, 10**9, "over 200"),
)


@dataclass(frozen=True)
class Slice:
    """How the model does on a part of the rows.

    Attributes:
        by: What the part is made by, such as ``language``.
        value: Which part it is.
        rows: Its size.
        accuracy: Accuracy of the model's top label, in [0, 1].
        gap: Accuracy less that of all rows.
        margin: Half the width of the 95 % interval of the accuracy (normal approximation).
        coverage: Share decided by the model, in [0, 1].
        risk: Error rate among those decided.
    """

    by: str
    value: str
    rows: int
    accuracy: float
    gap: float
    margin: float
    coverage: float
    risk: float

    @property
    def notable(self) -> bool:
        """Whether the part differs from the whole by more than chance explains."""
        return abs(self.gap) > self.margin


def slices(record: Record, target: str) -> list[Slice]:
    """Cut the rows of a target into parts and measure each, the worst first.

    Args:
        record: What was answered.
        target: Name of the target, such as ``tier``.
    """
    outcome = record.outcomes[target]
    facts = [record.facts[row] for row in outcome.rows]
    cuts: dict[str, list[str | None]] = {
        "language": [fact.language for fact in facts],
        "channel": [fact.channel for fact in facts],
        "length": [_length(fact.words) for fact in facts],
        "group": [fact.group for fact in facts],
        f"true {target}": list(outcome.true),
    }
    for other, found in record.outcomes.items():
        if other != target:
            label = dict(zip(found.rows.tolist(), found.true.tolist(), strict=True))
            cuts[f"true {other}"] = [label.get(row) for row in outcome.rows.tolist()]
    cut = [part for by, values in cuts.items() for part in _parts(outcome, by, values)]
    return sorted(cut, key=lambda part: part.gap)


def _length(words: int) -> str:
    return next(name for low, high, name in _LENGTHS if low <= words <= high)


def _parts(outcome: Outcome, by: str, values: Sequence[str | None]) -> list[Slice]:
    column = np.array(["" if value is None else value for value in values], dtype=np.object_)
    whole = float(np.mean(outcome.correct))
    found = []
    for value in sorted({value for value in values if value}):
        inside: NDArray[np.bool_] = np.asarray(column == value, dtype=bool)
        rows = int(inside.sum())
        if LEAST <= rows < len(column):
            right = float(np.mean(outcome.correct[inside]))
            kept = outcome.kept & inside
            found.append(
                Slice(
                    by=by,
                    value=value,
                    rows=rows,
                    accuracy=right,
                    gap=right - whole,
                    margin=1.96 * float(np.sqrt(max(right * (1 - right), 0.25 / rows) / rows)),
                    coverage=float(kept.sum() / rows),
                    risk=metrics.selective_risk(outcome.correct, kept),
                )
            )
    return found


def confused_pairs(outcome: Outcome, most: int = 8) -> list[dict[str, Any]]:
    """List the pairs of labels that are taken for each other most often: true, named, how many."""
    pairs: dict[tuple[str, str], int] = {}
    for true, top in zip(outcome.true.tolist(), outcome.top.tolist(), strict=True):
        if true != top:
            pairs[true, top] = pairs.get((true, top), 0) + 1
    ranked = sorted(pairs.items(), key=lambda item: (-item[1], item[0]))[:most]
    return [{"true": true, "named": named, "rows": rows} for (true, named), rows in ranked]
