"""Nothing leaks: groups stay whole across folds, and estimators score only rows that they have not seen."""

from __future__ import annotations

import os
import tracemalloc
from dataclasses import replace

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from models.features.features import Features
from models.features.vectorizer import SparseRows
from models.heads.head import softmax
from training.data.folds import SEEN, make_folds
from training.data.labelled_ticket import LabelledTicket
from training.ensemble.calibration import fit_temperature, log_loss
from training.ensemble.composition import NEIGHBOURS, USUAL
from training.ensemble.cross_fit import CrossFit, TargetData, Wanted, cross_fit, neighbours_across_groups
from training.ensemble.estimators import HyperParameters
from training.ensemble.sample import apart_where_recurring, labels_of
from training.ensemble.stacking import fit_stacking, out_of_fold_logits
from training.gate.label_shift import estimate_shares, prior_correction
from training.gate.risk_control import certify
from triage.ticket import Ticket


@settings(max_examples=50)
@given(st.integers(2, 200), st.integers(2, 8), st.integers(0, 5))
def test_folds_never_split_a_group_and_none_is_empty(groups: int, count: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    unit = np.concatenate([np.arange(groups), rng.integers(0, groups, 2 * groups)])
    folds = make_folds(unit, rng.integers(0, 3, len(unit)), count, seed)
    assert all(len(set(folds[unit == one])) == 1 for one in range(groups))
    assert set(folds) == set(range(min(count, groups)))


def _data(n: int = 400, classes: int = 3, seed: int = 0) -> tuple[TargetData, np.ndarray]:
    rng = np.random.default_rng(seed)
    label_ids = rng.integers(0, classes, n)
    dense = rng.standard_normal((n, 16)).astype(np.float32)
    dense[np.arange(n), label_ids] += 2.0
    dense /= np.linalg.norm(dense, axis=1, keepdims=True)
    words = sp.random(n, 60, 0.1, format="csr", dtype=np.float32, random_state=seed).tolil()
    words[np.arange(n), label_ids] = 0.7
    groups = np.arange(n)
    topics = dense[:, :4] / np.linalg.norm(dense[:, :4], axis=1, keepdims=True)
    near = neighbours_across_groups(dense, topics, groups)
    words = words.tocsr()
    sparse = SparseRows(words.indptr.astype(np.int64), words.indices, words.data, 60)
    features = Features(sparse, dense, topics, *near, np.zeros((n, 1), dtype=bool))
    return TargetData(features, label_ids, tuple("abcdef"[:classes]), np.zeros(0, dtype=np.int32)), groups


def _cross_fitted(data: TargetData, folds: NDArray[np.int64]) -> CrossFit:
    return cross_fit([Wanted(data, folds)], HyperParameters(jobs=1))[0]


def test_a_row_is_never_its_own_neighbour() -> None:
    data, groups = _data(120)
    assert not (data.features.near == groups[:, None]).any()
    assert not (data.features.hybrid_near == groups[:, None]).any()


def test_out_of_fold_scores_of_shuffled_labels_are_at_chance() -> None:
    data, groups = _data(600)
    shuffled = np.random.default_rng(1).permutation(data.label_ids)
    folds = make_folds(groups, shuffled, 5, 0)
    found = _cross_fitted(replace(data, label_ids=shuffled), folds)
    for name in USUAL:
        assert abs((found.scores[name].argmax(axis=1) == shuffled).mean() - 1 / 3) < 0.08
    probabilities = softmax(out_of_fold_logits(list(found.scores.values()), shuffled, folds))
    sure, right = probabilities.max(axis=1), probabilities.argmax(axis=1) == shuffled
    assert certify(sure, right, np.ones(600, bool), risk=0.05, delta=0.05).threshold is None


def test_base_estimators_and_their_stacking_learn_what_is_there() -> None:
    data, groups = _data()
    label_ids = data.label_ids
    folds = make_folds(groups, label_ids, 5, 0)
    found = _cross_fitted(data, folds)
    accuracy = {name: float((found.scores[name].argmax(axis=1) == label_ids).mean()) for name in USUAL}
    assert min(accuracy.values()) > 0.7
    scores = list(found.scores.values())
    logits = fit_stacking(scores, label_ids).logits(np.concatenate(scores, axis=1))
    assert (logits.argmax(axis=1) == label_ids).mean() >= max(accuracy.values()) - 0.01


def test_targets_fitted_together_are_fitted_as_each_would_be_alone() -> None:
    data, groups = _data(300)
    other = replace(data, label_ids=(data.label_ids > 0).astype(np.int64), labels=("none", "some"))
    wanted = [
        Wanted(data, make_folds(groups, data.label_ids, 4, 0), baselines=("embedding",)),
        Wanted(other, None, ("hybrid", "network", NEIGHBOURS), baselines=()),
    ]
    for jobs in (1, 2):
        together = cross_fit(wanted, HyperParameters(jobs=jobs))
        for wanted_of, found in zip(wanted, together, strict=True):
            alone = cross_fit([wanted_of], HyperParameters(jobs=1))[0]
            assert (
                list(found.scores) == list(alone.scores) == ([] if wanted_of.folds is None else list(wanted_of.names))
            )
            for name, scores in found.scores.items():
                assert np.allclose(scores, alone.scores[name], atol=1e-4), name
            fitted = (*found.estimators, *found.baselines), (*alone.estimators, *alone.baselines)
            for ours, theirs in zip(*fitted, strict=True):
                assert ours.name == theirs.name
                features = wanted_of.data.features
                assert np.allclose(ours.scores(features), theirs.scores(features), atol=1e-4), ours.name


def test_stacking_learns_which_estimator_confuses_what_and_leaves_unseen_rows_alone() -> None:
    rng = np.random.default_rng(0)
    label_ids = rng.integers(0, 3, 1500)
    swapped = np.array([0, 2, 1])[label_ids]  # this estimator takes the second label for the third, and back
    scores = [
        (np.eye(3)[ids] + 0.5 * rng.standard_normal((1500, 3))).astype(np.float32) for ids in (label_ids, swapped)
    ]
    folds = np.where(np.arange(1500) < 300, SEEN, np.arange(1500) % 4)
    logits = out_of_fold_logits(scores, label_ids, folds)
    judged = folds != SEEN
    assert not logits[~judged].any()
    assert (logits.argmax(axis=1) == label_ids)[judged].mean() > (scores[0].argmax(axis=1) == label_ids).mean() + 0.03
    stacking, inputs = fit_stacking(scores, label_ids), np.concatenate(scores, axis=1)
    assert np.allclose(stacking.scaled(2.0).logits(inputs), 2 * stacking.logits(inputs), atol=1e-4)


def test_calibration_mends_overconfidence_and_leaves_honesty_alone() -> None:
    rng = np.random.default_rng(0)
    honest = rng.standard_normal((3000, 3)) * 1.5
    label_ids = np.array([rng.choice(3, p=row) for row in softmax(honest)])
    assert 0.95 < fit_temperature(honest, label_ids) < 1.05
    factor = fit_temperature(honest * 4, label_ids)
    assert 0.23 < factor < 0.27
    assert log_loss(softmax(honest * 4 * factor), label_ids) < log_loss(softmax(honest * 4), label_ids)


def test_label_shift_is_found_and_undone() -> None:
    rng = np.random.default_rng(0)
    prior, there = np.array([0.5, 0.3, 0.2]), np.array([0.1, 0.2, 0.7])
    centres = np.eye(3) * 2.0
    label_ids = rng.choice(3, 6000, p=there)
    seen = centres[label_ids] + rng.standard_normal((6000, 3))
    probabilities = softmax(seen @ centres.T + np.log(prior) - (centres**2).sum(axis=1) / 2)
    shares = estimate_shares(probabilities, prior)
    assert np.abs(shares - there).max() < 0.03
    corrected = probabilities * prior_correction(prior, shares)
    assert (corrected.argmax(axis=1) == label_ids).mean() > (probabilities.argmax(axis=1) == label_ids).mean()


def test_a_label_that_is_one_message_is_scored_by_models_that_know_it() -> None:
    said = {"alarm": "disk space low on the backup server", "vpn": "the vpn drops", "printer": "it prints blank pages"}
    rows = [LabelledTicket(Ticket(body=text), {"category": label}) for label, text in said.items() for _ in range(20)]
    groups = np.array([0] * 20 + [20 + 4 * (place // 4) for place in range(40)])
    apart = apart_where_recurring(rows, groups, labels_of(rows))
    assert len(set(apart[:20].tolist())) == 20 and (apart[20:] == groups[20:]).all()
    assert not set(apart[:20].tolist()) & set(apart[20:].tolist())
    mixed = [replace(row, labels={"category": "vpn"}) if place < 12 else row for place, row in enumerate(rows)]
    assert (apart_where_recurring(mixed, groups, labels_of(mixed)) == groups).all()  # nobody can tell these by the text


def test_neighbours_take_no_more_memory_on_more_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    dense, topics = (rng.standard_normal((4000, size)).astype(np.float32) for size in (16, 4))
    expected = neighbours_across_groups(dense, topics, np.arange(4000), count=5)
    monkeypatch.setattr(os, "cpu_count", lambda: 8)
    monkeypatch.setattr("training.ensemble.cross_fit._AT_ONCE", 1 << 20)
    tracemalloc.start()
    found = neighbours_across_groups(dense, topics, np.arange(4000), count=5)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 4 * 4 * (1 << 20)  # similarities of embeddings and topics, what is masked, and what is returned
    assert (found.near == expected.near).mean() > 0.999 and (found.hybrid_near == expected.hybrid_near).mean() > 0.999
