"""The queue: what waits for a person, in order, by view and filter, page by page; and who has taken it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, get_args

import pytest
from sqlalchemy import event, text, update

from api.http.exceptions import Contradiction, NotFound
from api.store.feedback import Statement
from api.store.repository import Repository, open_repository
from api.store.rows import ASIDE, NewDecision
from api.store.threads.events import Outcome
from api.store.work import queue
from api.store.work import words as word_index
from api.store.work.claims import CLAIM_AGE
from api.store.work.queue import Filter, Sort
from api.store.work.tables import StoredEntry
from triage.escalation.thread import Event, EventKind
from triage.ticket import Ticket

ALARM: dict[str, Any] = {"attention": [{"kind": "outage", "evidence": "nobody can work"}]}
OPEN: dict[str, Any] = {"automation": "suggested", "reason": "not_earned"}
WAITING = Filter("waiting")
BLOCKS = "SELECT block FROM ticket_words_data"


def ids(store: Repository, wanted: Filter, sort: Sort = "urgent", **options: Any) -> list[str]:
    return [str(line.row.ticket_id) for line in store.lines(wanted, sort, **options)]


def test_what_must_not_wait_stands_first_then_the_oldest(repository: Repository, decide: Callable[..., str]) -> None:
    for name, changes in (("a", OPEN), ("b", {**OPEN, **ALARM}), ("c", {}), ("d", OPEN), ("e", ALARM)):
        decide(repository, name, name, **changes)
    assert ids(repository, WAITING) == ["b", "e", "a", "d"]  # c is automatic, e is too but must not wait
    assert ids(repository, Filter(), "newest") == ["e", "d", "c", "b", "a"]
    counts = repository.counts("ana")
    assert (counts.views["waiting"], counts.flagged, counts.views["suggested"]) == (4, 2, 3)
    assert counts.tiers == {"L1": 4} and counts.groups == {"service-desk": 4}


@pytest.mark.parametrize("requester", sorted(ASIDE))
def test_tickets_are_set_aside_by_a_requester_that_a_key_names_and_nobody_else(
    repository: Repository, new: Callable[..., NewDecision], requester: str
) -> None:
    for source in ("api", "rt"):
        made = new(source, **OPEN)
        repository.record([replace(made, ticket=replace(made.ticket, requester=requester))], source=source)
    assert ids(repository, WAITING) == ["rt"] and set(ids(repository, Filter())) == {"api", "rt"}


@pytest.mark.parametrize("sort", get_args(Sort))
def test_pages_follow_one_another_without_a_gap_in_either_direction(
    repository: Repository, decide: Callable[..., str], sort: Sort
) -> None:
    for number in range(11):
        target: dict[str, Any] = {
            "label": "L1", "automation": "suggested", "source": "model", "reason": "not_earned",
            "confidence": (number * 7 % 5) / 5 if number != 4 else None, "alternatives": [], "likely": [], "rule": None,
        }  # fmt: skip
        decide(repository, f"t{number}", "x", **OPEN, targets={"tier": target}, **(ALARM if number % 4 == 1 else {}))
    whole = repository.lines(WAITING, sort, limit=100)
    names = [line.row.id for line in whole]
    assert len(names) == 11
    paged: list[str] = []
    while page := repository.lines(WAITING, sort, limit=3, after=paged[-1] if paged else None):
        paged += [line.row.id for line in page]
    assert paged == names
    walked, here = [names[0]], names[0]
    while (following := repository.next_in_queue(WAITING, sort, here)) is not None:
        walked.append(here := following)
    assert walked == names
    back = [repository.next_in_queue(WAITING, sort, name, backwards=True) for name in names]
    assert back == [None, *names[:-1]]


def test_pages_of_everything_end_however_many_of_what_must_not_wait_were_judged(
    repository: Repository, decide: Callable[..., str]
) -> None:
    made = [decide(repository, f"t{number}", "x", **OPEN, **(ALARM if number in (0, 3) else {})) for number in range(5)]
    repository.feedback(made[3], Statement("accepted", "ana"))
    paged: list[str] = []
    while len(paged) < 9:
        page = repository.lines(Filter(), "urgent", limit=1, after=paged[-1] if paged else None)
        paged += [line.row.id for line in page]
        if not page:
            break
    assert paged == made


def test_a_verdict_takes_a_ticket_out_and_an_undo_brings_it_back(
    repository: Repository, decide: Callable[..., str]
) -> None:
    first, second = decide(repository, "a", "a", **OPEN, **ALARM), decide(repository, "b", "b", **OPEN)
    said = repository.feedback(first, Statement("corrected", "ana", tier="L2", resolver_group="network"))
    assert ids(repository, WAITING) == ["b"] and ids(repository, Filter("corrected")) == ["a"]
    assert ids(repository, Filter(tier="L2")) == ["a"] and ids(repository, Filter(resolver_group="network")) == ["a"]
    assert repository.next_in_queue(WAITING, "urgent", first) == second
    repository.feedback(first, Statement("corrected", "ben", tier="L3"))
    assert ids(repository, Filter("disputed")) == ["a"] and repository.counts().views["disputed"] == 1
    for one in (said.id, repository.history(first)[-1].id):
        repository.undo(first, one, "ana")
    assert ids(repository, WAITING) == ["a", "b"] and ids(repository, Filter(tier="L2")) == []
    repository.feedback(second, Statement("unsure", "ana"))
    assert ids(repository, WAITING) == ["a"] and ids(repository, Filter("unsure")) == ["b"]


def test_a_new_text_of_a_ticket_takes_the_place_of_the_old_one(
    repository: Repository, decide: Callable[..., str]
) -> None:
    decide(repository, "a", "one text", **OPEN)
    newest = decide(repository, "a", "another text", **OPEN)
    assert [line.row.id for line in repository.lines(WAITING)] == [newest]
    assert len(repository.lines(Filter())) == 2


def test_every_filter_finds_what_it_says_and_nothing_else(repository: Repository, decide: Callable[..., str]) -> None:
    decide(repository, "a", "the vpn drops 100%", **OPEN, **ALARM)
    decide(repository, "b", "printer jams", tier="L2", category="printing", model_version=None, reason="ambiguous",
           automation="blank", resolver_group=None)  # fmt: skip
    found = {
        "a": [Filter(attention="any"), Filter(attention="outage"), Filter(category="access"), Filter(words="VPN drops"),
              Filter(words="100%"), Filter(ticket_id="a"), Filter(model_version="7"), Filter(automation="suggested"),
              Filter("suggested")],
        "b": [Filter(tier="L2"), Filter(reason="ambiguous"), Filter("abstained"), Filter(automation="blank"),
              Filter(words="jams")],
        "": [Filter(attention="out"), Filter(words="drops jams"), Filter(reviewed=frozenset({True})), Filter("mine"),
             Filter("audit")],
    }  # fmt: skip
    for expected, filters in found.items():
        for wanted in filters:
            assert "".join(ids(repository, wanted)) == expected, wanted
    assert len(ids(repository, Filter(reviewed=frozenset({False})))) == 2


def test_audits_are_counted_blind_by_the_rule_by_which_they_are_listed(
    repository: Repository, decide: Callable[..., str]
) -> None:
    """One that an alarm brought back waits with a verdict: it was judged, and its labels are told."""
    target = {"label": "L1", "automation": "suggested", "source": "model", "reason": "confident", "confidence": 0.9,
              "alternatives": [], "likely": [], "rule": None, "audit": True}  # fmt: skip
    drawn: dict[str, Any] = {**OPEN, "reason": "ambiguous", "targets": {"tier": target}}
    judged, _ = decide(repository, "judged", "a", **drawn), decide(repository, "unjudged", "b", **drawn)
    repository.feedback(judged, Statement("accepted", "ana"))
    news = Event("1", EventKind.COMMENT, datetime.now(UTC), "it burns", attention=(("safety", "burns"),))
    repository.add_event("judged", news, Outcome(erased_at=None))
    for blind, names in ((True, ["judged"]), (False, ["judged", "unjudged"])):
        counts = repository.counts("ana", ["service-desk"], blind=blind)
        for view in ("abstained", "my_groups"):
            listed = ids(repository, Filter(view, groups=("service-desk",), blind=blind))
            assert listed == names and counts.views[view] == len(names), (view, blind)
        assert ids(repository, replace(WAITING, tier="L1", blind=blind)) == names
        assert counts.tiers == {"L1": len(names)} and counts.groups == {"service-desk": len(names)}
        assert (counts.waiting, counts.views["audit"], counts.flagged) == (2, 2, 1)


@pytest.mark.parametrize("sort", get_args(Sort))
def test_pages_of_what_is_found_by_words_are_full_whatever_is_kept_between(
    repository: Repository, decide: Callable[..., str], monkeypatch: pytest.MonkeyPatch, sort: Sort
) -> None:
    monkeypatch.setattr(queue, "_READ_AT_ONCE", 2)
    for number in range(12):
        decide(repository, f"t{number}", "the vpn drops", **OPEN)
    wanted = Filter("waiting", words="vpn", may_read=lambda row: int(str(row.ticket_id)[1:]) % 4 == 1)
    found = [f"t{number}" for number in (1, 5, 9)]
    found = found[::-1] if sort == "newest" else found
    assert ids(repository, wanted, sort, limit=2) == found[:2]
    second, third = (line.row.id for line in repository.lines(wanted, sort)[1:])
    assert ids(repository, wanted, sort, limit=2, after=second) == found[2:]
    assert repository.next_in_queue(wanted, sort, second) == third
    assert repository.next_in_queue(wanted, sort, third, backwards=True) == second
    assert repository.next_in_queue(wanted, sort, third) is None


def test_a_search_does_not_tell_what_a_reader_may_not_read(
    repository: Repository, decide: Callable[..., str], new: Callable[..., Any]
) -> None:
    repository.record([new("a", "my manager bullies me", sensitive=True)])
    assert ids(repository, Filter(words="bullies")) == []
    assert ids(repository, Filter(words="bullies", clearance_for_words=True)) == ["a"]


def test_a_ticket_is_taken_by_one_and_given_back_by_that_one(
    repository: Repository, decide: Callable[..., str]
) -> None:
    one = decide(repository, "a", "a", **OPEN)
    before = repository.queue_state()
    repository.claim(one, "ana")
    repository.claim(one, "ana")
    assert repository.queue_state() != before and repository.claim_of(one) == "ana"
    assert ids(repository, Filter("mine", agent="ana")) == ["a"] and ids(repository, Filter("mine", agent="ben")) == []
    for attempt in (repository.claim, repository.release):
        with pytest.raises(Contradiction, match="ana has taken"):
            attempt(one, "ben")
    repository.release(one, "ana")
    assert repository.claim_of(one) is None
    repository.claim(one, "ben")
    repository.feedback(one, Statement("accepted", "ana"))
    assert repository.claim_of(one) is None
    with pytest.raises(NotFound):
        repository.claim("nothing", "ana")


def test_a_ticket_that_is_taken_for_a_second_opinion_is_among_those_that_one_has(
    repository: Repository, decide: Callable[..., str]
) -> None:
    unsure, waits, other = (decide(repository, name, name, **OPEN, **ALARM) for name in ("unsure", "waits", "other"))
    repository.feedback(unsure, Statement("unsure", "ana"))
    mine = Filter("mine", agent="ben")
    for one in (unsure, waits):
        repository.claim(one, "ben")
    assert ids(repository, mine, "urgent") == ["waits", "unsure"] and repository.counts("ben").views["mine"] == 2
    assert repository.next_in_queue(mine, "urgent", waits) == unsure
    assert repository.next_in_queue(mine, "urgent", unsure) is None
    repository.feedback(unsure, Statement("accepted", "ben"))
    assert ids(repository, mine, "urgent") == ["waits"] and other not in ids(repository, mine)


def test_a_claim_that_has_expired_keeps_nobody_off_and_ends_no_other(
    repository: Repository, decide: Callable[..., str]
) -> None:
    one = decide(repository, "a", "a", **OPEN)

    def expire() -> None:
        with repository.database.writing() as session:
            session.execute(update(StoredEntry).values(claimed_at=datetime.now(UTC) - CLAIM_AGE))

    repository.claim(one, "ana")
    [line] = repository.lines(Filter())
    taken = repository.queue_state()
    assert (line.claimed_by, repository.counts("ana").views["mine"]) == ("ana", 1)
    expire()
    [line] = repository.lines(Filter())
    assert (line.claimed_by, repository.counts("ana").views["mine"]) == (None, 0)
    assert ids(repository, Filter("mine", agent="ana")) == [] and repository.queue_state() != taken
    repository.claim(one, "ben")
    with pytest.raises(Contradiction, match="ben has taken"):
        repository.release(one, "ana")
    assert repository.claim_of(one) == "ben"
    expire()
    repository.release(one, "ana")  # nobody has it any more
    assert repository.claim_of(one) is None


def test_a_ticket_without_words_is_called_by_its_id(repository: Repository, document: Callable[..., Any]) -> None:
    texts = {"a": ("", ""), "b": ("", "the\nbody"), "c": ("s" * 200, "x")}
    for name, (subject, body) in texts.items():
        repository.record([NewDecision(Ticket(id=name, subject=subject, body=body), document(name))])
    titles = {str(row.ticket_id): row.title for row in repository.latest()}
    assert titles == {"a": "Ticket a", "b": "the body", "c": "s" * 120 + "…"}


def test_people_see_who_else_has_a_ticket_open(repository: Repository, decide: Callable[..., str]) -> None:
    one = decide(repository, "a", "a", **OPEN)
    repository.look(one, "ana")
    repository.look(one, "ben")
    repository.look("nothing", "ben")
    assert repository.viewers(one) == ["ana", "ben"]
    repository.look_away(one, "ana")
    assert repository.viewers(one) == ["ben"]


@pytest.mark.parametrize("later", [0, word_index.AT_A_TIME], ids=["just came", "in the index"])
def test_words_are_found_by_an_index_and_forgotten_with_the_ticket(
    repository: Repository, decide: Callable[..., str], later: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    decide(repository, "INC-4711", "The Übermittlung of zanzibar fails", **OPEN)
    decide(repository, "b", "nothing of the kind", **OPEN)
    for number in range(later):
        decide(repository, str(number), "1")
    for common in (word_index.COMMON, 1):  # from which on tickets are looked at one by one
        monkeypatch.setattr(word_index, "COMMON", common)
        for words in ("zanzi", "ZANZIBAR fails", "übermitt", "ÜBERM", "inc-47", "4711 of", "of"):
            assert ids(repository, Filter(words=words))[:1] == ["INC-4711"], words
        for words in ('zanzi"bar', "zanzibar kind", "AND", "*", "%", "__"):
            assert ids(repository, Filter(words=words)) == [], words
    assert _holds(repository, "zan") is (later > 0 or repository.database.dialect == "postgresql")
    repository.forget("INC-4711")
    assert ids(repository, Filter(words="zanzibar")) == [] and ids(repository, Filter(words="kind")) == ["b"]
    assert not _holds(repository, "zan") and repository.database.is_sound()
    for number in range(later):
        decide(repository, f"again {number}", "2")
    assert ids(repository, Filter(words="zanzibar")) == [] and ids(repository, Filter(words="kind")) == ["b"]


def test_what_waits_for_the_groups_of_an_agent_is_a_view_with_its_count(
    repository: Repository, decide: Callable[..., str]
) -> None:
    for name, group in (("a", "network"), ("b", "service-desk"), ("c", "access-team"), ("d", "network"), ("e", None)):
        decide(repository, name, name, **OPEN, resolver_group=group)
    done = decide(repository, "f", "f", **OPEN, resolver_group="network")
    repository.feedback(done, Statement("accepted", "ana"))
    mine = Filter("my_groups", agent="ana", groups=("network", "access-team"))
    assert ids(repository, mine) == ["a", "c", "d"]
    assert repository.counts("ana", ("network", "access-team", "network")).views["my_groups"] == 3
    assert ids(repository, Filter("my_groups", agent="ana")) == [] and repository.counts("ana").views["my_groups"] == 0
    first = repository.lines(mine, "urgent", limit=1)[0].row.id
    following = repository.next_in_queue(mine, "urgent", first)
    assert following is not None and repository.decision(following).ticket_id == "c"  # type: ignore[union-attr]


@pytest.mark.parametrize("sort", get_args(Sort))
def test_common_words_are_found_as_rare_ones_are(
    repository: Repository, decide: Callable[..., str], monkeypatch: pytest.MonkeyPatch, sort: Sort
) -> None:
    for number in range(40):  # of which the last ones alone hold both words, behind all lines looked at one by one
        body = "the printer jams" if number >= 34 else "Printer is empty"
        decide(repository, f"t{number}", body, **OPEN, **(ALARM if number % 5 == 1 else {}))
    wanted = (
        *(Filter("waiting", words=said) for said in ("PRINTER", "printer jams", "printer t3", "printer zanzibar")),
        *(Filter(words="printer", tier="L4"), Filter(words="printer is", attention="any")),
    )

    def found(one: Filter) -> list[str]:
        whole = repository.lines(one, sort, limit=100)
        pages: list[str] = []
        places = [line.row.id for line in whole]
        while page := repository.lines(one, sort, limit=3, after=pages[-1] if pages else None):
            pages += [line.row.id for line in page]
        following = [repository.next_in_queue(one, sort, place) or "" for place in places]
        assert pages == places and following == [*places[1:], ""][: len(places)]
        return places

    by_the_list = [found(one) for one in wanted]
    assert [len(places) for places in by_the_list] == [40, 6, 11, 0, 0, 7]
    monkeypatch.setattr(word_index, "COMMON", 2)
    assert [found(one) for one in wanted] == by_the_list


@pytest.mark.parametrize("store_url", ["sqlite"], indirect=True)  # PostgreSQL reads a small table without its indexes
def test_sqlite_reads_the_waiting_lines_by_their_indexes(repository: Repository) -> None:
    asked: list[tuple[str, Any]] = []

    def note(connection: Any, cursor: Any, statement: str, parameters: Any, context: Any, many: bool) -> None:
        asked.append((statement, parameters))

    event.listen(repository.database.engine, "before_cursor_execute", note)
    repository.lines(WAITING, "urgent")
    repository.counts("ana")
    event.remove(repository.database.engine, "before_cursor_execute", note)
    with repository.database.engine.connect() as connection:
        plans = [
            str(row)
            for statement, parameters in asked
            if statement.startswith("SELECT") and "queue_entries" in statement
            for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters)
        ]
    for index in ("ix_queue_order", "ix_queue_counts", "ix_queue_claimed", "ix_queue_verdict", "ix_queue_disputed"):
        assert any(index in plan for plan in plans), (index, plans)
    assert not any("SCAN queue_entries'" in plan for plan in plans), plans


def _holds(repository: Repository, letters: str) -> bool:
    """Say whether the index of words holds three letters, deleted ones included; PostgreSQL vacuums its own."""
    with repository.database.reading() as session:
        if repository.database.dialect == "postgresql":
            plan = session.execute(text("SELECT 1 FROM pg_indexes WHERE indexname = 'ix_tickets_words'"))
            return plan.first() is not None and bool(ids(repository, Filter(words=letters)))
        return any(letters.encode() in bytes(block) for (block,) in session.execute(text(BLOCKS)))


@pytest.mark.postgres
def test_days_are_those_of_utc_wherever_the_server_stands(
    postgres_url: str, tmp_path: Path, decide: Callable[..., str]
) -> None:
    repository = open_repository(tmp_path, f"{postgres_url}%20-c%20timezone%3DPacific/Auckland")
    decide(repository, "a")
    with repository.database.writing() as session:
        session.execute(text("UPDATE decisions SET created_at = '2026-01-01T23:30:00Z'"))
    assert [day.day for day in repository.days()] == ["2026-01-01"]
    repository.close()
