"""What the overview counts: tickets once, labels that people spoke about, and why somebody was asked."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import update

from api.console.overview import agreement, reasons, reasons_by_day, reliability
from api.store.feedback import Statement
from api.store.repository import Repository
from api.store.rows import ASIDE, SAMPLE_REQUESTER, NewDecision
from api.store.work.queue import Filter
from api.store.work.tables import StoredEntry
from triage.wording import LEFT_TO_PEOPLE, MOVED


def verdict(label: str, **changes: Any) -> dict[str, Any]:
    """What the model says of a target, sure of its first label."""
    stated: dict[str, Any] = {"label": label, "automation": "suggested", "source": "model", "reason": "not_earned"}
    certain = {"confidence": 0.95, "alternatives": [{"label": label, "probability": 0.95}]}
    return {**stated, **certain, "likely": [], "rule": None, **changes}


def counted(store: Repository) -> dict[str, int]:
    """How many tickets each figure counts."""
    cells, days, drift = store.cells(), store.days(), store.signals("7", 100)
    return {
        "cells": sum(one.count for one in cells),
        "days": sum(one.count for one in days),
        "drift": len(drift),
        "served": sum(one.decisions for one in store.served()),
    }


def test_a_ticket_counts_once_however_often_its_text_comes(repository: Repository, decide: Callable[..., str]) -> None:
    decide(repository, "a", "short")
    decide(repository, "a", "a longer text of the same ticket")
    decide(repository, "b", "another one")
    assert counted(repository) == {"cells": 2, "days": 2, "drift": 2, "served": 3}
    chars = [one.chars for one in repository.signals("7", 100)]
    assert chars == [len("VPN") + len(text) for text in ("short", "another one")]  # as each came in first


@pytest.mark.parametrize("requester", sorted(ASIDE))
def test_tickets_that_are_set_aside_are_counted_for_the_model_alone(
    repository: Repository,
    decide: Callable[..., str],
    new: Callable[..., NewDecision],
    requester: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("api.store.work.figures.OWN_ENOUGH", 3)
    decide(repository, "a", "short")
    decide(repository, "a", "a longer text of the same ticket")
    for source in ("api", "rt"):
        made = new("b")
        repository.record([replace(made, ticket=replace(made.ticket, requester=requester))], source=source)
    seen = 3 if requester == SAMPLE_REQUESTER else 2  # of a helpdesk, anybody may call themselves so
    assert counted(repository) == {"cells": seen, "days": seen, "drift": 2, "served": 4}
    decide(repository, "c")
    assert counted(repository) == {"cells": 3, "days": 3, "drift": 3, "served": 5}


def test_confidence_is_held_against_labels_that_people_spoke_about(
    repository: Repository, decide: Callable[..., str]
) -> None:
    targets = {"tier": verdict("L1"), "category": verdict("access"), "priority": verdict("high")}
    corrected = decide(repository, "a", targets=targets, automation="suggested")
    repository.feedback(corrected, Statement("corrected", "ana", category="network", labels={"category": "network"}))
    [row] = reliability(repository.spoken_about(10)).rows
    assert row[1:] == (1, 0.95, 0.0)  # of the tier, which follows, and of the priority nothing was said
    accepted = decide(repository, "b", targets=targets, automation="suggested")
    repository.feedback(accepted, Statement("accepted", "ana"))
    [row] = reliability(repository.spoken_about(10)).rows
    assert row[1:] == (4, 0.95, 0.75)  # an acceptance speaks of every target


def test_people_agree_where_the_view_of_disagreements_has_no_ticket(
    repository: Repository, decide: Callable[..., str]
) -> None:
    targets = {"tier": verdict("L1"), "category": verdict("access"), "priority": verdict("high")}
    for name, labels in (("a", ("low", "low")), ("b", ("low", "high"))):
        decided = decide(repository, name, targets=targets, automation="suggested")
        for agent, label in zip(("ana", "ben"), labels, strict=True):
            repository.feedback(decided, Statement("corrected", agent, labels={"priority": label}))
    assert agreement(repository.spoken_about(10)).rows == ((2, 1, 0.5),)
    assert [line.row.ticket_id for line in repository.lines(Filter("disputed"))] == ["b"]


def test_a_ticket_that_an_event_moved_is_not_asked_about_for_being_sure(
    repository: Repository, decide: Callable[..., str]
) -> None:
    moved = decide(repository, "a")
    decide(repository, "b", automation="suggested")  # a label that the policy never has automatic
    with repository.database.writing() as session:
        session.execute(update(StoredEntry).where(StoredEntry.decision_id == moved).values(automation="suggested"))
    assert set(reasons(repository.cells()).rows) == {(MOVED, 1), (LEFT_TO_PEOPLE, 1)}
    table = reasons_by_day(repository.days())
    assert set(table.columns[1:3]) == {MOVED, LEFT_TO_PEOPLE} and table.rows[0][1:] == (1, 1, 0)
