"""Drift: alarms that tickets are not what they were, at a stated rate of false alarms and without a window."""

from __future__ import annotations

import random
from bisect import bisect_left, bisect_right, insort
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

TICKETS_BETWEEN_FALSE_ALARMS = 20_000
"""Tickets that pass on average, at least, before one signal gives a false alarm: months at a usual desk."""
_JUMP = 0.01
"""Share of the capital that changes sides after each ticket: the value of Vovk et al., and nothing here is tuned."""
_SIDES = (-1.0, 0.0, 1.0)


@dataclass(frozen=True)
class Alarm:
    """An alarm: the ticket at which it came, counted from one, and the evidence then."""

    ticket: int
    evidence: float


def alarms(values: Sequence[float], seed: int = 0) -> list[Alarm]:
    """Watch a number of each ticket, such as the confidence; after an alarm the watch begins anew.

    Each value gets a conformal p-value among all before it: these are independent and uniform while the order of the
    tickets tells nothing. A bettor against that (the simple jumper) and the sum over all moments of change (Shiryaev
    and Roberts) make the evidence, which passes a bound c after at least c tickets on average without a change. Source:
    Vovk et al. 2021, Retrain or not retrain: conformal test martingales for change-point detection.

    Args:
        values: In the order of the tickets.
        seed: Of the draws that break ties.
    """
    draw, seen, found, watch = random.Random(seed), list[float](), list[Alarm](), _Watch()
    for place, value in enumerate(values, 1):
        insort(seen, value)
        first, last = bisect_left(seen, value), bisect_right(seen, value)
        p = (len(seen) - last + draw.random() * (last - first)) / len(seen)
        if watch.update(p):
            found.append(Alarm(place, watch.evidence))
            seen, watch = [], _Watch()
    return found


def label_alarms(labels: Iterable[str], seed: int = 0) -> list[Alarm]:
    """Watch the label of each ticket: how rare it is among all so far; else as `alarms`."""
    draw, seen, found, watch = random.Random(seed), Counter[str](), list[Alarm](), _Watch()
    for place, label in enumerate(labels, 1):
        seen[label] += 1
        own = seen[label]
        rarer = sum(count for count in seen.values() if count < own)
        equal = sum(count for count in seen.values() if count == own)
        if watch.update((rarer + draw.random() * equal) / seen.total()):
            found.append(Alarm(place, watch.evidence))
            seen, watch = Counter(), _Watch()
    return found


class _Watch:
    """The bettor's capital on three sides, and the evidence for a change at any moment so far."""

    def __init__(self) -> None:
        self.evidence = 0.0
        self._capital = [1 / len(_SIDES)] * len(_SIDES)

    def update(self, p: float) -> bool:
        """Take one more p-value; return whether the evidence suffices for an alarm."""
        mixed = [(1 - _JUMP) * share + _JUMP / len(_SIDES) for share in self._capital]
        grown = [share * (1 + side * (p - 0.5)) for share, side in zip(mixed, _SIDES, strict=True)]
        growth = sum(grown)
        self._capital = [share / growth for share in grown]
        self.evidence = (self.evidence + 1) * growth
        return self.evidence >= TICKETS_BETWEEN_FALSE_ALARMS
