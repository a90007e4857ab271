"""Reviews as evidence in the store: counted once, taken back, shared by workers, told to who wants to know."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from api.maintenance.backup import back_up, restore
from api.store.autonomy import Beginning, ModeChange
from api.store.feedback import Statement
from api.store.repository import Repository
from triage.autonomy import Autonomy, Mode

Make = Callable[..., Any]
ELSEWHERE = {"tier": Beginning(0.10, 0.05), "category": Beginning(0.10, 0.05)}
CLEAN = Autonomy.begin(0.10).reviews_to_go
NUMBERS = count()


def verdict(label: str, reason: str = "not_earned", **changes: Any) -> dict[str, Any]:
    stated = {
        "label": label, "automation": "suggested", "source": "model", "reason": reason, "confidence": 0.98,
        "alternatives": [], "likely": [], "rule": None, "audit": False,
    }  # fmt: skip
    return stated | changes


def reviewed(
    store: Repository,
    decide: Make,
    said: str = "accepted",
    agent: str = "kim",
    *,
    version: str = "m1",
    **labels: Any,
) -> tuple[str, str]:
    """A ticket that the model was sure of, and what a person says about it: its id and that of the feedback."""
    targets = {"tier": verdict("L1"), "category": verdict("access")}
    decision = decide(store, f"R-{next(NUMBERS)}", targets=targets, model_version=version)
    return decision, store.feedback(decision, Statement(said, agent, **labels)).id


def audited(store: Repository, decide: Make, said: str = "accepted", **labels: Any) -> None:
    """A ticket that was drawn for an audit, and what a person says about it."""
    targets = {
        "tier": verdict("L1", "confident", audit=True),
        "category": verdict("access", "confident", automation="automatic"),
    }
    decision = decide(store, f"A-{next(NUMBERS)}", targets=targets, model_version="m1")
    store.feedback(decision, Statement(said, "kim", **labels))


def state(store: Repository, target: str = "tier", version: str = "m1") -> Autonomy:
    return store.autonomy_of(version)[target].state


def open_tier(store: Repository, decide: Make) -> None:
    store.adopt_model("m1", ELSEWHERE)
    for _ in range(CLEAN):
        reviewed(store, decide, said="corrected", tier="L1")
    assert state(store).mode is Mode.AUTOMATIC


@pytest.fixture
def store(repository: Repository) -> Repository:
    return repository


def test_clean_reviews_open_automation_and_say_why(store: Repository, decide: Make) -> None:
    told: list[ModeChange] = []
    store.on_change = told.append
    store.adopt_model("m1", ELSEWHERE)
    first = store.autonomy_of("m1")["tier"]
    assert (first.state.mode, first.state.reviews_to_go) == (Mode.SUGGEST, CLEAN)
    assert "not trained on this organisation's tickets" in first.because
    for _ in range(CLEAN):
        assert store.autonomy_of("m1")["category"].state.mode is Mode.SUGGEST
        reviewed(store, decide)
    rows = store.autonomy_of("m1")
    assert {target: row.state.mode for target, row in rows.items()} == {
        "tier": Mode.AUTOMATIC,
        "category": Mode.AUTOMATIC,
    }
    assert rows["tier"].because == f"{CLEAN} reviews, 0 errors: an error rate above 10 % is ruled out"
    assert rows["tier"].changed_at > first.changed_at
    assert store.autonomy_changes() == list(reversed(told))
    assert {change.target for change in told} == {"tier", "category"}


def test_a_correction_is_an_error_and_says_nothing_of_the_label_that_it_does_not_name(
    store: Repository, decide: Make
) -> None:
    store.adopt_model("m1", ELSEWHERE)
    reviewed(store, decide, said="corrected", tier="L2")
    reviewed(store, decide, said="corrected", tier="L1", category="network")
    reviewed(store, decide, said="unsure")
    assert (state(store).reviews, state(store).errors) == (2, 1)
    assert (state(store, "category").reviews, state(store, "category").errors) == (1, 1)


def test_only_reviews_of_what_the_gate_passed_count(store: Repository, decide: Make) -> None:
    store.adopt_model("m1", ELSEWHERE)
    for odd in (
        verdict("L1", "low_confidence"),
        verdict("L1", "rule", source="bypass_rule", automation="automatic"),
        verdict("L1", "not_earned", source="default"),
        verdict("L1", "confident", automation="automatic"),
    ):
        decision = decide(store, f"O-{next(NUMBERS)}", targets={"tier": odd}, model_version="m1")
        store.feedback(decision, Statement("accepted", "kim"))
    assert state(store).reviews == 0
    unknown = decide(store, "O-x", targets={"tier": verdict("L1")}, model_version="another")
    store.feedback(unknown, Statement("accepted", "kim"))
    assert store.autonomy_of("another") == {}


def test_what_is_taken_back_is_counted_out_again(store: Repository, decide: Make) -> None:
    store.adopt_model("m1", ELSEWHERE)
    reviewed(store, decide)
    before = state(store)
    decision, feedback = reviewed(store, decide, said="corrected", tier="L2")
    assert state(store).errors == 1
    store.undo(decision, feedback, "kim")
    store.undo(decision, feedback, "kim")
    assert state(store) == before
    again = store.feedback(decision, Statement("accepted", "lee"))
    assert state(store) == before.update(False)
    store.feedback(decision, Statement("corrected", "lee", tier="L2"))
    assert state(store) == before.update(True)
    assert store.history(decision)[-2].id == again.id


def test_a_review_that_is_taken_back_closes_what_it_had_opened(store: Repository, decide: Make) -> None:
    store.adopt_model("m1", ELSEWHERE)
    last = [reviewed(store, decide) for _ in range(CLEAN)][-1]
    assert state(store).mode is Mode.AUTOMATIC
    store.undo(*last, "kim")
    row = store.autonomy_of("m1")["tier"]
    assert (row.state.mode, row.state.reviews_to_go) == (Mode.SUGGEST, 1)
    assert "taken back" in row.because


def test_audited_tickets_close_automation_and_so_do_those_that_go_to_people_though_it_is_open(
    store: Repository, decide: Make
) -> None:
    open_tier(store, decide)
    reviewed(store, decide, said="corrected", tier="L2")  # as where TRIAGE_AUTONOMY=suggest lets nothing be automatic
    assert (state(store).closing.reviews, state(store).closing.errors) == (1, 1)
    errors = 1
    while state(store).mode is Mode.AUTOMATIC:
        audited(store, decide, said="corrected", tier="L2")
        errors += 1
    assert 3 < errors < 12
    row = store.autonomy_of("m1")["tier"]
    assert row.because == f"{errors} errors in {errors} audited tickets: the error rate has risen above 0.1"
    assert [change.mode for change in store.autonomy_changes()] == [Mode.SUGGEST, Mode.AUTOMATIC]


def waiting(store: Repository, decide: Make, number: int) -> list[str]:
    """Decisions that went to people because automation was not open."""
    return [
        decide(store, f"W-{next(NUMBERS)}", targets={"tier": verdict("L1")}, model_version="m1") for _ in range(number)
    ]


def test_errors_in_tickets_from_before_the_opening_take_it_back_however_late_they_are_found(
    store: Repository, decide: Make
) -> None:
    store.adopt_model("m1", ELSEWHERE)
    decisions = waiting(store, decide, CLEAN + 12)
    for decision in decisions[:CLEAN]:
        store.feedback(decision, Statement("accepted", "kim"))
    assert state(store).mode is Mode.AUTOMATIC
    for decision in decisions[CLEAN:]:
        store.feedback(decision, Statement("corrected", "kim", tier="L2"))
    row = store.autonomy_of("m1")["tier"]
    assert (row.state.mode, row.state.reviews, row.state.errors) == (Mode.SUGGEST, CLEAN + 12, 12)
    assert row.because.startswith("late reviews of tickets from before it opened: ")
    assert [change.mode for change in store.autonomy_changes()] == [Mode.SUGGEST, Mode.AUTOMATIC]


def test_a_changed_review_opens_nothing_over_the_errors_after_it(store: Repository, decide: Make) -> None:
    store.adopt_model("m1", ELSEWHERE)
    first, _ = reviewed(store, decide, said="corrected", tier="L2")
    for _ in range(CLEAN):
        reviewed(store, decide)
    for _ in range(12):
        reviewed(store, decide, said="corrected", tier="L2")
    store.feedback(first, Statement("corrected", "kim", tier="L1"))
    row = store.autonomy_of("m1")["tier"]
    assert (row.state.mode, row.state.reviews, row.state.errors) == (Mode.SUGGEST, CLEAN + 13, 12)
    assert not store.autonomy_changes() or store.autonomy_changes()[0].target == "category"


def test_one_person_alone_does_not_open_where_two_are_asked_for(store: Repository, decide: Make) -> None:
    store.reviewers = 2
    store.adopt_model("m1", ELSEWHERE)
    for _ in range(3 * CLEAN):
        reviewed(store, decide)
    assert state(store).mode is Mode.SUGGEST and store.autonomy_of("m1")["tier"].reviews_to_go == 1
    last = reviewed(store, decide, agent="lee")
    assert state(store).mode is Mode.AUTOMATIC
    store.undo(*last, "lee")
    assert state(store).mode is Mode.SUGGEST


def test_two_workers_count_every_review_once(open_store: Callable[..., Repository], decide: Make) -> None:
    workers = [open_store(), open_store()]
    workers[0].adopt_model("m1", ELSEWHERE)
    with ThreadPoolExecutor(6) as pool:
        list(pool.map(lambda place: reviewed(workers[place % 2], decide), range(30)))
    assert state(workers[0]) == state(workers[1]) == Autonomy.begin(0.10).replay([False] * 30)


def test_workers_that_adopt_together_begin_once(open_store: Callable[..., Repository]) -> None:
    workers = [open_store() for _ in range(4)]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda worker: worker.adopt_model("m1", ELSEWHERE), workers))
    with workers[0].database.reading() as session:
        assert session.scalar(text("SELECT count(*) FROM autonomy")) == 2


def test_evidence_outlives_a_restart_and_the_tickets_it_came_from(
    open_store: Callable[..., Repository], decide: Make
) -> None:
    first = open_store()
    first.adopt_model("m1", ELSEWHERE)
    reviewed(first, decide)
    before = state(first)
    first.close()
    second = open_store()
    second.adopt_model("m1", ELSEWHERE)
    with second.database.writing() as session:
        session.execute(text("DELETE FROM tickets"))
    assert state(second) == before
    with second.database.reading() as session:
        assert "kim" not in str(session.execute(text("SELECT * FROM reviews")).all())


def test_good_history_of_the_own_organisation_opens_at_once_and_another_s_does_not(store: Repository) -> None:
    good = (False,) * 80
    store.adopt_model("own", {"tier": Beginning(0.10, 0.05, True, good), "category": Beginning(0.10, 0.05, True)})
    rows = store.autonomy_of("own")
    assert (rows["tier"].state.mode, rows["category"].state.mode) == (Mode.AUTOMATIC, Mode.SUGGEST)
    assert "80 closed tickets of this organisation" in rows["tier"].because
    store.adopt_model("foreign", {"tier": Beginning(0.10, 0.05, False, good)})
    assert state(store, version="foreign").mode is Mode.SUGGEST
    assert [(change.model_version, change.mode) for change in store.autonomy_changes()] == [
        ("foreign", Mode.SUGGEST),
        ("own", Mode.AUTOMATIC),
    ]
    store.adopt_model("own", {"tier": Beginning(0.10, 0.05, True, good)})
    assert store.autonomy_changes()[0].because.startswith("model own is in use again")


def test_a_model_retrained_here_takes_over_unless_its_history_speaks_against_it(store: Repository) -> None:
    own = Beginning(0.10, 0.05, True)
    store.adopt_model("m1", {"tier": Beginning(0.10, 0.05, True, (False,) * 80), "category": own})
    store.adopt_model("m2", {"tier": own, "category": own})
    taken = store.autonomy_of("m2")
    assert (taken["tier"].state.mode, taken["category"].state.mode) == (Mode.AUTOMATIC, Mode.SUGGEST)
    assert "taken over from model m1" in taken["tier"].because
    store.adopt_model("m3", {"tier": Beginning(0.10, 0.05, True, (True,) * 30)})
    assert state(store, version="m3").mode is Mode.SUGGEST
    store.adopt_model("m2", {"tier": own})
    store.adopt_model("m4", {"tier": Beginning(0.05, 0.05, True)})
    assert state(store, version="m4").mode is Mode.SUGGEST  # a stricter promise has to be earned


def test_what_a_model_trained_elsewhere_has_earned_is_not_passed_on(store: Repository, decide: Make) -> None:
    open_tier(store, decide)
    store.adopt_model("m2", {"tier": Beginning(0.10, 0.05, True)})
    assert state(store, version="m2").mode is Mode.SUGGEST


def test_subscribers_are_owed_an_update_with_every_change(store: Repository, decide: Make) -> None:
    store.subscribers = ("desk",)
    open_tier(store, decide)
    owed = {row.ticket_id: row for row in store.updates()}
    payload = owed["autonomy tier"].payload
    assert owed["autonomy tier"].target == "desk"
    assert (payload["event"], payload["target"], payload["mode"]) == ("autonomy", "tier", "automatic")
    assert (payload["reviews"], payload["errors"], payload["model_version"]) == (CLEAN, 0, "m1")


def test_a_model_out_of_use_tells_nobody_until_it_is_back(store: Repository, decide: Make) -> None:
    heard: list[ModeChange] = []
    store.on_change, store.subscribers = heard.append, ("desk",)
    store.adopt_model("m1", ELSEWHERE)
    store.adopt_model("m2", {"tier": Beginning(0.10, 0.05, True, (False,) * 80)})
    told = store.autonomy_changes()
    late = [reviewed(store, decide) for _ in range(CLEAN)]
    assert state(store).mode is Mode.AUTOMATIC
    store.undo(*late[0], "kim")
    assert state(store).mode is Mode.SUGGEST
    assert store.autonomy_changes() == told == heard
    assert [row.payload["model_version"] for row in store.updates() if row.ticket_id == "autonomy tier"] == ["m2"]
    store.adopt_model("m1", ELSEWHERE)
    assert [(one.target, one.model_version, one.mode) for one in heard[1:]] == [("tier", "m1", Mode.SUGGEST)]


def test_a_change_is_told_when_its_model_is_back_even_if_none_decided_that_target_meanwhile(
    store: Repository, decide: Make
) -> None:
    open_tier(store, decide)
    store.adopt_model("m2", {"category": Beginning(0.10, 0.05)})
    for _ in range(12):
        reviewed(store, decide, said="corrected", tier="L2")
    assert store.autonomy_changes()[0].mode is Mode.AUTOMATIC
    store.adopt_model("m1", ELSEWHERE)
    assert (store.autonomy_changes()[0].target, store.autonomy_changes()[0].mode) == ("tier", Mode.SUGGEST)


def test_reviews_that_a_restored_backup_knows_no_model_for_count_once_it_does(
    store: Repository, decide: Make, tmp_path: Path
) -> None:
    store.adopt_model("m0", ELSEWHERE)
    back_up(store.database, tmp_path / "backup.sqlite")
    store.adopt_model("m1", ELSEWHERE)
    reviewed(store, decide)
    before = store.restored()
    restore(store.database, tmp_path / "backup.sqlite", replace=True)
    assert store.restored() not in (None, before) and store.autonomy_of("m1") == {}
    reviewed(store, decide)
    reviewed(store, decide, said="corrected", tier="L2")
    reviewed(store, decide, version="m0")
    for _ in range(2):
        store.adopt_model("m1", ELSEWHERE)
        assert (state(store).reviews, state(store).errors) == (2, 1)
        assert state(store, "category").reviews == 1
