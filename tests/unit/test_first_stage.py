"""When the first stage answers: fixed without labels, and certified together with the rest."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from training.gate.first_stage import MAY_LOSE, Beliefs, FirstAnswers, FirstOpinion, affordable_threshold, bands_around
from training.gate.gate import Certificates, dearer_targets
from training.gate.risk_control import Certificate, certify, no_certificate
from training.gate.strangers import tells_strangers
from triage.defaults import default_policy
from triage.gate import Gate
from triage.prediction import Prediction, Score

N = 1000


def answering(sureness: NDArray[np.float64], labels: NDArray[np.str_]) -> FirstAnswers:
    """Return answers for the tier, each as sure as it is far ahead."""
    return FirstAnswers(sureness, {"tier": FirstOpinion(labels, sureness, sureness, {})}, np.zeros(len(sureness)))


def answers(agreement: float) -> tuple[FirstAnswers, dict[str, Beliefs]]:
    """Return answers that agree with the full model in all above 0.8, and in a share below."""
    random = np.random.default_rng(0)
    sureness = random.random(N)
    own = np.where((sureness > 0.8) | (random.random(N) < agreement), "L1", "L2")
    full = Beliefs(("L1", "L2"), np.tile([0.6, 0.4], (N, 1)))
    return answering(sureness, own), {"tier": full}


def test_the_first_stage_answers_as_long_as_it_hardly_costs_accuracy() -> None:
    first, full = answers(0.5)
    threshold = affordable_threshold(first, full)
    assert threshold is not None and 0.7 < threshold < 0.8
    taken = first.above(threshold)
    cost = full["tier"].loss(first.targets["tier"].labels)[taken.passed].sum() / N
    assert 0 < cost <= MAY_LOSE
    more = first.above(threshold - 0.02)
    assert full["tier"].loss(first.targets["tier"].labels)[more.passed].sum() / N > MAY_LOSE


def test_a_first_stage_that_never_agrees_answers_nothing() -> None:
    sure = answering(np.full(N, 0.9), np.array(["L2"] * N))
    assert affordable_threshold(sure, {"tier": Beliefs(("L1", "L2"), np.tile([0.6, 0.4], (N, 1)))}) is None


def test_where_the_full_model_is_torn_another_label_costs_next_to_nothing() -> None:
    sure = answering(np.full(N, 0.9), np.array(["L2"] * N))
    assert affordable_threshold(sure, {"tier": Beliefs(("L1", "L2"), np.tile([0.501, 0.499], (N, 1)))}) == 0.9


def test_folded_labels_count_as_one() -> None:
    policy = replace(default_policy(), folding={"L0": "L1"})
    found = Beliefs.of("tier", ("L0", "L1", "L2"), np.array([[0.3, 0.3, 0.4]]), policy)
    assert found.labels == ("L1", "L2") and found.probabilities.tolist() == [[0.6, 0.4]]
    assert np.allclose(found.loss(np.array(["L2"])), 0.2) and found.loss(np.array(["L1"])).tolist() == [0.0]


def test_what_is_too_strange_to_be_answered_is_never_sure() -> None:
    gate = Gate(max_novelty=0.5, languages=frozenset(["en"]))
    strange = Prediction({"tier": (Score("L1", 0.75), Score("L2", 0.25))}, novelty=0.6, words=9, by_first_stage=True)
    plain = Prediction({"tier": (Score("L1", 0.75), Score("L2", 0.25))}, novelty=0.4, words=9, by_first_stage=True)
    found = FirstAnswers.of([strange, plain], gate, default_policy())
    assert found.sureness.tolist() == [-1.0, 0.5]


def test_bands_lie_around_the_threshold_and_grow() -> None:
    bands = bands_around(0.9)
    assert all(low < 0.9 < high for low, high in bands) and bands[-1][1] == 1.0
    assert bands[0][1] - bands[0][0] < 0.02  # no wider than it must be: whatever lies in it costs the encoder's time
    assert all(low >= wider and high <= higher for (low, high), (wider, higher) in pairwise(bands))
    first, _ = answers(0.5)
    taken = first.above(0.0, {"tier": bands[0]})
    confidence = first.targets["tier"].confidence
    inside = (confidence >= bands[0][0]) & (confidence < bands[0][1])
    assert inside.any() and (taken.passed == ~inside).all()


def test_vectors_that_tell_strangers_worse_are_found() -> None:
    random = np.random.default_rng(0)
    labels = {"category": np.repeat(np.arange(10), 40)}
    centres = random.standard_normal((10, 16))
    groups = np.arange(400)

    def unit(spread: float) -> np.ndarray:
        drawn = centres[labels["category"]] + spread * random.standard_normal((400, 16))
        return np.asarray(drawn / np.linalg.norm(drawn, axis=1, keepdims=True), dtype=np.float32)

    sharp, blurred = (tells_strangers(unit(spread), groups, labels) for spread in (0.2, 2.0))
    assert sharp is not None and blurred is not None and sharp > 0.95 > 0.75 > blurred
    assert tells_strangers(unit(0.2)[:100], groups[:100], {"category": labels["category"][:100]}) is None


def test_a_first_stage_that_costs_a_tenth_of_what_may_be_automatic_is_too_dear() -> None:
    def may(kept: int) -> Certificates:
        return Certificates(Certificate(0.8, kept, 3, 1000, bound=0.05, more_tickets=0), {})

    alone = {"tier": may(400), "category": may(100)}
    assert dearer_targets(alone, {"tier": may(380), "category": may(95)}, per_class=False) == []
    assert dearer_targets(alone, {"tier": may(380), "category": may(80)}, per_class=False) == ["category"]
    shut = Certificates(no_certificate(1000, None), {})
    assert dearer_targets(alone, {"tier": shut, "category": may(120)}, per_class=False) == ["tier"]
    assert dearer_targets({"tier": shut}, {"tier": shut}, per_class=False) == []


def test_both_stages_together_keep_the_promise_on_tickets_to_come() -> None:
    """One sequence over both stages' own confidence: of 200 desks about one in twenty may exceed what was certified.

    The first stage is too sure of itself, and answers what it is sure of; the sequence sees its errors all the same.
    """
    random, risk, broken = np.random.default_rng(1), 0.1, 0
    for _ in range(200):
        first = random.random(N) > 0.6
        confidence = np.where(first, 0.8 + 0.2 * random.random(N), random.random(N))
        true = np.where(first, confidence - 0.06, 0.5 + 0.5 * confidence)
        found = certify(confidence, random.random(N) < true, np.ones(N, bool), risk=risk, delta=0.05)
        if found.threshold is not None:
            broken += bool((1 - true)[confidence >= found.threshold].mean() > risk)
    assert broken <= 20
