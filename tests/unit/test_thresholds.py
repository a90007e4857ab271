"""The gate's promise: kept where it can be, withheld where it cannot, and how much more evidence it would take."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from training.diagnostics.simulated_populations import METHODS, simulate
from training.gate.risk_control import certify, set_floor, upper_bound


@pytest.mark.parametrize("risk", [0.05, 0.10])
def test_the_true_risk_exceeds_the_target_no_more_often_than_promised(risk: float) -> None:
    one = {"fixed sequence": METHODS["fixed sequence"]}
    found = simulate(one, populations=300, tickets=1500, risk=risk, delta=0.05, seed=7)["fixed sequence"]
    assert found.violations <= 0.09  # 0.05 and three standard errors of 300 draws
    assert found.coverage > 0.2


def test_choosing_by_the_sample_alone_breaks_the_promise_often() -> None:
    found = simulate(METHODS, populations=60, tickets=800, risk=0.05, delta=0.05, seed=3)
    assert found["empirical"].violations > 0.25
    assert found["fixed sequence"].coverage >= found["Bonferroni"].coverage


@pytest.mark.parametrize(("kept", "wrong", "certified"), [(58, 0, False), (59, 0, True), (92, 1, False), (93, 1, True)])
def test_fifty_nine_tickets_without_error_are_the_least(kept: int, wrong: int, certified: bool) -> None:
    right = np.arange(kept) >= wrong
    found = certify(np.full(kept, 0.9), right, np.ones(kept, bool), risk=0.05, delta=0.05)
    assert (found.threshold is not None) is certified
    if certified:
        assert found.more_tickets == 0
    else:
        assert found.more_tickets is not None
        assert found.more_tickets > 0


def test_confidence_that_means_nothing_certifies_nothing() -> None:
    rng = np.random.default_rng(0)
    found = certify(rng.random(4000), rng.random(4000) < 0.5, np.ones(4000, bool), risk=0.05, delta=0.05)
    assert found.threshold is None
    assert found.more_tickets is None


def test_what_is_not_eligible_neither_helps_nor_hurts() -> None:
    sure, right = np.full(400, 0.99), np.ones(400, bool)
    eligible = np.arange(400) < 40
    assert certify(sure, right, eligible, risk=0.05, delta=0.05).threshold is None
    right[100:] = False
    assert certify(sure, right, np.arange(400) < 100, risk=0.05, delta=0.05).wrong == 0


@given(st.integers(0, 40), st.integers(1, 400))
def test_the_bound_lies_above_the_rate_seen(wrong: int, kept: int) -> None:
    assert min(wrong, kept) / kept <= upper_bound(wrong, kept, 0.05) <= 1


@settings(max_examples=30)
@given(st.integers(50, 400), st.floats(0.02, 0.3))
def test_sets_miss_about_the_share_they_may(count: int, risk: float) -> None:
    given_to_right = np.random.default_rng(count).random(count)
    floor = set_floor(given_to_right, risk)
    assert (given_to_right < floor).mean() <= risk
