"""What a training run is asked to do, and what it made."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from models.bundle.bundle import Bundle
from training.data.dataset import Dataset
from training.data.reading import READ_PLAINLY, ReadOptions
from training.data.split import Split
from training.encoders.onnx_export import DEFAULT_ENCODER
from training.encoders.schedule import TrainingBudget

LEARN = "learn"
"""What `TrainSettings.policy` says to take the labels as the data has them."""


MOST_TICKETS = 100_000
"""Tickets that are learned from where nothing else is asked: years of a large desk, and what labels meant lately."""


@dataclass(frozen=True)
class TrainSettings:
    """What a training run is asked to do.

    Attributes:
        data: Files of tickets, of any kind that `training.data.formats` reads.
        out: Where the bundle goes; must be absent or empty.
        mapping: Roles with the column that plays them, None switching a role off.
        reading: How the files are to be read.
        policy: A policy file, ``learn``, or None for the default policy.
        rules: A rule file; None takes the default rules, or with a learned policy none.
        tier_order: All tiers from lowest to highest, for a learned policy.
        encoder: A hub name, a local folder, or ``sentence-transformers:`` and one of them to do without ONNX.
        target_risk: Highest error rate among automatic decisions, in (0, 1).
        confidence: Probability with which that is to hold, in (0, 1).
        per_class: Keep that rate within each label, not only over all of a target.
        seed: Of everything that is drawn.
        skip_bad_rows: Leave unusable rows out instead of stopping.
        newest: Tickets that are learned from at most, the newest ones.
        adapt: How much is done to adapt the encoder to the labels; None leaves it as it is.
        asked: Targets that are learned even where the policy tells their labels from tier and category.
        cascade: Learn a first stage that answers what is clear without the encoder, and a prefilter of screening.
        champion: Folder of the version that serves, which answers what is set aside as well; None where none does.
    """

    data: tuple[Path, ...]
    out: Path
    mapping: Mapping[str, str | None] = field(default_factory=dict)
    reading: ReadOptions = READ_PLAINLY
    policy: Path | str | None = None
    rules: Path | None = None
    tier_order: tuple[str, ...] = ()
    encoder: str = DEFAULT_ENCODER
    target_risk: float = 0.05
    confidence: float = 0.95
    per_class: bool = False
    seed: int = 0
    skip_bad_rows: bool = False
    adapt: TrainingBudget | None = None
    cascade: bool = True
    champion: Path | None = None
    asked: frozenset[str] = frozenset()
    newest: int = MOST_TICKETS


@dataclass(frozen=True)
class Trained:
    """What a training run made.

    Attributes:
        bundle: As saved and loaded back.
        path: Where it lies.
        dataset: What was read, in the policy's own labels.
        split: Which rows were set aside.
        measured: What `training.evaluation.evaluate` says about the part set aside.
        milliseconds: Processor time of a prediction, as `training.cascade.figures.StageFigures` has it; empty where
            there is no first stage.
    """

    bundle: Bundle
    path: Path
    dataset: Dataset
    split: Split
    measured: Mapping[str, Any]
    milliseconds: Mapping[str, float | None]
