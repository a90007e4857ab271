"""What speaks for each tier of a group: its name, where tickets come from, how long they stay, and what they say."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median

import numpy as np

from training.group_tiers.history import Closed
from training.group_tiers.names import named
from triage.rules import RuleBook

LADDER = ("L0", "L1", "L2", "L3", "L4")
"""The tiers of the default policy, whose meaning the evidence is about."""

_LEAST = 5
"""Tickets, moves or times from which on something is said of a group at all."""
_RUNGS = {"L0": (-1.0, -0.5), "L1": (0.0, 0.0), "L2": (1.0, 0.8), "L3": (2.0, 1.4), "L4": (3.0, 1.9)}
"""Steps above the first line at which a tier is found where every ticket climbs one tier at a time, and where many skip
tiers and come back: then a tier is worth less than a step."""
_SKIPPING = 0.35
"""How far steps differ from one rung on average at a desk where many skip tiers."""
_STEP_SPREAD = 0.2
"""Spread of a group's height about that of its tier, in steps."""
_MOST = 4.0
"""Most points that one kind of evidence may give: none may drown the others together."""
_TIMES = {"L0": -3.0, "L1": 0.0, "L2": 2.0, "L3": 3.5, "L4": 4.0}
"""Binary logarithm of how many times longer than at the first line tickets stay: the default policy's budgets are 30
and 240 minutes, and by the clock on the wall most of what lies above waits besides."""
_TIME_SPREAD = 1.5
_INTAKE = 2.5
"""Points for the first line of the group that takes in the most, less for others by their share of that."""
_BREADTH = 1.5
"""Points for the first line of a group that gets every category as often as the desk as a whole does."""
_RULES = 1.5
"""Most points for what written rules say of a group's tickets: rules on tiers are right of two in three tickets."""
_PULL = 15.0
"""Tickets that pull what rules say of a group towards what they say of all: five tickets show nothing."""
_PRIOR = {"L0": -1.0, "L1": -0.5, "L2": 0.5, "L3": 0.0, "L4": -1.0}
"""Where nothing tells, a group is technical support: there are more of those, and it is in the middle."""


@dataclass(frozen=True)
class Evidence:
    """One thing that speaks for a tier: its kind, what it is in words, and its points by tier (natural logarithms)."""

    kind: str
    text: str
    points: Mapping[str, float]


@dataclass(frozen=True)
class Judged:
    """A group with the evidence on its tier.

    Attributes:
        group: Its name.
        tickets: How many it resolved.
        evidence: The strongest first.
        points: By tier, all points together.
    """

    group: str
    tickets: int
    evidence: tuple[Evidence, ...] = ()
    points: Mapping[str, float] = field(default_factory=dict)

    @property
    def tier(self) -> str:
        """The tier with the most points."""
        return max(LADDER, key=lambda tier: self.points[tier])

    @property
    def margin(self) -> float:
        """Points between the first tier and the second: how clear it is."""
        best, second = sorted(self.points.values(), reverse=True)[:2]
        return best - second


KINDS = ("name", "journeys", "intake", "times", "breadth", "wording")
"""The kinds of evidence."""


def judge(closed: Sequence[Closed], rules: RuleBook, kinds: Sequence[str] = KINDS) -> list[Judged]:
    """Weigh what speaks for each tier of each group that ever had a ticket, those with the most tickets first.

    Args:
        closed: The history.
        rules: Written rules that name tiers: how often they name which says what a group's tickets need.
        kinds: The kinds of evidence to use, for measuring what each is worth.
    """
    resolved = Counter(one.resolver for one in closed)
    had = Counter(group for one in closed for group in one.path)
    found: dict[str, list[Evidence]] = defaultdict(list)
    for kind, of in (
        ("name", _by_name(had)),
        ("journeys", _by_journeys(closed)),
        ("intake", _by_intake(closed)),
        ("times", _by_times(closed)),
        ("breadth", _by_breadth(closed)),
        ("wording", _by_wording(closed, rules) if "wording" in kinds else {}),
    ):
        for group, one in of.items() if kind in kinds else ():
            found[group].append(one)
    judged = [_judged(group, resolved[group], found[group]) for group in had]
    return sorted(judged, key=lambda one: (-one.tickets, one.group))


