"""One head from members to calibrated beliefs: what is combined, and how freely, is chosen by cross-validation."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from joblib import Parallel, delayed
from numpy.typing import NDArray

from models.heads.base_estimators import RuleMember
from models.heads.head import Combiner, Head, Probabilities, softmax, stacked
from training.data.folds import SEEN, left_out
from training.ensemble.calibration import brier, choose_calibrator, log_loss
from training.ensemble.cross_fit import CrossFit, Material, cross_fit
from training.ensemble.estimators import Strength
from training.ensemble.members import MANY_ROWS, MEMBERS, members_for, spoken_codes
from training.ensemble.stacking import fit_combiner
from training.evaluation.metrics import ece
from triage.rules.book import NO_RULES, RuleBook

_MANY_LABELS = 40
_ROWS_TO_CHOOSE_ON, _WHERE_MANY_LABELS = 20_000, 8000
_FOLDS_TO_CHOOSE_ON = 3


@dataclass(frozen=True)
class Recipe:
    """How members are combined.

    Attributes:
        members: Names of those that count.
        freedom: See `training.ensemble.stacking.fit_combiner`.
        reads_category: Whether the beliefs of the category head are inputs too.
    """

    members: tuple[str, ...] = MEMBERS
    freedom: float = 0.01
    reads_category: bool = False

    @property
    def name(self) -> str:
        """A name for reports."""
        whole = "stack" if len(self.members) > 1 else "+".join(self.members)
        return f"{whole}, freedom {self.freedom:g}" + (", category" if self.reads_category else "")


@dataclass(frozen=True)
class FittedHead:
    """A head with what is known about it from cross-fitting.

    Attributes:
        head: Fitted on all rows.
        recipe: What was chosen.
        strength: How freely the members were fitted.
        beliefs: Cross-fitted, calibrated probabilities of all rows, of shape [n, classes]; of no worth where the
            fold is `SEEN`.
        facts: Scores of the candidates and of the calibration, for the report.
    """

    head: Head
    recipe: Recipe
    strength: Strength
    beliefs: Probabilities
    facts: Mapping[str, Any]


def fit_head(
    target: str,
    labels: tuple[str, ...],
    codes: NDArray[np.int64],
    material: Material,
    folds: NDArray[np.int64],
    *,
    category: Probabilities | None = None,
    rules: RuleBook = NO_RULES,
    strength: Strength | None = None,
    seed: int = 0,
    jobs: int | None = None,
) -> FittedHead:
    """Fit a head: members cross-fitted, combination and calibration chosen by log loss on rows that neither had seen.

    Args:
        target: ``tier`` or ``category``.
        labels: Learnable labels; codes count in them.
        codes: Label code by row, negative where there is none to learn.
        material: Features of all rows.
        folds: Fold by row; nothing crosses them. From rows marked `SEEN` the members learn, and nothing else does:
            what they score there is no evidence.
        category: Cross-fitted beliefs of the category head, which the tier may read.
        rules: The written rules that `material` knows the fitting ones of.
        strength: How freely members may fit; None goes by the number of rows.
        seed: Of solvers that shuffle.
        jobs: Processes; None takes one per core where that pays.
    """
    spoken = spoken_codes(rules, target, labels)
    names, beside = members_for(len(codes), spoken, adapted=material.plain is not None)
    members = cross_fit(
        material, codes, len(labels), folds, names=names, beside=beside, spoken=spoken,
        strength=strength or Strength(balanced=len(codes) < MANY_ROWS), seed=seed, jobs=jobs,
    )  # fmt: skip
    known = np.flatnonzero((codes >= 0) & (folds != SEEN))
    losses = _compare(_candidates(names, category is not None), members, category, codes, folds, known, seed)
    recipe = min(losses, key=lambda one: (round(losses[one], 4), one.freedom, len(one.members)))
    logits = _cross_combined(recipe, members, category, codes, folds, known)
    calibrator, calibrated, calibration = choose_calibrator(logits[known], codes[known], folds[known])
    beliefs = calibrator.probabilities(logits)
    beliefs[known] = calibrated
    head = Head(
        target,
        labels,
        members.members,
        _combined(recipe, members, category, codes, known),
        calibrator,
        recipe.reads_category,
        beside=members.beside,
    )
    facts: dict[str, Any] = {
        "recipe": recipe.name,
        "candidates": {one.name: round(loss, 5) for one, loss in sorted(losses.items(), key=lambda pair: pair[1])},
        "members": {
            name: round(float((scores[known].argmax(axis=1) == codes[known]).mean()), 5)
            for name, scores in members.scores.items()
        },
        "calibration": {"chosen": calibrator.kind, "log_loss": calibration},
        "ece": {"before": _ece(softmax(logits[known]), codes[known])},
        "brier": {"before": brier(softmax(logits[known]), codes[known])},
    }
    facts |= figures_of(calibrated, codes[known], facts)
    return FittedHead(head, recipe, members.strength, beliefs, facts)


def figures_of(beliefs: Probabilities, codes: NDArray[np.int64], facts: Mapping[str, Any]) -> dict[str, Any]:
    """Return what is told of cross-fitted beliefs in the end, beside what they were before."""
    return {
        "ece": {**facts["ece"], "after": _ece(beliefs, codes)},
        "brier": {**facts["brier"], "after": brier(beliefs, codes)},
        "cross_fitted_accuracy": round(float((beliefs.argmax(axis=1) == codes).mean()), 5),
    }


def _ece(beliefs: Probabilities, codes: NDArray[np.int64]) -> float:
    return round(ece(beliefs.argmax(axis=1) == codes, beliefs.max(axis=1)), 5)


def refit_head(
    fitted: FittedHead,
    codes: NDArray[np.int64],
    material: Material,
    *,
    seed: int = 0,
    jobs: int | None = None,
) -> Head:
    """Fit the members of a head anew on more rows; baselines, and how members are combined and calibrated, stay."""
    steady = {member.name: member for member in fitted.head.members if isinstance(member, RuleMember)}
    names = tuple(member.name for member in fitted.head.members if member.name not in steady)
    members = cross_fit(
        material, codes, len(fitted.head.labels), None, names=names, beside=(), strength=fitted.strength, seed=seed,
        jobs=jobs,
    )  # fmt: skip
    again = {member.name: member for member in members.members} | steady
    return replace(fitted.head, members=tuple(again[member.name] for member in fitted.head.members))


def _candidates(names: tuple[str, ...], category: bool) -> list[Recipe]:
    found = [Recipe(("hybrid",), 0.0), *(Recipe(names, freedom) for freedom in (0.0, 0.003, 0.03))]
    return found + ([Recipe(names, freedom, True) for freedom in (0.003, 0.03)] if category else [])


def _compare(
    recipes: list[Recipe],
    members: CrossFit,
    category: Probabilities | None,
    codes: NDArray[np.int64],
    folds: NDArray[np.int64],
    known: NDArray[np.int64],
    seed: int,
) -> dict[Recipe, float]:
    """Score each recipe by cross-validated log loss, on some of the rows where there are many."""
    rows = known
    most = _WHERE_MANY_LABELS if codes.max() >= _MANY_LABELS else _ROWS_TO_CHOOSE_ON
    if len(rows) > most:
        rows = np.sort(np.random.default_rng(seed).choice(known, most, replace=False))
    coarse = np.where(folds == SEEN, SEEN, folds % _FOLDS_TO_CHOOSE_ON)
    losses = {}
    for recipe in recipes:
        logits = _cross_combined(recipe, members, category, codes, coarse, rows)
        losses[recipe] = log_loss(softmax(logits[rows]), codes[rows])
    return losses


def _cross_combined(
    recipe: Recipe,
    members: CrossFit,
    category: Probabilities | None,
    codes: NDArray[np.int64],
    folds: NDArray[np.int64],
    learned: NDArray[np.int64],
) -> NDArray[np.float64]:
    """Return logits of all rows from combiners that had not seen the row's fold."""
    whole = _stack(recipe, members, category)
    logits = np.zeros((len(codes), next(iter(members.scores.values())).shape[1]))
    numbers = left_out(folds)
    fitted = Parallel(n_jobs=os.cpu_count(), prefer="threads")(
        delayed(_combined)(recipe, members, category, codes, learned[folds[learned] != fold]) for fold in numbers
    )
    for fold, combiner in zip(numbers, fitted, strict=True):
        logits[folds == fold] = combiner.logits(whole[folds == fold])
    return logits


def _stack(recipe: Recipe, members: CrossFit, category: Probabilities | None) -> NDArray[np.float32]:
    return stacked(list(members.scores.values()), category if recipe.reads_category else None)


def _combined(
    recipe: Recipe, members: CrossFit, category: Probabilities | None, codes: NDArray[np.int64], rows: NDArray[np.int64]
) -> Combiner:
    """Fit the combiner of a recipe; members that it leaves out get weight 0."""
    extra = stacked([], category[rows]) if recipe.reads_category and category is not None else None
    fitted = fit_combiner(
        [members.scores[name][rows] for name in recipe.members], extra, codes[rows], freedom=recipe.freedom
    )
    names = tuple(members.scores)
    if recipe.members == names:
        return fitted
    classes = fitted.weights.shape[1]
    table = np.zeros((len(names) * classes, classes), dtype=np.float32)
    for place, name in enumerate(recipe.members):
        at = names.index(name) * classes
        table[at : at + classes] = fitted.weights[place * classes : (place + 1) * classes]
    return Combiner(table, fitted.bias)
