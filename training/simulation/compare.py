"""Arms of a simulated desk compared: the same tickets and the same luck in each, over many replications."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from training.simulation.desk import SPREAD, Desk, Load, Outcome, posts_of, staffed
from triage.errors import InvalidRequest
from triage.policy import Policy

CONFIDENCE = 0.95
LEAST_REPLICATIONS = 30
_YEAR = 366
"""Days that clocks go on after the last ticket, so that everything gets resolved."""


@dataclass(frozen=True)
class Past:
    """A ticket of the history: when it came, and the tier that resolved it."""

    opened_at: datetime
    tier: str


@dataclass(frozen=True)
class Arm:
    """One way to run the desk.

    Attributes:
        name: As people read it.
        policy: Its tiers, hours, staff and handling times.
        sent: The tier that each ticket of the history is sent to at once; None where it goes to the first line.
    """

    name: str
    policy: Policy
    sent: Sequence[str | None]


@dataclass(frozen=True)
class Interval:
    """A mean over replications with its confidence interval, by Student's t."""

    mean: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Interval:
        """Return the interval of some values.

        Example:
            >>> Interval.of([2.0, 2.0, 2.0])
            Interval(mean=2.0, low=2.0, high=2.0)
        """
        mean = math.fsum(values) / len(values)
        spread = float(np.std(values, ddof=1)) / math.sqrt(len(values)) if len(values) > 1 else 0.0
        half = float(stats.t.ppf((1 + CONFIDENCE) / 2, max(1, len(values) - 1))) * spread
        return cls(mean, mean - half, mean + half)


FIGURES = {
    "work_h_per_100": "hours of work per 100 tickets",
    "misrouted": "share of tickets sent too low or too high at first",
    "too_low": "share sent too low",
    "too_high": "share sent too high",
    "moves": "reassignments per ticket",
    "first_wait_min": "mean wait until somebody takes it, in working minutes",
    "first_wait_p90_min": "wait of the slowest tenth, in working minutes",
    "resolved_h": "mean hours to resolution, nights and week-ends included",
    "resolved_median_h": "median hours to resolution",
    "saved_h_per_100": "hours of work saved per 100 tickets against the first arm",
}
"""What is measured of each arm."""


@dataclass(frozen=True)
class Simulated:
    """What a comparison found.

    Attributes:
        tickets: Tickets in each replication.
        replications: How many there were.
        days: Days that their arrivals span.
        arms: By arm and figure, the mean with its interval; an arm that sends no ticket has none of what it sent.
        against: By arm and figure, the paired difference to the first arm.
        work_h: By arm and tier, hours of work per 100 tickets.
        staff: By arm and tier, people who work there at the same time.
    """

    tickets: int
    replications: int
    days: float
    arms: dict[str, dict[str, Interval]]
    against: dict[str, dict[str, Interval]]
    work_h: dict[str, dict[str, float]]
    staff: dict[str, dict[str, int]]


