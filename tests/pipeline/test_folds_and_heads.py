"""Nothing leaks: units stay whole across folds, and members score only rows that they have not seen."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st

from models.heads.head import softmax, stacked
from training.data.folds import make_folds
from training.ensemble.calibration import choose_calibrator, log_loss
from training.ensemble.cross_fit import Material, cross_fit, neighbours_within
from training.ensemble.members import MEMBERS
from training.ensemble.stacking import fit_combiner
from training.gate.label_shift import estimate_shares, odds_for
from training.gate.risk_control import certify


@settings(max_examples=50)
@given(st.integers(2, 200), st.integers(2, 8), st.integers(0, 5))
def test_folds_never_split_a_unit_and_none_is_empty(units: int, count: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    unit = np.concatenate([np.arange(units), rng.integers(0, units, 2 * units)])
    folds = make_folds(unit, rng.integers(0, 3, len(unit)), count, seed)
    assert all(len(set(folds[unit == one])) == 1 for one in range(units))
    assert set(folds) == set(range(min(count, units)))


def _material(n: int = 400, classes: int = 3, seed: int = 0) -> tuple[Material, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    codes = rng.integers(0, classes, n)
    dense = rng.standard_normal((n, 16)).astype(np.float32)
    dense[np.arange(n), codes] += 2.0
    dense /= np.linalg.norm(dense, axis=1, keepdims=True)
    words = sp.random(n, 60, 0.1, format="csr", dtype=np.float32, random_state=seed).tolil()
    words[np.arange(n), codes] = 0.7
    units = np.arange(n)
    topics = dense[:, :4] / np.linalg.norm(dense[:, :4], axis=1, keepdims=True)
    near = neighbours_within(dense, topics, units)
    return Material(words.tocsr(), dense, topics, *near, np.zeros((n, 1), dtype=bool)), codes, units


def test_a_row_is_never_its_own_neighbour() -> None:
    material, _, units = _material(120)
    assert not (material.near == units[:, None]).any()
    assert not (material.alike == units[:, None]).any()


def test_out_of_fold_scores_of_shuffled_labels_are_at_chance() -> None:
    material, codes, units = _material(600)
    shuffled = np.random.default_rng(1).permutation(codes)
    folds = make_folds(units, shuffled, 5, 0)
    found = cross_fit(material, shuffled, 3, folds, jobs=1)
    for name in MEMBERS:
        assert abs((found.scores[name].argmax(axis=1) == shuffled).mean() - 1 / 3) < 0.08
    logits = np.zeros((600, 3))
    for fold in np.unique(folds):
        seen, held = folds != fold, folds == fold
        combiner = fit_combiner([found.scores[name][seen] for name in MEMBERS], None, shuffled[seen], freedom=0.03)
        logits[held] = combiner.logits(stacked([found.scores[name][held] for name in MEMBERS], None))
    beliefs = softmax(logits)
    sure, right = beliefs.max(axis=1), beliefs.argmax(axis=1) == shuffled
    assert certify(sure, right, np.ones(600, bool), risk=0.05, delta=0.05).threshold is None


def test_members_and_their_stack_learn_what_is_there() -> None:
    material, codes, units = _material()
    folds = make_folds(units, codes, 5, 0)
    found = cross_fit(material, codes, 3, folds, jobs=1)
    accuracy = {name: float((found.scores[name].argmax(axis=1) == codes).mean()) for name in MEMBERS}
    assert min(accuracy.values()) > 0.7
    combiner = fit_combiner([found.scores[name] for name in MEMBERS], None, codes, freedom=0.03)
    logits = combiner.logits(stacked([found.scores[name] for name in MEMBERS], None))
    assert (logits.argmax(axis=1) == codes).mean() >= max(accuracy.values()) - 0.01


def test_calibration_mends_overconfidence_and_leaves_honesty_alone() -> None:
    rng = np.random.default_rng(0)
    honest = rng.standard_normal((3000, 3)) * 1.5
    codes = np.array([rng.choice(3, p=row) for row in softmax(honest)])
    folds = np.arange(3000) % 5
    assert choose_calibrator(honest, codes, folds)[0].kind == "none"
    calibrator, beliefs, losses = choose_calibrator(honest * 4, codes, folds)
    assert calibrator.kind != "none"
    assert log_loss(beliefs, codes) < losses["none"]


def test_label_shift_is_found_and_undone() -> None:
    rng = np.random.default_rng(0)
    prior, there = np.array([0.5, 0.3, 0.2]), np.array([0.1, 0.2, 0.7])
    centres = np.eye(3) * 2.0
    codes = rng.choice(3, 6000, p=there)
    seen = centres[codes] + rng.standard_normal((6000, 3))
    beliefs = softmax(seen @ centres.T + np.log(prior) - (centres**2).sum(axis=1) / 2)
    shares = estimate_shares(beliefs, prior)
    assert np.abs(shares - there).max() < 0.03
    corrected = beliefs * odds_for(prior, shares)
    assert (corrected.argmax(axis=1) == codes).mean() > (beliefs.argmax(axis=1) == codes).mean()
