"""Whether a ticket stays at its tier or moves: every criterion is scored, quoted, and set by the policy."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from triage.decision import Decision
from triage.escalation.thread import Mover, Thread
from triage.policy import Policy, Tier
from triage.policy.hours import Hours
from triage.screening.cues import one_of
from triage.screening.reading import MAX_CHARS, Reading

_QUOTE_CHARS = 120


class Name(StrEnum):
    """The criteria; where several point to the same tier, the first of them is named."""

    ACCESS = "access"
    EXPERTISE = "expertise"
    SCOPE = "scope"
    COMPLEXITY = "complexity"
    NO_PROCEDURE = "no_procedure"
    ATTEMPTS = "attempts"
    PRIORITY = "priority"
    TIME = "time"
    PING_PONG = "ping_pong"


_SINCE = (Name.ACCESS, Name.ATTEMPTS, Name.TIME, Name.PRIORITY)
"""The criteria that move a ticket against a person: what only some may see, and what has happened since it was put
there. What the ticket says the person knew."""


@dataclass(frozen=True)
class Criterion:
    """One criterion and how it stands.

    Attributes:
        name: Which one.
        score: How far it is met, in its own unit: a probability, a share, a count.
        bar: From which score on it is met.
        met: Whether it is.
        tier: The tier that it asks for; None where it asks for none.
        because: What it found, in a few words.
        quote: The words of the ticket that say so; empty where no words do.
    """

    name: Name
    score: float
    bar: float
    met: bool = False
    tier: str | None = None
    because: str = ""
    quote: str = ""


@dataclass(frozen=True)
class Verdict:
    """Whether a ticket stays or moves.

    Attributes:
        move: Whether it moves.
        tier: Where it should be now.
        resolver_group: Who should have it now.
        by: The criterion that decides; None where it just stays.
        because: Why there and not above, in a few words.
        criteria: All of them.
        next_check_at: When to ask again: when the tier's time budget is spent, or `check_min` later where it has none
            or has spent it; None where the policy lists no such tier, or its hours name no time at which it works.
        held: Whether it stays because a person put it there.
        advised: The tier that the criteria ask for where it is held; else None.
        owner: Who decides now, where the ticket went to and fro too often.
        bounces: How often it returned to a group that had it before.
    """

    move: bool
    tier: str | None
    resolver_group: str | None
    by: Name | None
    because: str
    criteria: tuple[Criterion, ...]
    next_check_at: datetime | None
    held: bool = False
    advised: str | None = None
    owner: str | None = None
    bounces: int = 0


def assess(thread: Thread, decision: Decision, policy: Policy, at: datetime) -> Verdict:
    """Say whether a ticket stays at its tier or moves, and by which criterion.

    Args:
        thread: The ticket with everything that happened to it.
        decision: What is decided about the whole thread now.
        policy: Bars, budgets, skills and scopes.
        at: The moment to judge at, with a time zone.
    """
    criteria = tuple(_criteria(thread, decision, policy, at))
    now = thread.route
    up = [one for one in criteria if one.met and one.tier is not None and one.tier != now.tier]
    access = any(one.name is Name.ACCESS for one in up)
    asking = _chosen(up, now.tier, policy)
    chosen = (
        asking if now.by is not Mover.PERSON else _chosen([one for one in up if one.name in _SINCE], now.tier, policy)
    )
    owner = _owner(thread, policy)
    wanted = asking.tier if asking else None
    if not access and owner is not None:
        return _stays(thread, policy, at, criteria, by=Name.PING_PONG, owner=owner, advised=wanted)
    if chosen is None and wanted is not None:
        return _stays(thread, policy, at, criteria, held=True, advised=wanted)
    if chosen is None or chosen.tier is None:
        return _stays(thread, policy, at, criteria)
    return Verdict(
        True,
        chosen.tier,
        _group(thread, decision, policy, chosen.tier),
        chosen.name,
        _explained(chosen, criteria, policy, restricted=decision.restricted),
        criteria,
        _next_check(policy, chosen.tier, spent=0.0, at=at, priority=thread.priority),
        bounces=thread.bounces,
    )


def _group(thread: Thread, decision: Decision, policy: Policy, tier: str) -> str | None:
    """Return who takes the ticket at a tier: what must not wait stays with the group that the policy names for it."""
    kinds = {*(one.kind for one in decision.attention), *(kind for kind, _ in thread.alarms)}
    alarm = policy.attention_group(kinds, restricted=decision.restricted)
    return alarm or policy.resolver_group(tier, thread.route.category or decision.category)


def _taker(policy: Policy, tier: str | None, restricted: bool) -> str | None:
    """Return the tier that takes a ticket in place of one that a criterion asks for: the nearest that may see it."""
    return tier if policy.may_see(tier, restricted) else policy.cleared_tier(tier)


def _chosen(asking: Sequence[Criterion], tier: str | None, policy: Policy) -> Criterion | None:
    """Return the criterion that decides among those that ask for another tier than this one; None where none does."""
    access = next((one for one in asking if one.name is Name.ACCESS), None)
    chosen = access or _highest([one for one in asking if policy.is_below(tier, one.tier)], policy)
    return chosen or next((one for one in asking if one.name is Name.COMPLEXITY), None)


def _stays(
    thread: Thread,
    policy: Policy,
    at: datetime,
    criteria: tuple[Criterion, ...],
    **told: object,
) -> Verdict:
    now, by = thread.route, told.pop("by", None)
    spent = _spent(thread, policy, at) or 0.0
    if told.get("held"):
        because = f"a person put it at {now.tier}"
    elif by is not None:
        because = f"it went to and fro {thread.bounces} times: {told['owner']} decides"
    else:
        because = f"{now.tier}: no criterion asks for another tier"
    return Verdict(
        False,
        now.tier,
        now.resolver_group,
        by,  # type: ignore[arg-type]
        because,
        criteria,
        _next_check(policy, now.tier, spent=spent, at=at, priority=thread.priority),
        bounces=thread.bounces,
        **told,  # type: ignore[arg-type]
    )


def _criteria(thread: Thread, decision: Decision, policy: Policy, at: datetime) -> Iterable[Criterion]:
    readings = [Reading(text[:MAX_CHARS]) for text in thread.texts]
    yield _access(thread, decision, policy)
    yield _expertise(thread, decision, policy, readings)
    yield _scope(thread, decision, policy, readings)
    yield _complexity(thread, decision, policy)
    up = next_up(policy, thread.route.tier, restricted=decision.restricted)
    yield _no_procedure(policy, readings, up)
    yield _attempts(thread, policy, up)
    yield from _time(thread, policy, at, up)


def _access(thread: Thread, decision: Decision, policy: Policy) -> Criterion:
    now = thread.route.tier
    met = not policy.may_see(now, decision.restricted)
    tier = policy.cleared_tier(now) if met else None
    because = f"{now} may not see what is sensitive" if met else ""
    return Criterion(Name.ACCESS, score=float(met), bar=1.0, met=met, tier=tier, because=because)


def _expertise(thread: Thread, decision: Decision, policy: Policy, readings: Sequence[Reading]) -> Criterion:
    category = thread.route.category or decision.category
    stated = {name for event in thread.events for name in event.needs}
    found: list[Criterion] = []
    for skill in policy.escalation.skills:
        quote = _quoted(skill.any, readings)
        if quote is None and skill.name not in stated and category not in skill.categories:
            continue
        tier = _taker(policy, policy.fold("tier", skill.tier), decision.restricted)
        met = policy.is_below(thread.route.tier, tier)
        because = f"needs {skill.name}"
        found.append(
            Criterion(Name.EXPERTISE, score=1.0, bar=1.0, met=met, tier=tier, because=because, quote=quote or "")
        )
    return _highest(found, policy) or Criterion(Name.EXPERTISE, 0.0, 1.0)


def skills_needed(policy: Policy, text: str, tier: str) -> tuple[str, ...]:
    """Return the names of the skills that a text asks for and that a tier does not have.

    Example:
        >>> from triage.policy import EscalationPolicy, Skill, Tier
        >>> rules = EscalationPolicy(skills=(Skill("logs", "L2", any=("event log",)),))
        >>> policy = Policy("1", tiers=(Tier("L1"), Tier("L2")), escalation=rules)
        >>> skills_needed(policy, "Found it in the event log.", "L1")
        ('logs',)
    """
    readings = [Reading(text)]
    return tuple(
        skill.name
        for skill in policy.escalation.skills
        if policy.is_below(tier, policy.fold("tier", skill.tier)) and _quoted(skill.any, readings) is not None
    )


def _scope(thread: Thread, decision: Decision, policy: Policy, readings: Sequence[Reading]) -> Criterion:
    scopes = policy.escalation.scopes
    bar = next((float(place) for place, one in enumerate(scopes) if one.tier is not None), float(len(scopes)))
    for place, scope in reversed(list(enumerate(scopes))):
        quote = _quoted(scope.any, readings)
        if quote is not None:
            tier = _taker(policy, scope.tier and policy.fold("tier", scope.tier), decision.restricted)
            met = policy.is_below(thread.route.tier, tier)
            return Criterion(
                Name.SCOPE,
                score=float(place),
                bar=bar,
                met=met,
                tier=tier,
                because=f"it affects {scope.name}",
                quote=quote,
            )
    return Criterion(Name.SCOPE, 0.0, bar)


def _complexity(thread: Thread, decision: Decision, policy: Policy) -> Criterion:
    """Point to the most probable tier above, or below, where all tiers on that side together pass the bar.

    What speaks for a tier that may not see the ticket speaks for the one that takes it in its place.
    """
    verdict, now, bar = decision.targets.get("tier"), thread.route.tier, policy.escalation.change
    scores = defaultdict[str | None, float](float)
    for one in verdict.alternatives if verdict else ():
        scores[_taker(policy, one.label, decision.restricted)] += one.probability
    above = [tier for tier in scores if policy.is_below(now, tier)]
    below = [tier for tier in scores if policy.is_below(tier, now)]
    side = max((above, below), key=lambda those: sum(scores[tier] for tier in those))
    score = round(min(1.0, sum(scores[tier] for tier in side)), 3)
    best = max(side, key=lambda tier: scores[tier], default=None)
    met = best is not None and score >= bar
    where = "above" if side is above else "below"
    because = f"{score:.2f} that it belongs {where} {now}" if met else ""
    return Criterion(
        Name.COMPLEXITY,
        score=score,
        bar=bar,
        met=met,
        tier=best if met else None,
        because=because,
    )


def _no_procedure(policy: Policy, readings: Sequence[Reading], up: str | None) -> Criterion:
    quote = _quoted(policy.escalation.no_procedure, readings)
    tier = up if quote is not None else None
    because = "no written procedure covers it" if quote is not None else ""
    return Criterion(
        Name.NO_PROCEDURE,
        score=float(quote is not None),
        bar=1.0,
        met=tier is not None,
        tier=tier,
        because=because,
        quote=quote or "",
    )


def _attempts(thread: Thread, policy: Policy, up: str | None) -> Criterion:
    failed, bar = thread.failed_attempts, policy.escalation.attempts
    met = bar > 0 and len(failed) >= bar
    tier = up if met else None
    quote = next((event.text[:_QUOTE_CHARS] for event in reversed(failed) if event.text), "")
    because = f"{len(failed)} attempts did not help" if met else ""
    return Criterion(
        Name.ATTEMPTS,
        score=float(len(failed)),
        bar=float(bar),
        met=tier is not None,
        tier=tier,
        because=because,
        quote=quote,
    )


def _time(thread: Thread, policy: Policy, at: datetime, up: str | None) -> Iterable[Criterion]:
    """Compare the minutes spent in the tier's hours with its budget: the whole one, and what the priority allows."""
    tier, spent = policy.entry("tier", thread.route.tier or ""), _spent(thread, policy, at)
    budget = tier.time_budget_min if isinstance(tier, Tier) else None
    share = spent / budget if spent is not None and budget else 0.0
    shown = f"{spent or 0:.0f} of {budget or 0:.0f} minutes are spent"
    allowed = policy.escalation.priority.get(thread.priority or "")
    bars = (
        (Name.PRIORITY, allowed, f"priority {thread.priority}: {shown}"),
        (Name.TIME, policy.escalation.time, shown),
    )
    for name, bar, because in bars:
        met = bool(bar) and bar is not None and share >= bar
        asked = up if met else None
        yield Criterion(
            name, score=round(share, 3), bar=bar or 0.0, met=bool(asked), tier=asked, because=because if met else ""
        )


