"""What the manifest says of a training run: what was asked, what was learned from, what came out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from models.bundle.bundle import Bundle
from training.cascade.choice import Staged
from training.cascade.first_stage import FittedFirstStage
from training.data.dataset import Dataset
from training.data.labels import learnable
from training.data.split import Split
from training.ensemble.model import FittedModel
from training.gate.gate import Certificates, certificate_facts
from training.stages import FULL, stage_facts
from training.task import LEARN, TrainSettings


@dataclass(frozen=True)
class CertifiedModel:
    """A model with its gate, on some of the rows.

    Attributes:
        bundle: Of the model, not saved yet.
        fitted: What its stacking and its calibration come from.
        certificates: Of the gate, by target.
        calibration: What the gate was chosen on, in words.
        first: The first stage, to be fitted again to more rows; None where there is none.
        staged: What is known of the cascade; None where every ticket is put to the full model.
        stages: What `training.cascade.figures` says of both stages; None where there is but one.
        prefilter: What it says of the prefilter before the screening classifier; None where there is none.
    """

    bundle: Bundle
    fitted: FittedModel
    certificates: Mapping[str, Certificates]
    calibration: str
    first: FittedFirstStage | None = None
    staged: Staged | None = None
    stages: Mapping[str, Any] | None = None
    prefilter: Mapping[str, Any] | None = None


def facts_of(
    settings: TrainSettings,
    dataset: Dataset,
    parts: Split,
    first: CertifiedModel,
    final: CertifiedModel,
    measured: Mapping[str, Any],
) -> dict[str, Any]:
    """Return what the manifest says of a run.

    Args:
        settings: What was asked.
        dataset: What was read.
        parts: What was set aside.
        first: The model that was measured.
        final: The model that is saved.
        measured: What `training.evaluation.evaluate` says of the first one.
    """
    return {
        "settings": {
            "target_risk": settings.target_risk,
            "confidence": settings.confidence,
            "per_class": settings.per_class,
            "seed": settings.seed,
            "encoder": settings.encoder,
            "policy": "learn" if settings.policy == LEARN else "default" if settings.policy is None else "file",
            "rules": "default" if settings.rules is None else "file",
            "tier_order": list(settings.tier_order),
            "adapt": settings.adapt is not None,
            "cascade": settings.cascade,
            "newest": settings.newest,
        },
        "data": {
            "digest": dataset.digest,
            "rows": len(dataset),
            "from_files": bool(settings.data),
            "split": parts.kind,
            "set_aside": len(parts.test),
            "ignored_columns": list(dataset.ignored_columns),
        },
        "targets": {
            target: {
                "labels": list(head.labels),
                "excluded": learnable(dataset.rows, target)[1],
                **first.fitted.heads[target].facts,
            }
            for target, head in final.bundle.model.heads.items()
        },
        "gate": {
            "measured_with": {"calibration": first.calibration, **certificate_facts(first.certificates)},
            "refitted": {"calibration": final.calibration, **certificate_facts(final.certificates)},
            "max_ticket_risk": final.bundle.gate.ticket_risk_limit(settings.target_risk),
        },
        "cascade": {
            "measured_with": None if first.staged is None else first.staged.facts(),
            "refitted": None if final.staged is None else final.staged.facts(),
            "stages": first.stages,
            "prefilter": first.prefilter,
        },
        "metrics": headline(measured),
        "stage": stage_facts(FULL, final.bundle.policy, dataset.rows),
    }


def headline(measured: Mapping[str, Any]) -> dict[str, Any]:
    """Return the figures of an evaluation that stand in the manifest."""
    kept = ("rows", "accuracy", "macro_f1", "ece", "aurc", "coverage", "selective_risk", "baselines")
    targets = measured["targets"]
    return {
        "targets": {target: {key: values[key] for key in kept} for target, values in targets.items()},
        "route": measured["route"],
    }
