"""Backups that are taken and restored while others write: every decision that was acknowledged is kept somewhere."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import delete, select, text

from api.maintenance.backup import back_up, restore
from api.store.feedback import Statement
from api.store.repository import Repository, open_repository
from api.store.tables import StoredDecision, StoredTicket
from triage.errors import InvalidRequest, StoreUnavailable

Make = Callable[..., Any]
BACKED_UP = 150
CANARY = "canary-7f3a91"
LARGE = "the printer on the third floor is jammed again " * 40


@contextmanager
def writers(stores: list[Repository], new: Make, mark: str = "") -> Iterator[list[str]]:
    """Have two tickets at a time recorded on each store, without a pause, and yield the ids that were acknowledged.

    As the service does, what the store does not take is kept and tried again; any other error is one of the test.
    """
    acknowledged: list[str] = []
    is_over = False
    numbers = count()

    def write(store: Repository) -> None:
        while not is_over:
            number = next(numbers)
            pair = [new(f"{side}-{mark}{number}", LARGE) for side in ("left", "right")]
            while True:
                try:
                    acknowledged.extend(row.id for row in store.record(pair, patience_s=1.0))
                    break
                except StoreUnavailable as error:
                    assert error.code == "locked"
                    time.sleep(0.05)

    with ThreadPoolExecutor(len(stores)) as crowd:
        running = [crowd.submit(write, store) for store in stores]
        try:
            yield acknowledged
        finally:
            is_over = True
        for one in running:
            one.result()


def wait_for_more(acknowledged: list[str], more: int = 30) -> None:
    wanted, deadline = len(acknowledged) + more, time.monotonic() + 60
    while len(acknowledged) < wanted:
        assert time.monotonic() < deadline, "nobody writes any more"
        time.sleep(0.01)


def ids_in(store: Repository) -> set[str]:
    with store.database.reading() as session:
        return set(session.scalars(select(StoredDecision.id)))


def ids_in_file(file: Path) -> set[str]:
    with sqlite3.connect(f"file:{file}?mode=ro", uri=True) as connection:
        return {row[0] for row in connection.execute("SELECT id FROM decisions")}


@pytest.fixture
def typed(store_url: str, tmp_path: Path) -> Callable[[Path], subprocess.CompletedProcess[str]]:
    """Run `triage store restore` as a process of its own, with its temporary files in a folder of the test."""
    (tmp_path / "temporary").mkdir()
    ours = {"TRIAGE_HOME": str(tmp_path / "home"), "TRIAGE_STORE_URL": store_url, "TMPDIR": str(tmp_path / "temporary")}

    def run(file: Path) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-P", "-m", "triage", "store", "restore", str(file), "--json"]
        return subprocess.run(command, env={**os.environ, **ours}, capture_output=True, text=True, check=False)

    return run


@pytest.fixture
def on_the_command_line(
    typed: Callable[[Path], subprocess.CompletedProcess[str]],
) -> Callable[[Path], dict[str, Any]]:
    """Restore a backup by a process of its own, and return what it says."""

    def run(file: Path) -> dict[str, Any]:
        done = typed(file)
        assert done.returncode == 0, done.stderr
        document: dict[str, Any] = json.loads(done.stdout)
        return document

    return run


def test_what_is_acknowledged_while_a_backup_is_restored_is_in_the_store_or_in_the_copy(
    open_store: Make, new: Make, on_the_command_line: Callable[[Path], dict[str, Any]], tmp_path: Path
) -> None:
    stores = [open_store(), open_store()]
    backed_up = {row.id for number in range(BACKED_UP) for row in stores[0].record([new(f"T-{number}")])}
    rows = back_up(stores[0].database, tmp_path / "backup.sqlite")
    kept: set[str] = set()
    with writers(stores * 2, new) as acknowledged:
        for _ in range(3):
            wait_for_more(acknowledged)
            done = on_the_command_line(tmp_path / "backup.sqlite")
            assert done["rows"] == rows | {"sessions": 0} and rows["decisions"] == BACKED_UP
            kept |= ids_in_file(Path(done["kept"]))
        wait_for_more(acknowledged)
    assert backed_up <= ids_in(stores[0])
    assert not set(acknowledged) - ids_in(stores[0]) - kept


def test_a_backup_is_restored_into_an_emptied_store_while_others_write(
    open_store: Make, new: Make, on_the_command_line: Callable[[Path], dict[str, Any]], tmp_path: Path
) -> None:
    stores = [open_store(), open_store()]
    backed_up = {row.id for number in range(BACKED_UP) for row in stores[0].record([new(f"T-{number}")])}
    back_up(stores[0].database, tmp_path / "backup.sqlite")
    with stores[0].database.writing() as session:
        session.execute(delete(StoredTicket))
        if stores[0].database.dialect == "postgresql":
            session.execute(text("SELECT setval(pg_get_serial_sequence('tickets', 'seq'), 1)"))
            session.execute(text("SELECT setval(pg_get_serial_sequence('decisions', 'seq'), 1)"))
    with writers(stores * 2, new) as acknowledged:
        wait_for_more(acknowledged)
        done = on_the_command_line(tmp_path / "backup.sqlite")
        wait_for_more(acknowledged)
    assert done["rows"]["decisions"] == BACKED_UP and backed_up <= ids_in(stores[0])
    assert not set(acknowledged) - ids_in(stores[0]) - ids_in_file(Path(done["kept"]))


def test_what_cannot_be_kept_is_not_replaced(repository: Repository, decide: Make, tmp_path: Path) -> None:
    decide(repository, "T-1")
    back_up(repository.database, tmp_path / "backup.sqlite")
    before = {decide(repository, f"T-{number}") for number in range(2, 20)} | ids_in(repository)
    (tmp_path / "file").write_text("")
    with pytest.raises(InvalidRequest, match="cannot write the backup"):
        restore(repository.database, tmp_path / "backup.sqlite", keep=tmp_path / "file" / "copy.sqlite")
    assert ids_in(repository) == before and not list(tmp_path.glob(".copy*"))


def test_whoever_remembers_texts_or_reviews_is_told_of_each_restore(
    open_store: Make, decide: Make, tmp_path: Path
) -> None:
    store, other = open_store(), open_store()
    store.feedback(decide(store, "T-1"), Statement("accepted", "kim"))
    back_up(store.database, tmp_path / "backup.sqlite")
    for _ in range(2):
        before = other.erasures(), other.reviews_state()
        restore(store.database, tmp_path / "backup.sqlite", replace=True)
        assert other.erasures() != before[0] and other.reviews_state() != before[1]


@pytest.mark.postgres
def test_numbers_never_go_back(postgres_url: str, decide: Make, tmp_path: Path) -> None:
    repository = open_repository(tmp_path, postgres_url)
    decide(repository, "T-1")
    back_up(repository.database, tmp_path / "backup.sqlite")
    for number in range(2, 20):
        decide(repository, f"T-{number}")
    restore(repository.database, tmp_path / "backup.sqlite", replace=True)
    decide(repository, "T-20")
    with repository.database.reading() as session:
        assert list(session.scalars(select(StoredDecision.seq).order_by(StoredDecision.seq))) == [1, 20]
    repository.close()


def test_another_process_that_ends_leaves_the_log_of_a_store_that_is_opened_twice(tmp_path: Path, decide: Make) -> None:
    stores = [open_repository(tmp_path), open_repository(tmp_path)]
    first = decide(stores[0], "T-1")
    code = "import sqlite3, sys; print(*sqlite3.connect(sys.argv[1]).execute('SELECT id FROM decisions').fetchone())"
    file = str(tmp_path / "store.sqlite")
    done = subprocess.run([sys.executable, "-c", code, file], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == first and Path(f"{file}-wal").exists()
    for store in stores:
        store.close()


def test_a_backup_is_one_state_of_a_store_that_is_written_to(open_store: Make, new: Make, tmp_path: Path) -> None:
    stores = [open_store(), open_store()]
    for number in range(0, 3000, 50):
        stores[0].record([new(f"T-{one}", LARGE) for one in range(number, number + 50)])
    with writers(stores, new) as acknowledged:
        wait_for_more(acknowledged)
        begun, before = time.monotonic(), set(acknowledged)
        counts = back_up(stores[0].database, tmp_path / "backup.sqlite")
        took_s = time.monotonic() - begun
    with sqlite3.connect(f"file:{tmp_path / 'backup.sqlite'}?mode=ro", uri=True) as connection:
        ids = [row[0] for row in connection.execute("SELECT ticket_id FROM tickets")]
        assert not connection.execute("PRAGMA foreign_key_check").fetchall()
    sides = [{one.partition("-")[2] for one in ids if one.startswith(side)} for side in ("left", "right")]
    assert sides[0] == sides[1] and before <= ids_in_file(tmp_path / "backup.sqlite")
    assert counts["tickets"] == counts["decisions"] == counts["queue_entries"] == len(ids)
    assert took_s < 20


def test_the_file_about_a_fault_holds_no_word_of_a_ticket(
    open_store: Make, new: Make, typed: Callable[[Path], subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    store, file = open_store(), tmp_path / "backup.sqlite"
    store.record([new("T-1", "fine"), new("T-2", f"{CANARY} was\nfired {CANARY}")])
    back_up(store.database, file)
    with sqlite3.connect(file, isolation_level=None) as connection:  # a row that no store takes
        connection.execute("PRAGMA writable_schema = ON")
        connection.execute("UPDATE sqlite_master SET sql = replace(sql, 'subject TEXT NOT NULL', 'subject TEXT')")
        connection.execute("PRAGMA writable_schema = RESET")
        connection.execute("UPDATE tickets SET subject = NULL WHERE ticket_id = 'T-2'")
    done = typed(file)
    (kept,) = (tmp_path / "temporary").glob("triage-fault-*.txt")
    told = kept.read_text("utf-8")
    assert done.returncode == 2 and str(kept) in done.stderr and len(done.stderr.splitlines()) == 1
    assert "IntegrityError" in told and "INSERT INTO tickets" in told and "backup.py" in told
    assert CANARY not in told + done.stderr and ids_in(store)
