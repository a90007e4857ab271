"""Members that are new to the stack: a kernel, written rules, balanced labels; and tier and category made to agree."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.kernel_ridge import KernelRidge

from models.features.features import Features, match_rules
from models.features.vectorizer import SparseRows
from models.heads.base_estimators import KernelEstimator, LinearEstimator, kernel_values, rule_votes
from models.heads.consistency import LabelConsistency
from training.ensemble import estimators as solvers
from training.ensemble.composition import MANY_ROWS, MEMBERS, RULES, members_for, rule_label_ids
from training.ensemble.consistency import fit_label_consistency
from training.ensemble.cross_fit import TargetData, cross_fit, neighbours_across_groups
from training.ensemble.estimators import HyperParameters, fit_estimator
from training.ensemble.head import fit_head
from triage.rules import NO_RULES, Rule, RuleBook, RuleKind
from triage.ticket import Ticket


def _features(dense: np.ndarray, topics: np.ndarray) -> Features:
    """Features of tickets without a word, a neighbour or a rule."""
    empty = SparseRows(np.zeros(len(dense) + 1, np.int64), np.zeros(0, np.int32), np.zeros(0, np.float32), 1)
    none = np.zeros((len(dense), 1), np.float32)
    near = none.astype(np.int64)
    return Features(empty, dense, topics, near, none, near, none, none.astype(bool))


def _ring(n: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return topics and embeddings as unit vectors, and labels that no straight line tells apart."""
    rng = np.random.default_rng(seed)
    angle = rng.uniform(0, 2 * np.pi, n)
    dense = np.stack([np.cos(angle), np.sin(angle)], axis=1).astype(np.float32)
    topics = np.tile(np.array([[1.0, 0.0]], np.float32), (n, 1))
    return topics, dense, (np.sin(2 * angle) > 0).astype(np.int64)


def test_the_kernel_is_kernel_ridge_regression() -> None:
    topics, dense, label_ids = _ring(300)
    estimator = fit_estimator("kernel", _features(dense, topics), label_ids, 3)
    assert isinstance(estimator, KernelEstimator)
    inputs = np.hstack([topics, dense])
    hybrid_near = kernel_values(inputs, inputs).astype(np.float64)
    truth = np.eye(2)[label_ids]
    peer = KernelRidge(alpha=solvers._RIDGE, kernel="precomputed").fit(hybrid_near, truth - truth.mean(axis=0))
    later_topics, later, answer = _ring(200, seed=1)
    found = estimator.scores(_features(later, later_topics))
    expected = peer.predict(kernel_values(np.hstack([later_topics, later]), inputs)) + truth.mean(axis=0)
    assert np.allclose(found[:, :2], expected, atol=0.05)
    assert (found.argmax(axis=1) == answer).mean() > 0.93, "a label that no row has is never the first"


def test_a_kernel_on_some_rows_is_nearly_the_kernel_on_all(monkeypatch: pytest.MonkeyPatch) -> None:
    topics, dense, label_ids = _ring(600)
    features = _features(dense, topics)
    whole = fit_estimator("kernel", features, label_ids, 2)
    monkeypatch.setattr(solvers, "_CENTRES", 60)
    part = fit_estimator("kernel", features, label_ids, 2)
    assert isinstance(whole, KernelEstimator) and isinstance(part, KernelEstimator) and len(part.centres) == 60
    assert np.abs(whole.scores(features) - part.scores(features)).mean() < 0.05


def test_balance_gives_a_rare_label_a_voice() -> None:
    rng = np.random.default_rng(0)
    label_ids = (np.arange(1000) < 50).astype(np.int64)
    dense = rng.standard_normal((1000, 4)).astype(np.float32)
    dense[:, 0] += 1.2 * label_ids

    def named(balanced: bool) -> float:
        features = _features(dense, dense)
        estimator = fit_estimator("hybrid", features, label_ids, 2, HyperParameters(balanced=balanced))
        assert isinstance(estimator, LinearEstimator) and estimator.dense is not None
        return float((dense[label_ids == 1] @ estimator.dense + estimator.intercept).argmax(axis=1).mean())

    assert named(True) > 0.6 > 0.1 > named(False)


BOOK = RuleBook(
    (
        Rule("vpn", RuleKind.BYPASS, any=("vpn",), tier="L1"),
        Rule("network", RuleKind.FALLBACK, any=("vpn", "wifi"), tier="L2", category="network"),
        Rule("printer", RuleKind.FALLBACK, any=("print",), category="printing"),
        Rule("catch-all", RuleKind.FALLBACK, tier="L2", category="network"),
    )
)


