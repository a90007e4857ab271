"""Whether new words about a ticket change its route: a higher bar than for the first, never against a person."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from datetime import datetime

from triage.decision import Automation, Decision
from triage.escalation.standing import Place, set_by_person
from triage.escalation.thread import Event, Mover, Route, Thread
from triage.gate import Gate, TargetGate
from triage.normalise import LeftOut
from triage.policy import Policy


def route_by_person(
    thread: Thread, event: Event, policy: Policy, kinds: Collection[str] = (), *, restricted: bool = False
) -> Route:
    """Return the route that a person set by an event; what was not named stays, and the group follows the policy.

    Args:
        thread: The ticket with what happened before.
        event: What the person said.
        policy: Names the groups.
        kinds: What was found in the ticket that must not wait: it stays with the group that the policy names for it.
        restricted: Whether only some may see the ticket, whatever category the person named.
    """
    now, group = thread.route, event.resolver_group
    tier = event.tier or (policy.tier_of_group(group) if group else None)
    named = {"tier": tier, "category": event.category, "resolver_group": group}
    stated = {part: label for part, label in named.items() if label}
    here, alarm = Place(now.tier, now.category, now.resolver_group), policy.attention_group(kinds)
    place = set_by_person(policy, here, stated, named=alarm, restricted=restricted)
    return Route(*place, at=event.at, by=Mover.PERSON, because=event.status or "", event_id=event.id)


def new_alarms(
    thread: Thread, decision: Decision, event: Event, known: Collection[str] = ()
) -> tuple[tuple[str, str], ...]:
    """Return what must not wait that an event brought up: each kind, with the words that say so.

    What was found before is no news, unless the event itself says it once more in other words.

    Args:
        thread: The ticket with what happened before.
        decision: What is decided about the whole thread, the event included.
        event: What just happened.
        known: Kinds that were found when the ticket was decided.
    """
    earlier = {one for past in thread.events for one in past.attention}
    kinds = {kind for kind, _ in earlier}.union(known)
    found = [(one.kind, one.evidence) for one in decision.attention]
    return tuple(one for one in found if one[0] not in kinds or (one not in earlier and one[1] in event.text))


def cut_by(decision: Decision, over_long: int) -> Decision:
    """Return a decision that says how many characters of its thread were not read."""
    if not over_long:
        return decision
    return replace(decision, truncated=True, left_out=(LeftOut("over_long", over_long), *decision.left_out))


def rerouted(thread: Thread, decision: Decision, gate: Gate, policy: Policy, event: Event) -> Route | None:
    """Return the route that the whole thread changes to, or None where it stays.

    Args:
        thread: The ticket with everything that happened, this event included.
        decision: What is decided about the whole thread.
        gate: When the model may act.
        policy: States how much surer a change must be.
        event: What just happened, with what must not wait that came up with it.
    """
    now, verdict = thread.route, decision.targets.get("tier")
    if now.by is Mover.PERSON or verdict is None:
        return None
    because = _because(now, decision, gate, policy) if verdict.label not in (None, now.tier) else None
    if because is not None:
        route: Route | None = _route(decision, event.at, event.id, because)
    else:
        route = _alarmed(now, decision, policy, event) if event.attention else None
    route = route or _unseen(now, decision, policy, event)
    return route and _where_seen(route, now, decision, policy)


def _unseen(now: Route, decision: Decision, policy: Policy, event: Event) -> Route | None:
    """Return where a ticket is as a route to leave, where its group may not see what became sensitive; else None."""
    if _may_see(now.resolver_group, decision, policy) or not policy.may_see(now.tier, decision.restricted):
        return None
    because = f"access: {now.resolver_group} may not see it"
    return replace(now, at=event.at, because=because, event_id=event.id)


def _may_see(group: str | None, decision: Decision, policy: Policy) -> bool:
    return group is None or not decision.restricted or policy.group_may_see(group)


def _where_seen(route: Route, now: Route, decision: Decision, policy: Policy) -> Route | None:
    """Return a route of the nearest tier and of a group that may see the ticket; None where these have it already."""
    if policy.may_see(route.tier, decision.restricted):
        if _may_see(route.resolver_group, decision, policy):
            return route
        group = policy.resolver_group(route.tier, route.category)
        is_there = (route.tier, route.category, group) == (now.tier, now.category, now.resolver_group)
        return None if is_there else replace(route, resolver_group=group, wholly=False)
    tier = policy.cleared_tier(route.tier)
    alarm = policy.attention_group((one.kind for one in decision.attention), restricted=decision.restricted)
    if tier == now.tier and alarm in (None, now.resolver_group):
        return None
    group = alarm or policy.resolver_group(tier, route.category)
    return replace(route, tier=tier, resolver_group=group, automatic=False, wholly=False)


def _alarmed(now: Route, decision: Decision, policy: Policy, event: Event) -> Route | None:
    """Return where the policy sends what must not wait; None where it is there already."""
    named = policy.attention_route((kind for kind, _ in event.attention), restricted=decision.restricted)
    if named is None:
        return None
    because = f"attention: {named.kind}"
    if decision.tier == now.tier:
        route = _route(decision, event.at, event.id, because)
    else:
        raised = now.tier is None or policy.is_below(now.tier, named.tier)
        tier = policy.fold("tier", named.tier) if named.tier and raised else now.tier
        group = named.group or (now.resolver_group if tier == now.tier else policy.resolver_group(tier, now.category))
        automatic = now.automatic and tier == now.tier
        route = Route(tier, now.category, group, event.at, automatic=automatic, because=because, event_id=event.id)
    places = [(one.tier, one.category, one.resolver_group) for one in (now, route)]
    return route if places[0] != places[1] else None


def _route(decision: Decision, at: datetime, event_id: str, because: str) -> Route:
    automatic = decision.targets["tier"].automation is Automation.AUTOMATIC
    return Route(
        decision.tier,
        decision.category,
        decision.resolver_group,
        at,
        automatic=automatic,
        because=because,
        event_id=event_id,
        wholly=automatic and decision.automation is Automation.AUTOMATIC,
    )


def _because(now: Route, decision: Decision, gate: Gate, policy: Policy) -> str | None:
    verdict = decision.targets["tier"]
    if not policy.may_see(now.tier, decision.restricted):
        return f"access: {now.tier} may not see it"
    if verdict.rule is not None and verdict.automation is Automation.AUTOMATIC:
        return f"rule: {verdict.rule}"
    sure = next((one.probability for one in verdict.alternatives if one.label == verdict.label), 0.0)
    bar = change_bar(now, gate, policy, verdict.label)
    return f"complexity: {sure:.2f} for {verdict.label}, at least {bar:.2f} is needed" if sure >= bar else None


def change_bar(now: Route, gate: Gate, policy: Policy, label: str | None = None) -> float:
    """Return the probability that another tier needs to take the place of this one, in [0, 1].

    A suggestion gives way at the policy's bar. What was done without a person gives way only where the risk is a share
    of what the gate allows: so the bar to change a tier is always above that to set it.

    Args:
        now: Where the ticket is.
        gate: When the model may act; where it is shut for the other tier, what it asks for the strictest one counts.
        policy: States how much surer a change must be.
        label: The other tier.
    """
    bar = policy.escalation.change
    if not now.automatic:
        return bar
    own = gate.targets.get("tier", TargetGate())
    threshold = own.threshold_of(label) if label is not None else None
    if threshold is None:
        threshold = max((one for one in (own.threshold, *own.per_class.values()) if one is not None), default=None)
    return bar if threshold is None else max(bar, 1.0 - (1.0 - threshold) * policy.escalation.change_risk)
