"""Splits that do not flatter: by time or by group where the data say so, near-duplicates always on one side."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from training.data.dataset import Dataset, LabelledTicket
from training.data.duplicates import joined, near_duplicates
from training.data.labels import MIN_ROWS
from triage.errors import InvalidDataset
from triage.prediction import ROUTE, in_order

TEST_SHARE = 0.15
"""Share of the rows that is set aside."""

DATED = 0.95
"""Share of rows with a date from which a split goes by time."""

LEAST_NEW, ENOUGH_NEW = 50, 300
"""New tickets below which no comparison means anything, and from which they alone measure a model well enough."""

ENOUGH_ASIDE = 50
"""Tickets set aside below which what is measured on them is rough, and that is said."""

MOST_ASIDE = 1 / 3
"""Share of the rows that may be set aside above which none are in place of those that may not."""

MOST_BY_TIME = 0.5
"""Share of the rows above which the latest ones are no part of a history: they all have one date, or nearly so."""

Kind = Literal["time", "group", "random", "new"]


@dataclass(frozen=True)
class Split:
    """Which rows to learn from and which are set aside.

    Attributes:
        train: Row numbers to learn from, ascending; int64.
        test: Row numbers set aside, ascending; int64.
        kind: ``time`` (the latest rows are set aside), ``group`` (whole groups are), ``random`` (stratified by label),
            ``new`` (rows that the present champion was never given).
        clusters: By row, the cluster of near-duplicates, of messages of one ticket and of rows of one group that it
            belongs to; one cluster is on one side.
    """

    train: NDArray[np.int64]
    test: NDArray[np.int64]
    kind: Kind
    clusters: NDArray[np.int64]

    @property
    def told(self) -> str:
        """How many rows are on each side, and on neither, in words."""
        neither = len(self.clusters) - len(self.train) - len(self.test)
        left = f", {neither} left out that belong together with some of those" if neither else ""
        few = f": what is measured on fewer than {ENOUGH_ASIDE} is rough" if len(self.test) < ENOUGH_ASIDE else ""
        lone = self.kind == "group" and len(np.unique(self.clusters[self.train])) == 1
        shut = "; one group is left to learn from, which promises nothing of a new one (--map group= leaves groups out)"
        aside = f"learning from {len(self.train)} tickets, {len(self.test)} set aside by {self.kind}"
        return f"{aside}{left}{few}{shut if lone else ''}"


MOST_MESSAGES = 50
"""Rows of one id above which it is no ticket's: a constant, or the wrong column."""


GROUPED = 0.5
"""Share of rows with a group from which whole groups are set aside, and from which a new one is promised something."""

FEWEST_TEXTS = 10
"""Different texts, numbers apart, below which nothing could be set aside: then numbers tell tickets apart as well."""


def kept_together(rows: Sequence[LabelledTicket], clusters: NDArray[np.int64] | None = None) -> NDArray[np.int64]:
    """Group the rows that must stay on one side of every split: near-duplicates, and messages of one ticket.

    Messages of one ticket have its id, and the same group where rows have one: each may number its own tickets.

    Args:
        rows: At least one.
        clusters: Near-duplicate clusters, where they are known already.

    Returns:
        The first row of each row's group, int64 of shape [n]. Where nearly all tickets differ in numbers, hosts and
        times only, these tell them apart.
    """
    texts = [row.ticket.text for row in rows]
    found = near_duplicates(texts) if clusters is None else clusters
    if len(np.unique(found)) < FEWEST_TEXTS:
        found = near_duplicates(texts, as_written=True)
    ids = [(row.group, row.ticket.id) for row in rows]
    counts = Counter(ids)
    first: dict[tuple[str | None, str], int] = {}
    tickets = [
        first.setdefault(one, place) if one[1] and counts[one] <= MOST_MESSAGES else place
        for place, one in enumerate(ids)
    ]
    return joined(found, np.array(tickets, dtype=np.int64))


