"""Measures of a classifier that may abstain: pure functions on arrays."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import bootstrap
from sklearn.metrics import precision_recall_fscore_support

BINS = 15
"""Equal-width bins of the expected calibration error."""

THRESHOLDS = (0.0, 0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.95, 0.97, 0.99)
"""Confidence thresholds of the right/wrong/none table."""

_DRAWN_AT_ONCE = 100  # of 40,000 rows: 32 MB

Labels = Sequence[str] | NDArray[np.str_] | NDArray[np.object_]


def accuracy(true: Labels, predicted: Labels) -> float:
    """Return the share of equal pairs, in [0, 1]; 0.0 of nothing.

    Example:
        >>> accuracy(["a", "b"], ["a", "a"])
        0.5
    """
    return float(np.mean(np.asarray(true) == np.asarray(predicted))) if len(true) else 0.0


def per_class(true: Labels, predicted: Labels) -> list[dict[str, Any]]:
    """Return rows, precision, recall and F1 of every label that is true or predicted somewhere, by label.

    A ratio without a denominator is 0.0.
    """
    labels = sorted({*true, *predicted})
    if not labels:
        return []
    table = precision_recall_fscore_support(list(true), list(predicted), labels=labels, zero_division=0)
    columns = (labels, *(column.tolist() for column in table))
    return [
        {"label": label, "rows": int(rows), "precision": precision, "recall": recall, "f1": f1}
        for label, precision, recall, f1, rows in zip(*columns, strict=True)
    ]


def macro_f1(true: Labels, predicted: Labels, among: Labels | None = None) -> float:
    """Return the mean F1 over the labels that are true or predicted somewhere, in [0, 1]; or over some of them.

    Example:
        >>> macro_f1(["a", "a", "b"], ["a", "a", "a"])
        0.4
        >>> macro_f1(["a", "a", "b"], ["a", "a", "a"], among=["a"])
        0.8
    """
    counted = [row["f1"] for row in per_class(true, predicted) if among is None or row["label"] in among]
    return float(np.mean(counted)) if counted else 0.0


def calibration_bins(correct: NDArray[np.bool_], confidence: NDArray[np.float64]) -> list[dict[str, float]]:
    """Return the filled ones of 15 equal-width bins of confidence: rows, mean confidence, accuracy."""
    bins, number = [], _bin_of(confidence)
    for one in range(BINS):
        inside = number == one
        if inside.any():
            mean, right = float(np.mean(confidence[inside])), float(np.mean(correct[inside]))
            bins.append({"rows": int(inside.sum()), "confidence": mean, "accuracy": right})
    return bins


def ece(
    correct: NDArray[np.bool_], confidence: NDArray[np.float64], weights: NDArray[np.float64] | None = None
) -> float:
    """Return the expected calibration error of the top label over 15 equal-width bins, in [0, 1].

    After Naeini, Cooper and Hauskrecht (AAAI 2015) and Guo et al. (ICML 2017).

    Args:
        correct: Whether the top label is right, of shape [n].
        confidence: Its probability, of shape [n].
        weights: How much each row counts, of shape [n]; None counts all alike.

    Example:
        >>> import numpy as np
        >>> ece(np.array([True, False]), np.array([0.75, 0.75]))
        0.25
    """
    counted = np.ones(len(confidence)) if weights is None else weights
    gaps = np.bincount(_bin_of(confidence), weights=counted * (confidence - correct), minlength=BINS)
    return float(np.abs(gaps).sum() / counted.sum()) if counted.sum() > 0 else 0.0


def _bin_of(confidence: NDArray[np.float64]) -> NDArray[np.int64]:
    return np.minimum((np.asarray(confidence) * BINS).astype(np.int64), BINS - 1)


def brier(true: Labels, labels: Sequence[str], probabilities: NDArray[np.float64]) -> float:
    """Return the mean squared distance of the probabilities from the truth, in [0, 2] (Brier 1950).

    `sklearn.metrics.brier_score_loss` refuses a true label that the model does not know.

    Args:
        true: The right label of each row; one that is not in `labels` counts as an outcome of probability 0.
        labels: The label of each column.
        probabilities: Probability of each label, of shape [n, labels].
    """
    truth = np.asarray(true, dtype=object)[:, None] == np.asarray(labels, dtype=object)[None, :]
    unknown = len(truth) - truth.sum()
    return float((np.sum((probabilities - truth) ** 2) + unknown) / len(true)) if len(true) else 0.0


def risk_coverage(correct: NDArray[np.bool_], confidence: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the error rate among the most confident 1, 2, … n rows, float64 of shape [n].

    Rows of equal confidence cannot be told apart, so each counts with the mean error of its peers.
    """
    if not len(confidence):
        return np.zeros(0)
    order = np.argsort(-np.asarray(confidence), kind="stable")
    wrong = 1.0 - np.asarray(correct, dtype=np.float64)[order]
    _, peer, sizes = np.unique(-np.asarray(confidence)[order], return_inverse=True, return_counts=True)
    shared = (np.bincount(peer, weights=wrong) / sizes)[peer]
    risks: NDArray[np.float64] = np.cumsum(shared) / np.arange(1, len(wrong) + 1)
    return risks


