"""Backups, forgetting, retention: what must stay stays, what must go is gone from the files too."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select, text, update

from api.http.exceptions import Contradiction, NotFound, NotSignedIn
from api.maintenance.backup import back_up, check, restore
from api.security.api_keys import Keyring, create_key, sha256
from api.store.database import Database
from api.store.erasure import Expired, Outside
from api.store.feedback import Statement
from api.store.outbox import CHANGES, UNDATED, PendingUpdate
from api.store.people.users import Rights
from api.store.repository import Repository, open_repository
from api.store.rows import IdempotencyKey, NewDecision
from api.store.tables import (
    Base,
    StoredDelivery,
    StoredIdempotencyKey,
    StoredPosition,
    StoredTicket,
    StoredUpdate,
)
from api.store.threads.events import Outcome
from triage.errors import EncoderUnavailable, InvalidRequest, StoreUnavailable
from triage.escalation.thread import Event, EventKind

Make = Callable[..., Any]
CANARY = "canary-7f3a91"


def fill(repository: Repository, decide: Make) -> list[str]:
    """A store with something in every table."""
    ids = [decide(repository, f"T-{number}") for number in range(5)]
    said = repository.feedback(ids[0], Statement("corrected", "kim", tier="L2", comment="cä"), idempotency_key=key())
    repository.undo(ids[0], said.id, "kim")
    create_key(repository, "desk", ["read"])
    repository.take_delivery("rt", ["d-1"], [PendingUpdate("rt", "T-1", ids[1], {"tier": "L1"})])
    return ids


def key() -> IdempotencyKey:
    return IdempotencyKey.of("owner", "k", "POST", "/", b"{}")


def everything(repository: Repository) -> dict[str, list[Any]]:
    tables = ("tickets", "decisions", "feedback", "attempts", "keys", "deliveries", "updates")
    with repository.database.reading() as session:
        rows = {name: session.execute(text(f"SELECT * FROM {name}")).all() for name in tables}
        return {name: sorted(repr(tuple(row)) for row in found) for name, found in rows.items()}  # a row's own is cut


def test_a_restored_backup_is_what_was_backed_up(open_store: Make, decide: Make, tmp_path: Path) -> None:
    repository = open_store()
    ids = fill(repository, decide)
    before, file = everything(repository), tmp_path / "backup.sqlite"
    counts = back_up(repository.database, file)
    assert counts["decisions"] == 5 and counts == check(file) and file.stat().st_mode & 0o777 == 0o600
    decide(repository, "T-9")
    restore(repository.database, file, replace=True)
    assert everything(repository) == before
    assert decide(repository, "T-0") == ids[0] and decide(repository, "T-10") not in ids


@pytest.mark.parametrize("name", ["monday#1", "is it?", "100%25", "?mode=rwc#"])
def test_a_backup_may_have_any_name(open_store: Make, decide: Make, tmp_path: Path, name: str) -> None:
    repository, folder = open_store(), tmp_path / name
    fill(repository, decide)
    before, file = everything(repository), folder / f"{name}.sqlite"
    back_up(repository.database, file)
    decide(repository, "T-9")
    restore(repository.database, file, keep=folder / f"before {name}.sqlite", room=folder)
    assert everything(repository) == before
    assert {one.name for one in folder.iterdir()} == {file.name, f"before {name}.sqlite"}


def test_a_backup_goes_from_one_database_into_another(
    open_store: Make, decide: Make, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    repository = open_store()
    ids = fill(repository, decide)
    back_up(repository.database, tmp_path / "backup.sqlite")
    other = open_repository(tmp_path_factory.mktemp("other"))
    restore(other.database, tmp_path / "backup.sqlite")
    assert [row.document for row in other.latest()] == [row.document for row in repository.latest()]
    assert other.history(ids[0]) == repository.history(ids[0])
    other.close()


@pytest.mark.postgres
def test_every_number_that_postgresql_counts_goes_on_after_a_restore(
    postgres_url: str, decide: Make, tmp_path: Path
) -> None:
    source, target = open_repository(tmp_path / "source"), open_repository(tmp_path, postgres_url)
    first = decide(source, "T-1")
    source.add_event("T-1", Event("1", EventKind.COMMENT, datetime.now(UTC), text="still broken"))
    source.feedback(first, Statement("accepted", "kim"))
    back_up(source.database, tmp_path / "backup.sqlite")
    restore(target.database, tmp_path / "backup.sqlite")
    with target.database.writing() as session:
        counted = {
            table.name: (
                session.scalar(select(func.max(table.c.seq))),
                session.scalar(text(f"SELECT nextval(pg_get_serial_sequence('{table.name}', 'seq'))")),
            )
            for table in Base.metadata.sorted_tables
            if "seq" in table.c and table.autoincrement_column is not None
        }
    assert {"tickets", "decisions", "feedback", "updates", "reviews", "ticket_events", "autonomy_changes"} == {*counted}
    assert counted["ticket_events"][0] and counted["feedback"][0]
    assert all(following > (last or 0) for last, following in counted.values())
    target.add_event("T-1", Event("2", EventKind.COMMENT, datetime.now(UTC), text="it works again"))
    for store in (source, target):
        store.close()


def test_a_backup_never_overwrites_and_a_restore_only_where_it_is_meant(
    repository: Repository, decide: Make, tmp_path: Path
) -> None:
    fill(repository, decide)
    file = tmp_path / "backup.sqlite"
    back_up(repository.database, file)
    with pytest.raises(InvalidRequest, match="never overwrites"):
        back_up(repository.database, file)
    with pytest.raises(InvalidRequest, match="not empty"):
        restore(repository.database, file)
    assert sorted(path.name for path in tmp_path.iterdir() if "backup" in path.name) == ["backup.sqlite"]


def test_a_damaged_backup_changes_nothing(repository: Repository, decide: Make, tmp_path: Path) -> None:
    fill(repository, decide)
    before, file = everything(repository), tmp_path / "backup.sqlite"
    back_up(repository.database, file)
    good = file.read_bytes()
    for bad in (good[: len(good) // 2], good[:4096] + bytes(8192) + good[12288:], b"nothing", b""):
        file.write_bytes(bad)
        with pytest.raises(InvalidRequest):
            restore(repository.database, file, replace=True)
    with pytest.raises(InvalidRequest, match="not there"):
        restore(repository.database, tmp_path / "nowhere", replace=True)
    assert everything(repository) == before


def test_what_was_revoked_or_forgotten_since_the_backup_stays_so(
    repository: Repository, decide: Make, tmp_path: Path
) -> None:
    key, row = create_key(repository, "desk", ["read"])
    decide(repository, "T-1", CANARY)
    back_up(repository.database, tmp_path / "b.sqlite")
    repository.revoke_key(row.id)
    repository.forget("T-1")
    restore(repository.database, tmp_path / "b.sqlite", replace=True)
    with pytest.raises(NotSignedIn):
        Keyring(repository).by_key(key)
    assert CANARY not in str(everything(repository))


def test_accounts_stay_as_they_are_when_a_backup_is_restored(repository: Repository, tmp_path: Path) -> None:
    for name in ("anna", "kim", "lee"):
        repository.add_user(name, Rights(["admin"], clearance=3, groups=["network"]), "an old hash")
    back_up(repository.database, tmp_path / "b.sqlite")
    repository.set_password("anna", "a new hash")
    repository.change_rights("kim", Rights(["agent"], clearance=0, groups=[]))
    made = repository.add_user("max", Rights(["lead"]))
    assert repository.identify("https://id.example", "0815", "max") == made
    before = repository.users()
    kept = restore(repository.database, tmp_path / "b.sqlite", replace=True).kept
    assert (kept.accounts, kept.new_accounts) == (("anna", "kim"), ("max",))
    assert repository.users() == before and repository.identify("https://id.example", "0815", "another") == made
    assert [repository.user(name)[1] for name in ("anna", "lee")] == ["a new hash", "an old hash"]  # type: ignore[index]


def test_accounts_of_a_new_store_are_those_of_the_backup_under_their_names(
    open_store: Make, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    repository, other = open_store(), open_repository(tmp_path_factory.mktemp("other"))
    old = repository.add_user("Anna", Rights(["agent"]), "an old hash")
    back_up(repository.database, tmp_path / "b.sqlite")
    other.add_user("anna", Rights(["admin"]), "a new hash")
    assert restore(other.database, tmp_path / "b.sqlite", replace=True).kept.accounts == ("anna",)
    found = other.user("anna")
    assert found is not None and (found[0].id, found[0].roles, found[1]) == (old.id, ("admin",), "a new hash")
    other.close()


def test_updates_that_are_settled_are_not_sent_again_after_a_restore(
    repository: Repository, decide: Make, tmp_path: Path
) -> None:
    updates = [PendingUpdate("rt", f"T-{n}", decide(repository, f"T-{n}"), {"tier": "L1"}) for n in range(5)]
    for one in updates:
        repository.take_delivery("rt", [one.ticket_id], [one])
    *_, long_dead = repository.updates()
    repository.acknowledge_update(long_dead.seq, error="HTTP 410")
    back_up(repository.database, tmp_path / "b.sqlite")
    sent, dead, *_ = repository.updates()
    repository.acknowledge_update(sent.seq)
    repository.acknowledge_update(dead.seq, error="HTTP 404")
    repository.take_delivery("rt", ["newer"], [replace(updates[2], payload={"tier": "L2"})])
    for _ in range(2):  # the second finds a store that was restored
        restored = restore(repository.database, tmp_path / "b.sqlite", replace=True)
        left = [(one.ticket_id, one.state) for one in repository.updates()]
        assert left == [("T-1", "dead"), ("T-3", "pending"), ("T-4", "dead")] and restored.kept.updates == 3


def test_a_title_of_the_history_that_was_forgotten_does_not_come_back(
    repository: Repository, decide: Make, tmp_path: Path
) -> None:
    decide(repository, "T-2", explanation=near("H-1"))
    back_up(repository.database, tmp_path / "b.sqlite")
    repository.forget("H-1")
    later = decide(repository, "T-3", explanation=near("H-1"))  # the bundle knows it until another one serves
    back_up(repository.database, tmp_path / "later.sqlite")
    for backup, left in (("b.sqlite", 0), ("later.sqlite", 1), ("b.sqlite", 0)):
        restore(repository.database, tmp_path / backup, replace=True)
        assert str(everything(repository)).count(CANARY) == left
    assert repository.decision(later) is None


def test_what_came_anew_after_it_was_forgotten_is_restored(
    repository: Repository, decide: Make, new: Make, tmp_path: Path
) -> None:
    decide(repository, "T-1", CANARY)
    back_up(repository.database, tmp_path / "before.sqlite")
    repository.forget("T-1")
    again = decide(repository, "T-1", "once more")
    back_up(repository.database, tmp_path / "after.sqlite")
    restore(repository.database, tmp_path / "after.sqlite", replace=True)
    assert (kept := repository.decision(again)) is not None and not kept.forgotten
    restore(repository.database, tmp_path / "before.sqlite", replace=True)
    assert CANARY not in str(everything(repository))


def test_forgetting_at_one_helpdesk_leaves_the_others_alone(repository: Repository, new: Make, tmp_path: Path) -> None:
    ids = {source: repository.record([new("17", f"{CANARY} {source}")], source=source)[0].id for source in ("a", "b")}
    for source, decision in ids.items():
        repository.take_delivery(source, ["d"], [PendingUpdate(source, "17", decision, {"tier": "L1"})])
    back_up(repository.database, tmp_path / "b.sqlite")
    repository.forget("17", "a")
    left = [[(one.target, one.decision_id) for one in repository.updates()]]
    restore(repository.database, tmp_path / "b.sqlite", replace=True)
    left.append([(one.target, one.decision_id) for one in repository.updates()])
    assert left == [[("b", ids["b"])]] * 2
    assert (kept := repository.decision(ids["b"])) is not None and CANARY in kept.body
    assert repository.decision(ids["a"]) is None


def near(ticket_id: str) -> dict[str, list[Any]]:
    one = {"ticket_id": ticket_id, "similarity": 0.9, "title": CANARY, "labels": {}}
    return {"terms": [], "against": [], "similar": [one]}


def test_no_backup_and_no_file_of_the_store_holds_a_key(tmp_path: Path) -> None:
    repository = open_repository(tmp_path)
    key, row = create_key(repository, "desk", ["read"])
    repository.open_session(sha256("the session's token"), row.id, "kim", datetime.now(UTC) + timedelta(hours=1))
    back_up(repository.database, tmp_path / "b.sqlite")
    files = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert row.prefix.encode() in files
    assert key.split("_", 2)[2].encode() not in files and b"the session's token" not in files
    repository.close()


def test_forgetting_removes_every_word_and_keeps_the_labels(repository: Repository, decide: Make, new: Make) -> None:
    said = {"terms": [{"term": CANARY, "weight": 1.0}], "against": [], "similar": []}
    first = decide(repository, "T-1", f"about {CANARY}", explanation=said)
    second = decide(repository, "T-1", f"more about {CANARY}", explanation=said)
    repository.feedback(first, Statement("corrected", "kim", tier="L2", reason=CANARY, comment=f"see {CANARY}"))
    near = {"ticket_id": "T-1", "similarity": 0.9, "title": f"about {CANARY}", "labels": {}}
    other = decide(repository, "T-2", explanation={"terms": [], "against": [], "similar": [near]})
    outside = list[str]()
    done = repository.forget("T-1", outside=lambda texts: outside.extend(texts) or len(texts))  # type: ignore[func-returns-value]
    assert (done.revisions, done.decisions, done.remarks, done.mentions) == (2, 2, 1, 1)
    assert f"VPN\nabout {CANARY}" in outside and done.embeddings == len(outside) and done.scrubbed
    assert CANARY not in str(everything(repository))
    kept = repository.decision(first)
    assert kept is not None and kept.forgotten and kept.document.tier == "L1"
    assert kept.standing is not None and kept.standing.tier == "L2" and kept.standing.comment is None
    assert kept.revisions == (first, second) and repository.decision(other) is not None
    assert list(repository.training_rows(_all())) and CANARY not in json.dumps(list(repository.training_rows(_all())))


def test_a_ticket_of_the_history_alone_loses_its_title(repository: Repository, decide: Make) -> None:
    near = {"ticket_id": "H-1", "similarity": 0.9, "title": CANARY, "labels": {}}
    decide(repository, "T-2", explanation={"terms": [], "against": [], "similar": [near]})
    done = repository.forget("H-1")
    assert (done.revisions, done.decisions, done.mentions) == (0, 0, 1)
    assert CANARY not in str(everything(repository))
    with pytest.raises(NotFound, match="only in the history"):
        repository.forget("H-1")


def _all() -> Any:
    from api.store.export import ExportRules

    return ExportRules()


def test_a_forgotten_ticket_that_comes_again_is_a_new_one(repository: Repository, decide: Make, new: Make) -> None:
    first = decide(repository)
    repository.forget("T-1")
    assert repository.seen(new().ticket).decision is None
    again = repository.record([new()])[0]
    assert again.created and again.revision == 2 and again.id != first


def _noted(repository: Repository, number: int, text: str) -> None:
    event = Event(str(number), EventKind.COMMENT, datetime.now(UTC), text=text)
    repository.add_event("T-1", event, Outcome(erased_at=repository.thread("T-1").erased_at))


@pytest.mark.parametrize("comes_again", [False, True])
def test_what_was_read_before_a_ticket_was_forgotten_is_not_kept_after(
    repository: Repository, decide: Make, new: Make, comes_again: bool
) -> None:
    decide(repository)
    _noted(repository, 1, "the room is on fire")
    quoted = {"attention": [{"kind": "safety", "evidence": "the room is on fire"}]}
    read, thread = repository.seen(new(body="news").ticket), repository.thread("T-1")
    repository.forget("T-1")
    if comes_again:
        decide(repository, body="sent anew")
    late = Event("2", EventKind.COMMENT, datetime.now(UTC), text="it still burns")
    with pytest.raises(Contradiction, match="forgotten"):
        repository.add_event("T-1", late, Outcome(erased_at=thread.erased_at))
    decided = replace(new(body="news", **quoted), grown=True, erasure=read.erasure)
    row = repository.decision(repository.record([decided])[0].id)
    assert row is not None and row.document == decided.document.without_explanation().model_copy(
        update={"decision_id": row.id}
    )
    _noted(repository, 3, "sent after that")
    now = repository.seen(new(body="more news").ticket)
    again = replace(new(body="more news", **quoted), grown=True, erasure=now.erasure)
    assert repository.record([again])[0].document.attention == again.document.attention


def test_forgetting_waits_for_what_is_being_written_of_the_ticket(repository: Repository, decide: Make) -> None:
    decide(repository)
    with ThreadPoolExecutor(1) as pool:
        with repository.database.writing() as session:
            repository.database.serialise(session, "ticket api T-1")
            forgetting = pool.submit(repository.forget, "T-1")
            with pytest.raises(TimeoutError):
                forgetting.result(0.3)
        assert forgetting.result(10).revisions == 1


def test_forgetting_nobody_is_refused(repository: Repository, decide: Make) -> None:
    decide(repository)
    for ticket, source in (("T-2", None), ("T-1", "rt")):
        with pytest.raises(NotFound):
            repository.forget(ticket, source)


def test_a_forgotten_text_is_gone_from_the_files(tmp_path: Path, decide: Make) -> None:
    repository = open_repository(tmp_path)
    body = " ".join(f"{CANARY}-{number}" for number in range(3000))
    decide(repository, "T-1", body)
    for number in range(20):
        decide(repository, f"other-{number}")
    assert CANARY.encode() in b"".join(path.read_bytes() for path in tmp_path.iterdir())
    repository.forget("T-1")
    assert CANARY.encode() not in b"".join(path.read_bytes() for path in tmp_path.iterdir())
    repository.close()


def test_what_is_kept_elsewhere_goes_before_the_words_it_is_found_by(repository: Repository, decide: Make) -> None:
    def fails(texts: Sequence[str]) -> int:
        raise EncoderUnavailable("the cache cannot be written")

    decide(repository, "T-1", CANARY)
    with pytest.raises(EncoderUnavailable):
        repository.forget("T-1", outside=fails)
    told = list[str]()
    assert repository.forget("T-1", outside=lambda texts: told.extend(texts) or 1).embeddings == 1  # type: ignore[func-returns-value]
    assert any(CANARY in text for text in told)


def test_what_somebody_still_reads_is_told_to_be_in_the_files_and_is_taken_out_later(
    tmp_path: Path, decide: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("api.store.erasure._SCRUBS", 2)
    repository = open_repository(tmp_path)
    decide(repository, "T-1", CANARY)
    with repository.database.reading() as session:
        session.execute(text("SELECT count(*) FROM tickets"))
        assert not repository.forget("T-1").scrubbed
        assert CANARY.encode() in b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert repository.expire(None) == Expired(scrubbed=True)
    assert CANARY.encode() not in b"".join(path.read_bytes() for path in tmp_path.iterdir())
    repository.close()


@pytest.mark.postgres
def test_what_cannot_be_vacuumed_now_is_forgotten_all_the_same(postgres_url: str, tmp_path: Path, decide: Make) -> None:
    repository = open_repository(tmp_path, postgres_url, patience_s=1.0)
    decide(repository, "T-1", CANARY)
    other = Database(postgres_url)
    with other.engine.connect() as connection, connection.begin():
        connection.execute(text("LOCK TABLE updates IN ROW EXCLUSIVE MODE"))
        connection.execute(text("LOCK TABLE feedback IN SHARE UPDATE EXCLUSIVE MODE"))
        vectors = list[str]()
        done = repository.forget("T-1", outside=lambda texts: vectors.extend(texts) or 1)  # type: ignore[func-returns-value]
        assert done.revisions == 1 and done.embeddings == 1 and vectors and not done.scrubbed
    assert repository.expire(None).scrubbed
    other.close()
    repository.close()


@pytest.mark.postgres
def test_what_takes_longer_than_a_request_may_is_vacuumed_and_removed_all_the_same(
    postgres_url: str, tmp_path: Path, decide: Make
) -> None:
    slow = "-c%20vacuum_cost_delay%3D100%20-c%20vacuum_cost_limit%3D1"  # a pause of 100 ms and more for each page
    # Writers of all schemas of a database wait at one gate: other tests may hold it for some tenths of a second.
    repository = open_repository(tmp_path, f"{postgres_url}%20{slow}", patience_s=1.0)
    for number in range(8):
        decide(repository, f"T-{number}", CANARY)
    with repository.database.writing() as session:
        session.execute(
            text(
                "CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS "
                "'BEGIN PERFORM pg_sleep(1.2); RETURN OLD; END'"
            )
        )
        session.execute(text("CREATE TRIGGER slow BEFORE DELETE ON tickets FOR EACH STATEMENT EXECUTE FUNCTION slow()"))
    began = time.monotonic()
    assert repository.forget("T-1").scrubbed and time.monotonic() - began > 1.2
    done = repository.expire(timedelta(0))
    assert done.tickets == 8 and done.scrubbed
    with pytest.raises(StoreUnavailable), repository.database.reading() as session:
        session.execute(text("SELECT pg_sleep(2)"))
    repository.close()


def test_retention_takes_old_tickets_with_all_about_them_and_no_others(repository: Repository, decide: Make) -> None:
    old, new = decide(repository, "old"), decide(repository, "new")
    repository.feedback(old, Statement("accepted", "kim"))
    repository.feedback(new, Statement("accepted", "kim"), idempotency_key=key())
    with repository.database.writing() as session:
        month_ago = datetime.now(UTC) - timedelta(days=30)
        session.execute(update(StoredTicket).where(StoredTicket.ticket_id == "old").values(received_at=month_ago))
        session.execute(update(StoredIdempotencyKey).values(created_at=month_ago))
    assert repository.expire(None).tickets == 0
    assert repository.decision(old) is not None and repository.replay(key()) is None
    done = repository.expire(timedelta(days=29))
    assert (done.tickets, done.decisions) == (1, 1)
    assert repository.decision(old) is None and repository.history(old) == ()
    assert repository.decision(new) is not None and len(repository.history(new)) == 1


def test_retention_takes_what_is_made_of_a_ticket_as_forgetting_does(
    repository: Repository, decide: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("api.store.erasure._PAGE", 2)
    similar: list[dict[str, Any]] = [
        {"ticket_id": one, "similarity": 0.9, "title": f"about {one}", "labels": {}} for one in ("old-1", "both")
    ]
    for one in ("old-1", "old-2", "old-3", "both"):
        decide(repository, one, f"about {CANARY} {one}")
    with repository.database.writing() as session:
        session.execute(update(StoredTicket).values(received_at=datetime.now(UTC) - timedelta(days=30)))
    young = [decide(repository, "both", "a newer text")]
    young += [
        decide(repository, f"new-{n}", explanation={"terms": [], "against": [], "similar": similar}) for n in "abc"
    ]
    texts, ids = list[str](), list[str]()
    outside = Outside(lambda found: texts.extend(found) or 1, lambda found: ids.extend(found) or 7)  # type: ignore[func-returns-value]
    done = repository.expire(timedelta(days=29), outside=outside)
    assert (done.tickets, done.decisions, done.mentions, done.embeddings, done.proposals) == (4, 4, 3, 2, 7)
    assert sorted(ids) == ["old-1", "old-2", "old-3"] and done.scrubbed
    assert {f"VPN\nabout {CANARY} {one}" for one in ("old-1", "both")} <= set(texts)
    listed = [row.document.explanation.similar for row in map(repository.decision, young[1:]) if row is not None]
    assert [[one.ticket_id for one in tickets] for tickets in listed] == [["both"]] * 3
    assert CANARY not in str(everything(repository)) and "about old-1" not in str(everything(repository))
    assert repository.expire(timedelta(days=29), outside=outside).tickets == 0


def test_retention_that_is_cut_short_finds_the_rest_the_next_time(repository: Repository, decide: Make) -> None:
    decide(repository, "T-1", CANARY)

    def fails(found: Sequence[str]) -> int:
        raise OSError("the disk is full")

    with pytest.raises(OSError, match="full"):
        repository.expire(timedelta(0), outside=Outside(fails, len))
    assert repository.decision(repository.latest()[0].id) is not None
    assert repository.expire(timedelta(0), outside=Outside(len, len)).tickets == 1


def test_a_dead_letter_that_nobody_looked_after_goes_after_a_month(repository: Repository) -> None:
    for age in (timedelta(days=29), timedelta(days=31)):
        repository.take_delivery("rt", [str(age)], [PendingUpdate("rt", str(age), "d", {"tier": "L1"})])
        seq = repository.updates()[-1].seq
        repository.acknowledge_update(seq, error="HTTP 404")
        with repository.database.writing() as session:
            due = datetime.now(UTC) - age
            session.execute(update(StoredUpdate).where(StoredUpdate.seq == seq).values(due_at=due, created_at=due))
    assert repository.expire(None).updates == 1
    assert [one.ticket_id for one in repository.updates()] == [str(timedelta(days=29))]


def test_what_webhooks_told_goes_after_two_days_where_the_helpdesk_was_once_asked_too(repository: Repository) -> None:
    ages = {"sent": 3, "issue:1": 3, "journal:1": 3, "issue:0": 401, f"{UNDATED}a": 3, f"{UNDATED}b": 401}
    repository.move_position("desk", CHANGES, "then")
    for name, days in ages.items():
        repository.take_delivery("desk", [name])
        at = datetime.now(UTC) - timedelta(days=days)
        with repository.database.writing() as session:
            session.execute(update(StoredDelivery).where(StoredDelivery.id == name).values(received_at=at))
    with repository.database.writing() as session:
        session.execute(update(StoredPosition).values(updated_at=datetime.now(UTC) - timedelta(days=500)))
    repository.expire(None)
    left = {name for name in ages if repository.has_delivery("desk", name)}
    assert left == {"issue:1", "journal:1", f"{UNDATED}a"}


def test_sensitive_marks_and_clearance_survive(repository: Repository, new: Make) -> None:
    made = new("HR-1")
    recorded = repository.record([NewDecision(made.ticket, made.document, sensitive=True, clearance=2)])[0]
    kept = repository.decision(recorded.id)
    assert kept is not None and kept.sensitive and kept.clearance == 2


def test_an_idempotency_key_whose_answer_is_past_retention_is_new(
    repository: Repository, new: Make, decide: Make
) -> None:
    first = repository.record([new("A")], idempotency_key=key())[0]
    repository.expire(timedelta(0))
    assert repository.replay(key()) is None
    again = repository.record([new("A")], idempotency_key=key())[0]
    assert again.created and again.id != first.id
    replayed = repository.replay(key())
    assert replayed is not None and replayed[0].document == again.document
