"""What takes training again to find out: learning curves, ablation and the deletion test."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from training.diagnostics.faithfulness import Deletion


@dataclass(frozen=True)
class Extras:
    """What takes training again to find out, for `--full`.

    Attributes:
        learning: Per target, pairs of training tickets and accuracy on the part set aside.
        ablation: Per target, accuracy with everything and without each part, by name.
        deletion: What deleting the words that explanations name does; None where no ticket is long enough.
    """

    learning: Mapping[str, list[tuple[float, float]]]
    ablation: Mapping[str, dict[str, float]]
    deletion: Deletion | None = None