def _spent(thread: Thread, policy: Policy, at: datetime) -> float | None:
    hours = _hours(policy, thread.route.tier)
    return None if hours is None else hours.minutes_between(thread.arrived_at, at)


def _hours(policy: Policy, tier: str | None) -> Hours | None:
    entry = policy.entry("tier", tier or "")
    if not isinstance(entry, Tier):
        return None
    return Hours.parse(entry.hours, policy.escalation.timezone, policy.escalation.holidays)


def _next_check(policy: Policy, tier: str | None, spent: float, at: datetime, priority: str | None) -> datetime | None:
    hours, entry = _hours(policy, tier), policy.entry("tier", tier or "")
    if hours is None:
        return None
    share = min(policy.escalation.priority.get(priority or "", 1.0), policy.escalation.time or 1.0)
    budget = entry.time_budget_min if isinstance(entry, Tier) else None
    left = budget * share - spent if budget else 0.0
    due = hours.after(at, left if left > 0 else policy.escalation.check_min)
    return due


def next_up(policy: Policy, tier: str | None, *, restricted: bool) -> str | None:
    """Return the next tier inside the organisation that may see the ticket; time sends nothing to an outside party."""
    order = policy.labels("tier")
    if not policy.ordinal or tier not in order:
        return None
    above = order[order.index(tier) + 1 :]
    inside = (label for label in above if label not in policy.external_tiers)
    return next((label for label in inside if policy.may_see(label, restricted)), None)


