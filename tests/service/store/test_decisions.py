"""Decisions: once for each text of a ticket, whoever asks, however often, at the same time and after a restart."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from api.http.exceptions import KeyReused
from api.store.feedback import Statement
from api.store.repository import Repository
from api.store.rows import MOST_CLEARANCE, Attempt, Entry
from triage.ticket import Ticket

Make = Callable[..., Any]


def attempt(key: str = "k-1", body: bytes = b"{}", owner: str | None = "owner") -> Attempt:
    return Attempt.of(owner, key, "POST", "/v1/predict", body)


def test_a_decision_comes_back_as_it_was_answered(repository: Repository, entry: Make) -> None:
    recorded = repository.record([entry()])[0]
    kept = repository.decision(recorded.answer["decision_id"])
    assert kept is not None and kept.answer == recorded.answer
    assert next(iter(recorded.answer)) == "decision_id"
    assert (kept.subject, kept.body, kept.ticket_id, kept.source, kept.revision) == (
        "VPN",
        "the vpn drops",
        "T-1",
        "api",
        1,
    )


def test_an_answer_may_bring_its_own_id(repository: Repository, decide: Make) -> None:
    assert decide(repository, decision_id="mine") == "mine"


def test_the_same_ticket_with_the_same_text_keeps_its_decision(repository: Repository, entry: Make) -> None:
    first, again = repository.record([entry()])[0], repository.record([entry(tier="L3", model_version="8")])[0]
    assert again.answer == first.answer and not again.created
    assert len(repository.latest()) == 1


def test_another_text_is_a_new_revision_with_history(repository: Repository, entry: Make, decide: Make) -> None:
    first = decide(repository)
    second = repository.record([entry(body="the vpn drops, and now mail too", tier="L2")])[0]
    assert (second.created, second.revision) == (True, 2)
    kept = repository.decision(second.answer["decision_id"])
    assert kept is not None and kept.revisions == (first, second.answer["decision_id"])


def test_an_earlier_text_sent_again_gives_its_own_decision(repository: Repository, entry: Make, decide: Make) -> None:
    first = decide(repository)
    decide(repository, body="another text")
    assert repository.record([entry()])[0].answer["decision_id"] == first


def test_the_same_id_of_another_desk_is_another_ticket(repository: Repository, entry: Make) -> None:
    first = repository.record([entry()], source="api")[0]
    other = repository.record([entry()], source="rt")[0]
    assert other.created and other.revision == 1 and other.answer["decision_id"] != first.answer["decision_id"]


def test_tickets_without_an_id_are_all_different(repository: Repository, answer: Make) -> None:
    ids = {repository.record([Entry(Ticket(body="help"), answer(""))])[0].answer["decision_id"] for _ in range(3)}
    assert len(ids) == 3


def test_a_decision_of_the_rules_gives_way_to_the_model_but_never_back(repository: Repository, entry: Make) -> None:
    by_rules = repository.record([entry(model_version=None, reason="model_unavailable")])[0]
    again = repository.record([entry(model_version=None)])[0]
    by_model = repository.record([entry(model_version="1")])[0]
    after = repository.record([entry(model_version=None)])[0]
    assert again.answer == by_rules.answer and not by_rules.by_model
    assert by_model.created and by_model.by_model and after.answer == by_model.answer
    assert len(repository.latest(ticket_id="T-1")) == 2


def test_known_finds_what_was_decided_and_nothing_else(repository: Repository, entry: Make) -> None:
    assert repository.known(entry().ticket) is None
    first = repository.record([entry()])[0]
    found = repository.known(entry().ticket)
    assert found is not None and found.answer == first.answer
    assert repository.known(entry(body="else").ticket) is None and repository.known(Ticket(body="x")) is None


def test_similar_tickets_are_not_told_to_less_clearance(repository: Repository, entry: Make, answer: Make) -> None:
    similar = [{"ticket_id": "HR-1", "similarity": 0.9, "title": "payroll", "labels": {}}]
    explained = answer("T-1", explanation={"terms": [], "against": [], "similar": similar})
    repository.record([Entry(entry().ticket, explained, clearance=3)])
    found = repository.known(entry().ticket)
    assert found is not None
    assert found.answer_for(3)["explanation"]["similar"] == similar
    assert found.answer_for(2)["explanation"] == {"terms": [], "against": [], "similar": []}
    assert Entry(entry().ticket, explained).clearance == MOST_CLEARANCE


def test_pages_go_back_in_time_without_gaps(repository: Repository, decide: Make) -> None:
    ids = [decide(repository, f"T-{number}") for number in range(7)]
    first = repository.latest(3)
    second = repository.latest(3, before=first[-1].id)
    third = repository.latest(3, before=second[-1].id)
    assert [row.id for row in (*first, *second, *third)] == ids[::-1]
    assert repository.latest(before="nobody") == []


def test_a_batch_is_recorded_whole_or_not_at_all(repository: Repository, entry: Make, answer: Make) -> None:
    broken = Entry(Ticket(id="T-9", body="x"), answer("T-9", novelty=float("nan")))
    with pytest.raises(ValueError, match="not JSON compliant"):
        repository.record([entry(), broken])
    assert repository.latest() == []


def test_a_batch_may_hold_the_same_ticket_twice(repository: Repository, entry: Make) -> None:
    one, two = repository.record([entry(), entry()])
    assert one.answer == two.answer and len(repository.latest()) == 1


def test_the_same_idempotency_key_gets_the_same_answer(repository: Repository, entry: Make) -> None:
    first = repository.record([entry("A"), entry("B")], attempt=attempt())
    again = repository.record([entry("A", "other text"), entry("B")], attempt=attempt())
    assert [one.answer for one in again] == [one.answer for one in first]
    replayed = repository.replay(attempt())
    assert replayed is not None and [one.answer for one in replayed] == [one.answer for one in first]
    assert len(repository.latest()) == 2


def test_the_same_idempotency_key_with_another_body_is_refused(repository: Repository, entry: Make) -> None:
    repository.record([entry()], attempt=attempt())
    with pytest.raises(KeyReused):
        repository.record([entry("T-2")], attempt=attempt(body=b"other"))
    with pytest.raises(KeyReused):
        repository.replay(attempt(body=b"other"))
    assert len(repository.latest()) == 1


def test_idempotency_keys_belong_to_whoever_sent_them(repository: Repository, entry: Make) -> None:
    repository.record([entry("A")], attempt=attempt())
    assert repository.replay(attempt(owner="somebody else")) is None
    assert repository.replay(attempt(key="k-2")) is None


def test_fifty_at_once_with_one_idempotency_key_make_one_row(repository: Repository, entry: Make) -> None:
    with ThreadPoolExecutor(50) as crowd:
        answers = list(
            crowd.map(lambda n: repository.record([entry("", f"text {n}")], attempt=attempt())[0].answer, range(50))
        )
    assert all(one == answers[0] for one in answers)
    assert len(repository.latest()) == 1


def test_fifty_at_once_about_one_ticket_make_one_row(repository: Repository, entry: Make) -> None:
    with ThreadPoolExecutor(50) as crowd:
        answers = list(crowd.map(lambda _: repository.record([entry()])[0].answer, range(50)))
    assert all(one == answers[0] for one in answers)
    assert len(repository.latest()) == 1


def test_revisions_that_come_at_once_are_counted_without_gaps(repository: Repository, entry: Make) -> None:
    with ThreadPoolExecutor(12) as crowd:
        revisions = list(crowd.map(lambda n: repository.record([entry(body=f"text {n}")])[0].revision, range(24)))
    assert sorted(revisions) == list(range(1, 25))


def test_everything_is_there_after_a_restart(open_store: Callable[..., Repository], entry: Make) -> None:
    before = open_store()
    first = before.record([entry()], attempt=attempt())[0]
    before.close()
    after = open_store()
    replayed = after.replay(attempt())
    assert replayed is not None and replayed[0].answer == first.answer
    assert after.record([entry()])[0].answer == first.answer


def test_texts_of_all_scripts_come_back_unchanged(repository: Repository, decide: Make) -> None:
    body = "Ünïcode 日本語 \u202eright-to-left\u202c 👩‍👩‍👧 \u200bzero-width\r\n\ttabs 'quotes' \"double\" \\ % _"
    kept = repository.decision(decide(repository, body=body))
    assert kept is not None and kept.body == body


def test_redacted_before_it_is_stored(open_store: Callable[..., Repository], entry: Make) -> None:
    repository = open_store(redact=True)
    terms = {
        "terms": [{"term": "vpn", "weight": 1.0}, {"term": "kim@example.org", "weight": 0.5}],
        "against": [],
        "similar": [],
    }
    body = "write to kim@example.org about the vpn"
    first = repository.record([entry(body=body, explanation=terms)])[0]
    kept = repository.decision(first.answer["decision_id"])
    assert kept is not None and kept.body == "write to [EMAIL] about the vpn"
    assert [term["term"] for term in first.answer["explanation"]["terms"]] == ["vpn"]
    assert repository.record([entry(body=body, explanation=terms)])[0].answer == first.answer


def test_remarks_and_titles_are_redacted_too(open_store: Callable[..., Repository], entry: Make) -> None:
    repository = open_store(redact=True)
    near = {"ticket_id": "T-0", "similarity": 0.9, "title": "mail of kim@example.org", "labels": {}}
    made = entry(explanation={"terms": [], "against": [], "similar": [near]})
    answer = repository.record([made])[0].answer
    assert answer["explanation"]["similar"][0]["title"] == "mail of [EMAIL]"
    said = repository.feedback(answer["decision_id"], Statement("unsure", "kim", comment="ask lee@example.org"))
    assert said.comment == "ask [EMAIL]"
