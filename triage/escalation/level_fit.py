"""How well levels fit: where tickets were sent and where they were resolved, and what the difference cost."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from triage.policy import Policy

_MOST_OVER_TIME = 6
"""Categories and groups that are followed over time: more lines cannot be told apart."""


@dataclass(frozen=True)
class Routed:
    """A ticket that is done.

    Attributes:
        sent: The tier that it was sent to first.
        resolved: The tier that resolved it.
        category: Its category; None where it has none.
        resolver_group: The group that resolved it; None if unknown.
        opened_at: When it came; None if unknown.
        bounces: How often it came back to a group that had it before; None if its journey is unknown.
    """

    sent: str
    resolved: str
    category: str | None = None
    resolver_group: str | None = None
    opened_at: datetime | None = None
    bounces: int | None = None


@dataclass(frozen=True)
class Fit:
    """How some tickets were levelled; shares in [0, 1].

    Attributes:
        tickets: How many.
        right: Share that was resolved at the tier that it was sent to: first-contact resolution at the right level.
        first_line: Share that a tier of the first line resolved (`Policy.first_line`).
        too_low: Share sent below the tier that resolved it: it has to be escalated.
        too_high: Share sent above the tier that resolved it: over-escalated.
        cost_low: What those sent too low cost by the policy, per ticket.
        cost_high: What those sent too high cost by the policy, per ticket.
        bounces: Returns to a group that had the ticket before, per ticket whose journey is known; None where none is.
        cost_bounces: What these cost by the policy, in reassignments per such ticket.
    """

    tickets: int
    right: float
    first_line: float
    too_low: float
    too_high: float
    cost_low: float
    cost_high: float
    bounces: float | None = None
    cost_bounces: float | None = None


@dataclass(frozen=True)
class LevelFit:
    """The whole report.

    Attributes:
        all: All tickets.
        resolved: Share of tickets that each tier resolved.
        sent: Share of tickets that each tier was sent.
        expected: Share that the policy expects at each tier; empty where it states none.
        by_category: One fit a category, the commonest first.
        by_group: One fit a resolver group.
        by_month: One fit a month, in order.
        months_by_category: For each of the commonest categories, one fit a month, in order.
        months_by_group: For each of the commonest resolver groups, the same.
    """

    all: Fit
    resolved: dict[str, float]
    sent: dict[str, float]
    expected: dict[str, float]
    by_category: dict[str, Fit]
    by_group: dict[str, Fit]
    by_month: dict[str, Fit]
    months_by_category: dict[str, dict[str, Fit]]
    months_by_group: dict[str, dict[str, Fit]]


def level_fit(policy: Policy, tickets: Sequence[Routed]) -> LevelFit:
    """Say how well tickets were levelled, over all and by category, group and month.

    Args:
        policy: The order of the tiers, and what a step too low or too high costs.
        tickets: At least one.

    Example:
        >>> from triage.policy import Tier
        >>> policy = Policy("1", tiers=(Tier("L1"), Tier("L2"), Tier("L3")))
        >>> level_fit(policy, [Routed("L1", "L1"), Routed("L1", "L3")]).all.cost_low
        1.0
    """
    count, tiers = len(tickets), policy.labels("tier")
    return LevelFit(
        all=_fit(policy, tickets),
        resolved={tier: sum(one.resolved == tier for one in tickets) / count for tier in tiers},
        sent={tier: sum(one.sent == tier for one in tickets) / count for tier in tiers},
        expected=_folded(policy, policy.expected_shares("tier")),
        by_category=_by(policy, tickets, lambda one: one.category),
        by_group=_by(policy, tickets, lambda one: one.resolver_group),
        by_month=dict(sorted(_by(policy, tickets, _month).items())),
        months_by_category=_months_by(policy, tickets, lambda one: one.category),
        months_by_group=_months_by(policy, tickets, lambda one: one.resolver_group),
    )


def _folded(policy: Policy, shares: Mapping[str, float]) -> dict[str, float]:
    found: dict[str, float] = defaultdict(float)
    for tier, share in shares.items():
        found[policy.fold("tier", tier)] += share
    return dict(found)


def _months_by(
    policy: Policy, tickets: Sequence[Routed], key: Callable[[Routed], str | None]
) -> dict[str, dict[str, Fit]]:
    names = list(_by(policy, tickets, key))[:_MOST_OVER_TIME]
    return {
        name: dict(sorted(_by(policy, [one for one in tickets if key(one) == name], _month).items())) for name in names
    }


def _month(ticket: Routed) -> str | None:
    return ticket.opened_at.strftime("%Y-%m") if ticket.opened_at else None


def _by(policy: Policy, tickets: Iterable[Routed], key: Callable[[Routed], str | None]) -> dict[str, Fit]:
    parts: dict[str, list[Routed]] = defaultdict(list)
    for ticket in tickets:
        name = key(ticket)
        if name is not None:
            parts[name].append(ticket)
    return {name: _fit(policy, part) for name, part in sorted(parts.items(), key=lambda item: -len(item[1]))}


def _fit(policy: Policy, tickets: Sequence[Routed]) -> Fit:
    count = len(tickets)
    first = set(policy.first_line)
    low = [one for one in tickets if policy.is_below(one.sent, one.resolved)]
    high = [one for one in tickets if policy.is_below(one.resolved, one.sent)]
    known = [one.bounces for one in tickets if one.bounces is not None]
    bounces = sum(known) / len(known) if known else None
    return Fit(
        tickets=count,
        right=sum(one.sent == one.resolved for one in tickets) / count,
        first_line=sum(one.resolved in first for one in tickets) / count,
        too_low=len(low) / count,
        too_high=len(high) / count,
        cost_low=sum(policy.cost(one.resolved, one.sent) for one in low) / count,
        cost_high=sum(policy.cost(one.resolved, one.sent) for one in high) / count,
        bounces=bounces,
        cost_bounces=bounces * policy.escalation.bounce_cost if bounces is not None else None,
    )