def overlaid(past: Sequence[Past], weeks: int) -> list[Past]:
    """Lay several weeks of a history over each other, as a desk with so many times the tickets would have them.

    The last weeks are left out where they are too few to be laid over each other.

    Raises:
        InvalidRequest: If the history has fewer weeks.

    Example:
        >>> from datetime import UTC
        >>> day = datetime(2026, 1, 5, tzinfo=UTC)
        >>> [one.opened_at.day for one in overlaid([Past(day, "L1"), Past(day + timedelta(days=7), "L1")], 2)]
        [5, 5]
    """
    start = min(one.opened_at for one in past)
    start -= timedelta(days=start.weekday(), hours=start.hour, minutes=start.minute)

    def week_of(moment: datetime) -> int:
        return (moment - start).days // 7

    def moved(moment: datetime) -> datetime:
        return moment - timedelta(weeks=week_of(moment) - week_of(moment) // weeks)

    there = max(week_of(one.opened_at) for one in past) + 1
    if there < weeks:
        raise InvalidRequest(f"--overlay {weeks}: the history has {there} weeks; overlay so many at most")
    return [Past(moved(one.opened_at), one.tier) for one in past if week_of(one.opened_at) < there // weeks * weeks]


def compare(
    past: Sequence[Past],
    arms: Sequence[Arm],
    replications: int,
    seed: int,
    progress: Callable[[int], object] = lambda done: None,
) -> Simulated:
    """Simulate each arm on the same tickets, as often as asked.

    Each replication draws the tickets anew from the history, with replacement, onto the moments at which tickets
    came, and how long each takes: the same for all arms (common random numbers), so that differences are paired.
    Where a policy states no staff, it gets what makes it work 0.8 of its hours in the first arm of that policy.

    Args:
        past: The history, with the tier that resolved each ticket in the words of every arm's policy before folding.
        arms: At least one; the others are compared with the first.
        replications: At least two.
        seed: Of everything that is drawn.
        progress: Called with 1 for each run that is done.
    """
    moments = sorted(one.opened_at for one in past)
    start, days = moments[0], (moments[-1] - moments[0]).days + _YEAR
    arrival = np.array([(moment - start).total_seconds() / 60 for moment in moments])
    desks = _desks(past, arms, start, days)
    runs: dict[str, list[dict[str, float]]] = {arm.name: [] for arm in arms}
    work: dict[str, list[dict[int, float]]] = {arm.name: [] for arm in arms}
    for replication in range(replications):
        draw = np.random.default_rng([seed, replication])
        chosen = draw.integers(len(past), size=len(past))
        luck = np.exp(SPREAD * draw.standard_normal((len(past), max(len(desk.posts) for desk in desks.values()))))
        for arm in arms:
            desk = desks[arm.name]
            places = {post.label: place for place, post in enumerate(desk.posts)}
            needs = np.array([places[arm.policy.fold("tier", past[one].tier)] for one in chosen], dtype=np.int64)
            sent = [_place(arm, places, int(one)) for one in chosen]
            outcome = desk.run(Load(arrival, needs, luck), sent)
            runs[arm.name].append(_figures(outcome, len(past), sends=any(one is not None for one in arm.sent)))
            work[arm.name].append(outcome.work_min)
            progress(1)
    for arm in arms:
        for own, base in zip(runs[arm.name], runs[arms[0].name], strict=True):
            own["saved_h_per_100"] = base["work_h_per_100"] - own["work_h_per_100"]
    return Simulated(
        tickets=len(past),
        replications=replications,
        days=float(arrival[-1]) / 24 / 60,
        arms={arm.name: _intervals(runs[arm.name]) for arm in arms},
        against={arm.name: _intervals(_differences(runs[arm.name], runs[arms[0].name])) for arm in arms[1:]},
        work_h={arm.name: _by_tier(desks[arm.name], work[arm.name], len(past)) for arm in arms},
        staff={arm.name: {post.label: post.staff for post in desks[arm.name].posts if post.staff} for arm in arms},
    )


def _desks(past: Sequence[Past], arms: Sequence[Arm], start: datetime, days: int) -> dict[str, Desk]:
    """Return the desk of each arm; arms of one policy have the same staff."""
    found: dict[str, Desk] = {}
    made: list[tuple[Policy, Desk]] = []
    for arm in arms:
        desk = next((known for policy, known in made if policy is arm.policy), None)
        if desk is None:
            desk = _with_staff(past, arm, start, days)
            made.append((arm.policy, desk))
        found[arm.name] = desk
    return found


def _with_staff(past: Sequence[Past], arm: Arm, start: datetime, days: int) -> Desk:
    posts = posts_of(arm.policy, start, days)
    places = {post.label: place for place, post in enumerate(posts)}
    endless = Desk(posts, arm.policy.escalation.reassign_min)
    until = (max(one.opened_at for one in past) - start).total_seconds() / 60
    mean = float(np.exp(SPREAD**2 / 2))  # of a lognormal distribution whose median is 1
    load = Load(
        np.zeros(len(past)),
        np.array([places[arm.policy.fold("tier", one.tier)] for one in past], dtype=np.int64),
        np.full((len(past), len(posts)), mean),
    )
    unlimited = [replace(post, staff=None) for post in posts]
    found = Desk(unlimited, endless.reassign_min).run(load, [_place(arm, places, one) for one in range(len(past))])
    work = {posts[place].label: minutes for place, minutes in found.work_min.items()}
    return Desk(staffed(posts, work, max(until, 24 * 60.0)), endless.reassign_min)


def _place(arm: Arm, places: Mapping[str, int], one: int) -> int | None:
    tier = arm.sent[one]
    return None if tier is None else places[arm.policy.fold("tier", tier)]


def _figures(outcome: Outcome, tickets: int, *, sends: bool) -> dict[str, float]:
    """Return the figures of one run; where an arm sends no ticket anywhere, there is nothing to be too low or high."""
    sent = {
        "misrouted": (outcome.too_low + outcome.too_high) / tickets,
        "too_low": outcome.too_low / tickets,
        "too_high": outcome.too_high / tickets,
    }
    return {
        "work_h_per_100": sum(outcome.work_min.values()) / 60 / tickets * 100,
        **(sent if sends else {}),
        "moves": outcome.moves / tickets,
        "first_wait_min": float(np.mean(outcome.first_wait)),
        "first_wait_p90_min": float(np.quantile(outcome.first_wait, 0.9)),
        "resolved_h": float(np.mean(outcome.resolved_h)),
        "resolved_median_h": float(np.median(outcome.resolved_h)),
    }


def _differences(own: Sequence[dict[str, float]], base: Sequence[dict[str, float]]) -> list[dict[str, float]]:
    return [
        {name: mine[name] - theirs[name] for name in theirs if name in mine}
        for mine, theirs in zip(own, base, strict=True)
    ]


def _intervals(runs: Sequence[dict[str, float]]) -> dict[str, Interval]:
    return {name: Interval.of([run[name] for run in runs]) for name in runs[0]}


def _by_tier(desk: Desk, work: Sequence[dict[int, float]], tickets: int) -> dict[str, float]:
    means: NDArray[np.float64] = np.array([[run[place] for place in work[0]] for run in work]).mean(axis=0)
    return {
        desk.posts[place].label: float(value) / 60 / tickets * 100 for place, value in zip(work[0], means, strict=True)
    }
