"""Feedback: append-only, taken back by another row, the last word stands, capped where a cap is set."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from api.http.exceptions import Contradiction, KeyReused, NotAcceptable, NotFound, TooMuch
from api.store.feedback import Caps, Statement
from api.store.repository import Repository
from api.store.rows import IdempotencyKey

Make = Callable[..., Any]
ACCEPTED = Statement("accepted", "kim")
CORRECTED = Statement("corrected", "kim", tier="L2")


def test_accepting_confirms_both_labels(repository: Repository, decide: Make) -> None:
    row = repository.feedback(decide(repository), ACCEPTED)
    assert (row.verdict, row.tier, row.category, row.agent) == ("accepted", "L1", "access", "kim")


def test_a_correction_says_nothing_about_the_other_label(repository: Repository, decide: Make) -> None:
    row = repository.feedback(decide(repository), CORRECTED)
    assert (row.tier, row.category) == ("L2", None)


@pytest.mark.parametrize(
    "said",
    [
        Statement("corrected", "kim"),
        Statement("accepted", "kim", tier="L3"),
        Statement("accepted", "kim", resolver_group="networks"),
        Statement("wrong", "kim"),
        Statement("undone", "kim"),
    ],
)
def test_what_contradicts_itself_is_refused(repository: Repository, decide: Make, said: Statement) -> None:
    decision = decide(repository)
    with pytest.raises((Contradiction, NotAcceptable)):
        repository.feedback(decision, said)
    assert repository.history(decision) == ()


def test_the_group_alone_can_be_corrected_with_a_reason(repository: Repository, decide: Make) -> None:
    said = Statement("corrected", "kim", resolver_group="networks", reason="they run the line")
    decision = decide(repository)
    row = repository.feedback(decision, said)
    assert (row.tier, row.category, row.resolver_group, row.reason) == (None, None, "networks", "they run the line")
    kept = repository.decision(decision)
    assert kept is not None and kept.correction == row
    assert repository.feedback(decision, said) == row


def test_accepting_confirms_the_group(repository: Repository, decide: Make) -> None:
    assert repository.feedback(decide(repository), ACCEPTED).resolver_group == "service-desk"


def test_feedback_on_nothing_is_refused(repository: Repository) -> None:
    with pytest.raises(NotFound):
        repository.feedback("nobody", ACCEPTED)
    with pytest.raises(NotFound):
        repository.undo("nobody", "nothing", "kim")


def test_the_last_word_stands_and_nothing_is_lost(repository: Repository, decide: Make) -> None:
    decision = decide(repository)
    said = [repository.feedback(decision, one) for one in (ACCEPTED, CORRECTED, Statement("unsure", "lee"))]
    kept = repository.decision(decision)
    assert kept is not None and kept.feedback == tuple(said) and kept.standing == said[-1]


def test_undoing_brings_back_what_was_said_before(repository: Repository, decide: Make) -> None:
    decision = decide(repository)
    first, second = repository.feedback(decision, ACCEPTED), repository.feedback(decision, CORRECTED)
    undone = repository.undo(decision, second.id, "kim")
    kept = repository.decision(decision)
    assert kept is not None and kept.standing == first
    assert [row.verdict for row in kept.feedback] == ["accepted", "corrected", "undone"] and undone.undoes == second.id
    repository.undo(decision, first.id, "kim")
    kept = repository.decision(decision)
    assert kept is not None and kept.standing is None


def test_undoing_twice_adds_nothing_and_an_undoing_cannot_be_undone(repository: Repository, decide: Make) -> None:
    decision = decide(repository)
    said = repository.feedback(decision, ACCEPTED)
    assert repository.undo(decision, said.id, "kim") == repository.undo(decision, said.id, "kim")
    with pytest.raises(NotFound):
        repository.undo(decision, repository.history(decision)[-1].id, "kim")


def test_saying_the_same_twice_in_a_row_adds_nothing(repository: Repository, decide: Make) -> None:
    decision = decide(repository)
    assert repository.feedback(decision, ACCEPTED) == repository.feedback(decision, ACCEPTED)
    repository.feedback(decision, CORRECTED)
    repository.feedback(decision, ACCEPTED)
    assert [row.verdict for row in repository.history(decision)] == ["accepted", "corrected", "accepted"]


def test_fifty_at_once_with_one_idempotency_key_make_one_row(repository: Repository, decide: Make) -> None:
    decision, key = decide(repository), IdempotencyKey.of("owner", "k", "POST", "/feedback", b"{}")

    def send(number: int) -> str:
        return repository.feedback(decision, Statement("unsure", f"agent {number}"), idempotency_key=key).id

    with ThreadPoolExecutor(50) as crowd:
        assert len(set(crowd.map(send, range(50)))) == 1
    assert len(repository.history(decision)) == 1
    with pytest.raises(KeyReused):
        repository.feedback(
            decision, ACCEPTED, idempotency_key=IdempotencyKey.of("owner", "k", "POST", "/feedback", b"other")
        )


def test_caps_hold_for_one_key_and_one_agent(repository: Repository, decide: Make) -> None:
    decisions = [decide(repository, f"T-{number}") for number in range(6)]
    caps = Caps(per_key=4, per_agent=2)

    def say(number: int, agent: str, key: str) -> None:
        repository.feedback(decisions[number], Statement("unsure", agent), key_id=key, caps=caps)

    say(0, "kim", "a")
    say(1, "kim", "a")
    with pytest.raises(TooMuch) as refusal:
        say(2, "kim", "b")
    assert refusal.value.code == "feedback-cap-agent" and 86_000 < refusal.value.retry_after_s <= 86_401
    say(2, "lee", "a")
    say(3, "lee", "a")
    with pytest.raises(TooMuch) as refusal:
        say(4, "max", "a")
    assert refusal.value.code == "feedback-cap-key"
    say(4, "max", "b")


@pytest.mark.parametrize(("caps", "code"), [(Caps(per_key=3), "key"), (Caps(per_agent=3), "agent")])
def test_caps_hold_for_statements_at_the_same_time(repository: Repository, decide: Make, caps: Caps, code: str) -> None:
    decisions = [decide(repository, f"T-{number}") for number in range(16)]

    def say(number: int) -> str | None:
        key, agent = ("k", f"agent {number}") if code == "key" else (f"k{number}", "kim")
        try:
            repository.feedback(decisions[number], Statement("unsure", agent), key_id=key, caps=caps)
        except TooMuch as refusal:
            return refusal.code
        return None

    with ThreadPoolExecutor(16) as crowd:
        assert Counter(crowd.map(say, range(16))) == {None: 3, f"feedback-cap-{code}": 13}


def test_a_flood_of_flipped_labels_stops_at_the_cap(repository: Repository, decide: Make) -> None:
    taken = 0
    for number in range(30):
        flipped = Statement("corrected", f"agent {number}", tier="L4")
        try:
            repository.feedback(decide(repository, f"T-{number}"), flipped, key_id="k", caps=Caps(per_key=20))
            taken += 1
        except TooMuch:
            pass
    assert taken == 20


def test_open_decisions_are_those_without_a_word(repository: Repository, decide: Make) -> None:
    first, second = decide(repository, "A"), decide(repository, "B")
    repository.feedback(first, ACCEPTED)
    assert [row.id for row in repository.latest(open_only=True)] == [second]
