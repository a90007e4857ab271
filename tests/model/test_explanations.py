"""Explanations name the words that carry the label: without them the probability falls, without others much less."""

from __future__ import annotations

import numpy as np

from models.bundle.bundle import Bundle
from models.explain import SHOWN, strongest
from training.diagnostics.faithfulness import deletion_test
from training.task import Trained
from triage.ticket import Ticket


def test_deleting_the_words_named_costs_more_probability_than_deleting_others(trained: Trained, bundle: Bundle) -> None:
    tickets = [trained.dataset.rows[place].ticket for place in trained.split.test]
    found = deletion_test(bundle, tickets)
    assert found is not None
    assert found.tickets > 30
    assert found.named > 2 * max(found.others, 0.01)
    more = deletion_test(bundle, tickets, words=4)
    assert more is not None and more.named > found.named
    assert more.named_turned > more.others_turned


def test_tickets_too_short_to_lose_words_are_left_out(bundle: Bundle) -> None:
    assert deletion_test(bundle, [Ticket(body="printer jam")]) is None


def test_the_strongest_terms_come_first_and_equal_ones_by_name() -> None:
    terms = ["vpn", "drops", "again", "printer"]
    found = strongest(terms, np.array([0.5, -2.0, 0.5, 1e-5]), {"rule=vpn": 0.75})
    assert [(one.term, one.weight) for one in found] == [
        ("drops", -2.0), ("rule=vpn", 0.75), ("again", 0.5), ("vpn", 0.5)
    ]  # fmt: skip
    assert [one.term for one in strongest(terms, np.array([0.5, -2.0, 0.4, 0.1]), {"rule=vpn": -1.0}, least=0.0)] == [
        "vpn", "again", "printer"
    ]  # fmt: skip


def test_of_many_terms_as_many_are_shown_as_fit_with_ties_by_name() -> None:
    terms = [f"word{number:02}" for number in range(40)][::-1]
    found = strongest(terms, np.full(40, 0.25), {})
    assert [one.term for one in found] == [f"word{number:02}" for number in range(SHOWN)]
    assert strongest([], np.zeros(0), {}) == ()
