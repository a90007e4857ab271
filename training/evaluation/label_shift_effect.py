"""What the correction for expected shares does: figures with and without it, on tickets as they came or expected."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.bundle.bundle import Bundle
from models.heads.head import Head
from models.triager import Triager
from training.evaluation import metrics
from training.evaluation.predictions import TargetPredictions
from training.evaluation.record import strings

FIGURES = ("accuracy", "ece")


def label_shift_effect(triager: Triager, found: TargetPredictions) -> dict[str, Any] | None:
    """Measure a target whose probabilities are corrected for the shares that the policy expects, with and without that.

    Without the correction means by the probabilities as they were learned: the factors of the correction are divided
    out again, so that no ticket is scored a second time. Both are measured on the tickets as they came, and with each
    ticket weighted so that the labels have their expected shares: the second is what the correction is made for.

    Args:
        triager: What answered.
        found: What it answered for the target.

    Returns:
        ``expected`` and ``observed`` shares by label, ``as_it_came`` and ``as_expected``, each with figures ``with``
        and ``without`` the correction; None where nothing is corrected.
    """
    bundle = triager.bundle
    head = bundle.model.heads.get(found.target) if isinstance(bundle, Bundle) else None
    if not isinstance(bundle, Bundle) or head is None or head.prior_correction is None:
        return None
    expected: Counter[str] = Counter()
    for label, share in bundle.policy.expected_shares(found.target).items():
        expected[triager.policy.fold(found.target, label)] += share  # type: ignore[assignment]
    counts = Counter(found.true.tolist())
    total = counts.total()
    even = np.ones(total)
    weights = np.array([expected[label] * total / counts[label] for label in found.true.tolist()])
    learned = _uncorrected(found, head)
    top, confidence = strings(found.labels[column] for column in learned.argmax(axis=1)), learned.max(axis=1)
    ways = {"with": (found.correct, found.confidence), "without": (np.asarray(found.true == top), confidence)}
    return {
        "expected": dict(expected),
        "observed": {label: count / total for label, count in sorted(counts.items())},
        "as_it_came": {way: _figures(*answers, even) for way, answers in ways.items()},
        "as_expected": {way: _figures(*answers, weights) for way, answers in ways.items()},
    }


def _uncorrected(found: TargetPredictions, head: Head) -> NDArray[np.float64]:
    """Return the probabilities as they were learned, of shape [n, labels]: see `Head.in_traffic` for the way there."""
    assert head.prior_correction is not None
    odds = dict(
        zip(head.labels[: head.learned], np.asarray(head.prior_correction, dtype=np.float64).tolist(), strict=True)
    )
    known = np.array([label in odds for label in found.labels])
    divided: NDArray[np.float64] = found.probabilities / [odds.get(label, 1.0) for label in found.labels]
    mass = found.probabilities[:, known].sum(axis=1, keepdims=True)
    raw = divided[:, known].sum(axis=1, keepdims=True)
    divided[:, known] *= np.divide(mass, raw, out=np.ones_like(raw), where=raw > 0)
    return divided


def _figures(
    correct: NDArray[np.bool_], confidence: NDArray[np.float64], weights: NDArray[np.float64]
) -> dict[str, float]:
    """Return accuracy and ECE of weighted rows; all three arrays have shape [n]."""
    if weights.sum() <= 0:
        return dict.fromkeys(FIGURES, 0.0)
    return {
        "accuracy": float(np.average(correct, weights=weights)),
        "ece": metrics.ece(correct, confidence, weights),
    }
