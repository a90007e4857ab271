"""Where a ticket stands: everything that said where it goes, in the order of keeping it, and what of that counts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import NamedTuple

from triage.escalation.thread import Mover, Route
from triage.policy import Policy


@dataclass(frozen=True)
class Step:
    """Something that says where a ticket goes: a decision, an event, or what a person said of a decision.

    Attributes:
        kept_at: When it was kept, by the service's own clock: that of who sends an event may be ahead.
        about: The decision itself, that of which a person spoke, or the newest one about the text at the event.
        route: Where the ticket goes; what a person said before whole routes were kept may lack parts.
        word: Of what a person said: the verdict; empty for decisions and events.
    """

    kept_at: datetime
    about: str
    route: Route
    word: str = ""

    @property
    def by_person(self) -> bool:
        """Whether a person says so."""
        return self.route.by is Mover.PERSON

    @property
    def by_event(self) -> bool:
        """Whether an event led to it."""
        return not self.word and self.route.event_id is not None


def placed(steps: Iterable[Step]) -> tuple[Step, ...]:
    """Return the steps that count, in the order in which they were kept.

    Once a person has said where the ticket goes, nothing that the machine says later changes that. Who accepts a
    decision since which an event has moved the ticket leaves it where it is.
    """
    found: list[Step] = []
    for step in sorted(steps, key=lambda one: one.kept_at):
        if step.by_person:
            found.append(_whole(step, found))
        elif not found or not found[-1].by_person:
            found.append(step)
    return tuple(found)


def _whole(step: Step, earlier: Sequence[Step]) -> Step:
    """Return a step of a person with a whole route: what it leaves open stays as it was."""
    now, route = earlier[-1] if earlier else None, step.route
    if now is not None and step.word == "accepted" and now.by_event and now.about == step.about:
        return replace(step, route=replace(now.route, at=route.at, by=route.by, because=route.because))
    under = next((one.route for one in reversed(earlier) if one.by_person or one.about == step.about), route)
    group = route.resolver_group or under.resolver_group
    whole = replace(route, tier=route.tier or under.tier, category=route.category or under.category)
    return replace(step, route=replace(whole, resolver_group=group))


class Place(NamedTuple):
    """Tier, category and resolver group."""

    tier: str | None
    category: str | None
    resolver_group: str | None


NOWHERE = Place(None, None, None)


def set_by_person(
    policy: Policy,
    now: Place,
    stated: Mapping[str, str],
    *,
    named: str | None = None,
    keeps_group: bool = False,
    restricted: bool = False,
) -> Place:
    """Return where a ticket goes after a person named some of its labels; what was not named stays as it is.

    A tier that nobody named gives way to the nearest one that may see a sensitive category, and the group follows.

    Args:
        policy: Names the group of tier and category, and who may see what.
        now: Where the ticket stands.
        stated: What the person named, by part of the route.
        named: The group for what must not wait in the ticket, if there is one; it counts if it may see the ticket.
        keeps_group: Whether the group stays where tier or category change, if it may see the ticket: a model has
            decided it for itself.
        restricted: Whether only some may see the ticket, whatever category was named.
    """
    tier, category = stated.get("tier") or now.tier, stated.get("category") or now.category
    named_closed = category in policy.sensitive_categories and "category" in stated
    if "tier" not in stated and not policy.may_see(tier, named_closed):
        tier = policy.cleared_tier(tier)
    group = now.resolver_group
    closed = restricted or named_closed
    unseen = closed and not policy.group_may_see(group or "")
    if "resolver_group" in stated:
        group = stated["resolver_group"]
    elif (tier, category) != (now.tier, now.category) and (unseen or not keeps_group):
        alarm = named if not closed or policy.group_may_see(named or "") else None
        group = alarm or policy.resolver_group(tier, category)
    return Place(tier, category, group)
