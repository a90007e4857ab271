"""Updates reach the helpdesk at least once, wait while it is away, and end as dead when it refuses."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import update

from api.helpdesks.outbound import MAX_ATTEMPTS, UpdateSender, pending_updates_for
from api.http.examples import DECISION_EXAMPLE
from api.http.exceptions import NotFound
from api.store.feedback import Statement
from api.store.outbox import DEAD, PENDING, SENT, PendingUpdate
from api.store.repository import Repository, open_repository
from api.store.rows import NewDecision
from api.store.tables import StoredUpdate
from models.wire import DecisionDocument
from triage.ticket import Ticket

Make = Callable[..., Any]


@pytest.fixture
def repository(tmp_path: Path) -> Iterator[Repository]:
    opened = open_repository(tmp_path)
    yield opened
    opened.close()


def queue(repository: Repository, *tickets: str, **payload: Any) -> None:
    repository.take_delivery(
        "rt",
        [uuid4().hex],
        [PendingUpdate("rt", ticket, "d", {"tier": "L2", "category": "access", **payload}) for ticket in tickets],
    )


def record(repository: Repository) -> str:
    document = DecisionDocument.model_validate(DECISION_EXAMPLE | {"ticket_id": "7", "decision_id": None})
    return repository.record([NewDecision(Ticket(id="7", body="the vpn drops"), document)], source="rt")[0].id


def states(repository: Repository) -> list[tuple[str, str, int, str | None]]:
    rows = [row for state in (SENT, PENDING, DEAD) for row in repository.updates(state)]
    return [(row.ticket_id, row.state, row.attempts, row.last_error) for row in sorted(rows, key=lambda row: row.seq)]


def test_the_desk_is_told_by_its_template_and_nothing_that_nobody_named(repository: Repository, told: Any) -> None:
    queue(repository, "T/1 {tier}", category=None)
    assert UpdateSender(repository, {"rt": told.desk()}).send_due() == 1
    method, path, body, headers = told.requests[0]
    assert (method, path) == ("PUT", "/ticket/T%2F1%20%7Btier%7D")
    assert body == {"CustomFields": {"Tier": "L2"}}
    assert headers["Authorization"] == "token secret"
    assert states(repository) == [("T/1 {tier}", SENT, 1, None)]


@pytest.mark.parametrize("bad", ["..", ".", "7/../../admin"])
def test_no_ticket_id_leads_to_another_address(repository: Repository, told: Any, bad: str) -> None:
    queue(repository, bad)
    UpdateSender(repository, {"rt": told.desk()}).send_due()
    assert told.requests == [] and states(repository) == [(bad, DEAD, 1, "not-an-id")]


def test_a_value_is_never_taken_for_a_placeholder(repository: Repository, told: Any) -> None:
    queue(repository, "7", tier="{category}")
    UpdateSender(repository, {"rt": told.desk()}).send_due()
    assert told.requests[0][2]["CustomFields"]["Tier"] == "{category}"


def test_a_desk_that_is_away_is_tried_again_and_ever_more_slowly(repository: Repository, told: Any) -> None:
    told.answers = [503, 500, 429]
    queue(repository, "7")
    courier = UpdateSender(repository, {"rt": told.desk()}, first_pause_s=100.0)
    for attempt in range(3):
        before = datetime.now(UTC)
        assert courier.send_due() == 1 and courier.send_due() == 0
        pause_s = (repository.updates(PENDING)[0].due_at - before).total_seconds()
        assert 75 * 2**attempt <= pause_s <= 125 * 2**attempt + 30
        with repository.database.writing() as session:
            session.execute(update(StoredUpdate).values(due_at=before))
    courier.send_due()
    assert states(repository) == [("7", SENT, 4, None)] and len(told.requests) == 4


def test_the_desk_may_say_how_long_to_wait(repository: Repository, told: Any) -> None:
    told.answers, told.retry_after = [429], "40"
    queue(repository, "7")
    UpdateSender(repository, {"rt": told.desk()}, first_pause_s=0.02).send_due()
    wait_s = (repository.updates(PENDING)[0].due_at - datetime.now(UTC)).total_seconds()
    assert 10 < wait_s <= 40


@pytest.mark.parametrize(("status", "error"), [(400, "HTTP 400"), (404, "HTTP 404")])
def test_a_refusal_is_a_dead_letter_that_can_be_tried_again(
    repository: Repository, told: Any, status: int, error: str
) -> None:
    told.answers = [status]
    queue(repository, "7")
    courier = UpdateSender(repository, {"rt": told.desk()})
    courier.send_due()
    assert states(repository) == [("7", DEAD, 1, error)] and courier.send_due() == 0
    assert repository.retry_updates() == 1 and courier.send_due() == 1
    assert states(repository) == [("7", SENT, 1, None)]
    with pytest.raises(NotFound):
        repository.retry_updates([repository.updates(SENT)[0].seq])


def test_a_page_of_maintenance_is_waited_out_and_not_followed(repository: Repository, told: Any) -> None:
    told.answers = [302]
    queue(repository, "7")
    courier = UpdateSender(repository, {"rt": told.desk()}, first_pause_s=0.0)
    courier.send_due()
    assert states(repository) == [("7", PENDING, 1, "HTTP 302")]
    assert courier.send_due() == 1 and states(repository) == [("7", SENT, 2, None)]


def test_a_slow_helpdesk_holds_up_no_other(
    repository: Repository, told: Any, until: Callable[..., float], dripping: int
) -> None:
    hosts = (f"127.0.0.1:{dripping}",)
    slow = replace(told.desk(url=f"http://{hosts[0]}/", hosts=hosts, timeout_s=5), name="slow")
    pending = [PendingUpdate("slow", str(number), "d", {"tier": "L2", "category": "access"}) for number in range(3)]
    repository.take_delivery("slow", ["1"], pending)
    courier = UpdateSender(repository, {"slow": slow, "rt": told.desk()})
    courier.start()
    until(lambda: repository.updates(PENDING)[0].due_at > datetime.now(UTC), 5)  # it is being told
    queue(repository, "7")
    courier.wake()
    until(lambda: len(told.requests) == 1 and len(repository.updates(PENDING)) == 3, 3)  # the answer is noted after it
    courier.stop(within_s=0)
    assert [one.target for one in repository.updates(PENDING)] == ["slow"] * 3


def test_who_gives_a_person_s_route_again_does_so_once(repository: Repository, told: Any) -> None:
    """Two processes that send the same route, each for the other, would never end."""
    assert not repository.restate_route("rt", "7", unlike={})
    decision = record(repository)
    repository.told = frozenset({"rt"})
    repository.feedback(decision, Statement("corrected", "kim", tier="L3", labels={"tier": "L3"}))
    [row] = repository.updates(PENDING)
    assert not repository.restate_route("rt", "7", unlike=row.payload)
    assert repository.restate_route("rt", "7", unlike={**row.payload, "tier": "L2"})
    assert [one.seq > row.seq for one in repository.updates(PENDING)] == [True]


def test_a_login_that_no_header_takes_holds_up_no_other_desk(
    repository: Repository, told: Any, until: Callable[..., float]
) -> None:
    unwritable = replace(told.desk(), name="glpi", authorization="token schlüssel")
    repository.take_delivery("glpi", ["1"], [PendingUpdate("glpi", "1", "d", {"tier": "L2", "category": "access"})])
    queue(repository, "7")
    courier = UpdateSender(repository, {"glpi": unwritable, "rt": told.desk()}, first_pause_s=100.0)
    courier.start()
    until(lambda: len(told.requests) == 1, 10)
    queue(repository, "8")
    courier.wake()
    until(lambda: len(told.requests) == 2, 10)
    courier.stop()
    assert states(repository) == [("1", PENDING, 1, "UnicodeEncodeError"), ("7", SENT, 1, None), ("8", SENT, 1, None)]


def test_who_fails_too_often_is_given_up(repository: Repository, told: Any) -> None:
    told.answers = [500] * MAX_ATTEMPTS
    queue(repository, "7")
    courier = UpdateSender(repository, {"rt": told.desk()}, first_pause_s=0.0)
    while repository.updates(PENDING):
        courier.send_due()
    assert states(repository) == [("7", DEAD, MAX_ATTEMPTS, "HTTP 500")]


def test_a_desk_that_does_not_answer_is_tried_again(repository: Repository, told: Any) -> None:
    queue(repository, "7")
    UpdateSender(repository, {"rt": told.desk(url="http://127.0.0.1:1/", hosts=("127.0.0.1:1",))}).send_due()
    assert states(repository) == [("7", PENDING, 1, "ConnectError")]


def test_an_answer_that_drips_is_given_up_in_time(repository: Repository, told: Any, dripping: int) -> None:
    queue(repository, "7")
    hosts = (f"127.0.0.1:{dripping}",)
    began = time.monotonic()
    UpdateSender(repository, {"rt": told.desk(url=f"http://{hosts[0]}/", hosts=hosts, timeout_s=0.5)}).send_due()
    assert time.monotonic() - began < 3
    assert states(repository) == [("7", PENDING, 1, "ReadTimeout")]


def test_no_call_leaves_to_where_none_may_go(repository: Repository, told: Any) -> None:
    queue(repository, "7")
    UpdateSender(repository, {"rt": told.desk(loopback=False)}).send_due()
    queue(repository, "8")
    UpdateSender(repository, {}).send_due()
    assert told.requests == []
    assert [state[1:] for state in states(repository)] == [
        (DEAD, 1, "egress-refused"),
        (DEAD, 1, "no such helpdesk in the file of helpdesks"),
    ]


def test_what_is_newer_replaces_what_is_still_owed(repository: Repository, told: Any) -> None:
    queue(repository, "7", "8")
    queue(repository, "7", tier="L3")
    courier = UpdateSender(repository, {"rt": told.desk()})
    courier.send_due()
    assert sorted((path, body["CustomFields"]["Tier"]) for _, path, body, _ in told.requests) == [
        ("/ticket/7", "L3"),
        ("/ticket/8", "L2"),
    ]


def test_two_couriers_never_send_the_same_and_a_dead_ones_share_comes_back(repository: Repository, told: Any) -> None:
    queue(repository, *[str(number) for number in range(30)])
    couriers = [UpdateSender(repository, {"rt": told.desk()}) for _ in range(3)]
    with ThreadPoolExecutor(3) as crowd:
        while sum(crowd.map(lambda courier: courier.send_due(), couriers)):
            pass
    assert sorted(path for _, path, _, _ in told.requests) == sorted(f"/ticket/{number}" for number in range(30))
    queue(repository, "last")
    assert len(repository.claim_updates(5, timedelta(seconds=0.2))) == 1
    assert repository.claim_updates(5, timedelta(0)) == []
    time.sleep(0.25)
    assert couriers[0].send_due() == 1


def test_what_another_worker_is_sending_meanwhile_is_left_to_it(repository: Repository, told: Any) -> None:
    """A helpdesk so slow that another worker has begun to send the second update before its turn."""
    queue(repository, "7", "8")

    def let_another_claim_what_waits() -> None:
        with repository.database.writing() as session:
            past = datetime.now(UTC) - timedelta(seconds=1)
            session.execute(update(StoredUpdate).where(StoredUpdate.ticket_id == "8").values(due_at=past))
        assert [row.ticket_id for row in repository.claim_updates(5, timedelta(seconds=60))] == ["8"]

    told.before_answer = let_another_claim_what_waits
    assert UpdateSender(repository, {"rt": told.desk()}).send_due() == 1
    assert [path for _, path, _, _ in told.requests] == ["/ticket/7"]
    assert states(repository) == [("7", SENT, 1, None), ("8", PENDING, 0, None)]


@pytest.mark.parametrize("timeout_s", [10, 60])
def test_an_update_is_held_for_as_long_as_its_calls_can_take(repository: Repository, told: Any, timeout_s: int) -> None:
    queue(repository, "7")
    held: list[float] = []

    def look() -> None:
        held.append((repository.updates(PENDING)[0].due_at - datetime.now(UTC)).total_seconds())

    told.before_answer = look
    UpdateSender(repository, {"rt": told.desk(timeout_s=timeout_s)}).send_due()
    assert held[0] > 2 * timeout_s + 30  # what stands there is read, and the route written


def test_the_running_courier_sends_what_comes_and_stops_at_once(repository: Repository, told: Any) -> None:
    outcomes: list[tuple[str, str]] = []
    courier = UpdateSender(repository, {"rt": told.desk()}, lambda desk, outcome: outcomes.append((desk, outcome)))
    courier.start()
    queue(repository, "7")
    courier.wake()
    deadline = time.monotonic() + 5
    while not outcomes and time.monotonic() < deadline:
        time.sleep(0.02)
    start = time.monotonic()
    courier.stop()
    assert outcomes == [("rt", "sent")] and time.monotonic() - start < 1


def test_only_what_the_desk_wants_to_know_is_owed(told: Any) -> None:
    answer = DecisionDocument.model_validate(
        DECISION_EXAMPLE | {"ticket_id": "7", "automation": "suggested", "tier": "L2", "category": None}
    )
    assert [pending.ticket_id for pending in pending_updates_for(told.desk(), answer)] == ["7"]
    assert pending_updates_for(told.desk(automation=("automatic",)), answer) == []
