"""Fits heads: base estimators cross-fitted, then stacked and calibrated on rows that they had not seen."""

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
from training.ensemble.cross_fit import CrossFit, TargetData, Wanted, cross_fit
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


def cross_fitted_heads(
    data: Mapping[str, TargetData], folds: NDArray[np.int64], hyper_parameters: HyperParameters
) -> dict[str, FittedHead]:
    """Fit a head for each target.

    Args:
        data: Features and labels of n rows, by target.
        folds: Fold by row, int64 of shape [n]; nothing crosses them. From rows marked `SEEN` the base estimators learn,
            and nothing else does: what they score there is no evidence.
        hyper_parameters: Of the base estimators.
    """
    wanted = [
        Wanted(one, folds, *estimators_for(len(one.label_ids), one.rule_labels, fine_tuned=one.base_dim is not None))
        for one in data.values()
    ]
    heads = {}
    for (target, one), fitted in zip(data.items(), cross_fit(wanted, hyper_parameters), strict=True):
        head = _stacked(target, one, folds, fitted, scores=fitted.scores, hyper_parameters=hyper_parameters)
        if fitted.of_guesses:
            again = _stacked(target, one, folds, fitted, scores=fitted.of_guesses, hyper_parameters=hyper_parameters)
            head = replace(head, of_guesses=again)
        heads[target] = head
    return heads


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


def refit_heads(fitted: Mapping[str, FittedHead], data: Mapping[str, TargetData]) -> dict[str, Head]:
    """Fit the base estimators anew on more rows; votes of rules, baselines, stacking and calibration stay.

    Args:
        fitted: Heads by target, all with the same hyper-parameters.
        data: Features and labels of the rows, for each of these targets.
    """
    wanted, alike = [], next(iter(fitted.values())).hyper_parameters
    for target, before in fitted.items():
        names = [one.name for one in before.head.estimators if one.name != RULES]
        wanted.append(Wanted(data[target], None, names, baselines=()))
    heads = {}
    for (target, before), again in zip(fitted.items(), cross_fit(wanted, alike), strict=True):
        anew = {one.name: one for one in again.estimators}
        heads[target] = replace(before.head, estimators=tuple(anew.get(o.name, o) for o in before.head.estimators))
    return heads
