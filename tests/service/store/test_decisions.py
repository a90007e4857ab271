"""Decisions: once for each text of a ticket, whoever asks, however often, at the same time and after a restart."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy.event import listen

from api.http.exceptions import KeyReused
from api.store.feedback import Statement
from api.store.repository import Repository
from api.store.rows import MOST_CLEARANCE, IdempotencyKey, NewDecision
from models.wire import NOTHING_EXPLAINED
from triage.escalation.thread import Event, EventKind
from triage.ticket import Ticket

Make = Callable[..., Any]


def key(name: str = "k-1", body: bytes = b"{}", owner: str | None = "owner") -> IdempotencyKey:
    return IdempotencyKey.of(owner, name, "POST", "/v1/predict", body)


def test_a_decision_comes_back_as_it_was_answered(repository: Repository, new: Make) -> None:
    recorded = repository.record([new()])[0]
    kept = repository.decision(recorded.id)
    assert kept is not None and kept.document == recorded.document
    assert recorded.document.decision_id == recorded.id
    assert (kept.subject, kept.body, kept.ticket_id, kept.source, kept.revision) == (
        "VPN",
        "the vpn drops",
        "T-1",
        "api",
        1,
    )


def test_an_answer_may_bring_its_own_id(repository: Repository, decide: Make) -> None:
    assert decide(repository, decision_id="mine") == "mine"


def test_the_same_ticket_with_the_same_text_keeps_its_decision(repository: Repository, new: Make) -> None:
    first, again = repository.record([new()])[0], repository.record([new(tier="L3", model_version="8")])[0]
    assert again.document == first.document and not again.created
    assert len(repository.latest()) == 1


def test_another_text_is_a_new_revision_with_history(repository: Repository, new: Make, decide: Make) -> None:
    first = decide(repository)
    second = repository.record([new(body="the vpn drops, and now mail too", tier="L2")])[0]
    assert (second.created, second.revision) == (True, 2)
    kept = repository.decision(second.id)
    assert kept is not None and kept.revisions == (first, second.id)


def test_an_earlier_text_sent_again_gives_its_own_decision(repository: Repository, new: Make, decide: Make) -> None:
    first = decide(repository)
    decide(repository, body="another text")
    assert repository.record([new()])[0].id == first


def test_the_same_id_of_another_desk_is_another_ticket(repository: Repository, new: Make) -> None:
    first = repository.record([new()], source="api")[0]
    other = repository.record([new()], source="rt")[0]
    assert other.created and other.revision == 1 and other.id != first.id


def test_tickets_without_an_id_are_all_different(repository: Repository, document: Make) -> None:
    ids = {repository.record([NewDecision(Ticket(body="help"), document(""))])[0].id for _ in range(3)}
    assert len(ids) == 3


def test_a_decision_of_the_rules_gives_way_to_the_model_but_never_back(repository: Repository, new: Make) -> None:
    by_rules = repository.record([new(model_version=None, reason="model_unavailable")])[0]
    again = repository.record([new(model_version=None)])[0]
    by_model = repository.record([new(model_version="1")])[0]
    after = repository.record([new(model_version=None)])[0]
    assert again.document == by_rules.document and not by_rules.by_model
    assert by_model.created and by_model.by_model and after.document == by_model.document
    assert len(repository.latest(ticket_id="T-1")) == 2


def test_known_finds_what_was_decided_and_nothing_else(repository: Repository, new: Make) -> None:
    assert repository.seen(new().ticket).decision is None
    first = repository.record([new()])[0]
    found = repository.seen(new().ticket).decision
    assert found is not None and found.document == first.document
    assert (
        repository.seen(new(body="else").ticket).decision is None and repository.seen(Ticket(body="x")).decision is None
    )


def test_a_batch_is_looked_up_at_once_and_found_as_each_ticket_is(repository: Repository, new: Make) -> None:
    decided = [new(f"T-{number}", f"text {number}") for number in range(20)]
    rows = repository.record([*decided, new("T-1", "another text")])
    repository.feedback(rows[2].id, Statement("corrected", "kim", tier="L2"))
    news = Event("e1", EventKind.COMMENT, datetime(2026, 11, 30, tzinfo=UTC), "it smokes")
    repository.add_event("T-3", news)
    asked = [*(one.ticket for one in decided), decided[1].ticket, new("T-1", "new text").ticket, new("U").ticket,
             Ticket(body="x")]  # fmt: skip
    asked_of = [repository.seen(ticket) for ticket in asked]
    statements: list[str] = []
    listen(repository.database.engine, "before_cursor_execute", lambda *args: statements.append(args[2]))
    found = repository.seen_all(asked)
    assert found == asked_of and len(statements) <= 10
    assert [one.decision and one.decision.id for one in found[:20]] == [row.id for row in rows[:20]]
    assert found[2].decision is not None and found[2].decision.document.tier == "L2" and found[3].events == (news,)
    assert [one.decision for one in found[21:]] == [None] * 3


def test_an_id_that_was_answered_leads_to_the_decision_that_stands_as_long_as_that_is_kept(
    repository: Repository, decide: Make
) -> None:
    stands = decide(repository)
    repository.note_forestalled({"answered": stands})
    repository.note_forestalled({"answered": stands})
    found = repository.decision("answered")
    assert found is not None and found.id == stands
    repository.expire(timedelta(0))
    assert repository.decision("answered") is None


def test_similar_tickets_are_not_told_to_less_clearance(repository: Repository, new: Make, document: Make) -> None:
    similar = [{"ticket_id": "HR-1", "similarity": 0.9, "title": "payroll", "labels": {}, "ending": ""}]
    explained = document("T-1", explanation={"terms": [], "against": [], "similar": similar})
    repository.record([NewDecision(new().ticket, explained, clearance=3)])
    found = repository.seen(new().ticket).decision
    assert found is not None
    assert [near.model_dump() for near in found.document_for(3).explanation.similar] == similar
    assert found.document_for(2).explanation == NOTHING_EXPLAINED
    assert NewDecision(new().ticket, explained).clearance == MOST_CLEARANCE


def test_pages_go_back_in_time_without_gaps(repository: Repository, decide: Make) -> None:
    ids = [decide(repository, f"T-{number}") for number in range(7)]
    first = repository.latest(3)
    second = repository.latest(3, before=first[-1].id)
    third = repository.latest(3, before=second[-1].id)
    assert [row.id for row in (*first, *second, *third)] == ids[::-1]
    assert repository.latest(before="nobody") == []


def test_a_batch_is_recorded_whole_or_not_at_all(repository: Repository, new: Make, document: Make) -> None:
    broken = NewDecision(Ticket(id="T-9", body="x"), document("T-9").model_copy(update={"tier": "half: \ud800"}))
    with pytest.raises(ValueError, match="surrogate"):
        repository.record([new(), broken])
    assert repository.latest() == []


def test_a_batch_may_hold_the_same_ticket_twice(repository: Repository, new: Make) -> None:
    one, two = repository.record([new(), new()])
    assert one.document == two.document and len(repository.latest()) == 1


def test_the_same_idempotency_key_gets_the_same_document(repository: Repository, new: Make) -> None:
    first = repository.record([new("A"), new("B")], idempotency_key=key())
    again = repository.record([new("A", "other text"), new("B")], idempotency_key=key())
    assert [one.document for one in again] == [one.document for one in first]
    replayed = repository.replay(key())
    assert replayed is not None and [one.document for one in replayed] == [one.document for one in first]
    assert len(repository.latest()) == 2


def test_the_same_idempotency_key_with_another_body_is_refused(repository: Repository, new: Make) -> None:
    repository.record([new()], idempotency_key=key())
    with pytest.raises(KeyReused):
        repository.record([new("T-2")], idempotency_key=key(body=b"other"))
    with pytest.raises(KeyReused):
        repository.replay(key(body=b"other"))
    assert len(repository.latest()) == 1


def test_idempotency_keys_belong_to_whoever_sent_them(repository: Repository, new: Make) -> None:
    repository.record([new("A")], idempotency_key=key())
    assert repository.replay(key(owner="somebody else")) is None
    assert repository.replay(key("k-2")) is None


def test_fifty_at_once_with_one_idempotency_key_make_one_row(repository: Repository, new: Make) -> None:
    with ThreadPoolExecutor(50) as crowd:
        answers = list(
            crowd.map(lambda n: repository.record([new("", f"text {n}")], idempotency_key=key())[0].document, range(50))
        )
    assert all(one == answers[0] for one in answers)
    assert len(repository.latest()) == 1


def test_fifty_at_once_about_one_ticket_make_one_row(repository: Repository, new: Make) -> None:
    with ThreadPoolExecutor(50) as crowd:
        answers = list(crowd.map(lambda _: repository.record([new()])[0].document, range(50)))
    assert all(one == answers[0] for one in answers)
    assert len(repository.latest()) == 1


def test_revisions_that_come_at_once_are_counted_without_gaps(repository: Repository, new: Make) -> None:
    with ThreadPoolExecutor(12) as crowd:
        revisions = list(crowd.map(lambda n: repository.record([new(body=f"text {n}")])[0].revision, range(24)))
    assert sorted(revisions) == list(range(1, 25))


def test_everything_is_there_after_a_restart(open_store: Callable[..., Repository], new: Make) -> None:
    before = open_store()
    first = before.record([new()], idempotency_key=key())[0]
    before.close()
    after = open_store()
    replayed = after.replay(key())
    assert replayed is not None and replayed[0].document == first.document
    assert after.record([new()])[0].document == first.document


def test_texts_of_all_scripts_come_back_unchanged(repository: Repository, decide: Make) -> None:
    body = "Ünïcode 日本語 \u202eright-to-left\u202c 👩‍👩‍👧 \u200bzero-width\r\n\ttabs 'quotes' \"double\" \\ % _"
    kept = repository.decision(decide(repository, body=body))
    assert kept is not None and kept.body == body


def test_redacted_before_it_is_stored(open_store: Callable[..., Repository], new: Make) -> None:
    repository = open_store(redact=True)
    terms = {
        "terms": [{"term": "vpn", "weight": 1.0}, {"term": "kim@example.org", "weight": 0.5}],
        "against": [],
        "similar": [],
    }
    body = "write to kim@example.org about the vpn"
    first = repository.record([new(body=body, explanation=terms)])[0]
    kept = repository.decision(first.id)
    assert kept is not None and kept.body == "write to [EMAIL] about the vpn"
    assert [term.term for term in first.document.explanation.terms] == ["vpn"]
    assert repository.record([new(body=body, explanation=terms)])[0].document == first.document


def test_remarks_and_titles_are_redacted_too(open_store: Callable[..., Repository], new: Make) -> None:
    repository = open_store(redact=True)
    near = {"ticket_id": "T-0", "similarity": 0.9, "title": "mail of kim@example.org", "labels": {}}
    made = new(explanation={"terms": [], "against": [], "similar": [near]})
    kept = repository.record([made])[0]
    assert kept.document.explanation.similar[0].title == "mail of [EMAIL]"
    said = repository.feedback(kept.id, Statement("unsure", "kim", comment="ask lee@example.org"))
    assert said.comment == "ask [EMAIL]"
