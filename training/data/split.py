"""Splits that do not flatter: by time or by group where the data say so, near-duplicates always on one side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from training.data.dataset import Dataset, LabelledTicket
from training.data.duplicates import joined, near_duplicates
from triage.errors import InvalidDataset

TEST_SHARE = 0.15
"""Share of the rows that is set aside."""

DATED = 0.95
"""Share of rows with a date from which a split goes by time."""

Kind = Literal["time", "group", "random"]


@dataclass(frozen=True)
class Split:
    """Which rows to learn from and which are set aside.

    Attributes:
        train: Row numbers to learn from, ascending; int64.
        test: Row numbers set aside, ascending; int64.
        kind: ``time`` (the latest rows are set aside), ``group`` (whole groups are), ``random`` (stratified by label).
        clusters: Cluster of near-duplicates of each row; rows of one cluster are on one side.
    """

    train: NDArray[np.int64]
    test: NDArray[np.int64]
    kind: Kind
    clusters: NDArray[np.int64]


def split(
    dataset: Dataset, seed: int, *, share: float = TEST_SHARE, clusters: NDArray[np.int64] | None = None
) -> Split:
    """Set a part of the rows aside.

    By group where a column plays that role, else by time where nearly all rows are dated, else at random. Rows whose
    labels came from a machine alone are never set aside: nothing could be measured on them.

    Args:
        dataset: What was read.
        seed: Equal seeds give equal splits.
        share: Share of the rows to set aside, in (0, 1).
        clusters: Near-duplicate clusters, where they are known already.

    Raises:
        InvalidDataset: If the rows cannot be told apart into two sides.
    """
    rows = dataset.rows
    found = near_duplicates([row.ticket.text for row in rows]) if clusters is None else clusters
    units = found
    kind: Kind = "random"
    if len({row.group for row in rows if row.group is not None}) > 1:
        kind, units = "group", joined(found, _groups(rows))
    elif sum(row.ticket.opened_at is not None for row in rows) >= DATED * len(rows):
        kind = "time"
    chosen = {"time": _latest, "group": _whole_groups, "random": _stratified}[kind](rows, units, share, seed)
    usable = np.array([row.weight > 0 for row in rows])
    test = np.flatnonzero(chosen & usable)
    train = np.flatnonzero(~chosen)
    if not len(test) or not len(train):
        raise InvalidDataset(
            f"the {len(rows)} rows cannot be split: they fall into {len(np.unique(units))} groups that must stay "
            "together (near-duplicates, or one group); add other tickets"
        )
    return Split(train, test, kind, found)


def _groups(rows: Sequence[LabelledTicket]) -> NDArray[np.int64]:
    """Number the groups; a row without one is a group of its own."""
    names: dict[str, int] = {}
    return np.array(
        [
            -1 - place if row.group is None else names.setdefault(row.group, len(names))
            for place, row in enumerate(rows)
        ],
        dtype=np.int64,
    )


def _latest(rows: Sequence[LabelledTicket], units: NDArray[np.int64], share: float, seed: int) -> NDArray[np.bool_]:
    """Choose the latest rows; a cluster counts as old as its oldest row, so what recurs stays on the training side."""
    opened = np.array([row.ticket.opened_at.timestamp() if row.ticket.opened_at else -np.inf for row in rows])
    _, unit = np.unique(units, return_inverse=True)
    oldest = np.full(unit.max() + 1, np.inf)
    np.minimum.at(oldest, unit, opened)
    age = oldest[unit]
    order = np.argsort(-age, kind="stable")
    wanted = max(1, round(share * len(rows)))
    latest: NDArray[np.bool_] = age >= age[order[wanted - 1]]
    return latest


def _whole_groups(
    rows: Sequence[LabelledTicket], units: NDArray[np.int64], share: float, seed: int
) -> NDArray[np.bool_]:
    """Choose whole groups, in an order that the seed draws, while each brings the share nearer."""
    names, unit, sizes = np.unique(units, return_inverse=True, return_counts=True)
    wanted, taken = share * len(rows), 0
    chosen = np.zeros(len(names), dtype=bool)
    for place in np.random.default_rng(seed).permutation(len(names)):
        if abs(taken + sizes[place] - wanted) < abs(taken - wanted):
            chosen[place] = True
            taken += int(sizes[place])
    if not chosen.any():
        chosen[np.argmin(sizes)] = True
    return chosen[unit]


def _stratified(rows: Sequence[LabelledTicket], units: NDArray[np.int64], share: float, seed: int) -> NDArray[np.bool_]:
    """Choose clusters at random within each combination of labels, carrying over what does not divide."""
    estimators: dict[int, list[int]] = {}
    for row, unit in enumerate(units.tolist()):
        estimators.setdefault(unit, []).append(row)
    strata: dict[tuple[str, ...], list[list[int]]] = {}
    for mine in estimators.values():
        labels = rows[mine[0]].labels
        strata.setdefault(tuple(labels.get(target, "") for target in ("tier", "category")), []).append(mine)
    rng = np.random.default_rng(seed)
    chosen = np.zeros(len(rows), dtype=bool)
    pending = 0.0
    for key in sorted(strata):
        clusters = strata[key]
        pending += share * sum(map(len, clusters))
        for place in rng.permutation(len(clusters))[:-1] if len(clusters) > 1 else ():
            if pending < 0.5:
                break
            if len(clusters[place]) <= max(1.0, 2 * pending):
                chosen[clusters[place]] = True
                pending -= len(clusters[place])
    return chosen
