"""Measures agree with their definitions and with scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import f1_score, precision_recall_fscore_support

from training.evaluation import metrics

LABELS = st.sampled_from(["a", "b", "c", "d"])
PAIRS = st.lists(st.tuples(LABELS, LABELS), min_size=1, max_size=60)
KEPT = st.lists(st.tuples(st.booleans(), st.floats(0, 1)), min_size=1, max_size=60)


@settings(max_examples=60)
@given(PAIRS)
def test_per_class_figures_are_those_of_scikit_learn(pairs: list[tuple[str, str]]) -> None:
    true, named = [a for a, _ in pairs], [b for _, b in pairs]
    assert metrics.macro_f1(true, named) == pytest.approx(f1_score(true, named, average="macro", zero_division=0))
    some = sorted({*true, *named})[::2]
    expected_among = f1_score(true, named, labels=some, average="macro", zero_division=0)
    assert metrics.macro_f1(true, named, some) == pytest.approx(expected_among)
    table = metrics.per_class(true, named)
    expected = precision_recall_fscore_support(true, named, zero_division=0)
    for key, values in zip(("precision", "recall", "f1", "rows"), expected, strict=True):
        assert [row[key] for row in table] == pytest.approx(list(values))


@settings(max_examples=60)
@given(KEPT)
def test_the_table_of_thresholds_adds_up_and_shrinks(rows: list[tuple[bool, float]]) -> None:
    correct, confidence = np.array([c for c, _ in rows]), np.array([p for _, p in rows])
    table = metrics.right_wrong_none(correct, confidence)
    assert all(row["right"] + row["wrong"] + row["none"] == len(rows) for row in table)
    assert [row["none"] for row in table] == sorted(row["none"] for row in table)
    assert table[0]["none"] == 0


@settings(max_examples=60)
@given(KEPT)
def test_the_risk_coverage_curve_ends_at_the_error_rate(rows: list[tuple[bool, float]]) -> None:
    correct, confidence = np.array([c for c, _ in rows]), np.array([p for _, p in rows])
    risks = metrics.risk_coverage(correct, confidence)
    assert risks[-1] == pytest.approx(1 - correct.mean())
    assert 0 <= metrics.aurc(correct, confidence) <= 1
    shuffled = np.random.default_rng(0).permutation(len(rows))
    assert metrics.aurc(correct[shuffled], confidence[shuffled]) == pytest.approx(metrics.aurc(correct, confidence))


def test_aurc_of_a_perfect_ranking_is_lower_than_of_the_reverse() -> None:
    correct = np.array([True] * 8 + [False] * 2)
    ranked = np.linspace(1, 0, 10)
    assert metrics.aurc(correct, ranked) < 0.04 < metrics.aurc(correct, ranked[::-1])


def test_ece_is_zero_where_confidence_is_the_share_right_and_has_fifteen_bins() -> None:
    correct = np.array([True, True, True, False] * 10)
    assert metrics.ece(correct, np.full(40, 0.75)) == pytest.approx(0)
    assert metrics.ece(correct, np.full(40, 1.0)) == pytest.approx(0.25)
    assert len(metrics.calibration_bins(np.ones(1000, dtype=bool), np.linspace(0, 1, 1000))) == 15


def test_selective_risk_of_nothing_kept_is_zero() -> None:
    assert metrics.selective_risk(np.array([False]), np.array([False])) == 0.0


def test_misses_tell_small_from_severe_and_low_from_high() -> None:
    order = ["L0", "L1", "L2", "L3"]
    found = metrics.misses(order, ["L0", "L1", "L2", "L3"], ["L1", "L1", "L0", "odd"])
    assert found == {"off_by_one": 0.25, "severe": 0.5, "too_low": 0.25, "too_high": 0.25}


def test_brier_counts_an_unknown_label_as_an_outcome_nobody_predicted() -> None:
    probabilities = np.array([[1.0, 0.0], [1.0, 0.0]])
    assert metrics.brier(["a", "z"], ["a", "b"], probabilities) == pytest.approx(1.0)
    assert metrics.brier(["a", "b"], ["a", "b"], probabilities) == pytest.approx(1.0)


def test_the_bootstrap_interval_holds_the_mean_and_repeats_itself() -> None:
    differences = np.random.default_rng(0).normal(0.1, 1, 400)
    low, high = metrics.bootstrap_interval(differences)
    assert low < differences.mean() < high
    assert (low, high) == metrics.bootstrap_interval(differences)


def test_the_interval_covers_as_often_as_it_says() -> None:
    rng = np.random.default_rng(1)
    hits = 0
    for seed in range(200):
        low, high = metrics.bootstrap_interval(rng.normal(0, 1, 100), draws=300, seed=seed)
        hits += low <= 0 <= high
    assert hits / 200 > 0.9


def test_rows_that_are_drawn_together_make_the_interval_as_wide_as_their_number_allows() -> None:
    rng = np.random.default_rng(0)
    of_unit = rng.normal(0.0, 1.0, 40)
    units = np.repeat(np.arange(40), 25)
    low, high = metrics.bootstrap_interval(of_unit[units], units=units)
    once = metrics.bootstrap_interval(of_unit)
    assert (low, high) == pytest.approx(once, abs=1e-9)
    alone = metrics.bootstrap_interval(of_unit[units])
    assert high - low > 3 * (alone[1] - alone[0])
    each = rng.normal(0.0, 1.0, 200)
    assert metrics.bootstrap_interval(each, units=np.arange(200)) == metrics.bootstrap_interval(each)


def test_rows_that_are_all_drawn_together_say_nothing_of_a_spread() -> None:
    assert metrics.bootstrap_interval(np.ones(30), units=np.zeros(30, dtype=np.int64)) == (-np.inf, np.inf)