def _judged(group: str, tickets: int, evidence: Sequence[Evidence]) -> Judged:
    points = {tier: _PRIOR[tier] + sum(one.points.get(tier, 0.0) for one in evidence) for tier in LADDER}
    best = max(LADDER, key=lambda tier: points[tier])
    ranked = sorted(evidence, key=lambda one: -one.points.get(best, 0.0))
    return Judged(group, tickets, tuple(ranked), points)


def _by_name(groups: Mapping[str, int]) -> dict[str, Evidence]:
    found = {group: named(group) for group in groups}
    return {
        group: Evidence("name", f"its name says {one.word!r}", {one.tier: one.points})
        for group, one in found.items()
        if one is not None
    }


def _by_journeys(closed: Sequence[Closed]) -> dict[str, Evidence]:
    """Place groups on a ladder such that each step of a journey is one rung, by least squares over all steps.

    That is HodgeRank (Jiang and others, 2011) on the net flow between groups: what goes to and fro cancels out.
    """
    moves = Counter(step for one in closed for step in zip(one.path, one.path[1:], strict=False))
    groups = sorted({group for step in moves for group in step})
    starts = Counter(one.path[0] for one in closed)
    if not any(starts[group] for group in groups):
        return {}
    heights = _heights(groups, moves)
    at_start = sum(starts[group] * heights[group] for group in groups) / sum(starts[group] for group in groups)
    base = max((group for group in groups if starts[group]), key=lambda group: starts[group])
    zero = min(heights[base], at_start)
    steps: Counter[str] = Counter()
    for (source, target), count in moves.items():
        steps.update({source: count, target: count})
    had = Counter(group for one in closed for group in one.path)
    raised = {  # what begins somewhere was not handed up to it
        group: (heights[group] - zero) * (1 - starts[group] / had[group]) for group in groups if steps[group] >= _LEAST
    }
    skipping = _skipping(heights, moves)
    return {
        group: Evidence(
            "journeys",
            f"{height:+.1f} steps above where tickets begin, by {steps[group]} reassignments",
            _near(height, _STEP_SPREAD + 1 / math.sqrt(steps[group]), skipping),
        )
        for group, height in raised.items()
    }


def _skipping(heights: Mapping[str, float], moves: Mapping[tuple[str, str], int]) -> float:
    """Return how much tickets skip tiers, from 0 (every step is one rung) to 1."""
    net = {(low, high): count - moves.get((high, low), 0) for (low, high), count in moves.items()}
    up = {step: count for step, count in net.items() if count > 0}
    off = sum(count * abs(heights[high] - heights[low] - 1) for (low, high), count in up.items())
    return min(1.0, off / max(1, sum(up.values())) / _SKIPPING)


def _heights(groups: Sequence[str], moves: Mapping[tuple[str, str], int]) -> dict[str, float]:
    place = {group: number for number, group in enumerate(groups)}
    laplacian, pull = np.eye(len(groups)) * 1e-6, np.zeros(len(groups))
    for (source, target), count in moves.items():
        net = count - moves.get((target, source), 0)
        if net > 0:
            low, high = place[source], place[target]
            laplacian[[low, high], [low, high]] += net
            laplacian[[low, high], [high, low]] -= net
            pull[low] -= net
            pull[high] += net
    solved = np.linalg.solve(laplacian, pull)
    return {group: float(solved[place[group]]) for group in groups}


def _near(height: float, spread: float, skipping: float) -> dict[str, float]:
    """Return points by how near a height is to each tier's rung, the nearest getting the most."""
    rungs = {tier: strict + skipping * (loose - strict) for tier, (strict, loose) in _RUNGS.items()}
    raw = {tier: -0.5 * ((height - rung) / spread) ** 2 for tier, rung in rungs.items()}
    best = max(raw.values())
    return {tier: max(-_MOST, value - best) for tier, value in raw.items()}