def aurc(correct: NDArray[np.bool_], confidence: NDArray[np.float64]) -> float:
    """Return the area under the risk–coverage curve, in [0, 1]; lower is better (Geifman, Uziel and El-Yaniv 2019)."""
    risks = risk_coverage(correct, confidence)
    return float(np.mean(risks)) if len(risks) else 0.0


def selective_risk(correct: NDArray[np.bool_], kept: NDArray[np.bool_]) -> float:
    """Return the error rate among the kept rows, in [0, 1]; 0.0 where nothing was kept, so read it beside coverage.

    Example:
        >>> import numpy as np
        >>> selective_risk(np.array([True, False, True]), np.array([True, False, True]))
        0.0
    """
    return float(np.mean(~correct[kept])) if kept.any() else 0.0


def right_wrong_none(correct: NDArray[np.bool_], confidence: NDArray[np.float64]) -> list[dict[str, Any]]:
    """Count for each threshold the rows decided right, decided wrong and left undecided."""
    table = []
    for threshold in THRESHOLDS:
        kept = np.asarray(confidence) >= threshold
        right = int(np.sum(correct & kept))
        wrong = int(np.sum(~correct & kept))
        table.append({"threshold": threshold, "right": right, "wrong": wrong, "none": len(correct) - right - wrong})
    return table


def misses(order: Sequence[str], true: Labels, predicted: Labels) -> dict[str, float]:
    """Tell small misses of an ordered target from severe ones, as shares of the rows.

    Args:
        order: Labels from lowest to highest.
        true: The right labels.
        predicted: The labels named.

    Returns:
        ``off_by_one``, ``severe`` (two or more steps, or a label outside the order), ``too_low``,
        ``too_high``.

    Example:
        >>> misses(["L0", "L1", "L2"], ["L0", "L2", "L1"], ["L2", "L1", "L1"])["severe"]
        0.3333333333333333
    """
    rank = {label: number for number, label in enumerate(order)}
    counts = {"off_by_one": 0, "severe": 0, "too_low": 0, "too_high": 0}
    for right, named in zip(true, predicted, strict=True):
        if right == named:
            continue
        steps = rank[named] - rank[right] if named in rank and right in rank else len(order)
        counts["off_by_one" if abs(steps) == 1 else "severe"] += 1
        if named in rank and right in rank:
            counts["too_high" if steps > 0 else "too_low"] += 1
    return {name: _ratio(count, len(true)) for name, count in counts.items()}


def bootstrap_interval(
    differences: NDArray[np.float64],
    *,
    units: NDArray[np.int64] | None = None,
    confidence: float = 0.95,
    draws: int = 2000,
    seed: int = 0,
) -> tuple[float, float]:
    """Return the percentile interval of the mean of paired differences (Efron and Tibshirani 1993).

    Args:
        differences: One number for each row, challenger less champion.
        units: Which rows are drawn together, of shape [n], as the cluster bootstrap does; None draws each for itself.
        confidence: Probability that the interval states, in (0, 1).
        draws: Resamples of the rows.
        seed: Equal seeds give equal intervals.

    Returns:
        Its two ends; infinite ones where there is a single unit, from which no spread can be told.
    """
    values = np.asarray(differences, dtype=np.float64)
    _, unit = np.unique(np.arange(len(values)) if units is None else units, return_inverse=True)
    sums, sizes = np.bincount(unit, values), np.bincount(unit)
    if len(sizes) < 2:
        return -np.inf, np.inf
    found = bootstrap(
        (sums, sizes), lambda total, rows, axis: total.sum(axis=axis) / rows.sum(axis=axis), paired=True,
        n_resamples=draws, batch=_DRAWN_AT_ONCE, confidence_level=confidence, method="percentile", rng=seed,
    )  # fmt: skip
    return float(found.confidence_interval.low), float(found.confidence_interval.high)


Path = tuple[str, ...]
"""A label that is a path, by its levels."""


def by_level(written: Sequence[Path], learned: Sequence[Path], named: Sequence[Path]) -> list[dict[str, Any]]:
    """Say how often labels that are paths are right at each level.

    Args:
        written: The label of each row as the data has it.
        learned: The same, rolled up to what is learned.
        named: The label that the model names.

    Returns:
        For each level ``rows`` and ``accuracy`` of the labels as written that reach it, and of those as learned.

    Example:
        >>> found = by_level([("IT", "dock"), ("HR", "pay")], [("IT", "dock"), ("HR",)], [("IT", "dock"), ("HR",)])
        >>> found[1] == {"level": 2, "rows": 2, "accuracy": 0.5, "learned_rows": 1, "learned_accuracy": 1.0}
        True
    """
    table = []
    for level in range(1, max(map(len, written), default=0) + 1):
        figures: dict[str, Any] = {"level": level}
        for name, labels in (("", written), ("learned_", learned)):
            right = [label[:level] == guess[:level] for label, guess in zip(labels, named, strict=True)
                     if len(label) >= level]  # fmt: skip
            figures |= {f"{name}rows": len(right), f"{name}accuracy": _ratio(sum(right), len(right))}
        table.append(figures)
    return table


def _ratio(part: float, whole: float) -> float:
    return float(part / whole) if whole else 0.0
