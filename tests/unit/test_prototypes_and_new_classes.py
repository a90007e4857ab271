"""Prototypes stand where descriptions and examples stand; new classes take their share and leave the rest in order."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from models.features.features import Features
from models.features.vectorizer import SparseRows
from models.heads.base_estimators import LinearEstimator
from models.heads.head import NEW_CLASSES, Head, Stacking
from training.cold_start.new_classes import DRAWN_OVER, Past, set_apart
from training.cold_start.prototypes import SHARPNESS, PrototypeInputs, phrases_of, prototype_head, unit
from training.stages import EXAMPLES, FULL, stage_facts, stage_of
from triage.policy import Category, Policy, Tier

DIM = 16


def blob(rng: np.random.Generator, towards: int, count: int, noise: float = 0.15) -> NDArray[np.float32]:
    return unit(np.eye(DIM)[[towards] * count] + noise * rng.standard_normal((count, DIM))).astype(np.float32)


def seen(dense: NDArray[np.float32]) -> Features:
    """Features of tickets without a word and without a neighbour."""
    rows = SparseRows(np.zeros(len(dense) + 1, dtype=np.int64), np.zeros(0, np.int32), np.zeros(0, np.float32), 0)
    near, none = np.full((len(dense), 1), -1), np.zeros((len(dense), 1), dtype=np.float32)
    return Features(rows, dense, none, near, none, near, none, none.astype(bool))


def told(examples: NDArray[np.float32], label_ids: NDArray[np.int64]) -> PrototypeInputs:
    phrases = np.eye(DIM, dtype=np.float32)[:2]
    empty = sp.csr_matrix((2, 1), dtype=np.float32), sp.csr_matrix((len(examples), 1), dtype=np.float32)
    return PrototypeInputs("category", ("a", "b"), phrases, empty[0], np.array([0, 1]), examples, empty[1], label_ids)


def test_a_description_alone_tells_labels_apart() -> None:
    head, unseen = prototype_head(told(np.zeros((0, DIM), np.float32), np.zeros(0, np.int64)))
    probabilities = head.probabilities(seen(np.eye(DIM, dtype=np.float32)[:2]))
    assert probabilities.argmax(axis=1).tolist() == [0, 1] and len(unseen) == 0


def test_examples_outweigh_a_description_that_misleads() -> None:
    examples = np.concatenate([blob(np.random.default_rng(0), 5, 12), blob(np.random.default_rng(1), 6, 12)])
    label_ids = np.repeat([0, 1], 12)
    head, unseen = prototype_head(told(examples, label_ids))
    assert (unseen.argmax(axis=1) == label_ids).all()
    assert (head.probabilities(seen(examples)).argmax(axis=1) == label_ids).all()
    assert head.stacking.weights[0, 0] != pytest.approx(SHARPNESS)


def test_each_example_is_judged_by_prototypes_without_it() -> None:
    examples = blob(np.random.default_rng(0), 1, 1)
    head, unseen = prototype_head(told(examples, np.array([0])))
    described, _ = prototype_head(told(np.zeros((0, DIM), np.float32), np.zeros(0, np.int64)))
    assert unseen == pytest.approx(described.probabilities(seen(examples)), abs=1e-5)
    assert head.probabilities(seen(examples))[0, 0] > unseen[0, 0]


def test_expected_shares_move_prototypes() -> None:
    nothing = told(np.zeros((0, DIM), np.float32), np.zeros(0, np.int64))
    head, _ = prototype_head(nothing, prior_correction=np.array([1.8, 0.2]))
    between = unit(np.eye(DIM)[:2].sum(axis=0, keepdims=True)).astype(np.float32)
    assert head.in_traffic(head.probabilities(seen(between)))[0] == pytest.approx([0.9, 0.1], abs=1e-6)


@settings(deadline=None)  # a time says nothing on a busy machine
@given(st.integers(4, 12), st.integers(0, 50))
def test_a_new_class_takes_little_from_the_past_and_is_told_from_it(count: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    past = Past.of(np.concatenate([blob(rng, label, 60) for label in (0, 1, 2)]))
    tickets, fresh = blob(rng, 9, count, noise=0.08), blob(rng, 9, 30, noise=0.08)
    found = set_apart(past, np.eye(DIM, dtype=np.float32)[9], tickets, 0.25)
    assert found.drawn_over <= DRAWN_OVER + 1 / len(past.vectors)
    assert ((fresh @ found.weights + found.intercept) > 0).mean() > 0.8
    assert found.unseen.min() >= 0 and found.unseen.max() <= 1


def test_a_new_class_that_is_like_the_past_takes_next_to_nothing_of_it() -> None:
    rng = np.random.default_rng(0)
    history = np.concatenate([blob(rng, label, 60) for label in (0, 1, 2)])
    found = set_apart(Past.of(history), np.eye(DIM, dtype=np.float32)[0], blob(rng, 0, 8), 0.5)
    assert ((history @ found.weights + found.intercept) > 0).mean() <= DRAWN_OVER + 1 / len(history)


def test_probabilities_of_the_others_are_scaled_and_add_up() -> None:
    rng = np.random.default_rng(0)
    zero = np.zeros(2, dtype=np.float32)
    dense, added = (rng.standard_normal((DIM, columns)).astype(np.float32) for columns in (2, 3))
    same = Stacking(np.eye(2, dtype=np.float32), zero)
    old = Head("category", ("a", "b"), (LinearEstimator("meaning", zero, None, dense),), same)
    new_classes = LinearEstimator(NEW_CLASSES, np.zeros(3, dtype=np.float32), None, added)
    correction = np.array([1.5, 0.5])
    new = replace(old, labels=tuple("abcde"), prior_correction=correction, new_classes=new_classes)
    tickets = seen(blob(rng, 3, 20, noise=1.0))
    before, after = old.probabilities(tickets), new.probabilities(tickets)
    assert after.sum(axis=1) == pytest.approx(1.0)
    assert after[:, :2] == pytest.approx(before * (1 - after[:, 2:].sum(axis=1, keepdims=True)))
    shifted = new.in_traffic(after)
    assert shifted.sum(axis=1) == pytest.approx(1.0)
    assert shifted[:, 2:] == pytest.approx(after[:, 2:])
    assert shifted[:, 0] / shifted[:, 1] == pytest.approx(3 * after[:, 0] / after[:, 1])


def test_phrases_fall_back_on_the_label() -> None:
    assert phrases_of(Tier("L1")) == ["L1"]
    assert phrases_of(Category("net", "Network", "Wi-Fi, VPN; lines")) == ["Network", "Wi-Fi", "VPN", "lines"]


def test_a_stage_counts_what_each_label_lacks() -> None:
    policy = Policy("p", tiers=(Tier("L1"), Tier("L2")))
    needs = stage_of({"stage": stage_facts(EXAMPLES, policy, [])}).needs
    assert needs == ("tier: 10 tickets of each label to be learned in full",)
    stage = {"name": FULL, "tickets": {"tier": {"L1": 40, "L2": 9}}}
    gate = {"refitted": {"calibration": "set aside", "tier": {"threshold": None, "more_tickets": 70}}}
    assert stage_of({"stage": stage, "gate": gate}).needs == (
        "tier L2: 1 ticket more to be learned in full",
        "tier: about 70 tickets more until any can be decided without a person",
    )
    assert stage_of({}).name == FULL