def _by_intake(closed: Sequence[Closed]) -> dict[str, Evidence]:
    begun = Counter(one.path[0] for one in closed)
    most = max(begun.values())
    return {
        group: Evidence(
            "intake",
            f"{count / len(closed):.0%} of all tickets begin there",
            {"L1": _INTAKE * (2 * count / most - 1) if count * 4 >= most else -_INTAKE / 2},
        )
        for group, count in begun.items()
    }


def _by_times(closed: Sequence[Closed]) -> dict[str, Evidence]:
    times: dict[str, list[float]] = defaultdict(list)
    for one in closed:
        for stay in one.stays:
            if stay.minutes is not None:
                times[stay.group].append(max(1.0, stay.minutes))
    middle = {group: median(found) for group, found in times.items() if len(found) >= _LEAST}
    begun = Counter(one.path[0] for one in closed if one.path[0] in middle)
    if len(middle) < 2 or not begun:
        return {}
    base = middle[max(begun, key=lambda group: begun[group])]
    evidence = {}
    for group, minutes in middle.items():
        ratio = math.log2(minutes / base)
        raw = {tier: -0.5 * ((ratio - usual) / _TIME_SPREAD) ** 2 for tier, usual in _TIMES.items()}
        best = max(raw.values())
        points = {tier: max(-_MOST / 2, value - best) for tier, value in raw.items()}
        text = f"tickets stay {_duration(minutes)} there (median of {len(times[group])}), {minutes / base:.1f} times"
        evidence[group] = Evidence("times", f"{text} as long as where most begin", points)
    return evidence


def _duration(minutes: float) -> str:
    return f"{minutes:.0f} minutes" if minutes < 120 else f"{minutes / 60:.0f} hours"


def _by_breadth(closed: Sequence[Closed]) -> dict[str, Evidence]:
    """Say how broad the mix of categories of each group is, as a share of that of the desk as a whole."""
    of_group: dict[str, Counter[str]] = defaultdict(Counter)
    for one in closed:
        if one.category is not None and one.category != one.resolver:
            of_group[one.resolver][one.category] += 1
    whole = _entropy(sum(of_group.values(), Counter()))
    if whole <= 0:
        return {}
    evidence = {}
    for group, counts in of_group.items():
        if counts.total() >= 4 * _LEAST:
            breadth = min(1.0, _entropy(counts) / whole)
            text = f"it gets {len(counts)} categories, {breadth:.0%} as mixed as the whole desk"
            points = _BREADTH * (2 * breadth - 1)
            evidence[group] = Evidence("breadth", text, {"L0": points / 2, "L1": points})
    return evidence


def _entropy(counts: Mapping[str, int]) -> float:
    total = sum(counts.values())
    return -sum(count / total * math.log(count / total) for count in counts.values() if count)


def _by_wording(closed: Sequence[Closed], rules: RuleBook) -> dict[str, Evidence]:
    """Count which tiers the written rules name for the tickets of each group, beside how often they do for all."""
    of_group: dict[str, Counter[str]] = defaultdict(Counter)
    for one in closed:
        rule = rules.bypass(one.ticket, "tier") or rules.fallback(one.ticket, "tier")
        if rule is not None and not rule.is_catch_all and rule.tier in LADDER:
            of_group[one.resolver][str(rule.tier)] += 1
    every = sum(of_group.values(), Counter())
    usual = {tier: (every[tier] + 1) / (every.total() + len(LADDER)) for tier in LADDER}
    evidence = {}
    for group, counts in of_group.items():
        if counts.total() >= _LEAST:
            shares = {tier: (counts[tier] + _PULL * usual[tier]) / (counts.total() + _PULL) for tier in LADDER}
            lift = {tier: math.log(shares[tier] / usual[tier]) for tier in LADDER}
            top = max(lift, key=lambda tier: lift[tier])
            text = f"the written rules say {top} of {counts[top]} of its {counts.total()} tickets that they speak of"
            points = {tier: max(-_RULES, min(_RULES, value)) for tier, value in lift.items()}
            evidence[group] = Evidence("wording", f"{text}, of {usual[top]:.0%} of all", points)
    return evidence
