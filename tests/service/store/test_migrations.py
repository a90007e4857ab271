"""The shape of the store: up, down, up again, by several processes at once, and as the models say."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import inspect, text
from sqlalchemy.exc import DBAPIError

from api.store.database import Database
from api.store.feedback import Statement
from api.store.migrations import versions
from api.store.migrations.migrate import migrate
from api.store.migrations.standing import newest_revision, revision_of
from api.store.outbox import PENDING, PendingUpdate
from api.store.repository import Repository, open_repository
from api.store.tables import Base
from api.store.threads.events import Outcome
from api.store.work.queue import Filter
from api.store.work.words import INDEX, TABLE
from triage.errors import InvalidRequest
from triage.escalation.thread import Event, EventKind, Mover, Route

Make = Callable[..., Any]


def without_words(name: str | None, kind: str, parents: Any) -> bool:
    """Leave the index of words out: it is the database's own, and no model describes it."""
    return name is None or not name.startswith((TABLE, INDEX))


def test_the_migrations_make_what_the_models_say(repository: Repository) -> None:
    with repository.database.engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True, "include_name": without_words})
        assert compare_metadata(context, Base.metadata) == []


def test_down_to_nothing_and_up_again(store_url: str) -> None:
    database = Database(store_url)
    try:
        assert revision_of(database) is None
        assert migrate(database) == newest_revision() == revision_of(database)
        for revision in ("0004", "0003", "0002", "0001"):
            assert migrate(database, revision) == revision
        assert migrate(database, "base") is None
        with database.engine.connect() as connection:
            assert set(inspect(connection).get_table_names()) <= {"alembic_version"}
        assert migrate(database) == newest_revision()
    finally:
        database.close()


def test_the_newest_revision_is_the_one_that_alembic_finds() -> None:
    scripts = ScriptDirectory(str(Path(versions.__path__[0]).parent))
    assert newest_revision() == scripts.get_current_head()


def test_a_store_of_the_newest_shape_is_opened_without_alembic(store_url: str, tmp_path: Path) -> None:
    """It is a twentieth of a start."""
    program = (
        "import sys; from pathlib import Path; from api.store.repository import open_repository; "
        f"open_repository(Path({str(tmp_path)!r}), {store_url!r}).close(); print('alembic' in sys.modules)"
    )
    said = [
        subprocess.run([sys.executable, "-P", "-c", program], capture_output=True, text=True, check=True).stdout.strip()
        for _ in range(2)
    ]
    assert said == ["True", "False"]


def test_rows_survive_a_step_down_and_up(open_store: Callable[..., Repository], decide: Make) -> None:
    repository = open_store()
    decision = decide(repository)
    migrate(repository.database, "0001")
    migrate(repository.database)
    assert repository.decision(decision) is not None


def test_a_store_of_a_newer_version_is_refused(repository: Repository) -> None:
    with repository.database.writing() as session:
        session.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(InvalidRequest, match=f"newer version.*triage store migrate {newest_revision()}"):
        migrate(repository.database)


def test_an_unknown_revision_is_refused(repository: Repository) -> None:
    with pytest.raises(InvalidRequest, match="no revision"):
        migrate(repository.database, "0815")


def test_a_migration_that_fails_leaves_the_store_as_it_was(store_url: str) -> None:
    database = Database(store_url)
    migrate(database, "0001")
    with database.writing() as session:
        session.execute(text("CREATE TABLE sessions (x INTEGER)"))
    with pytest.raises(Exception, match="exists"):
        migrate(database)
    assert revision_of(database) == "0001"
    with database.engine.connect() as connection:
        assert "keys" not in inspect(connection).get_table_names()
    database.close()


MANY_TICKETS = """
INSERT INTO tickets (source, ticket_id, revision, digest, subject, body, attributes, received_at)
SELECT 'api', n::text, 1, md5(n::text) || md5(n::text), 'VPN', body, '{}', now()
FROM generate_series(1, 1500) AS n,
LATERAL (SELECT string_agg(md5(n::text || i::text), ' ') AS body FROM generate_series(1, 60) AS i) AS texts
"""

