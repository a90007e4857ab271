"""A desk's own closed tickets count as reviews, in the order of time; tickets that came with the product never do."""

from __future__ import annotations

import json
import runpy
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from models.home import organisation_id
from training.data.dataset import LabelledTicket
from training.data.shipped import DIGESTS, is_shipped
from training.evaluation import own_history
from training.evaluation.own_history import history_facts
from training.evaluation.predictions import Predictions, TargetPredictions
from training.evaluation.record import strings
from triage.ticket import Ticket

ROOT = Path(__file__).parents[2]
DAY = datetime(2026, 3, 1, tzinfo=UTC)


def shipped_ticket(place: int) -> Ticket:
    row = json.loads((ROOT / "datasets" / "tickets.jsonl").read_text("utf-8").splitlines()[place])
    return Ticket(id="X-1", subject=row["subject"], body=row["body"])


def answered(
    rows: Sequence[LabelledTicket], named: str, *, kept: Sequence[bool] | None = None, automatic: bool = True
) -> Predictions:
    """Answers that name one label for all rows of the tier."""
    count = len(rows)
    found = TargetPredictions(
        target="tier",
        rows=np.arange(count),
        true=strings(row.labels["tier"] for row in rows),
        top=strings([named] * count),
        confidence=np.full(count, 0.9),
        kept=np.array(kept if kept is not None else [True] * count),
        named=strings([named] * count),
        automatic=np.full(count, automatic),
        labels=("L1", "L2"),
        probabilities=np.full((count, 2), 0.5),
        likely=np.ones(count, dtype=bool),
        set_sizes=np.ones(count, dtype=np.int64),
    )
    return Predictions(rows, (), {"tier": found})


def own(day: int | None, tier: str) -> LabelledTicket:
    opened = None if day is None else DAY + timedelta(days=day)
    return LabelledTicket(Ticket(id=f"T-{day}", body=f"Our own ticket of day {day}", opened_at=opened), {"tier": tier})


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TRIAGE_HOME", str(tmp_path))
    monkeypatch.delenv("TRIAGE_ORGANISATION", raising=False)
    return tmp_path


def test_reviews_stand_in_the_order_of_time() -> None:
    rows = [own(3, "L1"), own(1, "L2"), own(None, "L2"), own(2, "L1")]
    assert history_facts(answered(rows, "L1"))["outcomes"] == {"tier": "1100"}


def test_only_what_the_model_would_have_decided_counts() -> None:
    rows = [own(1, "L2"), own(2, "L1"), own(3, "L1")]
    assert history_facts(answered(rows, "L1", kept=[False, True, True]))["outcomes"] == {"tier": "00"}
    assert history_facts(answered(rows, "L1", automatic=False))["outcomes"] == {"tier": ""}


def test_shipped_tickets_never_count_whatever_was_done_to_them() -> None:
    ticket = shipped_ticket(7)
    changed = replace(ticket, id="MINE-1", subject=ticket.subject.upper(), body=f"  {ticket.body}\n\n", channel="chat")
    rows = [LabelledTicket(ticket, {"tier": "L1"}), LabelledTicket(changed, {"tier": "L1"}), own(1, "L1")]
    found = history_facts(answered(rows, "L1"))
    assert (found["outcomes"], found["own"], found["shipped"]) == ({"tier": "0"}, 1, 2)
    assert not is_shipped(replace(ticket, body=f"{ticket.body} And it smells of smoke."))


def test_every_shipped_ticket_is_known_by_its_digest() -> None:
    written = runpy.run_path(str(ROOT / "scripts" / "shipped_digests.py"))["digests"]()
    assert (ROOT / "training" / "data" / DIGESTS).read_text("ascii") == written


def test_the_newest_reviews_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(own_history, "MOST_REVIEWS", 2)
    rows = [own(1, "L2"), own(2, "L1"), own(3, "L2")]
    assert history_facts(answered(rows, "L1"))["outcomes"] == {"tier": "01"}


def test_an_organisation_keeps_its_id_and_a_stated_name_wins(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = organisation_id()
    assert len(first) == 32
    assert organisation_id() == first == organisation_id(home)
    assert history_facts(answered([own(1, "L1")], "L1"))["organisation"] == first
    assert [path.name for path in home.iterdir()] == ["organisation.id"]
    monkeypatch.setenv("TRIAGE_ORGANISATION", "Asterin")
    assert organisation_id() == "Asterin"
