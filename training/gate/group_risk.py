"""The gate's threshold for groups that were never seen: organisations or sites, not rows, are the observations."""

from __future__ import annotations

from dataclasses import replace
from math import ceil

import numpy as np
from numpy.typing import NDArray

from training.gate.risk_control import GRID, Certificate, Flags, Values, kept_and_wrong, no_certificate

MIN_GROUP_ROWS = 20
"""Labelled rows from which a group counts as one observation of its own: with fewer, one error is more than 0.05."""

FORGIVEN = 2
"""Errors that prove nothing against a group: among its surest dozen tickets one or two may be mislabelled."""

NO_GROUP = -1
"""Group number of a row that belongs to no group: it says nothing about a new one."""

_BETS = np.geomspace(0.05, 1.0, 12)
"""Shares of the largest bet that the mixture is made of: small ones win slowly and surely, the largest against no error
at all. A dozen cover the range; the mixture is valid whatever they are."""

Groups = NDArray[np.int64]


def certify_new_group(
    confidence: Values, correct: Flags, eligible: Flags, groups: Groups, *, risk: float, delta: float
) -> Certificate:
    """Choose the lowest threshold that a group which was never seen keeps the error rate above.

    Where there are enough groups of some size, the promise is for each new group: the error rate that it will see
    among its own automatic decisions is at most `risk` with probability at least `1 - delta`. This is split conformal
    prediction with groups as the exchangeable observations (hierarchical conformal prediction: Dunn, Wasserman and
    Ramdas 2023; Lee, Barber and Willett 2023). A group's score is the lowest threshold down to which its error rate
    stays within `risk`, coming from the highest; the threshold is the order statistic of these scores of rank
    ``ceil((1 - delta)(groups + 1))``. Errors up to `FORGIVEN` are no evidence against a group, whatever their share:
    the promise is for a group with at least `least_decisions` automatic decisions.

    With many small groups, whose own error rate would be mere noise, it is for the new groups' tickets taken together:
    the mean over groups of wrong minus `risk` times kept is tested by betting (Waudby-Smith and Ramdas 2024), for one
    threshold after the other as in `training.gate.risk_control.certify`. A bet needs a bound of what one group can
    cost, and takes the tickets of the largest group seen: so this promise is for groups that are no larger, over as
    long a time as the tickets are from. A larger one may bring more errors than were bet on.

    Args:
        confidence: Of the label that would be routed, in [0, 1], of shape [n].
        correct: Whether that label is right.
        eligible: Whether nothing else than confidence keeps the ticket from being decided.
        groups: Group number of each row, `NO_GROUP` for a row of none.
        risk: Highest error rate among kept tickets, in (0, 1).
        delta: Probability with which it may be exceeded, in (0, 1).
    """
    n, member = len(confidence), groups != NO_GROUP
    if not member.any():
        return no_certificate(n, None)
    numbers = np.unique(groups[member], return_inverse=True)[1]
    kept, wrong = _by_group(np.where(eligible, confidence, -1.0)[member], correct[member], numbers)
    sizes = np.bincount(numbers)
    large = np.flatnonzero(sizes >= MIN_GROUP_ROWS)
    if len(large) >= least_groups(delta):
        chosen = _by_rank(kept[large], wrong[large], risk=risk, delta=delta)
        missing = 0
    else:
        chosen = _by_betting(kept, wrong, sizes, risk=risk, delta=delta)
        missing = least_groups(delta) - len(large)
    if chosen is None:
        more = ceil(missing * n / max(1, len(sizes))) if missing and len(large) else None
        return replace(no_certificate(n, more), groups=len(sizes), more_groups=missing or None)
    return Certificate(
        float(GRID[chosen]), round(kept[:, chosen].sum()), round(wrong[:, chosen].sum()), n,
        bound=risk if missing else _worst(kept[large, chosen], wrong[large, chosen], risk=risk, delta=delta),
        more_tickets=0, promise="new_group", groups=len(sizes), more_groups=0,
        largest_group=int(sizes.max()) if missing else 0,
    )  # fmt: skip


def least_groups(delta: float) -> int:
    """Return how many groups it takes to promise something about each new one.

    Example:
        >>> least_groups(0.05), least_groups(0.10)
        (19, 9)
    """
    return ceil(round(1 / delta, 9)) - 1


def least_decisions(risk: float) -> int:
    """Return how many decisions a group needs so that the errors forgiven to each do not exceed the risk.

    Example:
        >>> least_decisions(0.05), least_decisions(0.10)
        (40, 20)
    """
    return ceil(round(FORGIVEN / risk, 9))


def _by_group(seen: Values, correct: Flags, groups: Groups) -> tuple[Values, Values]:
    """Count kept tickets, and wrong ones, at each threshold: arrays of shape [groups, len(GRID)]."""
    found = [
        kept_and_wrong(seen[groups == group], (~correct[groups == group]).astype(np.float64))
        for group in range(groups.max(initial=-1) + 1)
    ]
    return np.array([kept for kept, _ in found]), np.array([wrong for _, wrong in found])


def _by_rank(kept: Values, wrong: Values, *, risk: float, delta: float) -> int | None:
    """Return the place of the lowest threshold that all groups but those the rank leaves out have kept down to."""
    exceeded = wrong > np.maximum(risk * kept, FORGIVEN) + 1e-9
    below = np.maximum.accumulate(exceeded[:, ::-1], axis=1)[:, ::-1]
    spare = len(kept) - ceil(round((1 - delta) * (len(kept) + 1), 9))
    fine = np.flatnonzero((below.sum(axis=0) <= spare) & (kept.sum(axis=0) > 0))
    return int(fine[0]) if len(fine) else None


def _by_betting(kept: Values, wrong: Values, sizes: Groups, *, risk: float, delta: float) -> int | None:
    """Return the place of the last threshold of the sequence at which "the mean exceeds the risk" is rejected.

    The sequence runs downwards from ``1 - risk``: were the confidence exact, half of the risk would be left there.
    """
    largest, chosen = float(sizes.max(initial=1)), None
    for place in range(int(np.searchsorted(GRID, 1.0 - risk)), -1, -1):
        gains = (risk * kept[:, place] - wrong[:, place]) / largest  # in [risk - 1, risk]; mean below 0 if exceeded
        wealth = np.exp(np.log1p(np.outer(_BETS / (1 - risk) * (1 - 1e-9), gains)).sum(axis=1)).mean()
        if wealth < 1 / delta:
            break
        chosen = place
    return chosen


def _worst(kept: Values, wrong: Values, *, risk: float, delta: float) -> float:
    """Return the error rate by group that the rank allows: the share wrong of the group in that place.

    Groups with too few decisions for the promise speak against nothing, as where the threshold was chosen: what is
    forgiven to them may be any share. So the bound is never above the risk.
    """
    rates = np.sort(np.where(kept >= least_decisions(risk), wrong / np.maximum(kept, 1), 0.0))
    return float(rates[min(len(rates), ceil(round((1 - delta) * (len(rates) + 1), 9))) - 1])
