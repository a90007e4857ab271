"""One run of a simulated desk: tickets arrive, wait, are worked on, go wrong and move on, until they are resolved."""

from __future__ import annotations

from collections import Counter
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

import numpy as np
import simpy
from numpy.typing import NDArray

from training.simulation.clock import Clock
from triage.policy import Policy, Tier
from triage.policy.hours import Hours

SPREAD = 0.8
"""Spread of the logarithm of handling times: nine in ten tickets take between a quarter and four times the median."""
_USUAL_MIN = 30.0
"""Minutes of work on a ticket where neither a handling time nor a budget is stated."""
_BUSY = 0.8
"""Share of its hours that a tier works where its staff is not stated: above, queues grow without end."""


@dataclass(frozen=True)
class Post:
    """A tier as the simulation sees it.

    Attributes:
        label: The tier.
        staffed: Whether people of the desk work there; else it only takes time.
        minutes: Median handling time.
        clock: When it works.
        staff: People who work there at the same time; None where there is no limit.
    """

    label: str
    staffed: bool
    minutes: float
    clock: Clock
    staff: int | None


def posts_of(policy: Policy, start: datetime, days: int) -> list[Post]:
    """Return the tiers in use, from the lowest on, with staff only where the policy states it.

    Args:
        policy: Has hours, handling times and staff.
        start: When the simulation begins, with a time zone.
        days: How long clocks are laid out.
    """
    rules = policy.escalation
    posts = []
    for label in policy.labels("tier"):
        tier = policy.entry("tier", label)
        assert isinstance(tier, Tier)
        staffed = tier.staffed and not tier.external
        hours = Hours.parse(tier.hours, rules.timezone, rules.holidays)
        clock = Clock.of(hours, start, days)
        posts.append(Post(label, staffed, handling_min(policy, label), clock, staff=tier.staff if staffed else None))
    return posts


def handling_min(policy: Policy, label: str) -> float:
    """Return the median minutes of work at a tier: as the policy states them, or half of its time budget.

    Example:
        >>> stated = Policy("1", tiers=(Tier("L1", handling_min=12), Tier("L2", time_budget_min=240), Tier("L3")))
        >>> [handling_min(stated, tier) for tier in stated.labels("tier")]
        [12, 120.0, 30.0]
    """
    tier = policy.entry("tier", label)
    if isinstance(tier, Tier) and tier.handling_min is not None:
        return tier.handling_min
    budget = tier.time_budget_min if isinstance(tier, Tier) else None
    return _USUAL_MIN if budget is None else budget / 2


def staffed(posts: Sequence[Post], work_min: Mapping[str, float], until: float) -> list[Post]:
    """Return the tiers with enough people where the policy states none: each then works 0.8 of its hours.

    Args:
        posts: The tiers.
        work_min: Minutes of work at each until the end.
        until: The end, in minutes from the beginning.
    """

    def enough(post: Post) -> int | None:
        if not post.staffed or post.staff is not None:
            return post.staff
        there = post.clock.worked_until(until)
        return max(1, int(np.ceil(work_min.get(post.label, 0.0) / max(1.0, there) / _BUSY)))

    return [replace(post, staff=enough(post)) for post in posts]


@dataclass(frozen=True)
class Load:
    """The tickets of one run; all arms of a replication have the same ones.

    Attributes:
        arrival: Minutes from the beginning, float64 of shape [n], in order.
        needs: Place of the tier that resolves each, int64 of shape [n].
        pace: How much longer than the median each would take at each tier, float64 of shape [n, tiers].
    """

    arrival: NDArray[np.float64]
    needs: NDArray[np.int64]
    pace: NDArray[np.float64]


@dataclass
class Outcome:
    """What came of a run.

    Attributes:
        work_min: Minutes of work at each staffed tier, by its place.
        too_low: Tickets that were sent too low by whoever sent them first.
        too_high: Tickets that were sent too high.
        moves: Reassignments of all tickets.
        first_wait: Working minutes of the tier that it came to first, until somebody took it, of each ticket that
            somebody took.
        resolved_h: Hours by the clock on the wall from arrival to resolution, of each ticket that was resolved.
        left: Tickets that were not resolved by the end of the clocks, by the place of the tier where they are.
    """

    work_min: dict[int, float]
    too_low: int = 0
    too_high: int = 0
    moves: int = 0
    first_wait: list[float] = field(default_factory=list)
    resolved_h: list[float] = field(default_factory=list)
    left: Counter[int] = field(default_factory=Counter)


@dataclass(frozen=True)
class Desk:
    """A desk with its tiers, from the lowest on, and what a reassignment costs."""

    posts: Sequence[Post]
    reassign_min: float

    @property
    def entry(self) -> int:
        """The place of the first tier where people work: what nobody decided begins there."""
        return next((place for place, post in enumerate(self.posts) if post.staffed), 0)

    def run(self, load: Load, sent: Sequence[int | None]) -> Outcome:
        """Let the tickets of a run go through the desk.

        A ticket begins where it was sent, or at the first staffed tier. A tier below the one that it needs works on it
        for its own handling time and hands it one tier up; what self-service cannot answer begins anew with a person;
        a staffed tier above resolves it itself, in the time that the right tier would have taken; an outside party
        hands it back to the tier below. What passes to another tier costs `reassign_min` of work there. What is not
        done when the clocks end is left where it is, with whoever works on it.

        Args:
            load: The tickets.
            sent: The place of the tier that each was sent to first; None where nobody decided.
        """
        env = simpy.Environment()
        people = [simpy.Resource(env, post.staff) if post.staff else None for post in self.posts]
        outcome = Outcome({place: 0.0 for place, post in enumerate(self.posts) if post.staffed})
        for number, first in enumerate(sent):
            need = int(load.needs[number])
            if first is not None:
                outcome.too_low += first < need
                outcome.too_high += first > need
            env.process(self._life(env, people, outcome, (load, number, self.entry if first is None else first)))
        env.run()
        return outcome

    def _life(
        self, env: Any, people: Sequence[Any], outcome: Outcome, ticket: tuple[Load, int, int]
    ) -> Generator[Any, Any, None]:
        load, number, place = ticket
        need, pace = int(load.needs[number]), load.pace[number]
        yield env.timeout(float(load.arrival[number]))
        came, moved, taken = env.now, 0.0, False
        while True:
            post, right = self.posts[place], self._resolves(place, need)
            by = need if right and self.posts[need].staffed else place
            minutes = self.posts[by].minutes * float(pace[by]) + moved
            outcome.left[place] += 1
            queue = people[place]
            turn = queue.request() if queue is not None else None
            asked = env.now
            if turn is not None:
                yield turn
            if not taken:
                taken = True
                outcome.first_wait.append(post.clock.worked_until(env.now) - post.clock.worked_until(asked))
            done = post.clock.after(env.now, minutes)
            if post.staffed:
                outcome.work_min[place] += minutes if done is not None else post.clock.left(env.now)
            if done is None:
                return
            yield env.timeout(done - env.now)
            outcome.left[place] -= 1
            if turn is not None:
                queue.release(turn)
            if right:
                break
            place, moved = self._next(place, need), self.reassign_min
            outcome.moves += 1
        outcome.resolved_h.append((env.now - came) / 60)

    def _resolves(self, place: int, need: int) -> bool:
        return place == need or (place > need and self.posts[place].staffed)

    def _next(self, place: int, need: int) -> int:
        """Return where a ticket goes that a tier cannot resolve: one up, or from an outside party one down."""
        if place > need:
            return place - 1
        return max(place + 1, self.entry) if place + 1 < len(self.posts) else place
