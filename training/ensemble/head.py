"""One head from members to calibrated beliefs: what is combined, and how freely, is chosen by cross-validation."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from joblib import Parallel, delayed
from numpy.typing import NDArray

from models.heads.base_estimators import RuleEstimator
from models.heads.head import Head, Probabilities, Stacking, softmax, stacked
from training.data.folds import SEEN, left_out
from training.ensemble.calibration import brier, choose_calibrator, log_loss
from training.ensemble.composition import MEMBERS, members_for
from training.ensemble.cross_fit import CrossFit, TargetData, cross_fit
from training.ensemble.estimators import HyperParameters
from training.ensemble.stacking import fit_stacking
from training.evaluation.metrics import ece

_MANY_LABELS = 40
_ROWS_TO_CHOOSE_ON, _WHERE_MANY_LABELS = 20_000, 8000
_FOLDS_TO_CHOOSE_ON = 3


@dataclass(frozen=True)
class StackingConfig:
    """How members are combined.

    Attributes:
        estimators: Names of those that count.
        freedom: See `training.ensemble.stacking.fit_stacking`.
        reads_category: Whether the beliefs of the category head are inputs too.
    """

    estimators: tuple[str, ...] = MEMBERS
    freedom: float = 0.01
    reads_category: bool = False

    @property
    def name(self) -> str:
        """A name for reports."""
        whole = "stack" if len(self.estimators) > 1 else "+".join(self.estimators)
        return f"{whole}, freedom {self.freedom:g}" + (", category" if self.reads_category else "")


@dataclass(frozen=True)
class FittedHead:
    """A head with what is known about it from cross-fitting.

    Attributes:
        head: Fitted on all rows.
        stacking_config: What was chosen.
        hyper_parameters: How freely the members were fitted.
        probabilities: Cross-fitted, calibrated probabilities of all rows, of shape [n, classes]; of no worth where the
            fold is `SEEN`.
        facts: Scores of the candidates and of the calibration, for the report.
    """

    head: Head
    stacking_config: StackingConfig
    hyper_parameters: HyperParameters
    probabilities: Probabilities
    facts: Mapping[str, Any]


def fit_head(
    target: str,
    data: TargetData,
    folds: NDArray[np.int64],
    hyper_parameters: HyperParameters,
    *,
    category: Probabilities | None = None,
) -> FittedHead:
    """Fit a head: members cross-fitted, combination and calibration chosen by log loss on rows that neither had seen.

    Args:
        target: ``tier`` or ``category``.
        data: Features and labels of n rows.
        folds: Fold by row, int64 of shape [n]; nothing crosses them. From rows marked `SEEN` the estimators learn, and
            nothing else does: what they score there is no evidence.
        hyper_parameters: Of the estimators.
        category: Cross-fitted probabilities of the category head, which the tier may read.
    """
    label_ids, labels, seed = data.label_ids, data.labels, hyper_parameters.seed
    names, baselines = members_for(len(label_ids), data.rule_labels, adapted=data.base_dim is not None)
    estimators = cross_fit(data, folds, names=names, baselines=baselines, hyper_parameters=hyper_parameters)
    known = np.flatnonzero((label_ids >= 0) & (folds != SEEN))
    losses = _compare(_candidates(names, category is not None), estimators, category, label_ids, folds, known, seed)
    stacking_config = min(losses, key=lambda one: (round(losses[one], 4), one.freedom, len(one.estimators)))
    logits = _cross_combined(stacking_config, estimators, category, label_ids, folds, known)
    calibrator, calibrated, calibration = choose_calibrator(logits[known], label_ids[known], folds[known])
    probabilities = calibrator.probabilities(logits)
    probabilities[known] = calibrated
    head = Head(
        target,
        labels,
        estimators.estimators,
        _combined(stacking_config, estimators, category, label_ids, known),
        calibrator,
        stacking_config.reads_category,
        beside=estimators.baselines,
    )
    facts: dict[str, Any] = {
        "recipe": stacking_config.name,
        "candidates": {one.name: round(loss, 5) for one, loss in sorted(losses.items(), key=lambda pair: pair[1])},
        "members": {
            name: round(float((scores[known].argmax(axis=1) == label_ids[known]).mean()), 5)
            for name, scores in estimators.scores.items()
        },
        "calibration": {"chosen": calibrator.kind, "log_loss": calibration},
        "ece": {"before": _ece(softmax(logits[known]), label_ids[known])},
        "brier": {"before": brier(softmax(logits[known]), label_ids[known])},
    }
    facts |= figures_of(calibrated, label_ids[known], facts)
    return FittedHead(head, stacking_config, hyper_parameters, probabilities, facts)


def figures_of(probabilities: Probabilities, label_ids: NDArray[np.int64], facts: Mapping[str, Any]) -> dict[str, Any]:
    """Return what is told of cross-fitted beliefs in the end, beside what they were before."""
    return {
        "ece": {**facts["ece"], "after": _ece(probabilities, label_ids)},
        "brier": {**facts["brier"], "after": brier(probabilities, label_ids)},
        "cross_fitted_accuracy": round(float((probabilities.argmax(axis=1) == label_ids).mean()), 5),
    }


def _ece(probabilities: Probabilities, label_ids: NDArray[np.int64]) -> float:
    return round(ece(probabilities.argmax(axis=1) == label_ids, probabilities.max(axis=1)), 5)


def refit_head(fitted: FittedHead, data: TargetData) -> Head:
    """Fit the estimators of a head anew on more rows; baselines, stacking and calibration stay as they were."""
    steady = {estimator.name: estimator for estimator in fitted.head.estimators if isinstance(estimator, RuleEstimator)}
    names = tuple(estimator.name for estimator in fitted.head.estimators if estimator.name not in steady)
    estimators = cross_fit(data, None, names=names, baselines=(), hyper_parameters=fitted.hyper_parameters)
    again = {estimator.name: estimator for estimator in estimators.estimators} | steady
    return replace(fitted.head, estimators=tuple(again[estimator.name] for estimator in fitted.head.estimators))


def _candidates(names: tuple[str, ...], category: bool) -> list[StackingConfig]:
    found = [StackingConfig(("hybrid",), 0.0), *(StackingConfig(names, freedom) for freedom in (0.0, 0.003, 0.03))]
    return found + ([StackingConfig(names, freedom, True) for freedom in (0.003, 0.03)] if category else [])


def _compare(
    recipes: list[StackingConfig],
    estimators: CrossFit,
    category: Probabilities | None,
    label_ids: NDArray[np.int64],
    folds: NDArray[np.int64],
    known: NDArray[np.int64],
    seed: int,
) -> dict[StackingConfig, float]:
    """Score each recipe by cross-validated log loss, on some of the rows where there are many."""
    rows = known
    most = _WHERE_MANY_LABELS if label_ids.max() >= _MANY_LABELS else _ROWS_TO_CHOOSE_ON
    if len(rows) > most:
        rows = np.sort(np.random.default_rng(seed).choice(known, most, replace=False))
    coarse = np.where(folds == SEEN, SEEN, folds % _FOLDS_TO_CHOOSE_ON)
    losses = {}
    for stacking_config in recipes:
        logits = _cross_combined(stacking_config, estimators, category, label_ids, coarse, rows)
        losses[stacking_config] = log_loss(softmax(logits[rows]), label_ids[rows])
    return losses


def _cross_combined(
    stacking_config: StackingConfig,
    estimators: CrossFit,
    category: Probabilities | None,
    label_ids: NDArray[np.int64],
    folds: NDArray[np.int64],
    learned: NDArray[np.int64],
) -> NDArray[np.float64]:
    """Return logits of all rows from combiners that had not seen the row's fold."""
    whole = _stack(stacking_config, estimators, category)
    logits = np.zeros((len(label_ids), next(iter(estimators.scores.values())).shape[1]))
    numbers = left_out(folds)
    fitted = Parallel(n_jobs=os.cpu_count(), prefer="threads")(
        delayed(_combined)(stacking_config, estimators, category, label_ids, learned[folds[learned] != fold])
        for fold in numbers
    )
    for fold, combiner in zip(numbers, fitted, strict=True):
        logits[folds == fold] = combiner.logits(whole[folds == fold])
    return logits


def _stack(
    stacking_config: StackingConfig, estimators: CrossFit, category: Probabilities | None
) -> NDArray[np.float32]:
    return stacked(list(estimators.scores.values()), category if stacking_config.reads_category else None)


def _combined(
    stacking_config: StackingConfig,
    estimators: CrossFit,
    category: Probabilities | None,
    label_ids: NDArray[np.int64],
    rows: NDArray[np.int64],
) -> Stacking:
    """Fit the combiner of a recipe; members that it leaves out get weight 0."""
    extra = stacked([], category[rows]) if stacking_config.reads_category and category is not None else None
    fitted = fit_stacking(
        [estimators.scores[name][rows] for name in stacking_config.estimators],
        extra,
        label_ids[rows],
        freedom=stacking_config.freedom,
    )
    names = tuple(estimators.scores)
    if stacking_config.estimators == names:
        return fitted
    classes = fitted.weights.shape[1]
    table = np.zeros((len(names) * classes, classes), dtype=np.float32)
    for place, name in enumerate(stacking_config.estimators):
        at = names.index(name) * classes
        table[at : at + classes] = fitted.weights[place * classes : (place + 1) * classes]
    return Stacking(table, fitted.bias)
