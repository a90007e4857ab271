"""Guards of classes that must not be missed: where one of them is likely enough, no other label is decided."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binom

from training.gate.risk_control import Flags, Values, upper_bound

LIMITS = np.geomspace(0.5, 0.001, 12)[::-1]
"""Limits that may be chosen, ascending: fixed before any ticket is seen, and few, since what is certified afterwards
is to hold for each of them."""


@dataclass(frozen=True)
class GuardCertificate:
    """What could be certified of the guard of one label.

    Attributes:
        min_recall: Share of its tickets that must not be decided as another label, in (0, 1).
        limit: Probability of it from which no other label is decided; 0 where nothing could be certified, so that no
            other label is decided at all.
        tickets: Calibration tickets with this label.
        missed: Of these, how many might be decided as another label.
        bound: Upper confidence bound of the share missed among new tickets (Clopper and Pearson 1934).
        more_tickets: Tickets with this label that a limit above 0 takes at least on top; 0 where there is one.
    """

    min_recall: float
    limit: float
    tickets: int
    missed: int
    bound: float
    more_tickets: int


def certify_guard(probability: Values, decidable: Flags, *, min_recall: float, delta: float) -> GuardCertificate:
    """Choose the highest limit at which enough tickets of a label are decided right or left to a person.

    Fixed-sequence testing as in `risk_control.certify`: from the lowest limit upwards the hypothesis "more than
    `1 - min_recall` of the tickets with this label are decided as another" has the exact binomial p-value of those
    missed; the first limit that cannot be rejected ends the sequence. All tickets with the label count, those left to a
    person among them as not missed, so what the model cannot tell costs coverage and not recall.

    Args:
        probability: The probability given to this label, by calibration ticket that has it, of shape [n].
        decidable: Whether the ticket might be decided as another label, whatever the threshold; of shape [n].
        min_recall: Share of its tickets that must not be missed, in (0, 1).
        delta: Probability with which more may be missed, in (0, 1).

    Example:
        >>> import numpy as np
        >>> certify_guard(np.full(60, 0.2), np.ones(60, dtype=bool), min_recall=0.95, delta=0.05).limit > 0.1
        True
        >>> certify_guard(np.full(20, 0.2), np.ones(20, dtype=bool), min_recall=0.95, delta=0.05).more_tickets
        39
    """
    tickets = len(probability)
    limit, lost = 0.0, 0
    for candidate in LIMITS:
        missed = int(np.count_nonzero(decidable & (probability < candidate)))
        if not tickets or binom.cdf(missed, tickets, 1 - min_recall) > delta:
            break
        limit, lost = float(candidate), missed
    needed = int(np.ceil(np.log(delta) / np.log(min_recall)))
    return GuardCertificate(
        min_recall=min_recall,
        limit=limit,
        tickets=tickets,
        missed=lost,
        bound=upper_bound(lost, tickets, delta) if limit else 0.0,
        more_tickets=0 if limit else max(1, needed - tickets),
    )


def hypotheses(guards: Mapping[str, GuardCertificate]) -> int:
    """Return among how many combinations of limits these were chosen: what is certified next holds for all of them.

    A limit of 0, where nothing could be certified, is one more outcome of each.

    Example:
        >>> none = np.zeros(0, dtype=bool)
        >>> guard = certify_guard(none.astype(float), none, min_recall=0.9, delta=0.1)
        >>> hypotheses({}), hypotheses({"security": guard}), guard.limit
        (1, 13, 0.0)
    """
    return int((len(LIMITS) + 1) ** len(guards))


def unguarded(label: NDArray[np.str_], probabilities: Mapping[str, Values], limits: Mapping[str, float]) -> Flags:
    """Say of each ticket whether no guard keeps its label from being decided, bool of shape [n].

    Args:
        label: What would be decided, of shape [n].
        probabilities: By guarded label, its probability by ticket.
        limits: By guarded label, the probability from which no other label is decided.
    """
    free = np.ones(len(label), dtype=bool)
    for guarded, limit in limits.items():
        free &= (label == guarded) | (probabilities[guarded] < limit)
    return free


def told(target: str, guards: Mapping[str, GuardCertificate]) -> list[str]:
    """Say in words what each guard of a target does."""
    return [
        f"{target}: {label!r} is guarded; no other label is decided where its probability is {one.limit:.3f} or more"
        if one.limit
        else f"{target}: {label!r} is guarded and has {one.tickets} tickets to tell it by; no other label is decided "
        f"at all until there are about {one.more_tickets} more, or the model tells them better"
        for label, one in guards.items()
    ]
