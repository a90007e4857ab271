"""A gate for each label: what a label alone can be certified at, and that the whole hides no bad label."""

from __future__ import annotations

import numpy as np
import pytest

from training.gate.gate import Routed, certificate_facts, certified
from training.gate.served import labels_decided
from training.registry.publish import _thresholds
from training.reports.model_card import _promise
from training.stages import FULL, Stage


def _routed(rates: dict[str, tuple[int, float]], seed: int = 0) -> Routed:
    rng = np.random.default_rng(seed)
    labels, right = [], []
    for label, (count, error) in rates.items():
        labels += [label] * count
        right += [bool(one) for one in rng.random(count) >= error]
    n = len(labels)
    return Routed(np.array(labels), np.full(n, 0.999), np.array(right), np.ones(n, dtype=bool))


def test_a_label_is_certified_where_it_alone_is_good_enough() -> None:
    found = certified(_routed({"good": (2000, 0.001), "poor": (120, 0.3)}), None, risk=0.05, delta=0.05)
    assert found.whole.threshold is not None
    assert found.by_label["good"].threshold is not None
    assert found.by_label["poor"].threshold is None
    assert (found.by_label["good"].bound or 1.0) <= 0.05


@pytest.mark.parametrize(("kept", "enough"), [(58, False), (59, True)])
def test_one_label_needs_59_tickets_without_an_error(kept: int, enough: bool) -> None:
    found = certified(_routed({"only": (kept, 0.0)}), None, risk=0.05, delta=0.05)
    assert (found.by_label["only"].threshold is not None) is enough
    if not enough:
        assert (found.by_label["only"].more_tickets or 0) >= 1


def test_more_labels_take_more_tickets_each_since_all_are_to_hold_at_once() -> None:
    found = certified(_routed({"one": (59, 0.0), "two": (400, 0.0)}), None, risk=0.05, delta=0.05)
    assert found.by_label["one"].threshold is None
    assert found.by_label["two"].threshold is not None


def test_no_label_exceeds_its_risk_more_often_than_promised() -> None:
    """In populations with a known error by confidence, some label's true risk is exceeded in at most delta of them."""
    exceeded = 0
    populations = 200
    for seed in range(populations):
        rng = np.random.default_rng(seed)
        labels = np.repeat(np.array(["a", "b", "c"]), [600, 400, 200])
        skill = np.array([3.0, 2.0, 1.5])[np.searchsorted(["a", "b", "c"], labels)]
        sure = 0.5 + 0.5 * rng.random(len(labels)) ** (1 / skill)
        error = 0.9 * (1 - sure)
        here = Routed(labels, sure, rng.random(len(labels)) >= error, np.ones(len(labels), dtype=bool))
        found = certified(here, None, risk=0.05, delta=0.05)
        grid = np.linspace(0.5, 1, 4001)
        for label, power in (("a", 3.0), ("b", 2.0), ("c", 1.5)):
            threshold = found.by_label[label].threshold
            if threshold is None:
                continue
            density = np.where(grid >= threshold, power * (2 * grid - 1) ** (power - 1), 0.0)
            exceeded += float((density * 0.9 * (1 - grid)).sum() / density.sum()) > 0.05
    assert exceeded <= 0.05 * populations + 3 * (0.05 * 0.95 * populations) ** 0.5


def test_the_card_says_what_a_gate_by_label_promises_and_not_what_one_over_all_would() -> None:
    facts = certificate_facts({"tier": certified(_routed({"good": (2000, 0.001), "poor": (120, 0.3)}), None,
                                                 risk=0.05, delta=0.05)})  # fmt: skip
    refitted = {"calibration": "set aside, 2120 rows", **facts}
    manifest = {
        "settings": {"target_risk": 0.05, "confidence": 0.95, "per_class": True},
        "gate": {"refitted": refitted},
    }
    assert facts["tier"]["threshold"] is not None and labels_decided(facts["tier"]) == ["good"]
    [said, *_] = _promise(Stage(FULL, "", ()), manifest)
    assert said.startswith("- tier: 1 of 2 labels may be decided (good)") and "a group" not in said
    facts["tier"]["by_label"]["good"]["threshold"] = None
    [said, *_] = _promise(Stage(FULL, "", ()), manifest)
    assert "nothing is promised and nothing decided" in said
    assert _thresholds(manifest) == {"tier/labels_decided": 0.0}
