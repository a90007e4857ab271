"""Challenger against champion: a paired comparison on tickets that neither has learned from."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from math import ceil, floor
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binomtest, bootstrap

from training.evaluation import metrics
from training.evaluation.record import Fact, Outcome, Record

LEAST_COMMON = 50
"""Tickets that both must have been asked for a comparison to mean anything."""

LEAST_OF_CLASS = 20
_CLASS_LOSS, _ECE_LOSS = 0.05, 0.01
_SLOWER, _SLOWER_MS = 2.0, 20.0
_STAY_DECIDED = 0.75
"""Share of what the champion decides that the challenger must decide: gates of equally good models differ by less."""
_DRAWS, _ECE_DRAWS = 2000, 400
_LEAST_UNITS = 10
"""Groups or clusters below which drawing whole ones says nothing: such intervals are far too narrow (Cameron, Gelbach
and Miller 2008), and of a single one there is none."""


@dataclass(frozen=True)
class Check:
    """One comparison.

    Attributes:
        what: What is compared, such as ``tier accuracy``.
        champion: Its figure.
        challenger: Its figure.
        low: Lower end of the 95 % interval of the difference, challenger less champion; None where there is none.
        high: Upper end.
        passed: Whether it speaks for the challenger, or not against it.
        rule: What would have to hold, in words.
    """

    what: str
    champion: float
    challenger: float
    low: float | None
    high: float | None
    passed: bool
    rule: str


@dataclass(frozen=True)
class Decided:
    """How much of a target champion and challenger decide where they serve, and the error rate that one promised.

    Attributes:
        champion: Share of tickets in [0, 1].
        challenger: The same.
        promised: Error rate among its decisions that the champion was certified for; None where it was not.
        allowed: The same of the challenger.
    """

    champion: float
    challenger: float
    promised: float | None = None
    allowed: float | None = None


@dataclass(frozen=True)
class Comparison:
    """All comparisons, and whether the challenger may take over.

    Attributes:
        common: Tickets that both were asked.
        checks: In order of weight.
        obstacles: What stands against a comparison as such, in words.
        notes: What could not be compared and stands against nothing, in words.
    """

    common: int
    checks: tuple[Check, ...] = ()
    obstacles: tuple[str, ...] = field(default_factory=tuple)
    notes: tuple[str, ...] = field(default_factory=tuple)

    @property
    def passed(self) -> bool:
        """Whether nothing stands against the challenger."""
        return not self.obstacles and all(check.passed for check in self.checks)

    def to_document(self) -> dict[str, Any]:
        """Write the comparison as a JSON document."""
        return {
            "passed": self.passed,
            "common": self.common,
            "obstacles": list(self.obstacles),
            "notes": list(self.notes),
            "checks": [vars(check) for check in self.checks],
        }


def compare(
    champion: Record,
    challenger: Record,
    *,
    margin: float = 0.02,
    latencies_ms: tuple[float, ...] | None = None,
    decided: Mapping[str, Decided] = MappingProxyType({}),
    seed: int = 0,
) -> Comparison:
    """Compare two records on the tickets that both hold, ticket by ticket.

    The challenger must be non-inferior in accuracy: the lower end of the 95 % interval of the difference lies above
    `-margin`. Where the tickets are too few for an interval as narrow as the margin, a month of a small desk for
    example, the difference itself must lie above it, and the interval must not say that it is certainly below zero.
    Besides, it must be certainly not much worse in any class, certainly not worse in severe tier errors (two tiers or
    more), calibration, or the error rate of its automatic decisions, and not much slower. Where the champion decides
    too few tickets to have such a rate, that of the challenger must not be certainly above what it was certified for.
    It must decide about as much by itself where it serves, unless the champion is certainly wrong more often than it
    promised. Intervals come from a paired bootstrap over clusters of tickets: near-duplicates and messages of one
    ticket, or whole groups where enough of them are known. Tickets of a cluster are right or wrong together, and drawn
    one by one they would make an interval too narrow. Each of the two is judged by the labels of its own record.

    Args:
        champion: What the present champion answered.
        challenger: What the challenger answered.
        margin: Loss of accuracy that counts as none, in [0, 1].
        latencies_ms: Median processor time of one decision, of champion and challenger, measured on this machine.
        decided: By target, what both decide as they are served; a target that is missing is not judged by that.
        seed: Equal seeds give equal intervals.
    """
    obstacles: list[str] = []
    checks: list[Check] = []
    notes: list[str] = []
    common = 0
    for target, theirs in champion.outcomes.items():
        mine = challenger.outcomes.get(target)
        if mine is None:
            obstacles.append(
                f"the champion decides {target} and the challenger does not, so {target} would go unanswered: train on "
                f"tickets that have a {target}"
            )
            continue
        ours = _paired(champion, theirs, challenger, mine)
        common = max(common, len(ours))
        if (too_few := _too_few(target, ours)) is not None:
            obstacles.append(too_few)
            continue
        orders = (champion.ordered_tiers, challenger.ordered_tiers) if target == "tier" else ((), ())
        checks += _checks(target, ours, margin=margin, orders=orders, seed=seed)
        checks += _decisions(target, ours, decided.get(target), seed)
        notes += _not_compared(target, ours)
    if latencies_ms is not None:
        checks.append(_latency(latencies_ms))
    notes += [
        f"{target} is new: the champion does not decide it, so there is nothing to compare it with"
        for target in challenger.outcomes
        if target not in champion.outcomes
    ]
    return Comparison(common, tuple(checks), tuple(obstacles), tuple(notes))


def _too_few(target: str, pair: _Pair) -> str | None:
    """Say why a target cannot be compared; None where it can."""
    if len(pair) < LEAST_COMMON:
        return (
            f"{target}: only {len(pair)} tickets are new to both, {LEAST_COMMON} are needed; train again "
            f"(triage retrain) once {LEAST_COMMON} tickets are new to the champion"
        )
    if (units := len(np.unique(pair.units))) < _LEAST_UNITS:
        return (
            f"{target}: the {len(pair)} tickets that are new to both are copies of {units}, {_LEAST_UNITS} different "
            f"ones are needed; train again (triage retrain) once there are others"
        )
    return None


@dataclass(frozen=True)
class _Pair:
    """Answers of both to the same tickets, and the right ones in the words of each: index 0 is the champion.

    Tickets of one number in `units` are right or wrong together, and are drawn together.
    """

    true: tuple[NDArray[np.object_], NDArray[np.object_]]
    top: tuple[NDArray[np.object_], NDArray[np.object_]]
    confidence: tuple[NDArray[np.float64], NDArray[np.float64]]
    kept: tuple[NDArray[np.bool_], NDArray[np.bool_]]
    units: NDArray[np.int64]

    def correct(self, side: int) -> NDArray[np.bool_]:
        return np.asarray(self.true[side] == self.top[side], dtype=bool)

    def __len__(self) -> int:
        return len(self.true[0])


def _paired(champion: Record, theirs: Outcome, challenger: Record, mine: Outcome) -> _Pair:
    at = {champion.facts[row].digest: index for index, row in enumerate(theirs.rows)}
    pairs = [(at[d], index) for index, row in enumerate(mine.rows) if (d := challenger.facts[row].digest) in at]
    first = np.array([a for a, _ in pairs], dtype=np.int64)
    second = np.array([b for _, b in pairs], dtype=np.int64)
    return _Pair(
        true=(theirs.true[first], mine.true[second]),
        top=(theirs.top[first], mine.top[second]),
        confidence=(theirs.confidence[first], mine.confidence[second]),
        kept=(theirs.kept[first], mine.kept[second]),
        units=_units([challenger.facts[row] for row in mine.rows[second]]),
    )


def _units(facts: Sequence[Fact]) -> NDArray[np.int64]:
    """Number what tickets are drawn by: groups where enough are known, else clusters of near-duplicates.

    Records of earlier versions know no clusters: each of their tickets counts for itself.
    """
    by_group = len({fact.group for fact in facts} - {None}) >= _LEAST_UNITS
    names = [
        ("group", fact.group)
        if by_group and fact.group is not None
        else ("cluster", fact.cluster)
        if fact.cluster is not None
        else ("ticket", place)
        for place, fact in enumerate(facts)
    ]
    number = {name: place for place, name in enumerate(dict.fromkeys(names))}
    return np.array([number[name] for name in names], dtype=np.int64)


def _checks(
    target: str, pair: _Pair, margin: float, orders: tuple[tuple[str, ...], tuple[str, ...]], seed: int
) -> list[Check]:
    right = [pair.correct(side).astype(float) for side in (0, 1)]
    low, high = metrics.bootstrap_interval(right[1] - right[0], units=pair.units, draws=_DRAWS, seed=seed)
    before, after = float(np.mean(right[0])), float(np.mean(right[1]))
    passed, rule = _non_inferior(after - before, low, high, margin)
    checks = [
        Check(f"{target} accuracy", champion=before, challenger=after, low=low, high=high, passed=passed, rule=rule)
    ]
    checks += _by_class(target, pair, right, seed)
    if len(orders[1]) > 2:
        checks.append(_severe(pair, orders, seed))
    checks.append(_calibration(target, pair, seed))
    return checks


def _non_inferior(difference: float, low: float, high: float, margin: float) -> tuple[bool, str]:
    """Say whether a loss is within the margin, and by which rule that was judged: few tickets cannot prove it."""
    if low > -margin:
        return True, f"lower end above {-margin:g}"
    if high - low <= 2 * margin:
        return False, f"lower end above {-margin:g}"
    return difference > -margin and high >= 0, f"few tickets: difference above {-margin:g}, upper end not below 0"


def _classes(pair: _Pair) -> Iterator[tuple[str, NDArray[np.bool_], int]]:
    """Yield each label with enough tickets, which those are, and how many clusters or groups they fall into."""
    for label in sorted(set(pair.true[1].tolist())):
        inside = np.asarray(pair.true[1] == label, dtype=bool)
        if inside.sum() >= LEAST_OF_CLASS:
            yield label, inside, len(np.unique(pair.units[inside]))


def _not_compared(target: str, pair: _Pair) -> list[str]:
    """Name the labels with enough tickets of which too few differ for an interval."""
    return [
        f"{target} {label}: recall is not compared, as its {inside.sum()} tickets are of {units} "
        f"{'cluster or group' if units == 1 else 'clusters or groups'} and {_LEAST_UNITS} are needed"
        for label, inside, units in _classes(pair)
        if units < _LEAST_UNITS
    ]


def _by_class(target: str, pair: _Pair, right: list[NDArray[np.float64]], seed: int) -> list[Check]:
    found = []
    for label, inside, units in _classes(pair):
        if units < _LEAST_UNITS:
            continue
        difference = (right[1] - right[0])[inside]
        low, high = metrics.bootstrap_interval(difference, units=pair.units[inside], draws=_DRAWS, seed=seed)
        before, after = float(np.mean(right[0][inside])), float(np.mean(right[1][inside]))
        rule = f"upper end above {-_CLASS_LOSS:g}"
        found.append(
            Check(
                f"{target} {label}: recall",
                champion=before,
                challenger=after,
                low=low,
                high=high,
                passed=high > -_CLASS_LOSS,
                rule=rule,
            )
        )
    return found


def _severe(pair: _Pair, orders: tuple[tuple[str, ...], tuple[str, ...]], seed: int) -> Check:
    def severe(side: int) -> NDArray[np.float64]:
        order = orders[side] or orders[1]
        rank = {label: number for number, label in enumerate(order)}
        steps = [
            abs(rank.get(named, len(order) * 2) - rank.get(true, 0))
            for true, named in zip(pair.true[side].tolist(), pair.top[side].tolist(), strict=True)
        ]
        return np.array([step >= 2 for step in steps], dtype=float)

    before, after = severe(0), severe(1)
    low, high = metrics.bootstrap_interval(after - before, units=pair.units, draws=_DRAWS, seed=seed)
    return Check(
        "tier severe errors",
        champion=float(before.mean()),
        challenger=float(after.mean()),
        low=low,
        high=high,
        passed=low <= 0,
        rule="lower end not above 0",
    )


def _calibration(target: str, pair: _Pair, seed: int) -> Check:
    def gap(rows: NDArray[np.int64], side: int) -> float:
        return metrics.ece(pair.correct(side)[rows], pair.confidence[side][rows])

    low, high = _resampled(pair.units, lambda rows: gap(rows, 1) - gap(rows, 0), seed)
    everything = np.arange(len(pair))
    before, after = gap(everything, 0), gap(everything, 1)
    return Check(
        f"{target} ECE",
        champion=before,
        challenger=after,
        low=low,
        high=high,
        passed=low <= _ECE_LOSS,
        rule=f"lower end not above {_ECE_LOSS:g}",
    )


def _decisions(target: str, pair: _Pair, served: Decided | None, seed: int) -> list[Check]:
    """Compare what both decide alone: how often that is wrong, and how much of it there is."""
    shares = " and ".join(f"{float(np.mean(kept)):.2f}" for kept in pair.kept)
    what = f"{target} risk of automatic ({shares} kept)"
    if served is not None and served.allowed is not None and np.count_nonzero(pair.kept[0]) < LEAST_OF_CLASS:
        risk = _automatic_alone(what, pair, served.allowed)
    else:
        risk = _automatic(what, pair, seed)
    return [risk] if served is None else [risk, _decided(target, pair, served)]


def _automatic_alone(what: str, pair: _Pair, allowed: float) -> Check:
    """Hold a challenger to its own promise: the champion decides too little to have an error rate of decisions."""
    before, after = (metrics.selective_risk(pair.correct(side), pair.kept[side]) for side in (0, 1))
    low, high = _certain_risk(pair, 1)
    return Check(
        what,
        champion=before,
        challenger=after,
        low=low - allowed,
        high=high - allowed,
        passed=low <= allowed,
        rule=f"champion decides fewer than {LEAST_OF_CLASS}: lower end of the challenger less its promise of "
        f"{allowed:g} not above 0",
    )


def _automatic(what: str, pair: _Pair, seed: int) -> Check:
    def risk(rows: NDArray[np.int64], side: int) -> float:
        return metrics.selective_risk(pair.correct(side)[rows], pair.kept[side][rows])

    low, high = _resampled(pair.units, lambda rows: risk(rows, 1) - risk(rows, 0), seed)
    everything = np.arange(len(pair))
    return Check(
        what,
        champion=risk(everything, 0),
        challenger=risk(everything, 1),
        low=low,
        high=high,
        passed=low <= 0.01,
        rule="lower end not above 0.01",
    )


def _decided(target: str, pair: _Pair, served: Decided) -> Check:
    wrong, (at_least, _) = metrics.selective_risk(pair.correct(0), pair.kept[0]), _certain_risk(pair, 0)
    broken = served.promised is not None and at_least > served.promised
    enough = served.challenger >= _STAY_DECIDED * served.champion
    rule = f"at least {_STAY_DECIDED:g} of the champion's"
    return Check(
        f"{target} decided where it serves",
        champion=served.champion,
        challenger=served.challenger,
        low=None,
        high=None,
        passed=enough or broken,
        rule=f"{rule}; not asked for, as {wrong:.3f} of those were wrong" if broken and not enough else rule,
    )


def _resampled(
    units: NDArray[np.int64], statistic: Callable[[NDArray[np.int64]], float], seed: int
) -> tuple[float, float]:
    """Return the 95 % percentile interval of a statistic over rows, drawn by their units."""
    order = np.argsort(units, kind="stable")
    sizes = np.bincount(units)
    starts = np.cumsum(sizes) - sizes

    def of_drawn(drawn: NDArray[np.int64]) -> float:
        each = sizes[drawn]
        steps = np.arange(each.sum()) - np.repeat(np.cumsum(each) - each, each)
        return statistic(order[np.repeat(starts[drawn], each) + steps])

    found = bootstrap(
        (np.arange(len(sizes)),), of_drawn, vectorized=False, n_resamples=_ECE_DRAWS, method="percentile", rng=seed
    )
    return float(found.confidence_interval.low), float(found.confidence_interval.high)


def _certain_risk(pair: _Pair, side: int) -> tuple[float, float]:
    """Return the exact 95 % interval of the error rate of decisions (Clopper and Pearson 1934).

    Each unit counts once, with the share of its decisions that is wrong: a message that came a hundred times is no
    hundred observations.
    """
    kept = pair.kept[side]
    if not kept.any():
        return 0.0, 1.0
    _, unit = np.unique(pair.units[kept], return_inverse=True)
    wrong = np.bincount(unit, ~pair.correct(side)[kept]) / np.bincount(unit)
    total = round(float(wrong.sum()), 6)
    low, high = (binomtest(count, len(wrong)).proportion_ci() for count in (floor(total), ceil(total)))
    return float(low.low), float(high.high)


def _latency(latencies_ms: tuple[float, ...]) -> Check:
    before, after = latencies_ms
    passed = after <= max(before * _SLOWER, before + _SLOWER_MS)
    rule = f"at most {_SLOWER:g} times, or {_SLOWER_MS:g} ms more"
    return Check(
        "milliseconds of processor time for one ticket",
        champion=before,
        challenger=after,
        low=None,
        high=None,
        passed=passed,
        rule=rule,
    )
