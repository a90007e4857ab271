"""Whether the category's beliefs are made to agree with the tier's: where that wins on rows that neither had seen."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from models.heads.consistency import LabelConsistency
from training.data.folds import left_out
from training.ensemble.calibration import CLEARLY_BETTER, log_loss
from training.ensemble.head import FittedHead, figures_of

_DOUBT = 0.5
"""Tickets of the usual mixture of tiers that every category counts as beside its own."""


def fit_label_consistency(
    heads: Mapping[str, FittedHead], label_ids: Mapping[str, NDArray[np.int64]], folds: NDArray[np.int64]
) -> tuple[dict[str, FittedHead], LabelConsistency | None]:
    """Make the cross-fitted beliefs of both targets agree, if that lowers the log loss of the category.

    Args:
        heads: By target.
        label_ids: Label code by target and row, negative where there is none to learn.
        folds: Fold by row, as the heads were fitted with.

    Returns:
        The heads, and the agreement for tickets to come; None where there are not both targets, or where it does not
        pay.
    """
    if not {"category", "tier"} <= set(heads):
        return dict(heads), None
    category, tier = heads["category"], heads["tier"]
    shape = len(category.head.labels), len(tier.head.labels)
    both = (label_ids["category"] >= 0) & (label_ids["tier"] >= 0)
    probabilities = category.probabilities.copy()
    for fold in left_out(folds):
        held = folds == fold
        shares = _shares(label_ids, both & ~held, shape)
        probabilities[held] = LabelConsistency(shares).made_consistent(
            category.probabilities[held], tier.probabilities[held]
        )
    known = np.flatnonzero((label_ids["category"] >= 0) & (folds >= 0))
    losses = {
        name: log_loss(values[known], label_ids["category"][known])
        for name, values in (("alone", category.probabilities), ("agreed", probabilities))
    }
    facts = {**category.facts, "agreement": {name: round(loss, 5) for name, loss in losses.items()}}
    if losses["agreed"] > losses["alone"] - CLEARLY_BETTER:
        return {**heads, "category": replace(category, facts=facts)}, None
    facts |= figures_of(probabilities[known], label_ids["category"][known], facts)
    return {**heads, "category": replace(category, probabilities=probabilities, facts=facts)}, LabelConsistency(
        _shares(label_ids, both, shape)
    )


def _shares(
    label_ids: Mapping[str, NDArray[np.int64]], rows: NDArray[np.bool_], shape: tuple[int, int]
) -> NDArray[np.float64]:
    counts = np.zeros(shape)
    np.add.at(counts, (label_ids["category"][rows], label_ids["tier"][rows]), 1.0)
    counts += _DOUBT * counts.sum(axis=0) / max(1.0, counts.sum())
    return np.asarray(counts / np.maximum(counts.sum(axis=1, keepdims=True), 1e-12))
