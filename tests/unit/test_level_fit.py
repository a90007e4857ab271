"""Level fit: what was sent too low or too high, what it cost, and where; as figures and as a page."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.reports.level_fit import level_fit_page
from triage.defaults import default_policy
from triage.escalation.level_fit import Routed, level_fit

POLICY = default_policy()
tiers = st.sampled_from(POLICY.labels("tier"))


def test_misses_are_counted_with_their_cost_by_category_and_month() -> None:
    months = [datetime(2026, month, 1, tzinfo=UTC) for month in (1, 2)]
    tickets = [
        Routed("L1", "L1", "access", "service-desk", months[0]),
        Routed("L1", "L3", "software", "software-engineering", months[0]),
        Routed("L2", "L1", "access", "service-desk", months[1]),
        Routed("L0", "L0", "access", "self-service", months[1]),
    ]
    found = level_fit(POLICY, tickets)
    assert (found.all.right, found.all.too_low, found.all.too_high, found.all.first_line) == (0.5, 0.25, 0.25, 0.75)
    assert (found.all.cost_low, found.all.cost_high) == (2 * POLICY.cost_under / 4, POLICY.cost_over / 4)
    assert list(found.by_category) == ["access", "software"] and found.by_category["software"].too_low == 1.0
    assert list(found.by_month) == ["2026-01", "2026-02"] and found.by_group["service-desk"].right == 0.5
    assert found.resolved == {"L0": 0.25, "L1": 0.5, "L2": 0.0, "L3": 0.25, "L4": 0.0}


@given(st.lists(st.tuples(tiers, tiers), min_size=1))
def test_every_ticket_is_right_too_low_or_too_high(pairs: list[tuple[str, str]]) -> None:
    every = level_fit(POLICY, [Routed(sent, resolved) for sent, resolved in pairs]).all
    assert every.right + every.too_low + every.too_high == pytest.approx(1.0)


def test_the_page_loads_nothing_and_escapes_names() -> None:
    found = level_fit(POLICY, [Routed("L1", "L1", "<b>", "g", datetime(2026, m, 1, tzinfo=UTC)) for m in (1, 2)])
    page = level_fit_page(found, "2 tickets")
    assert page.count("<svg") == 4 and "&lt;b&gt;" in page and "<b>" not in page
    assert "src=" not in page and "<script" not in page


def test_bounces_cost_what_the_policy_says_where_journeys_are_known() -> None:
    tickets = [Routed("L1", "L1", bounces=2), Routed("L1", "L1", bounces=0), Routed("L1", "L1")]
    every = level_fit(POLICY, tickets).all
    assert (every.bounces, every.cost_bounces) == (1.0, POLICY.escalation.bounce_cost)
    assert level_fit(POLICY, tickets[2:]).all.bounces is None
    page = level_fit_page(level_fit(POLICY, tickets), "3 tickets")
    assert "cost of bounces" in page and "cost of bounces" not in level_fit_page(level_fit(POLICY, tickets[2:]), "1")


def test_what_is_expected_is_folded_as_what_was_sent_is() -> None:
    shares = {"L0": 0.3, "L1": 0.4, "L2": 0.2, "L3": 0.07, "L4": 0.03}
    tiers = tuple(replace(tier, expected_share=shares[tier.label]) for tier in default_policy().tiers)
    desk = replace(default_policy(), tiers=tiers, folding={"L0": "L1"})
    found = level_fit(desk, [Routed("L1", "L1"), Routed("L2", "L2")])
    assert found.expected == pytest.approx({"L1": 0.7, "L2": 0.2, "L3": 0.07, "L4": 0.03})
    assert found.all.first_line == 0.5  # without self-service the service desk alone