START = """
import sys
from pathlib import Path
from api.store.repository import open_repository

number, url = sys.argv[1:]
print("ready", flush=True)
sys.stdin.readline()
repository = open_repository(Path("/nowhere"), url)
repository.take_delivery("worker", [number])
"""


@pytest.mark.postgres
def test_a_migration_takes_longer_than_a_request_may(postgres_url: str) -> None:
    database = Database(postgres_url, patience_s=0.5)
    migrate(database, "0012")
    with database.writing() as session:
        database.unhurried(session)
        session.execute(text(MANY_TICKETS))
        session.execute(
            text(
                "CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS "
                "'BEGIN PERFORM pg_sleep(0.8); RETURN NULL; END'"
            )
        )
        session.execute(
            text("CREATE TRIGGER slow AFTER UPDATE ON decisions FOR EACH STATEMENT EXECUTE FUNCTION slow()")
        )
    began = time.monotonic()
    assert migrate(database) == newest_revision() and time.monotonic() - began > 0.8
    with database.engine.connect() as connection:
        assert INDEX in {index["name"] for index in inspect(connection).get_indexes("tickets")}
    database.close()


@pytest.mark.postgres
def test_an_index_that_cannot_be_made_for_another_reason_than_missing_means_stops_the_migration(
    postgres_url: str,
) -> None:
    database = Database(postgres_url)
    migrate(database, "0012")
    with database.writing() as session:
        session.execute(text(f"CREATE TABLE {INDEX} (x int)"))
    with pytest.raises(DBAPIError, match=INDEX):
        migrate(database)
    assert revision_of(database) == "0012"
    database.close()


def test_workers_that_start_together_on_a_fresh_store_all_start(store_url: str, open_store: Make) -> None:
    def start(number: int) -> subprocess.Popen[str]:
        command = [sys.executable, "-P", "-c", START, str(number), store_url]
        return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    workers = [start(number) for number in range(4)]
    for worker in workers:
        assert worker.stdout is not None and worker.stdout.readline() == "ready\n"
    for worker in workers:
        assert worker.stdin is not None
        worker.stdin.write("\n")
        worker.stdin.flush()
    for worker in workers:
        worker.communicate(timeout=60)
    assert [worker.returncode for worker in workers] == [0] * 4
    repository = open_store()
    assert all(repository.has_delivery("worker", str(number)) for number in range(4))


def test_sqlite_writes_ahead_fully_synchronised_and_privately(tmp_path: Path) -> None:
    repository = open_repository(tmp_path)
    with repository.database.reading() as session:
        pragmas = [session.scalar(text(f"PRAGMA {name}")) for name in ("journal_mode", "synchronous", "foreign_keys")]
    assert pragmas == ["wal", 2, 1]
    assert (tmp_path / "store.sqlite").stat().st_mode & 0o777 == 0o600
    repository.close()


@pytest.mark.parametrize(
    "url",
    [
        *("mysql://u@h/d", "sqlite://", "sqlite:///:memory:", "not a url", "postgresql+nope:"),
        *("postgresql://u@h:hunter2/d", "postgresql://u:hunter2@[::1/d", "sqlite:///f?timeout=hunter2"),
    ],
)
def test_a_url_that_names_no_store_is_refused_and_not_repeated(url: str) -> None:
    with pytest.raises(InvalidRequest) as refusal:
        Database(url)
    assert "hunter2" not in str(refusal.value)


def test_a_step_down_puts_the_newest_words_into_the_index(open_store: Callable[..., Repository], decide: Make) -> None:
    repository = open_store()
    decide(repository, "a", "the zanzibar line is down")
    migrate(repository.database, "0015")
    decide(repository, "b", "zanzibar again")
    if repository.database.dialect == "sqlite":
        with repository.database.engine.connect() as connection:
            by_the_index = text("SELECT count(*) FROM ticket_words WHERE ticket_words MATCH 'zanzibar'")
            assert connection.scalar(by_the_index) == 2
    migrate(repository.database)
    decide(repository, "c", "zanzibar once more")
    assert len(repository.lines(Filter(words="zanzibar"))) == 3


