"""Members that are new to the stack: a kernel, written rules, balanced labels; and tier and category made to agree."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.kernel_ridge import KernelRidge

from models.features.features import fitting_rules
from models.heads.base_estimators import KernelMember, LinearMember, alikeness, rule_votes
from models.heads.consistency import Agreement
from training.ensemble import estimators as solvers
from training.ensemble.consistency import agree
from training.ensemble.cross_fit import Material, cross_fit, neighbours_within
from training.ensemble.estimators import Strength, fit_member
from training.ensemble.head import fit_head
from training.ensemble.members import MANY_ROWS, MEMBERS, RULES, members_for, spoken_codes
from triage.rules.book import NO_RULES, Rule, RuleBook, RuleKind
from triage.ticket import Ticket


def _ring(n: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return topics and embeddings as unit vectors, and labels that no straight line tells apart."""
    rng = np.random.default_rng(seed)
    angle = rng.uniform(0, 2 * np.pi, n)
    dense = np.stack([np.cos(angle), np.sin(angle)], axis=1).astype(np.float32)
    topics = np.tile(np.array([[1.0, 0.0]], np.float32), (n, 1))
    return topics, dense, (np.sin(2 * angle) > 0).astype(np.int64)


def test_the_kernel_is_kernel_ridge_regression() -> None:
    topics, dense, codes = _ring(300)
    member = fit_member("kernel", sp.csr_matrix((300, 1)), topics, dense, codes, 3, np.ones(300))
    assert isinstance(member, KernelMember)
    inputs = np.hstack([topics, dense])
    alike = alikeness(inputs, inputs).astype(np.float64)
    truth = np.eye(2)[codes]
    peer = KernelRidge(alpha=solvers._RIDGE, kernel="precomputed").fit(alike, truth - truth.mean(axis=0))
    later_topics, later, answer = _ring(200, seed=1)
    found = member.values(later_topics, later)
    expected = peer.predict(alikeness(np.hstack([later_topics, later]), inputs)) + truth.mean(axis=0)
    assert np.allclose(found[:, :2], expected, atol=0.05)
    assert (found.argmax(axis=1) == answer).mean() > 0.93, "a label that no row has is never the first"


def test_a_kernel_on_some_rows_is_nearly_the_kernel_on_all(monkeypatch: pytest.MonkeyPatch) -> None:
    topics, dense, codes = _ring(600)
    nothing, each = sp.csr_matrix((600, 1)), np.ones(600)
    whole = fit_member("kernel", nothing, topics, dense, codes, 2, each)
    monkeypatch.setattr(solvers, "_CENTRES", 60)
    part = fit_member("kernel", nothing, topics, dense, codes, 2, each)
    assert isinstance(whole, KernelMember) and isinstance(part, KernelMember) and len(part.centres) == 60
    assert np.abs(whole.values(topics, dense) - part.values(topics, dense)).mean() < 0.05


def test_balance_gives_a_rare_label_a_voice() -> None:
    rng = np.random.default_rng(0)
    codes = (np.arange(1000) < 50).astype(np.int64)
    dense = rng.standard_normal((1000, 4)).astype(np.float32)
    dense[:, 0] += 1.2 * codes
    each, nothing = np.ones(1000), sp.csr_matrix((1000, 1), dtype=np.float32)

    def named(balanced: bool) -> float:
        member = fit_member("hybrid", nothing, dense, dense, codes, 2, each, Strength(balanced=balanced))
        assert isinstance(member, LinearMember) and member.dense is not None
        return float((dense[codes == 1] @ member.dense + member.intercept).argmax(axis=1).mean())

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
    fitting = fitting_rules(BOOK, tickets)
    assert fitting.tolist() == [[True, True, True, False], [False, False, True, False], [False] * 4]
    tiers, categories = (spoken_codes(BOOK, *told) for told in (("tier", ("L1", "L2")), ("category", ("printing",))))
    assert tiers.tolist() == [0, 1, -1, 1] and categories.tolist() == [-1, -1, 0, -1]
    assert rule_votes(fitting, tiers, 2).tolist() == [[1, 0], [0, 0], [0, 0]]
    assert rule_votes(fitting, categories, 1).tolist() == [[1], [1], [0]]


def test_rules_are_a_member_only_where_they_name_a_label() -> None:
    silent, told = (spoken_codes(book, "tier", ("L1", "L2")) for book in (NO_RULES, BOOK))
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
    topics, units, folds = np.zeros((n, 2), np.float32), np.arange(n), np.arange(n) % 4
    near = neighbours_within(dense, topics, units)
    material = Material(sp.csr_matrix((n, 1), dtype=np.float32), dense, topics, *near, np.zeros((n, 1), bool))
    codes = {"category": category.astype(np.int64), "tier": tier.astype(np.int64)}
    labels = {"category": tuple("abcd"), "tier": ("L1", "L2")}
    heads = {t: fit_head(t, labels[t], codes[t], material, folds, jobs=1) for t in labels}
    return heads, codes, folds, {"material": material}


def test_agreement_is_kept_where_a_category_says_the_tier_and_not_where_it_says_nothing() -> None:
    heads, codes, folds, _ = _heads(800, tied=True)
    after, agreement = agree(heads, codes, folds)
    assert agreement is not None and agreement.shares.argmax(axis=1).tolist() == [0, 0, 1, 1]
    facts = after["category"].facts["agreement"]
    assert facts["agreed"] < facts["alone"]
    implied = after["category"].beliefs @ agreement.shares
    assert (
        np.abs(implied - heads["tier"].beliefs).mean()
        < np.abs(heads["category"].beliefs @ agreement.shares - heads["tier"].beliefs).mean()
    )
    free, none = agree(*_heads(800, tied=False)[:3])
    assert none is None and "agreement" in free["category"].facts
    only, nothing = agree({"tier": heads["tier"]}, codes, folds)
    assert nothing is None and set(only) == {"tier"}


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10_000), st.integers(2, 5), st.integers(2, 4), st.integers(0, 2))
def test_agreed_beliefs_are_probabilities_and_newcomers_keep_theirs(
    seed: int, categories: int, tiers: int, later: int
) -> None:
    rng = np.random.default_rng(seed)
    agreement = Agreement(rng.dirichlet(np.ones(tiers), categories))
    category, tier = rng.dirichlet(np.ones(categories + later), 6), rng.dirichlet(np.ones(tiers + later), 6)
    found = agreement.agreed(category, tier)
    assert (found >= 0).all() and np.allclose(found.sum(axis=1), 1)
    assert np.array_equal(found[:, categories:], category[:, categories:])


@given(st.integers(0, 10_000))
def test_categories_that_each_have_one_tier_come_to_say_what_the_tier_head_says(seed: int) -> None:
    rng = np.random.default_rng(seed)
    shares = np.eye(2)[[0, 0, 1, 1]]
    category, tier = rng.dirichlet(np.ones(4), 5), rng.dirichlet(np.ones(2), 5)
    found = Agreement(shares).agreed(category, tier)
    assert np.allclose(found @ shares, tier)
    assert np.allclose(found[:, 0] * category[:, 1], found[:, 1] * category[:, 0]), "proportions within a tier stay"


def test_every_member_of_the_usual_roster_is_fitted() -> None:
    heads, codes, folds, made = _heads(200, tied=True)
    found = cross_fit(made["material"], codes["category"], 4, folds, jobs=1)
    assert tuple(found.scores) == MEMBERS and tuple(member.name for member in found.members) == MEMBERS
    assert heads["tier"].strength.balanced
