"""What the correction for expected shares does: figures with and without it, on tickets as they came or expected."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.bundle.bundle import Bundle
from models.triager import Triager
from training.evaluation.metrics import BINS
from training.evaluation.predictions import Predictions, TargetPredictions, ask
from triage.policy import Policy

FIGURES = ("accuracy", "ece", "coverage", "selective_risk")


def label_shift_effect(triager: Triager, answers: Predictions) -> dict[str, dict[str, Any]]:
    """Measure each target whose beliefs are corrected for the shares that the policy expects, with and without that.

    The same tickets are put through the same gate a second time, by beliefs as they were learned. Both are measured on
    the tickets as they came, and with each ticket weighted so that the labels have their expected shares: the second
    is what the correction is made for.

    Args:
        triager: What answered.
        answers: What it answered.

    Returns:
        By target, ``expected`` and ``observed`` shares by label, ``as_it_came`` and ``as_expected``, each with figures
        ``with`` and ``without`` the correction; nothing where nothing is corrected.
    """
    bundle = triager.bundle
    if not isinstance(bundle, Bundle):
        return {}
    corrected = [target for target, head in bundle.model.heads.items() if head.odds is not None]
    if not any(target in answers.targets for target in corrected):
        return {}
    heads = {target: replace(head, odds=None) for target, head in bundle.model.heads.items()}
    plain = Bundle(replace(bundle.model, heads=heads), bundle.encoder, bundle.gate, bundle.policy, bundle.rules)
    without = ask(Triager(plain, policy=triager.policy, rules=triager.rules), answers.rows)
    return {
        target: _both(bundle.policy, triager.policy, found, without.targets[target])
        for target, found in answers.targets.items()
        if target in corrected
    }


def _both(trained: Policy, used: Policy, corrected: TargetPredictions, plain: TargetPredictions) -> dict[str, Any]:
    expected: Counter[str] = Counter()
    for label, share in trained.expected_shares(corrected.target).items():
        expected[used.fold(corrected.target, label)] += share  # type: ignore[assignment]
    counts = Counter(corrected.true.tolist())
    total = sum(counts.values())
    weight = {label: expected[label] * total / count for label, count in counts.items()}
    weights = np.array([weight[label] for label in corrected.true.tolist()], dtype=np.float64)
    even = np.ones(len(weights))
    return {
        "expected": dict(expected),
        "observed": {label: count / total for label, count in sorted(counts.items())},
        "as_it_came": {"with": _figures(corrected, even), "without": _figures(plain, even)},
        "as_expected": {"with": _figures(corrected, weights), "without": _figures(plain, weights)},
    }


def _figures(found: TargetPredictions, weights: NDArray[np.float64]) -> Mapping[str, float]:
    """Return accuracy, ECE over 15 equal-width bins, coverage and selective risk of weighted rows."""
    total, kept = float(weights.sum()), float(weights[found.kept].sum())
    if total <= 0:
        return dict.fromkeys(FIGURES, 0.0)
    right = weights * found.correct
    place = np.minimum((found.confidence * BINS).astype(int), BINS - 1)
    gaps = np.bincount(place, weights=right - weights * found.confidence, minlength=BINS)
    values = (
        float(right.sum()) / total,
        float(np.abs(gaps).sum()) / total,
        kept / total,
        1.0 - float(right[found.kept].sum()) / kept if kept > 0 else 0.0,
    )
    return dict(zip(FIGURES, values, strict=True))
