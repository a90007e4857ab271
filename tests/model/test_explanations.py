"""Explanations name the words that carry the label: without them the probability falls, without others much less."""

from __future__ import annotations

from models.bundle.bundle import Bundle
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
