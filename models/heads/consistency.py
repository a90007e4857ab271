"""Tier and category made to agree: where a category goes with one tier, what is known of the tier tells of it too."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.heads.head import Probabilities


@dataclass(frozen=True)
class LabelConsistency:
    """How often each category goes with each tier.

    Attributes:
        shares: Of the tiers within each category, float64 of shape [categories, tiers]; its rows add up to 1.
    """

    shares: NDArray[np.float64]

    def made_consistent(self, category: Probabilities, tier: Probabilities) -> Probabilities:
        """Return beliefs about the category under which the tiers are as probable as the tier head says.

        That is Jeffrey's rule (1965): within each tier the categories keep their proportions. Labels that a head gained
        after its training keep what they have.

        Args:
            category: Of shape [n, labels], those of `shares` first.
            tier: Of shape [n, labels], those of `shares` first.
        """
        categories, tiers = self.shares.shape
        known, said = category[:, :categories], tier[:, :tiers]
        implied = known @ self.shares
        ratio = said / np.maximum(implied, 1e-12)
        moved = known * (ratio @ self.shares.T)
        moved *= known.sum(axis=1, keepdims=True) / np.maximum(moved.sum(axis=1, keepdims=True), 1e-12)
        return np.concatenate([moved, category[:, categories:]], axis=1)
