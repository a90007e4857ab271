"""What takes training again to find out: how accuracy grows with tickets, and what each estimator of a head adds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from models.bundle.bundle import Bundle
from models.terminal import Log, log_step
from models.triager import Triager
from training.data.dataset import Dataset
from training.data.folds import make_folds
from training.data.split import Split
from training.diagnostics.faithfulness import Deletion, deletion_test
from training.ensemble.composition import estimators_for
from training.ensemble.cross_fit import Wanted, cross_fit
from training.ensemble.model import FittedModel, fit_model, target_data
from training.ensemble.sample import Sample, labels_of
from training.ensemble.stacking import out_of_fold_logits
from training.evaluation.predictions import ask
from triage.gate import Gate

SHARES = (0.1, 0.25, 0.5, 1.0)
"""Shares of the training part that the learning curve is drawn through."""

_LEAST_ROWS = 100  # a smaller share says more about the draw than about learning
_FOLDS = 4


@dataclass(frozen=True)
class Extras:
    """What takes training again to find out, for `--full`.

    Attributes:
        learning: Per target, pairs of training tickets and accuracy on the part set aside.
        ablation: Per target, accuracy with all estimators (``nothing`` left out) and without each, by name.
        deletion: What deleting the words that explanations name does; None where no ticket is long enough.
    """

    learning: Mapping[str, list[tuple[float, float]]]
    ablation: Mapping[str, dict[str, float]]
    deletion: Deletion | None = None


def ablation_of(bundle: Bundle, dataset: Dataset, split: Split, seed: int, log: Log = log_step) -> Extras:
    """Fit again on growing shares of the training part, and stack again without each estimator in turn.

    Args:
        bundle: Gives encoder, policy and rules.
        dataset: In the policy's own labels.
        split: Its test part is measured on, never learned from.
        seed: Of everything that is drawn.
        log: Takes each step in a few words.
    """
    vectors = bundle.encoder.encode([row.ticket.text for row in dataset.rows])
    sample = Sample.of(dataset.rows, vectors, split.clusters, by_organisation=split.kind == "group")
    test = sample.take(split.test)
    by_people = np.array([row.weight > 0 for row in dataset.rows], dtype=bool)
    order = np.random.default_rng(seed).permutation(split.train[by_people[split.train]])
    learning: dict[str, list[tuple[float, float]]] = {}
    fitted: FittedModel | None = None
    for share in SHARES:
        part = sample.take(np.sort(order[: round(share * len(order))]))
        if len(part) < _LEAST_ROWS:
            continue
        log(f"learning from {len(part)} tickets")
        fitted = fit_model(replace(part, labels=labels_of(part.rows)), bundle.policy, rules=bundle.rules, seed=seed)
        answers = ask(Triager(_ungated(fitted, bundle)), test.rows)
        for target, found in answers.targets.items():
            learning.setdefault(target, []).append((float(len(part)), float(np.mean(found.correct))))
    if fitted is None:
        return Extras({}, {})
    log("leaving out one estimator at a time")
    ablation = {target: _without_each(fitted, target, seed) for target in fitted.heads}
    log("deleting the words that explanations name")
    deletion = deletion_test(_ungated(fitted, bundle), [row.ticket for row in test.rows], seed=seed)
    return Extras(learning, ablation, deletion)


def _ungated(fitted: FittedModel, bundle: Bundle) -> Bundle:
    return Bundle(fitted.model, bundle.encoder, gate=Gate(), policy=bundle.policy, rules=bundle.rules)


def _without_each(fitted: FittedModel, target: str, seed: int) -> dict[str, float]:
    """Return cross-fitted accuracy with all estimators, and without each."""
    data = target_data(fitted.sample, target, fitted.features, fitted.model.rules)
    folds = make_folds(fitted.sample.groups, data.label_ids, _FOLDS, seed)
    names, _ = estimators_for(len(fitted.sample), data.rule_labels)
    hyper_parameters = fitted.heads[target].hyper_parameters
    scores = cross_fit([Wanted(data, folds, names, baselines=())], hyper_parameters)[0].scores
    known = data.label_ids >= 0

    def accuracy(left_out: str) -> float:
        kept = [scores[name] for name in names if name != left_out]
        logits = out_of_fold_logits(kept, data.label_ids, folds)
        return float((logits.argmax(axis=1) == data.label_ids)[known].mean())

    return {left_out: accuracy(left_out) for left_out in ("nothing", *names)}
