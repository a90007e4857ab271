"""Populations whose true risk is known, to see how often a gate breaks its promise."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import beta, binom

from training.gate.risk_control import GRID, certify, upper_bound

Method = Callable[[NDArray[np.float64], NDArray[np.bool_], float, float], float | None]
"""Confidence, whether right, target risk and delta in; the threshold, or None, out."""


@dataclass(frozen=True)
class Outcome:
    """How a method fared over populations.

    Attributes:
        violations: Share of populations in which the true risk exceeded the target.
        coverage: Mean true coverage.
        silent: Share of populations in which it kept nothing.
    """

    violations: float
    coverage: float
    silent: float


def simulate(
    methods: Mapping[str, Method], *, populations: int, tickets: int, risk: float, delta: float, seed: int
) -> dict[str, Outcome]:
    """Draw populations, let each method choose a threshold on a sample, and look up the true risk above it.

    In each population confidence has a Beta distribution of its own and the probability of being right is a random
    distortion of it: over- and underconfident ones, sharp and dull ones.
    """
    rng = np.random.default_rng(seed)
    broken = dict.fromkeys(methods, 0)
    kept: dict[str, list[float]] = {name: [] for name in methods}
    for _ in range(populations):
        a, b, tilt, shift = rng.uniform(1.5, 6), rng.uniform(0.3, 2), rng.uniform(0.6, 1.6), rng.uniform(-0.7, 0.7)
        sure = rng.beta(a, b, tickets)
        right = rng.random(tickets) < _right(sure, tilt, shift)
        nodes = beta.ppf((np.arange(2_000) + 0.5) / 2_000, a, b)
        truth = _right(nodes, tilt, shift)
        for name, method in methods.items():
            threshold = method(sure, right, risk, delta)
            above = nodes >= (2.0 if threshold is None else threshold)
            kept[name].append(float(above.mean()))
            broken[name] += bool(above.any() and 1 - truth[above].mean() > risk)
    return {
        name: Outcome(
            broken[name] / populations, float(np.mean(kept[name])), float(np.mean([share == 0 for share in kept[name]]))
        )
        for name in methods
    }


def _right(sure: NDArray[np.float64], tilt: float, shift: float) -> NDArray[np.float64]:
    clipped = np.clip(sure, 1e-6, 1 - 1e-6)
    return np.asarray(1 / (1 + np.exp(-(tilt * np.log(clipped / (1 - clipped)) + shift))))


def fixed_sequence(sure: NDArray[np.float64], right: NDArray[np.bool_], risk: float, delta: float) -> float | None:
    """Choose as training does, with no tuning scores but the calibration scores themselves."""
    return certify(sure, right, np.ones(len(sure), dtype=bool), risk=risk, delta=delta).threshold


def empirical(sure: NDArray[np.float64], right: NDArray[np.bool_], risk: float, delta: float) -> float | None:
    """Choose the lowest threshold whose error rate in the sample is at most the target: no guarantee."""
    kept, wrong = _counts(sure, right)
    good = np.flatnonzero((kept > 0) & (wrong <= risk * kept))
    return float(GRID[good[0]]) if len(good) else None


def bonferroni(sure: NDArray[np.float64], right: NDArray[np.bool_], risk: float, delta: float) -> float | None:
    """Test twenty thresholds, each at a twentieth of the level."""
    kept, wrong = _counts(sure, right)
    tested = np.linspace(0, len(GRID) - 1, 20).astype(int)
    p = np.where(kept[tested] > 0, binom.cdf(wrong[tested], np.maximum(kept[tested], 1), risk), 1.0)
    good = tested[p <= delta / len(tested)]
    return float(GRID[good[0]]) if len(good) else None


def binary_search(sure: NDArray[np.float64], right: NDArray[np.bool_], risk: float, delta: float) -> float | None:
    """Choose by selection with guaranteed risk (Geifman and El-Yaniv 2017): bisection, the level shared."""
    ranked = np.argsort(-sure, kind="stable")
    wrong = np.cumsum(~right[ranked])
    low, high, found = 1, len(sure), None
    steps = int(np.ceil(np.log2(len(sure))))
    for _ in range(steps):
        middle = (low + high) // 2
        bound = upper_bound(int(wrong[middle - 1]), middle, delta / steps)
        if bound <= risk:
            found, low = float(sure[ranked[middle - 1]]), middle
        else:
            high = middle
    return found


def _counts(sure: NDArray[np.float64], right: NDArray[np.bool_]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    order = np.argsort(sure, kind="stable")
    first = np.searchsorted(sure[order], GRID, side="left")
    tail = np.concatenate([np.cumsum((~right)[order][::-1])[::-1], [0]])
    return len(sure) - first, tail[first]


METHODS: Mapping[str, Method] = {
    "fixed sequence": fixed_sequence,
    "empirical": empirical,
    "Bonferroni": bonferroni,
    "binary search": binary_search,
}
"""Those compared in the benchmark; training uses the first."""