def _highest(found: Sequence[Criterion], policy: Policy) -> Criterion | None:
    """Return the criterion that asks for the highest tier; the first of the list of names among equals."""
    order, names = policy.labels("tier"), list(Name)
    known = [one for one in found if one.tier in order]
    return min(known, key=lambda one: (-order.index(str(one.tier)), names.index(one.name)), default=None)


def _owner(thread: Thread, policy: Policy) -> str | None:
    limit = policy.escalation.max_bounces
    return policy.escalation.owner if limit and policy.escalation.owner and thread.bounces >= limit else None


def _explained(chosen: Criterion, criteria: Sequence[Criterion], policy: Policy, *, restricted: bool) -> str:
    tier = chosen.tier
    above = [label for label in policy.labels("tier") if policy.is_below(tier, label)]
    above = [label for label in above if policy.may_see(label, restricted)]
    because = f"{tier}: {chosen.because}"
    if not above or chosen.name in (Name.ACCESS, Name.COMPLEXITY):
        return because
    asks = {one.tier for one in criteria if one.met}
    missing = [skill.name for skill in policy.escalation.skills if policy.fold("tier", skill.tier) == above[0]]
    if above[0] in asks or not missing:
        return because
    return f"{because}; not {above[0]}: nothing says that it needs {' or '.join(missing)}"


def _quoted(patterns: Sequence[str], readings: Sequence[Reading]) -> str | None:
    """Return the sentence that holds a pattern, as it was written; None where none does."""
    pattern = one_of(patterns)
    if pattern is None:
        return None
    for reading in readings:
        match = pattern.search(reading.plain)
        if match is not None:
            start, end = reading.window(match.start(), match.end(), around=0)
            quote = " ".join(reading.text[start:end].split())
            near = " ".join(reading.text[max(start, match.start() - 40) : match.end() + 40].split())
            return quote if len(quote) <= _QUOTE_CHARS else near
    return None