def test_what_was_forgotten_before_its_ids_were_kept_is_noted_and_leaves_the_events(
    open_store: Callable[..., Repository], decide: Make
) -> None:
    repository = open_store()
    decide(repository, "T-1")
    decide(repository, "T-2")
    for ticket in ("T-1", "T-2"):
        event = Event("e-1", EventKind.STATUS, datetime.now(UTC), status="zanzibar", tier="L2")
        route = Route("L2", None, None, event.at, Mover.PERSON, because="zanzibar", event_id="e-1")
        repository.add_event(ticket, event, Outcome(route))
    migrate(repository.database, "0017")
    with repository.database.writing() as session:
        moment = {"now": datetime.now(UTC)}
        session.execute(text("UPDATE tickets SET forgotten_at = :now WHERE ticket_id = 'T-1'"), moment)
    migrate(repository.database)
    with repository.database.reading() as session:
        assert session.execute(text("SELECT source, ticket_id FROM forgotten")).all() == [("api", "T-1")]
    words = {one: str(repository.thread(one).events) for one in ("T-1", "T-2")}
    assert "zanzibar" not in words["T-1"] and words["T-2"].count("zanzibar") == 2
    assert repository.thread("T-1").events[0][0].tier == "L2"


def test_a_step_down_leaves_out_what_versions_before_cannot_read(
    open_store: Callable[..., Repository], decide: Make
) -> None:
    repository = open_store()
    decide(repository, "T-1")
    event = Event("e-1", EventKind.COMMENT, datetime.now(UTC), text="on fire", attention=(("safety", "on fire"),))
    route = Route("L3", None, None, event.at, Mover.MACHINE, automatic=True, event_id="e-1", wholly=True)
    repository.add_event("T-1", event, Outcome(route))
    migrate(repository.database, "0018")
    with repository.database.reading() as session:
        [(kept, moved)] = session.execute(text("SELECT event, route FROM ticket_events")).all()
    assert "on fire" in kept and '"attention"' not in kept and '"wholly"' not in moved
    migrate(repository.database)
    [(read, _)] = repository.thread("T-1").events
    assert (read.text, read.attention) == ("on fire", ())


def test_no_update_gets_the_number_of_one_that_is_gone_before_or_after_a_step(
    open_store: Callable[..., Repository],
) -> None:
    repository = open_store()

    def told(tier: str) -> int:
        repository.take_delivery("rt", [tier], [PendingUpdate("rt", "7", "d", {"tier": tier})])
        [row] = repository.updates(PENDING)
        return row.seq

    first = told("L1")
    migrate(repository.database, "0020")
    migrate(repository.database)
    assert repository.updates(PENDING)[0].seq == first
    numbers = [told("L2"), told("L3")]
    assert first < numbers[0] < numbers[1]
    assert not repository.acknowledge_update(numbers[0])
    assert [row.payload["tier"] for row in repository.updates(PENDING)] == ["L3"]


def test_what_came_after_all_was_removed_is_told_from_what_was_there(repository: Repository, decide: Make) -> None:
    """Numbers of SQLite begin anew where no row is left."""

    def marks() -> tuple[object, ...]:
        decision = decide(repository)
        repository.feedback(decision, Statement("accepted", "kim"))
        event = Event("e-1", EventKind.COMMENT, datetime.now(UTC), text="still")
        repository.add_event("T-1", event, Outcome(None))
        newest, said, happened, *_ = repository.queue_state()
        return repository.erasures()[1], repository.reviews_state()[0], newest, said, happened

    before = marks()
    repository.expire(timedelta(0))
    assert not set(before) & set(marks())