def test_the_first_rule_that_fits_and_names_a_label_has_the_voice() -> None:
    tickets = [Ticket(body="the VPN prints"), Ticket(body="printing"), Ticket(body="nothing of the kind")]
    rule_matches = match_rules(BOOK, tickets)
    assert rule_matches.tolist() == [[True, True, True, False], [False, False, True, False], [False] * 4]
    tiers, categories = (rule_label_ids(BOOK, *told) for told in (("tier", ("L1", "L2")), ("category", ("printing",))))
    assert tiers.tolist() == [0, 1, -1, 1] and categories.tolist() == [-1, -1, 0, -1]
    assert rule_votes(rule_matches, tiers, 2).tolist() == [[1, 0], [0, 0], [0, 0]]
    assert rule_votes(rule_matches, categories, 1).tolist() == [[1], [1], [0]]


def test_rules_are_a_member_only_where_they_name_a_label() -> None:
    silent, told = (rule_label_ids(book, "tier", ("L1", "L2")) for book in (NO_RULES, BOOK))
    assert RULES not in members_for(500, silent)[0] and RULES in members_for(500, told)[0]
    many = members_for(MANY_ROWS, told)
    assert RULES in many[0] and not {"kernel", "lexical"} & set(many[0]) and "lexical" in many[1]


def _heads(n: int, tied: bool) -> tuple[dict, dict, np.ndarray, dict]:  # type: ignore[type-arg]
    """Fit both heads where the tier is plain to see, the category half so; tied, the category says which tier."""
    rng = np.random.default_rng(0)
    category = rng.integers(0, 4, n)
    tier = category // 2 if tied else rng.integers(0, 2, n)
    dense = 0.6 * rng.standard_normal((n, 8)).astype(np.float32)
    dense[np.arange(n), category] += 1.0
    dense[:, 4] += 2.0 * (2 * tier - 1)
    dense /= np.linalg.norm(dense, axis=1, keepdims=True)
    topics, groups, folds = np.zeros((n, 2), np.float32), np.arange(n), np.arange(n) % 4
    near = neighbours_across_groups(dense, topics, groups)
    features = Features(_features(dense, topics).sparse, dense, topics, *near, np.zeros((n, 1), bool))
    label_ids = {"category": category.astype(np.int64), "tier": tier.astype(np.int64)}
    labels = {"category": tuple("abcd"), "tier": ("L1", "L2")}
    data = {t: TargetData(features, label_ids[t], labels[t], np.zeros(0, dtype=np.int32)) for t in labels}
    heads = {t: fit_head(t, data[t], folds, HyperParameters(balanced=True, jobs=1)) for t in labels}
    return heads, label_ids, folds, data


def test_agreement_is_kept_where_a_category_says_the_tier_and_not_where_it_says_nothing() -> None:
    heads, label_ids, folds, _ = _heads(800, tied=True)
    after, label_consistency = fit_label_consistency(heads, label_ids, folds)
    assert label_consistency is not None and label_consistency.shares.argmax(axis=1).tolist() == [0, 0, 1, 1]
    facts = after["category"].facts["agreement"]
    assert facts["agreed"] < facts["alone"]
    implied = after["category"].probabilities @ label_consistency.shares
    assert (
        np.abs(implied - heads["tier"].probabilities).mean()
        < np.abs(heads["category"].probabilities @ label_consistency.shares - heads["tier"].probabilities).mean()
    )
    free, none = fit_label_consistency(*_heads(800, tied=False)[:3])
    assert none is None and "agreement" in free["category"].facts
    only, nothing = fit_label_consistency({"tier": heads["tier"]}, label_ids, folds)
    assert nothing is None and set(only) == {"tier"}


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10_000), st.integers(2, 5), st.integers(2, 4), st.integers(0, 2))
def test_agreed_beliefs_are_probabilities_and_newcomers_keep_theirs(
    seed: int, categories: int, tiers: int, later: int
) -> None:
    rng = np.random.default_rng(seed)
    label_consistency = LabelConsistency(rng.dirichlet(np.ones(tiers), categories))
    category, tier = rng.dirichlet(np.ones(categories + later), 6), rng.dirichlet(np.ones(tiers + later), 6)
    found = label_consistency.made_consistent(category, tier)
    assert (found >= 0).all() and np.allclose(found.sum(axis=1), 1)
    assert np.array_equal(found[:, categories:], category[:, categories:])


@given(st.integers(0, 10_000))
def test_categories_that_each_have_one_tier_come_to_say_what_the_tier_head_says(seed: int) -> None:
    rng = np.random.default_rng(seed)
    shares = np.eye(2)[[0, 0, 1, 1]]
    category, tier = rng.dirichlet(np.ones(4), 5), rng.dirichlet(np.ones(2), 5)
    found = LabelConsistency(shares).made_consistent(category, tier)
    assert np.allclose(found @ shares, tier)
    assert np.allclose(found[:, 0] * category[:, 1], found[:, 1] * category[:, 0]), "proportions within a tier stay"


def test_every_member_of_the_usual_roster_is_fitted() -> None:
    heads, _, folds, data = _heads(200, tied=True)
    found = cross_fit(data["category"], folds, hyper_parameters=HyperParameters(jobs=1))
    assert tuple(found.scores) == MEMBERS and tuple(estimator.name for estimator in found.estimators) == MEMBERS
    assert heads["tier"].hyper_parameters.balanced
