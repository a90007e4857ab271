"""Feedback as training rows: who said it, what is left out, and nothing personal in it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from api.privacy.redact import Redactor
from api.store.export import ExportRules
from api.store.feedback import Statement
from api.store.repository import Repository

Make = Callable[..., Any]


def rows(repository: Repository, **rules: Any) -> dict[str, dict[str, Any]]:
    return {row["id"]: row for row in repository.training_rows(ExportRules(**rules))}


def test_every_text_is_one_row_that_says_who_labelled_it(repository: Repository, decide: Make) -> None:
    accepted, corrected, undone, doubted = (decide(repository, name) for name in ("a", "c", "u", "d"))
    decide(repository, "m")
    repository.feedback(accepted, Statement("accepted", "kim"))
    repository.feedback(corrected, Statement("corrected", "kim", category="network"))
    repository.feedback(corrected, Statement("unsure", "lee"))  # a note takes nothing back
    said = repository.feedback(undone, Statement("corrected", "kim", tier="L3"))
    repository.undo(undone, said.id, "kim")
    repository.feedback(doubted, Statement("unsure", "kim"))
    found = {name: (row["tier"], row["category"], row["label_source"]) for name, row in rows(repository).items()}
    machine = ("L1", "access", "machine")
    assert found == {
        "a": ("L1", "access", "person"),
        "c": (None, "network", "person"),
        "u": machine,
        "d": machine,
        "m": machine,
    }
    assert set(rows(repository, people_only=True)) == {"a", "c"}


def test_each_row_names_the_helpdesk_that_its_id_is_of(repository: Repository, new: Make) -> None:
    said = [("api", "the printer jams"), ("acme", "the vpn drops"), ("redmine", "the disk is full")]
    for desk, body in said:
        (row,) = repository.record([new("17", body)], source=desk)
        repository.feedback(row.id, Statement("accepted", "kim"))
    found = [(row["desk"], row["body"], row["id"]) for row in repository.training_rows(ExportRules(people_only=True))]
    assert found == [(desk, body, "17") for desk, body in said]


def test_the_group_follows_a_correction_and_teaches_no_tier_on_its_own(repository: Repository, decide: Make) -> None:
    routed, category, group, confirmed = (decide(repository, name) for name in ("r", "c", "g", "a"))
    repository.feedback(routed, Statement("corrected", "kim", "L3", "network", resolver_group="networks"))
    repository.feedback(category, Statement("corrected", "kim", None, "network", resolver_group="networks"))
    repository.feedback(group, Statement("corrected", "kim", resolver_group="networks"))
    repository.feedback(confirmed, Statement("accepted", "kim"))
    found = {name: (row["tier"], row["resolver_group"], row["label_source"]) for name, row in rows(repository).items()}
    assert found == {
        "r": ("L3", "networks", "person"),
        "c": (None, None, "person"),
        "g": ("L1", "networks", "machine"),
        "a": ("L1", "service-desk", "person"),
    }
    follows = decide(repository, "f")  # from the tier, which is all that was named
    repository.feedback(follows, Statement("corrected", "kim", "L3", resolver_group="networks", labels={"tier": "L3"}))
    sources = {name: row["resolver_group_source"] for name, row in rows(repository).items()}
    assert sources == {"r": "person", "c": None, "g": "machine", "a": "machine", "f": "machine"}


def test_a_row_has_what_training_reads(repository: Repository, decide: Make) -> None:
    decide(repository)
    row = rows(repository)["T-1"]
    assert (row["subject"], row["body"], row["channel"], row["attributes.site"]) == (
        "VPN",
        "the vpn drops",
        "email",
        "north",
    )
    assert row["sensitive"] is False and row["model_version"] == "7"


def test_blank_decisions_teach_nothing_and_are_left_out(repository: Repository, decide: Make) -> None:
    decide(repository, tier=None, category=None, automation="blank")
    assert rows(repository) == {}


def test_exports_are_redacted(repository: Repository, decide: Make) -> None:
    decide(repository, body="call +44 20 7946 0018 or kim@example.org, password: hunter22!")
    body = rows(repository, redactor=Redactor())["T-1"]["body"]
    assert body == "call [PHONE] or [EMAIL], password: [SECRET]"


def test_one_agent_or_key_cannot_flood_the_training_rows(repository: Repository, decide: Make) -> None:
    for number in range(12):
        decision = decide(repository, f"T-{number}")
        repository.feedback(decision, Statement("corrected", f"agent {number % 2}", tier="L4"), key_id="k")
    left_out: Counter[str] = Counter()
    kept = list(repository.training_rows(ExportRules(cap_per_agent=4), left_out))
    assert len(kept) == 8 and left_out == {"over the daily cap of one agent": 4}
    assert len(rows(repository, cap_per_key=5)) == 5
    assert len(rows(repository, cap_per_agent=None, cap_per_key=None)) == 12


def test_young_and_disputed_feedback_can_wait(repository: Repository, decide: Make) -> None:
    calm, disputed = decide(repository, "calm"), decide(repository, "disputed")
    repository.feedback(calm, Statement("accepted", "kim"))
    repository.feedback(disputed, Statement("accepted", "kim"))
    repository.feedback(disputed, Statement("corrected", "lee", tier="L3"))
    assert rows(repository, settled_after=timedelta(hours=24)) == {}
    assert set(rows(repository, skip_disputed=True)) == {"calm"}
    assert [row.id for row in repository.disputed()] == [disputed]


def test_who_changes_their_mind_does_not_dispute_with_themselves(repository: Repository, decide: Make) -> None:
    decision = decide(repository)
    repository.feedback(decision, Statement("accepted", "kim"))
    repository.feedback(decision, Statement("corrected", "kim", tier="L3"))
    assert repository.disputed() == []


def test_many_rows_come_in_order_and_once(repository: Repository, new: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("api.store.export._CHUNK", 7)
    names = [f"T-{number}" for number in range(50)]
    repository.record([new(name) for name in names])
    assert [row["id"] for row in repository.training_rows(ExportRules())] == names


def test_of_two_decisions_about_one_text_the_last_counts(repository: Repository, decide: Make) -> None:
    decide(repository, model_version=None, tier="L0")
    decide(repository, tier="L2")
    found = list(repository.training_rows(ExportRules()))
    assert [row["tier"] for row in found] == ["L2"]


def test_what_people_judged_last_is_given_for_learning_and_nothing_else(repository: Repository, decide: Make) -> None:
    names = ("accepted", "corrected", "undone", "doubted", "group", "forgotten", "silent")
    made = {name: decide(repository, name) for name in names}
    repository.feedback(made["accepted"], Statement("accepted", "kim"))
    repository.feedback(made["corrected"], Statement("corrected", "kim", category="network"))
    said = repository.feedback(made["undone"], Statement("accepted", "kim"))
    repository.feedback(made["doubted"], Statement("unsure", "kim"))
    repository.feedback(made["group"], Statement("corrected", "kim", resolver_group="networks"))
    repository.feedback(made["forgotten"], Statement("accepted", "kim"))
    before = repository.reviews_state()
    repository.undo(made["undone"], said.id, "kim")
    assert repository.reviews_state() != before
    before = repository.reviews_state()
    repository.forget("forgotten")
    assert repository.reviews_state() != before
    found = [(one.ticket.id, one.tier, one.category) for one in repository.reviewed(10)]
    assert found == [("accepted", "L1", "access"), ("corrected", None, "network")]
    assert [one.ticket.id for one in repository.reviewed(10, ExportRules(cap_per_agent=1))] == ["accepted"]
    assert repository.reviewed(1) == []
