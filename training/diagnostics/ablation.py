"""What takes training again to find out: how accuracy grows with tickets, and what each part of a head adds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from models.bundle.bundle import Bundle
from models.terminal import Log, log_step
from models.triager import Triager
from training.data.dataset import Dataset
from training.data.folds import make_folds
from training.data.split import Split
from training.diagnostics.extras import Extras
from training.diagnostics.faithfulness import deletion_test
from training.ensemble.composition import members_for
from training.ensemble.cross_fit import cross_fit
from training.ensemble.model import FittedModel, fit_model, target_data
from training.ensemble.sample import Sample, labels_of
from training.ensemble.stacking import fit_stacking
from training.evaluation.predictions import ask
from triage.gate import Gate

SHARES = (0.1, 0.25, 0.5, 1.0)
"""Shares of the training part that the learning curve is drawn through."""

_FOLDS, _FREEDOM, _LEAST_ROWS = 4, 0.03, 100
Vectors = NDArray[np.float32]


def ablation_of(bundle: Bundle, dataset: Dataset, split: Split, seed: int, log: Log = log_step) -> Extras:
    """Learn again from growing parts of the training part, and from all of it without each member in turn.

    Args:
        bundle: Gives encoder, policy and rules.
        dataset: In the policy's own labels.
        split: Rows set aside are measured on, never learned from.
        seed: Of everything that is drawn.
        log: Takes each step in a few words.
    """
    vectors = bundle.encoder.encode([row.ticket.text for row in dataset.rows])
    sample = Sample.of(dataset.rows, vectors, split.clusters)
    order = np.random.default_rng(seed).permutation(split.train)
    learning: dict[str, list[tuple[float, float]]] = {}
    learned: FittedModel | None = None
    for share in SHARES:
        places = np.sort(order[: round(share * len(order))])
        if len(places) < _LEAST_ROWS:
            continue
        log(f"learning from {len(places)} tickets")
        part = sample.take(places)
        part = replace(part, labels=labels_of(part.rows))
        learned = fit_model(part, bundle.policy, rules=bundle.rules, seed=seed)
        for target, accuracy in _measured(bundle, learned, dataset, split.test).items():
            learning.setdefault(target, []).append((float(len(places)), accuracy))
    if learned is None:
        return Extras({}, {})
    log("leaving out one part at a time")
    ablation = {target: _ablation(learned, target, seed) for target in learned.heads}
    log("deleting the words that explanations name")
    candidate = Bundle(learned.model, bundle.encoder, Gate(), bundle.policy, bundle.rules)
    return Extras(
        learning, ablation, deletion_test(candidate, [dataset.rows[place].ticket for place in split.test], seed=seed)
    )


def _measured(bundle: Bundle, learned: FittedModel, dataset: Dataset, test: NDArray[np.int64]) -> dict[str, float]:
    candidate = Bundle(learned.model, bundle.encoder, Gate(), bundle.policy, bundle.rules)
    answers = ask(Triager(candidate), [dataset.rows[place] for place in test])
    return {target: float(np.mean(found.correct)) for target, found in answers.targets.items()}


def _ablation(learned: FittedModel, target: str, seed: int) -> dict[str, float]:
    """Return cross-fitted accuracy with all estimators, and without each."""
    data = target_data(learned.sample, target, learned.features, learned.model.rules)
    label_ids = data.label_ids
    folds = make_folds(learned.sample.groups, label_ids, _FOLDS, seed)
    names = members_for(len(label_ids), data.rule_labels)[0]
    hyper_parameters = learned.heads[target].hyper_parameters
    scores = cross_fit(data, folds, names=names, baselines=(), hyper_parameters=hyper_parameters).scores
    found = {"nothing": _stacked_accuracy(scores, names, label_ids, folds)}
    for left_out in names:
        kept = tuple(name for name in names if name != left_out)
        found[left_out] = _stacked_accuracy(scores, kept, label_ids, folds)
    return found


def _stacked_accuracy(
    scores: Mapping[str, Vectors], names: Sequence[str], label_ids: NDArray[np.int64], folds: NDArray[np.int64]
) -> float:
    known = np.flatnonzero(label_ids >= 0)
    right = 0
    for fold in np.unique(folds):
        fitted, out_of_fold = known[folds[known] != fold], known[folds[known] == fold]
        combiner = fit_stacking([scores[name][fitted] for name in names], None, label_ids[fitted], freedom=_FREEDOM)
        logits = combiner.logits(np.concatenate([scores[name][out_of_fold] for name in names], axis=1))
        right += int(np.sum(logits.argmax(axis=1) == label_ids[out_of_fold]))
    return right / max(1, len(known))