def split(
    dataset: Dataset,
    seed: int,
    *,
    share: float = TEST_SHARE,
    clusters: NDArray[np.int64] | None = None,
    new: NDArray[np.bool_] | None = None,
) -> Split:
    """Set a part of the rows aside.

    By group where most rows have one, else by time where nearly all rows are dated (and not all alike), else at
    random. What may not be set aside has no say in that. Where some rows are new to the champion, and enough, they are
    what is set aside instead, or a sample of them where they are many: the champion was given all others, so that a
    challenger measured on them lacks nothing that the champion had. Rows whose labels came from a machine alone are
    never set aside: nothing could be measured on them. Nor are rows that people judged in the service, unless there are
    no others: who teaches does not mark. They are learned from, but for those that stay together with a row that is set
    aside: these are on neither side.

    Args:
        dataset: What was read.
        seed: Equal seeds give equal splits.
        share: Share of the rows that people labelled to set aside, in (0, 1); less where many of them may not be.
        clusters: What `kept_together` returns, where it is known already.
        new: Which rows the present champion was never given, bool of shape [n]; None where nothing serves yet.

    Raises:
        InvalidDataset: If the rows cannot be split into two sides.
    """
    rows = dataset.rows
    found = kept_together(rows) if clusters is None else clusters
    groups = joined(found, _groups(rows))
    usable = _usable(rows)
    if not usable.any():
        raise InvalidDataset(
            f"the {len(rows)} rows cannot be split: only a machine labelled them, and such rows are never set aside; "
            "add tickets that people labelled"
        )
    labelled = sum(row.weight > 0 for row in rows)
    share = max(share, min(MOST_ASIDE, share * labelled / np.count_nonzero(usable)))
    kind = _kind(rows, groups, usable, share=share, seed=seed)
    choose = {"time": _latest, "group": _whole_groups, "random": _stratified}[kind]

    def part_of(those: NDArray[np.bool_], share: float) -> NDArray[np.bool_]:
        among = np.flatnonzero(those)
        part = choose([rows[place] for place in among], groups[among], share, seed)
        return np.isin(groups, groups[among[part]])

    chosen = part_of(usable, share)
    if new is not None and kind != "group":
        later = _learnable(rows, _wholly(new, groups), groups)

        def sample(wanted: int) -> NDArray[np.bool_]:
            among = later & usable
            return part_of(among, wanted / np.count_nonzero(among))

        kind, chosen = _with_new(kind, chosen, later, usable=usable, sample=sample)
    test = np.flatnonzero(chosen & usable)
    train = np.flatnonzero(~np.isin(groups, groups[test]))
    if not len(test) or len(np.unique(found[[row for row in train if rows[row].weight > 0]])) < 2:
        raise InvalidDataset(_why_not(rows, groups))
    return Split(train, test, kind, groups)


def _usable(rows: Sequence[LabelledTicket]) -> NDArray[np.bool_]:
    """Say which rows may be set aside: of those that people labelled the ones that nobody judged in the service.

    Where all of them were judged, they all may.
    """
    labelled = np.array([row.weight > 0 for row in rows], dtype=bool)
    judged = np.array([row.judged for row in rows], dtype=bool)
    return labelled & ~judged if np.any(labelled & ~judged) else labelled


def _kind(
    rows: Sequence[LabelledTicket], groups: NDArray[np.int64], usable: NDArray[np.bool_], *, share: float, seed: int
) -> Kind:
    """Say by what the rows are split, as those tell that may be set aside."""
    among = np.flatnonzero(usable)
    those = [rows[int(place)] for place in among]
    if _are_grouped(those):
        return "group"
    if sum(row.ticket.opened_at is not None for row in those) < DATED * len(those):
        return "random"
    return "time" if np.mean(_latest(those, groups[among], share, seed)) <= MOST_BY_TIME else "random"


def _why_not(rows: Sequence[LabelledTicket], groups: NDArray[np.int64]) -> str:
    """Say why rows cannot be split."""
    machines = sum(row.weight == 0 for row in rows)
    judged = sum(row.weight > 0 and row.judged for row in rows)
    counts = ((machines, "labelled by a machine"), (judged, "judged in the service"))
    passed_over = " and ".join(f"{count} {how}" for count, how in counts if count)
    passed_over = f"; {passed_over} are not set aside while there are others" if passed_over else ""
    return (
        f"the {len(rows)} rows cannot be split: they fall into {len(np.unique(groups))} groups that must stay "
        f"together (near-duplicates, messages of one ticket, or one group){passed_over}; add other tickets"
    )


def _with_new(
    kind: Kind,
    chosen: NDArray[np.bool_],
    later: NDArray[np.bool_],
    *,
    usable: NDArray[np.bool_],
    sample: Callable[[int], NDArray[np.bool_]],
) -> tuple[Kind, NDArray[np.bool_]]:
    """Set aside what is new to the champion: alone where that is about as much as usual, else beside the usual part.

    Where it is much more, a sample of it is, unless enough of it is in the usual part anyway.
    """
    count, usual, both = (int(np.count_nonzero(rows & usable)) for rows in (later, chosen, later & chosen))
    wanted = max(LEAST_NEW, min(ENOUGH_NEW, usual))
    if wanted <= count <= 2 * usual:
        return "new", later
    if count > max(2 * usual, wanted) and both < wanted:
        return "new", sample(wanted)
    if LEAST_NEW <= count <= usual and (kind == "random" or both < LEAST_NEW):
        return kind, chosen | later
    return kind, chosen


