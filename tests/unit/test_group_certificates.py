"""Certificates for new groups: the promise holds at organisations never seen, and is withheld where it cannot."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from training.gate.group_risk import MIN_GROUP_ROWS, NO_GROUP, certify_new_group, least_groups
from training.gate.risk_control import certify
from training.reports.model_card import _promise
from training.stages import FULL, Stage

Drawn = tuple[NDArray[np.float64], NDArray[np.bool_], NDArray[np.int64]]


def draw(rng: np.random.Generator, groups: int, rows: int, spread: float = 0.8) -> Drawn:
    """Draw confidence and correctness of rows in groups, each of which is over- or underconfident as a whole."""
    shift = rng.normal(0, spread, groups)
    logit = rng.normal(2.5, 1.5, (groups, rows))
    confidence = 1 / (1 + np.exp(-logit))
    correct = rng.random((groups, rows)) < 1 / (1 + np.exp(-(logit + shift[:, None])))
    return confidence.ravel(), correct.ravel(), np.repeat(np.arange(groups), rows)


def exceeded(threshold: float | None, confidence: NDArray[np.float64], correct: NDArray[np.bool_], risk: float) -> bool:
    kept = confidence >= (2.0 if threshold is None else threshold)
    return bool(kept.any() and (~correct[kept]).mean() > risk)


def test_a_new_group_keeps_the_risk_as_often_as_promised_where_rows_as_observations_do_not() -> None:
    rng, risk, broken, broken_by_rows, kept = np.random.default_rng(11), 0.10, 0, 0, []
    draws = 400
    for _ in range(draws):
        confidence, correct, groups = draw(rng, 28, 120)
        here, new = groups < 27, groups == 27
        everyone = np.ones(int(here.sum()), dtype=bool)
        found = certify_new_group(confidence[here], correct[here], everyone, groups[here], risk=risk, delta=0.05)
        by_rows = certify(confidence[here], correct[here], everyone, risk=risk, delta=0.05)
        broken += exceeded(found.threshold, confidence[new], correct[new], risk)
        broken_by_rows += exceeded(by_rows.threshold, confidence[new], correct[new], risk)
        kept.append(0.0 if found.threshold is None else float((confidence[new] >= found.threshold).mean()))
    assert broken / draws <= 0.05 + 3 * (0.05 * 0.95 / draws) ** 0.5
    assert broken_by_rows / draws > 0.2
    assert np.mean(kept) > 0.2


def test_many_small_groups_keep_the_risk_taken_together_as_often_as_promised() -> None:
    rng, risk, broken, silent = np.random.default_rng(5), 0.10, 0, 0
    draws = 100
    for _ in range(draws):
        confidence, correct, groups = draw(rng, 600, 4)
        found = certify_new_group(confidence, correct, np.ones(2400, dtype=bool), groups, risk=risk, delta=0.05)
        new_confidence, new_correct, _ = draw(rng, 3000, 4)
        silent += found.threshold is None
        broken += exceeded(found.threshold, new_confidence, new_correct, risk)
    assert broken / draws <= 0.05 + 3 * (0.05 * 0.95 / draws) ** 0.5
    assert silent < draws / 4


def test_what_small_groups_are_promised_together_is_said_with_the_largest_that_it_holds_for() -> None:
    sizes = [12, *[4] * 600]
    numbers, n = np.repeat(np.arange(601), sizes), sum(sizes)
    every = np.ones(n, dtype=bool)
    found = certify_new_group(np.full(n, 0.97), every, every, numbers, risk=0.05, delta=0.05)
    assert (found.promise, found.groups, found.largest_group) == ("new_group", 601, 12)
    settings = {"target_risk": 0.05, "confidence": 0.95}
    served: dict[str, object] = {"calibration": "set aside", "tier": vars(found)}
    manifest = {"settings": settings, "gate": {"refitted": served}}
    [said, *_] = _promise(Stage(FULL, "", ()), manifest)
    assert "taken together, none of which has more than 12" in said and "made on 601 groups" in said
    large = np.repeat(np.arange(20), MIN_GROUP_ROWS)
    every = np.ones(len(large), dtype=bool)
    each = certify_new_group(np.full(len(large), 0.97), every, every, large, risk=0.05, delta=0.05)
    assert (each.promise, each.largest_group) == ("new_group", 0)
    served["tier"] = vars(each)
    [said, *_] = _promise(Stage(FULL, "", ()), manifest)
    assert "for a group that was never seen, from 40 automatic decisions on" in said


@pytest.mark.parametrize(("groups", "promise"), [(18, "none"), (19, "new_group")])
def test_nineteen_groups_without_an_error_are_the_least(groups: int, promise: str) -> None:
    n = groups * MIN_GROUP_ROWS
    numbers = np.repeat(np.arange(groups), MIN_GROUP_ROWS)
    found = certify_new_group(np.full(n, 0.97), np.ones(n, bool), np.ones(n, bool), numbers, risk=0.05, delta=0.05)
    assert found.promise == promise
    assert (found.threshold is None) is (promise == "none")
    assert found.groups == groups and found.more_groups == 19 - groups
    assert found.more_tickets == (19 - groups) * MIN_GROUP_ROWS
    assert least_groups(0.05) == 19


def test_one_bad_group_of_twenty_shuts_the_gate_down_to_where_it_is_good() -> None:
    confidence = np.tile(np.repeat([0.99, 0.9], 50), 20)
    groups, correct = np.repeat(np.arange(20), 100), np.ones(2000, dtype=bool)
    everyone = np.ones(2000, dtype=bool)
    assert certify_new_group(confidence, correct, everyone, groups, risk=0.05, delta=0.05).kept == 2000
    correct[(groups == 7) & (confidence < 0.95)] = False
    found = certify_new_group(confidence, correct, everyone, groups, risk=0.05, delta=0.05)
    assert found.threshold is not None and 0.9 < found.threshold <= 0.99
    assert (found.kept, found.wrong, found.bound) == (1000, 0, 0.0)
    correct[groups == 7] = False
    assert certify_new_group(confidence, correct, everyone, groups, risk=0.05, delta=0.05).promise == "none"


def test_the_bound_is_of_the_groups_that_the_promise_is_for_and_never_above_the_risk() -> None:
    confidence, groups = np.tile(np.repeat([0.99, 0.1], [15, 85]), 20), np.repeat(np.arange(20), 100)
    correct, every = confidence > 0.5, np.ones(2000, dtype=bool)
    correct[700:702] = False
    found = certify_new_group(confidence, correct, every, groups, risk=0.05, delta=0.05)
    assert (found.kept, found.wrong, found.bound) == (300, 2, 0.0)  # 2 of 15 are forgiven
    assert certify_new_group(confidence, correct, every, groups, risk=0.14, delta=0.05).bound == pytest.approx(2 / 15)


def test_rows_of_no_group_say_nothing_about_a_new_one() -> None:
    n = 400
    confidence, right, groups = np.full(n, 0.97), np.ones(n, bool), np.full(n, NO_GROUP)
    found = certify_new_group(confidence, right, right, groups, risk=0.05, delta=0.05)
    assert (found.promise, found.groups, found.tickets) == ("none", 0, n)
    groups[:380] = np.repeat(np.arange(19), 20)
    right[380:] = False
    found = certify_new_group(confidence, right, np.ones(n, bool), groups, risk=0.05, delta=0.05)
    assert (found.promise, found.groups, found.kept, found.wrong) == ("new_group", 19, 380, 0)
