"""A store that is locked, full or away says so in time, and has changed nothing."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event, text

from api.store.database import Database
from api.store.feedback import Statement
from api.store.repository import Repository, open_repository
from triage.errors import StoreUnavailable

Make = Callable[..., Any]
SAID = Statement("accepted", "kim")


@contextmanager
def locked(repository: Repository) -> Iterator[None]:
    """Hold the store as another process would that writes for too long."""
    other = Database(repository.database.url.render_as_string(hide_password=False))
    with other.engine.connect().execution_options(triage_writes=True) as connection, connection.begin():
        if other.dialect == "postgresql":
            connection.execute(text("LOCK TABLE tickets, decisions, feedback, keys IN EXCLUSIVE MODE"))
        yield
    other.close()


def test_a_locked_store_refuses_to_write_in_time_and_still_reads(
    open_store: Callable[..., Repository], decide: Make
) -> None:
    repository = open_store(patience_s=0.3)
    decision = decide(repository)
    with locked(repository):
        start = time.monotonic()
        with pytest.raises(StoreUnavailable) as refusal:
            repository.feedback(decision, SAID)
        assert refusal.value.code == "locked" and time.monotonic() - start < 1.5
        assert repository.decision(decision) is not None
    assert repository.history(decision) == ()
    assert repository.feedback(decision, SAID).verdict == "accepted"


def test_a_crowd_before_a_locked_store_does_not_wait_in_line(
    open_store: Callable[..., Repository], decide: Make
) -> None:
    repository = open_store(patience_s=0.4)
    decision = decide(repository)

    def say(number: int) -> str:
        try:
            return repository.feedback(decision, Statement("unsure", f"agent {number}")).id
        except StoreUnavailable as refusal:
            return refusal.code

    with locked(repository), ThreadPoolExecutor(12) as crowd:
        start = time.monotonic()
        assert set(crowd.map(say, range(12))) == {"locked"}
        assert time.monotonic() - start < 3.0


def test_a_writer_may_state_less_patience(repository: Repository, new: Make) -> None:
    with locked(repository):
        start = time.monotonic()
        with pytest.raises(StoreUnavailable):
            repository.record([new()], patience_s=0.1)
        assert time.monotonic() - start < 1.0


def test_writers_that_only_wait_their_turn_all_get_it(repository: Repository, decide: Make) -> None:
    with ThreadPoolExecutor(16) as crowd:
        ids = set(crowd.map(lambda number: decide(repository, f"T-{number}"), range(64)))
    assert len(ids) == 64


def test_a_full_disk_is_told_apart_and_earlier_rows_are_intact(tmp_path: Path, decide: Make) -> None:
    repository = open_repository(tmp_path)
    first = decide(repository)
    with repository.database.reading() as session:
        pages = session.scalar(text("PRAGMA page_count"))

    @event.listens_for(repository.database.engine, "begin")
    def _fill(connection: Any) -> None:
        connection.exec_driver_sql(f"PRAGMA max_page_count={pages + 1}")

    with pytest.raises(StoreUnavailable) as refusal:
        decide(repository, "T-2", "x" * 20_000)
    assert refusal.value.code == "full"
    event.remove(repository.database.engine, "begin", _fill)
    with repository.database.engine.connect() as connection:
        connection.exec_driver_sql("PRAGMA max_page_count=1000000")
    assert [row.id for row in repository.latest()] == [first]
    repository.close()


def test_a_store_on_a_disk_that_cannot_be_written_is_unreachable(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreUnavailable) as refusal:
        open_repository(tmp_path, f"sqlite:///{tmp_path / 'file' / 'store.sqlite'}")
    assert refusal.value.code == "unreachable"


def test_a_file_that_is_no_database_is_unreachable_and_untouched(tmp_path: Path) -> None:
    path = tmp_path / "store.sqlite"
    path.write_bytes(b"this is no database" * 100)
    with pytest.raises(StoreUnavailable) as refusal:
        open_repository(tmp_path)
    assert refusal.value.code == "unreachable" and path.read_bytes() == b"this is no database" * 100


def test_a_database_server_that_is_not_there_is_unreachable_soon(tmp_path: Path) -> None:
    start = time.monotonic()
    with pytest.raises(StoreUnavailable) as refusal:
        open_repository(tmp_path, "postgresql://127.0.0.1:1/test")
    assert refusal.value.code == "unreachable" and time.monotonic() - start < 10
    assert "127.0.0.1" not in str(refusal.value)


@pytest.mark.postgres
def test_connections_that_the_server_closed_are_replaced(postgres_url: str, tmp_path: Path, decide: Make) -> None:
    repository = open_repository(tmp_path, postgres_url)
    first = decide(repository)
    with repository.database.reading() as session:
        pid = session.scalar(text("SELECT pg_backend_pid()"))
    _terminate(repository, pid)
    assert repository.decision(first) is not None
    with pytest.raises(StoreUnavailable) as refusal, repository.database.writing() as session:
        _terminate(repository, session.scalar(text("SELECT pg_backend_pid()")))
        session.execute(text("SELECT 1"))
    assert refusal.value.code == "unreachable"
    assert repository.decision(first) is not None
    repository.close()


def _terminate(repository: Repository, pid: int) -> None:
    other = Database(repository.database.url.render_as_string(hide_password=False))
    with other.engine.connect() as connection:
        connection.execute(text("SELECT pg_terminate_backend(:pid)"), {"pid": pid})
    other.close()


WRITE = """
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from api.store.feedback import Statement
from api.store.repository import open_repository

home, url, name, *decisions = sys.argv[1:]
repository = open_repository(Path(home), url)

def write(decision):
    for number in range(100_000):
        row = repository.feedback(decision, Statement("unsure", f"{name} {number}"))
        sys.stdout.write(f"{row.id}\\n")
        sys.stdout.flush()

with ThreadPoolExecutor(len(decisions)) as threads:
    list(threads.map(write, decisions))
"""


@pytest.mark.slow
def test_a_writer_that_is_killed_leaves_what_it_was_told_is_there(
    open_store: Callable[..., Repository], store_url: str, decide: Make, tmp_path: Path
) -> None:
    repository = open_store()
    decisions = [decide(repository, f"T-{number}") for number in range(4)]
    for round_number in range(2):
        command = [sys.executable, "-P", "-c", WRITE, str(tmp_path), store_url, f"round {round_number}", *decisions]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as writer:
            assert writer.stdout is not None
            told = [line for _, line in zip(range(60), writer.stdout, strict=False)]
            writer.kill()
            told += writer.stdout.readlines()
        kept = {row.id for decision in decisions for row in repository.history(decision)}
        acknowledged = {line.strip() for line in told if line.endswith("\n")}
        assert len(acknowledged) >= 60 and acknowledged <= kept
        assert repository.database.is_sound()


def test_sqlite_reads_are_not_held_up_by_a_writer(tmp_path: Path, decide: Make) -> None:
    repository = open_repository(tmp_path)
    decision = decide(repository)
    writer = sqlite3.connect(tmp_path / "store.sqlite", isolation_level=None)
    writer.execute("BEGIN EXCLUSIVE")
    start = time.monotonic()
    assert repository.decision(decision) is not None and time.monotonic() - start < 0.5
    writer.close()
    repository.close()