def _wholly(rows: NDArray[np.bool_], groups: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Return the rows among those given whose whole group is among them, bool of shape [n]."""
    _, group_of = np.unique(groups, return_inverse=True)
    others = np.bincount(group_of, ~rows)
    whole: NDArray[np.bool_] = others[group_of] == 0
    return whole


def _are_grouped(rows: Sequence[LabelledTicket]) -> bool:
    """Say whether most rows belong to groups, of which there are at least two."""
    stated = [row.group for row in rows if row.group is not None]
    return len(stated) >= GROUPED * len(rows) and len(set(stated)) > 1


def _learnable(
    rows: Sequence[LabelledTicket], later: NDArray[np.bool_], groups: NDArray[np.int64]
) -> NDArray[np.bool_]:
    """Return the new rows less those from which a label that is new as well is learned: the first half of its groups.

    Set aside whole, a new label would count as wrong in every one of its tickets, and speak against a version that
    knows it.
    """
    later = later.copy()
    of_label: dict[tuple[str, str], list[int]] = {}
    for place, row in enumerate(rows):
        for one in row.labels.items():
            of_label.setdefault(one, []).append(place)
    for places in of_label.values():
        mine = np.array(places)
        if np.count_nonzero(~later[mine]) < MIN_ROWS <= len(mine):
            own = np.unique(groups[mine[later[mine]]])
            later[np.isin(groups, own[: (len(own) + 1) // 2])] = False
    return later


def _groups(rows: Sequence[LabelledTicket]) -> NDArray[np.int64]:
    """Number the groups; a row without one is a group of its own."""
    names: dict[str, int] = {}
    return np.array(
        [
            -1 - index if row.group is None else names.setdefault(row.group, len(names))
            for index, row in enumerate(rows)
        ],
        dtype=np.int64,
    )


def _latest(rows: Sequence[LabelledTicket], groups: NDArray[np.int64], share: float, seed: int) -> NDArray[np.bool_]:
    """Choose the latest rows; a cluster counts as old as its oldest row, so what recurs stays on the training side."""
    opened = np.array([row.ticket.opened_at.timestamp() if row.ticket.opened_at else -np.inf for row in rows])
    _, group_of = np.unique(groups, return_inverse=True)
    oldest = np.full(group_of.max() + 1, np.inf)
    np.minimum.at(oldest, group_of, opened)
    age = oldest[group_of]
    order = np.argsort(-age, kind="stable")
    wanted = max(1, round(share * len(rows)))
    latest: NDArray[np.bool_] = age >= age[order[wanted - 1]]
    return latest


def _whole_groups(
    rows: Sequence[LabelledTicket], groups: NDArray[np.int64], share: float, seed: int
) -> NDArray[np.bool_]:
    """Choose whole groups, in an order that the seed draws, while each brings the share nearer."""
    names, group_of, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    wanted, taken = share * len(rows), 0
    chosen = np.zeros(len(names), dtype=bool)
    for group in np.random.default_rng(seed).permutation(len(names)):
        if abs(taken + sizes[group] - wanted) < abs(taken - wanted):
            chosen[group] = True
            taken += int(sizes[group])
    if not chosen.any():
        chosen[np.argmin(sizes)] = True
    return chosen[group_of]


def _stratified(
    rows: Sequence[LabelledTicket], groups: NDArray[np.int64], share: float, seed: int
) -> NDArray[np.bool_]:
    """Choose clusters at random within each combination of labels, carrying over what does not divide."""
    rows_of: dict[int, list[int]] = {}
    for row, group in enumerate(groups.tolist()):
        rows_of.setdefault(group, []).append(row)
    strata: dict[tuple[str, ...], list[list[int]]] = {}
    there = {target for row in rows for target in row.labels}
    strata_of = in_order(there.intersection(ROUTE)) or in_order(there)
    for mine in rows_of.values():
        labels = rows[mine[0]].labels
        strata.setdefault(tuple(labels.get(target, "") for target in strata_of), []).append(mine)
    rng = np.random.default_rng(seed)
    chosen = np.zeros(len(rows), dtype=bool)
    pending = 0.0
    for key in sorted(strata):
        clusters = strata[key]
        pending += share * sum(map(len, clusters))
        for index in rng.permutation(len(clusters))[:-1] if len(clusters) > 1 else ():
            if pending < 0.5:
                break
            if len(clusters[index]) <= max(1.0, 2 * pending):
                chosen[clusters[index]] = True
                pending -= len(clusters[index])
    return chosen
