"""Base estimators: balanced labels, written rules as votes, and which of them a head combines."""

from __future__ import annotations

import numpy as np

from models.features.features import Features, match_rules
from models.features.vectorizer import SparseRows
from models.heads.base_estimators import HYBRID_POWER, POWER, LinearEstimator, NeighbourEstimator, RuleEstimator
from training.ensemble.composition import (
    HYBRID_NEIGHBOURS,
    MANY_ROWS,
    NEIGHBOURS,
    RULES,
    USUAL,
    estimators_for,
    rule_label_ids,
)
from training.ensemble.cross_fit import TargetData, Wanted, cross_fit, neighbours_across_groups
from training.ensemble.estimators import HyperParameters, fit_estimator
from triage.rules import NO_RULES, Rule, RuleBook, RuleKind
from triage.ticket import Ticket


def features_of(dense: np.ndarray, topics: np.ndarray, rule_matches: np.ndarray | None = None) -> Features:
    """Features of tickets without a word."""
    count = len(dense)
    empty = SparseRows(np.zeros(count + 1, np.int64), np.zeros(0, np.int32), np.zeros(0, np.float32), 1)
    near = neighbours_across_groups(dense, topics, np.arange(count))
    matches = np.zeros((count, 1), bool) if rule_matches is None else rule_matches
    return Features(empty, dense, topics, **near._asdict(), rule_matches=matches)


def test_balance_lets_a_rare_label_win() -> None:
    rng = np.random.default_rng(0)
    label_ids = (np.arange(1000) < 50).astype(np.int64)
    dense = rng.standard_normal((1000, 4)).astype(np.float32)
    dense[:, 0] += 1.2 * label_ids
    features = features_of(dense, dense)

    def named(balanced: bool) -> float:
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


def test_the_first_rule_that_matches_and_names_a_label_votes() -> None:
    tickets = [Ticket(body="the VPN prints"), Ticket(body="printing"), Ticket(body="nothing of the kind")]
    matches = match_rules(BOOK, tickets)
    assert matches.tolist() == [[True, True, True, False], [False, False, True, False], [False] * 4]
    tiers, categories = rule_label_ids(BOOK, "tier", ("L1", "L2")), rule_label_ids(BOOK, "category", ("printing",))
    assert tiers.tolist() == [0, 1, -1, 1] and categories.tolist() == [-1, -1, 0, -1]
    features = features_of(np.zeros((3, 2), np.float32), np.zeros((3, 2), np.float32), matches)
    assert RuleEstimator(RULES, tiers, 2).scores(features).tolist() == [[1, 0], [0, 0], [0, 0]]
    assert RuleEstimator(RULES, categories, 1).scores(features).tolist() == [[1], [1], [0]]


def test_rules_vote_only_where_they_name_a_label() -> None:
    silent, naming = (rule_label_ids(book, "tier", ("L1", "L2")) for book in (NO_RULES, BOOK))
    assert RULES not in estimators_for(500, silent)[0] and RULES in estimators_for(500, naming)[0]
    combined, baselines = estimators_for(MANY_ROWS, naming)
    assert RULES in combined and "lexical" not in combined and "lexical" in baselines


def test_every_usual_estimator_is_fitted() -> None:
    rng = np.random.default_rng(0)
    label_ids = rng.integers(0, 4, 200)
    dense = 0.6 * rng.standard_normal((200, 8)).astype(np.float32)
    dense[np.arange(200), label_ids] += 1.0
    dense /= np.linalg.norm(dense, axis=1, keepdims=True)
    features = features_of(dense, np.zeros((200, 2), np.float32))
    data = TargetData(features, label_ids, tuple("abcd"), np.zeros(0, dtype=np.int32))
    found = cross_fit([Wanted(data, np.arange(200) % 4)], HyperParameters(jobs=1))[0]
    assert tuple(found.scores) == USUAL and tuple(estimator.name for estimator in found.estimators) == USUAL
    powers = {one.name: one.power for one in found.estimators if isinstance(one, NeighbourEstimator)}
    assert powers == {NEIGHBOURS: POWER, HYBRID_NEIGHBOURS: HYBRID_POWER}
