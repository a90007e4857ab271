"""An evaluation asks the screening's classifier about a ticket once, for the model and for the rules beside it."""

from __future__ import annotations

import pytest

from models.triager import Triager
from training.data.dataset import LabelledTicket
from training.evaluation.predictions import ask
from triage.ticket import Ticket


def test_opinions_that_are_known_are_not_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [LabelledTicket(Ticket(id=str(n), body=f"the printer {n} is on fire"), {"tier": "L1"}) for n in range(3)]
    first = ask(Triager(), rows)
    assert len(first.opinions) == len(rows)

    def refuse(*_: object) -> None:
        raise AssertionError("asked again")

    monkeypatch.setattr(Triager, "opinions_of", refuse)
    again = ask(Triager(), rows, opinions=first.opinions)
    assert again.decisions == first.decisions and again.opinions == list(first.opinions)
