"""An adapted encoder in a model: which tickets it saw, which were kept back from it, and whether it wins on those."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import t as student

from models.encoder import ONNX_FILES, OnnxEncoder, SentenceTransformerEncoder
from models.terminal import Log
from training.data.folds import make_folds
from training.encoders.finetune import adapt
from training.encoders.onnx_export import export, resolve_encoder
from training.encoders.schedule import TrainingBudget
from training.ensemble.calibration import losses_of
from training.ensemble.model import FittedModel
from training.ensemble.sample import Sample
from triage.errors import EncoderUnavailable, InvalidRequest

KEPT_SHARE, KEPT_ROWS = 0.2, 6000
"""Share of the tickets to learn from that adaptation does not see, and how many are enough."""

LEAST_ROWS = 200
"""Tickets to learn from below which adaptation is not tried."""

CONFIDENCE = 0.99
"""Probability with which the adapted encoder must be the better one to be kept."""


@dataclass(frozen=True)
class FineTuned:
    """An encoder adapted to some of the rows.

    Attributes:
        encoder: As it will serve: the vectors of the encoder as it was, then those of the adapted one.
        files: Its directory.
        seen: Tickets that it was tuned on, by their `Sample.index`.
        kept: Tickets kept back for what is fitted on scores, by their `Sample.index`.
        base_dim: Length of the leading part of a vector, which is that of the encoder as it was.
        facts: For the manifest.
    """

    encoder: OnnxEncoder
    files: Path
    seen: NDArray[np.int64]
    kept: NDArray[np.int64]
    base_dim: int
    facts: Mapping[str, Any]


@dataclass(frozen=True)
class EncoderComparison:
    """The adapted encoder against the plain one, on tickets that neither stack had seen.

    Attributes:
        rows: Number of tickets.
        log_loss: Mean over the tickets, all targets added up, of ``plain`` and ``adapted``.
        accuracy: By target, of ``plain`` and ``adapted``.
        gain: Log loss that adaptation takes away.
        gain_at_least: Lower end of its one-sided interval at `CONFIDENCE`.
    """

    rows: int
    log_loss: Mapping[str, float]
    accuracy: Mapping[str, Mapping[str, float]]
    gain: float
    gain_at_least: float

    @property
    def wins(self) -> bool:
        """Whether the adapted encoder is the better one beyond chance."""
        return self.gain_at_least > 0

    def __str__(self) -> str:
        """Say it in one line."""
        rates = "; ".join(
            f"{target} {each['plain']:.3f} → {each['adapted']:.3f}" for target, each in self.accuracy.items()
        )
        return (
            f"{'kept' if self.wins else 'not kept'}: on {self.rows} tickets kept back from it log loss "
            f"{self.log_loss['plain']:.4f} → {self.log_loss['adapted']:.4f} (gain {self.gain:.4f}, at least "
            f"{self.gain_at_least:.4f} with probability {CONFIDENCE:g}), accuracy {rates}"
        )


def refuse_not_tunable(name: str, *, given: bool = False) -> str:
    """Return what to load for an encoder that is to be adapted.

    Args:
        name: Of the encoder, or its folder.
        given: Whether an encoder was handed over ready-made instead.

    Raises:
        InvalidRequest: If its weights are not there to be changed, or it could not be exported afterwards.
    """
    if given:
        raise InvalidRequest("an encoder that is handed over cannot be adapted: name it in the settings instead")
    source = resolve_encoder(name)
    if name.startswith("sentence-transformers:"):
        raise InvalidRequest(f"--adapt exports what it makes: name the encoder without {name.partition(':')[0]!r}:")
    if all((Path(source) / file).is_file() for file in ONNX_FILES):
        raise InvalidRequest(
            f"--adapt needs an encoder's weights, and {Path(source).name!r} is an ONNX export: "
            "name the sentence-transformers model that it was made from"
        )
    return source


def fine_tune_encoder(
    name: str, sample: Sample, training_budget: TrainingBudget, folder: Path, *, seed: int = 0, log: Log
) -> FineTuned | None:
    """Adapt an encoder to most of the rows to learn from, and export it beside the one that it was.

    Both travel in one graph. Members with weights look at the plain half alone: on rows that the adapted half has seen
    they would come to trust it too far (it is right there more often than anywhere else). One member looks at nothing
    but the adapted half, so that the combination, fitted on rows kept back, can size it. Neighbours look at both.

    Args:
        name: Of the encoder, or its folder.
        sample: Tickets to learn from that nothing else is to be measured on, with vectors by the encoder as it is.
        training_budget: How much is done.
        folder: Where the export goes; absent.
        seed: Of everything that is drawn.
        log: Told of each step.

    Returns:
        None where the rows are too few, or where the adapted encoder does not export faithfully.
    """
    if len(sample) < LEAST_ROWS or len(np.unique(sample.groups)) < 5:
        log(f"adaptation is not tried: {len(sample)} tickets to learn from, {LEAST_ROWS} of 5 groups are needed")
        return None
    count = max(round(1 / KEPT_SHARE), int(np.ceil(len(sample) / KEPT_ROWS)))
    back = make_folds(sample.groups, sample.label_ids(next(iter(sample.labels))), count, seed + 2) == 0
    chosen, kept = sample.take(np.flatnonzero(~back)), sample.index[back]
    limit = (
        f"{training_budget.minutes:g} minutes" if training_budget.steps is None else f"{training_budget.steps} steps"
    )
    log(f"adapting the encoder to {len(chosen)} tickets, {len(kept)} kept back from it; at most {limit}")
    plain, tuned = (SentenceTransformerEncoder(refuse_not_tunable(name), device="cpu") for _ in range(2))
    facts = adapt(
        tuned.model,
        [row.ticket.text for row in chosen.rows],
        {target: chosen.label_ids(target) for target in chosen.labels},
        vectors=chosen.vectors,
        training_budget=training_budget,
        seed=seed,
    )
    folder.mkdir(parents=True)
    try:
        export(name, plain, folder, beside=tuned)
        _mark(folder)
    except EncoderUnavailable as error:
        log(f"adaptation is not kept: {error}")
        return None
    facts = {**facts, "kept_back": len(kept)}
    return FineTuned(OnnxEncoder(folder), folder, seen=chosen.index, kept=kept, base_dim=plain.dim, facts=facts)


def is_fine_tuned(folder: Path) -> bool:
    """Say whether an exported encoder was adapted to somebody's labels."""
    return bool(json.loads((folder / ONNX_FILES[0]).read_text("utf-8")).get("adapted"))


