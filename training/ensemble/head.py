"""Fits one head: base estimators cross-fitted, then stacked and calibrated on rows that they had not seen."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.heads.head import Head, Probabilities, softmax
from training.data.folds import SEEN
from training.ensemble.calibration import brier, fit_temperature, log_loss
from training.ensemble.composition import RULES, estimators_for
from training.ensemble.cross_fit import CrossFit, TargetData, cross_fit
from training.ensemble.estimators import HyperParameters
from training.ensemble.stacking import fit_stacking, out_of_fold_logits
from training.evaluation.metrics import ece


@dataclass(frozen=True)
class FittedHead:
    """A head with what is known about it from cross-fitting.

    Attributes:
        head: Fitted on all rows.
        hyper_parameters: Of its base estimators.
        probabilities: Cross-fitted, calibrated probabilities of all rows, of shape [n, classes]; without meaning where
            the fold is `SEEN`.
        facts: Accuracy of each base estimator, and the proper scores of the whole, for the report.
        of_guesses: The same estimators stacked and calibrated for guessed vectors; None where there are none.
    """

    head: Head
    hyper_parameters: HyperParameters
    probabilities: Probabilities
    facts: Mapping[str, Any]
    of_guesses: FittedHead | None = None

    def corrected(self, prior_correction: NDArray[np.float64] | None) -> FittedHead:
        """Return the same with a correction for the shares of labels that traffic has, of shape [classes]."""
        again = None if self.of_guesses is None else self.of_guesses.corrected(prior_correction)
        return replace(self, head=replace(self.head, prior_correction=prior_correction), of_guesses=again)


def fit_head(target: str, data: TargetData, folds: NDArray[np.int64], hyper_parameters: HyperParameters) -> FittedHead:
    """Fit a head.

    Args:
        target: Name of the target, such as ``tier``.
        data: Features and labels of n rows.
        folds: Fold by row, int64 of shape [n]; nothing crosses them. From rows marked `SEEN` the base estimators learn,
            and nothing else does: what they score there is no evidence.
        hyper_parameters: Of the base estimators.
    """
    names, baselines = estimators_for(len(data.label_ids), data.rule_labels, fine_tuned=data.base_dim is not None)
    fitted = cross_fit(data, folds, names=names, baselines=baselines, hyper_parameters=hyper_parameters)
    head = _stacked(target, data, folds, fitted, scores=fitted.scores, hyper_parameters=hyper_parameters)
    if not fitted.of_guesses:
        return head
    again = _stacked(target, data, folds, fitted, scores=fitted.of_guesses, hyper_parameters=hyper_parameters)
    return replace(head, of_guesses=again)


def _stacked(
    target: str,
    data: TargetData,
    folds: NDArray[np.int64],
    fitted: CrossFit,
    *,
    scores: Mapping[str, NDArray[np.float32]],
    hyper_parameters: HyperParameters,
) -> FittedHead:
    """Stack and calibrate estimators by their out-of-fold scores."""
    blocks, known = list(scores.values()), np.flatnonzero((data.label_ids >= 0) & (folds != SEEN))
    label_ids = data.label_ids[known]
    logits = out_of_fold_logits(blocks, data.label_ids, folds)
    factor = fit_temperature(logits[known], label_ids)
    stacking = fit_stacking([block[known] for block in blocks], label_ids).scaled(factor)
    probabilities = softmax(logits * factor)
    head = Head(target, data.labels, fitted.estimators, stacking, baselines=fitted.baselines)
    facts = {
        "estimators": {name: _accuracy(block[known], label_ids) for name, block in scores.items()},
        "cross_fitted_accuracy": _accuracy(probabilities[known], label_ids),
        "temperature": round(1.0 / factor, 5),
        "log_loss": _before_and_after(log_loss, logits[known], factor, label_ids),
        "ece": _before_and_after(_ece, logits[known], factor, label_ids),
        "brier": _before_and_after(brier, logits[known], factor, label_ids),
    }
    return FittedHead(head, hyper_parameters, probabilities, facts)


def _accuracy(scores: NDArray[Any], label_ids: NDArray[np.int64]) -> float:
    return round(float((scores.argmax(axis=1) == label_ids).mean()), 5)


def _ece(probabilities: Probabilities, label_ids: NDArray[np.int64]) -> float:
    return ece(probabilities.argmax(axis=1) == label_ids, probabilities.max(axis=1))


def _before_and_after(
    measure: Callable[[Probabilities, NDArray[np.int64]], float],
    logits: NDArray[np.float64],
    factor: float,
    label_ids: NDArray[np.int64],
) -> dict[str, float]:
    """Return a score without and with calibration."""
    return {
        "before": round(measure(softmax(logits), label_ids), 5),
        "after": round(measure(softmax(logits * factor), label_ids), 5),
    }


def refit_head(fitted: FittedHead, data: TargetData) -> Head:
    """Fit the base estimators anew on more rows; votes of rules, baselines, stacking and calibration stay."""
    names = [one.name for one in fitted.head.estimators if one.name != RULES]
    again = cross_fit(data, None, names=names, baselines=(), hyper_parameters=fitted.hyper_parameters)
    anew = {one.name: one for one in again.estimators}
    return replace(fitted.head, estimators=tuple(anew.get(one.name, one) for one in fitted.head.estimators))
