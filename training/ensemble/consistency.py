"""Whether the category's beliefs are made to agree with the tier's: where that wins on rows that neither had seen."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from models.heads.consistency import Agreement
from training.data.folds import left_out
from training.ensemble.calibration import CLEARLY_BETTER, log_loss
from training.ensemble.head import FittedHead, figures_of

_DOUBT = 0.5
"""Tickets of the usual mixture of tiers that every category counts as beside its own."""


def agree(
    heads: Mapping[str, FittedHead], codes: Mapping[str, NDArray[np.int64]], folds: NDArray[np.int64]
) -> tuple[dict[str, FittedHead], Agreement | None]:
    """Make the cross-fitted beliefs of both targets agree, if that lowers the log loss of the category.

    Args:
        heads: By target.
        codes: Label code by target and row, negative where there is none to learn.
        folds: Fold by row, as the heads were fitted with.

    Returns:
        The heads, and the agreement for tickets to come; None where there are not both targets, or where it does not
        pay.
    """
    if not {"category", "tier"} <= set(heads):
        return dict(heads), None
    category, tier = heads["category"], heads["tier"]
    shape = len(category.head.labels), len(tier.head.labels)
    both = (codes["category"] >= 0) & (codes["tier"] >= 0)
    beliefs = category.beliefs.copy()
    for fold in left_out(folds):
        held = folds == fold
        shares = _shares(codes, both & ~held, shape)
        beliefs[held] = Agreement(shares).agreed(category.beliefs[held], tier.beliefs[held])
    known = np.flatnonzero((codes["category"] >= 0) & (folds >= 0))
    losses = {
        name: log_loss(values[known], codes["category"][known])
        for name, values in (("alone", category.beliefs), ("agreed", beliefs))
    }
    facts = {**category.facts, "agreement": {name: round(loss, 5) for name, loss in losses.items()}}
    if losses["agreed"] > losses["alone"] - CLEARLY_BETTER:
        return {**heads, "category": replace(category, facts=facts)}, None
    facts |= figures_of(beliefs[known], codes["category"][known], facts)
    return {**heads, "category": replace(category, beliefs=beliefs, facts=facts)}, Agreement(
        _shares(codes, both, shape)
    )


def _shares(
    codes: Mapping[str, NDArray[np.int64]], rows: NDArray[np.bool_], shape: tuple[int, int]
) -> NDArray[np.float64]:
    counts = np.zeros(shape)
    np.add.at(counts, (codes["category"][rows], codes["tier"][rows]), 1.0)
    counts += _DOUBT * counts.sum(axis=0) / max(1.0, counts.sum())
    return np.asarray(counts / np.maximum(counts.sum(axis=1, keepdims=True), 1e-12))