def _mark(folder: Path) -> None:
    facts = json.loads((folder / ONNX_FILES[0]).read_text("utf-8"))
    (folder / ONNX_FILES[0]).write_text(json.dumps({**facts, "adapted": True}, indent=1), "utf-8")


def compare_encoders(plain: FittedModel, adapted: FittedModel) -> EncoderComparison:
    """Compare two models fitted to the same rows, on those whose probabilities are cross-fitted in both.

    The difference of log losses is tested with errors clustered by unit: near-duplicates, or an organisation's
    tickets, count as one observation each (Liang and Zeger 1986).

    Args:
        plain: Around the encoder as it was.
        adapted: Around the adapted one; its out-of-fold rows are compared.
    """
    out_of_fold = adapted.out_of_fold
    total = {"plain": np.zeros(len(out_of_fold)), "adapted": np.zeros(len(out_of_fold))}
    known = np.zeros(len(out_of_fold), dtype=bool)
    accuracy: dict[str, dict[str, float]] = {}
    for target in adapted.heads:
        label_ids = adapted.sample.label_ids(target)[out_of_fold]
        mine = np.flatnonzero(label_ids >= 0)
        known[mine] = True
        accuracy[target] = {}
        for side, learned in (("plain", plain), ("adapted", adapted)):
            probabilities = learned.heads[target].probabilities[out_of_fold[mine]]
            total[side][mine] += losses_of(probabilities, label_ids[mine])
            accuracy[target][side] = round(float((probabilities.argmax(axis=1) == label_ids[mine]).mean()), 5)
    gains = (total["plain"] - total["adapted"])[known]
    return EncoderComparison(
        rows=int(known.sum()),
        log_loss={side: round(float(values[known].mean()), 5) for side, values in total.items()},
        accuracy=accuracy,
        gain=round(float(gains.mean()), 5),
        gain_at_least=round(_at_least(gains, adapted.sample.groups[out_of_fold[known]]), 5),
    )


def _at_least(gains: NDArray[np.float64], groups: NDArray[np.int64]) -> float:
    """Return the lower end of the one-sided interval of a mean whose terms are dependent within a unit."""
    _, unit = np.unique(groups, return_inverse=True)
    count = int(unit.max()) + 1
    if count < 2:
        return float(min(0.0, gains.mean()))  # one unit says nothing
    sums = np.bincount(unit, weights=gains - gains.mean())
    error = np.sqrt((sums**2).sum() * count / (count - 1)) / len(gains)
    return float(gains.mean() - student.ppf(CONFIDENCE, count - 1) * error)


def fine_tuning_facts(adapted: FineTuned, verdict: EncoderComparison) -> dict[str, Any]:
    """Return what the manifest says of an adaptation that was tried."""
    return {"kept": verdict.wins, **adapted.facts, "confidence": CONFIDENCE, **vars(verdict)}
