"""Arms of a simulated desk compared: the same tickets and the same luck in each, over many replications."""

from __future__ import annotations

import math
from collections import Counter
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
"""Days that clocks go on after the last ticket: what is not resolved by then, the desk cannot do."""


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
        sent: The tier that each ticket of the history is sent to at once, in its order; None where it goes to the first
            line.
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
    "unresolved": "share of tickets that are not resolved a year after the last one came",
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
        left: By arm and tier, the share of all tickets that are there unresolved in the end, where there are any.
    """

    tickets: int
    replications: int
    days: float
    arms: dict[str, dict[str, Interval]]
    against: dict[str, dict[str, Interval]]
    work_h: dict[str, dict[str, float]]
    staff: dict[str, dict[str, int]]
    left: dict[str, dict[str, float]]

    @property
    def overruns(self) -> list[str]:
        """What is to be said of each arm that cannot do its work, one text each."""
        return [
            f"{arm}: the desk cannot keep up. {sum(left.values()):.1%} of the tickets are not resolved a year after "
            f"the last one came: {', '.join(f'{share:.1%} are at {tier}' for tier, share in left.items())}. Hours to "
            "resolution are those of the others, and work that was not done is in no hours of work, nor in those saved."
            for arm, left in self.left.items()
            if left
        ]


def overlaid(past: Sequence[Past], weeks: int) -> tuple[list[Past], list[int]]:
    """Lay several weeks of a history over each other, as a desk with so many times the tickets would have them.

    The last weeks are left out where they are too few to be laid over each other.

    Returns:
        The tickets that are kept, and their places in the history.

    Raises:
        InvalidRequest: If the history has fewer weeks.

    Example:
        >>> from datetime import UTC
        >>> day = datetime(2026, 1, 5, tzinfo=UTC)
        >>> laid, places = overlaid([Past(day, "L1"), Past(day + timedelta(days=7), "L1")], 2)
        >>> [one.opened_at.day for one in laid], places
        ([5, 5], [0, 1])
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
    kept = [place for place, one in enumerate(past) if week_of(one.opened_at) < there // weeks * weeks]
    return [Past(moved(past[place].opened_at), past[place].tier) for place in kept], kept


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
        past: The history, with the tier that resolved each ticket, in words that each arm's policy or its aliases have.
        arms: At least one, with names of their own, each of the whole history; the others are compared with the first.
        replications: At least two.
        seed: Of everything that is drawn.
        progress: Called with 1 for each run that is done.
    """
    moments = sorted(one.opened_at for one in past)
    start, days = moments[0], (moments[-1] - moments[0]).days + _YEAR
    arrival = np.array([(moment - start).total_seconds() / 60 for moment in moments])
    places = _places(past, arms)
    desks = _desks(past, arms, places, start=start, days=days)
    runs: dict[str, list[dict[str, float]]] = {arm.name: [] for arm in arms}
    work: dict[str, list[dict[int, float]]] = {arm.name: [] for arm in arms}
    left: dict[str, Counter[int]] = {arm.name: Counter() for arm in arms}
    for replication in range(replications):
        draw = np.random.default_rng([seed, replication])
        chosen = draw.integers(len(past), size=len(past))
        luck = np.exp(SPREAD * draw.standard_normal((len(past), 1 + max(max(one.luck) for one in places.values()))))
        for arm in arms:
            own = places[arm.name]
            load = Load(arrival, own.needs[chosen], luck[:, own.luck])
            outcome = desks[arm.name].run(load, [own.sent[one] for one in chosen])
            runs[arm.name].append(_figures(outcome, len(past), sends=any(one is not None for one in arm.sent)))
            work[arm.name].append(outcome.work_min)
            left[arm.name].update(outcome.left)
            progress(1)
    for arm in arms:
        for mine, base in zip(runs[arm.name], runs[arms[0].name], strict=True):
            mine["saved_h_per_100"] = base["work_h_per_100"] - mine["work_h_per_100"]
    return Simulated(
        tickets=len(past),
        replications=replications,
        days=float(arrival[-1]) / 24 / 60,
        arms={arm.name: _intervals(runs[arm.name]) for arm in arms},
        against={arm.name: _intervals(_differences(runs[arm.name], runs[arms[0].name])) for arm in arms[1:]},
        work_h={arm.name: _by_tier(desks[arm.name], work[arm.name], len(past)) for arm in arms},
        staff={arm.name: {post.label: post.staff for post in desks[arm.name].posts if post.staff} for arm in arms},
        left={
            arm.name: {
                post.label: left[arm.name][place] / len(past) / replications
                for place, post in enumerate(desks[arm.name].posts)
                if left[arm.name][place]
            }
            for arm in arms
        },
    )


@dataclass(frozen=True)
class _Places:
    """The history in the tiers of an arm's policy, which are counted from the lowest on.

    Attributes:
        needs: Of the tier that resolves each ticket, int64 of shape [n].
        sent: Of the tier that each is sent to first; None where nobody decided.
        luck: Which luck a ticket has at each tier: one of the same name, or of an alias, has the same in all policies.
    """

    needs: NDArray[np.int64]
    sent: Sequence[int | None]
    luck: Sequence[int]


def _places(past: Sequence[Past], arms: Sequence[Arm]) -> dict[str, _Places]:
    """Return the places of each arm, by its name.

    Raises:
        ValueError: If two arms have one name, or an arm says nothing of some tickets.
    """
    found: dict[str, _Places] = {}
    names: list[str] = []
    for arm in arms:
        if arm.name in found or len(arm.sent) != len(past):
            raise ValueError(f"the arm {arm.name!r} is there twice, or is one of another history")
        labels = arm.policy.labels("tier")
        known = {name: _own(arm.policy, name) for name in {*(one.tier for one in past), *arm.sent} if name is not None}
        needs = np.array([labels.index(known[one.tier]) for one in past], dtype=np.int64)
        sent = [None if tier is None else labels.index(known[tier]) for tier in arm.sent]
        luck = [_place_of(label, names, arm.policy) for label in labels]
        found[arm.name] = _Places(needs, sent, luck)
    return found


def _own(policy: Policy, tier: str) -> str:
    """Return what a policy calls a tier of a history or of a model, where its tickets go."""
    return policy.fold("tier", policy.resolve("tier", [tier])[0])


def _place_of(label: str, names: list[str], policy: Policy) -> int:
    """Return the place of a tier among the names of those of all policies so far; a new one is added."""
    found = (place for place, name in enumerate(names) if label in (name, policy.canonical("tier", name)))
    place = next(found, len(names))
    if place == len(names):
        names.append(label)
    return place


def _desks(
    past: Sequence[Past], arms: Sequence[Arm], places: Mapping[str, _Places], *, start: datetime, days: int
) -> dict[str, Desk]:
    """Return the desk of each arm; arms of one policy have the same staff."""
    found: dict[str, Desk] = {}
    made: list[tuple[Policy, Desk]] = []
    for arm in arms:
        desk = next((known for policy, known in made if policy is arm.policy), None)
        if desk is None:
            desk = _with_staff(past, arm, places[arm.name], start=start, days=days)
            made.append((arm.policy, desk))
        found[arm.name] = desk
    return found


def _with_staff(past: Sequence[Past], arm: Arm, places: _Places, *, start: datetime, days: int) -> Desk:
    posts, reassign_min = posts_of(arm.policy, start, days), arm.policy.escalation.reassign_min
    until = (max(one.opened_at for one in past) - start).total_seconds() / 60
    mean = float(np.exp(SPREAD**2 / 2))  # of a lognormal distribution whose median is 1
    load = Load(np.zeros(len(past)), places.needs, np.full((len(past), len(posts)), mean))
    found = Desk([replace(post, staff=None) for post in posts], reassign_min).run(load, places.sent)
    work = {posts[place].label: minutes for place, minutes in found.work_min.items()}
    return Desk(staffed(posts, work, max(until, 24 * 60.0)), reassign_min)


def _figures(outcome: Outcome, tickets: int, *, sends: bool) -> dict[str, float]:
    """Return the figures of one run; where an arm sends no ticket anywhere, there is nothing to be too low or high."""
    waits, hours = outcome.first_wait, outcome.resolved_h
    sent = {
        "misrouted": (outcome.too_low + outcome.too_high) / tickets,
        "too_low": outcome.too_low / tickets,
        "too_high": outcome.too_high / tickets,
    }
    return {
        "work_h_per_100": sum(outcome.work_min.values()) / 60 / tickets * 100,
        **(sent if sends else {}),
        "moves": outcome.moves / tickets,
        **(
            {"first_wait_min": float(np.mean(waits)), "first_wait_p90_min": float(np.quantile(waits, 0.9))}
            if waits
            else {}
        ),
        **({"resolved_h": float(np.mean(hours)), "resolved_median_h": float(np.median(hours))} if hours else {}),
        "unresolved": outcome.left.total() / tickets,
    }


def _differences(own: Sequence[dict[str, float]], base: Sequence[dict[str, float]]) -> list[dict[str, float]]:
    return [
        {name: mine[name] - theirs[name] for name in theirs if name in mine}
        for mine, theirs in zip(own, base, strict=True)
    ]


def _intervals(runs: Sequence[dict[str, float]]) -> dict[str, Interval]:
    measured = {name: [run[name] for run in runs if name in run] for name in FIGURES}
    return {name: Interval.of(values) for name, values in measured.items() if values}


def _by_tier(desk: Desk, work: Sequence[dict[int, float]], tickets: int) -> dict[str, float]:
    means: NDArray[np.float64] = np.array([[run[place] for place in work[0]] for run in work]).mean(axis=0)
    return {
        desk.posts[place].label: float(value) / 60 / tickets * 100 for place, value in zip(work[0], means, strict=True)
    }
