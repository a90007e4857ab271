"""Bringing a store to the shape that this code expects: once, under a lock, however many workers start together."""

from __future__ import annotations

import fcntl
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import Connection, text

from api.store.database import Database
from api.store.migrations.standing import is_newest, newest_revision, standing
from triage.errors import InvalidRequest, StoreUnavailable

_LOCK_NAME = 7_215_063_184
_WAIT_S = 30.0


def migrate(database: Database, revision: str = "head") -> str | None:
    """Bring the store to a revision, and return the one it has then.

    Workers that start together wait for each other. Everything happens in one transaction: a process that dies in the
    middle leaves the store as it was.

    Args:
        database: The store.
        revision: Where to: ``head``, a revision's name, or ``base`` for an empty database.

    Raises:
        InvalidRequest: The store was written by a newer version, or there is no such revision.
        StoreUnavailable: It cannot be reached, or another process holds it for too long.
    """
    with database.translating(), _alone(database):
        if revision == "head" and is_newest(database):
            return newest_revision()  # nothing to write: neither a lock nor a full disk keeps a service from starting
        if database.dialect == "sqlite":
            _switch_to_wal(database)
        with database.engine.connect() as connection:
            connection = connection.execution_options(triage_writes=True, triage_patience_s=_WAIT_S)
            with connection.begin():
                database.unhurried(connection)
                _go(connection, revision)
                return standing(connection)


def _go(connection: Connection, revision: str) -> None:
    here, known = standing(connection), {script.revision for script in _scripts().walk_revisions()}
    if here is not None and here not in known:
        raise InvalidRequest(
            f"the store has revision {here!r}: a newer version wrote it; install that version, or run with it "
            f"triage store migrate {newest_revision()}, which brings the store to what this version knows, or restore "
            "a backup"
        )
    config = _config()
    config.attributes["connection"] = connection
    try:
        if revision == "head" or (revision != "base" and not _is_behind(here, revision)):
            command.upgrade(config, revision)
        else:
            command.downgrade(config, revision)
    except CommandError as error:
        raise InvalidRequest(
            f"no revision {revision!r} of the store: known are {', '.join(sorted(known))}; name one of them"
        ) from error


def _is_behind(here: str | None, revision: str) -> bool:
    """Say whether a revision lies before the one that the store has."""
    if here is None:
        return False
    return revision in {script.revision for script in _scripts().iterate_revisions(here, "base")}


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", "api.store:migrations")
    config.set_main_option("path_separator", "os")
    return config


def _scripts() -> ScriptDirectory:
    return ScriptDirectory.from_config(_config())


@contextmanager
def _alone(database: Database) -> Iterator[None]:
    if database.file is not None:
        with open(database.file.with_name(database.file.name + ".lock"), "a") as lock:
            _wait_for(lambda: _flocked(lock.fileno()))
            yield
        return
    with database.engine.connect() as connection:
        connection = connection.execution_options(isolation_level="AUTOCOMMIT")
        _wait_for(lambda: bool(connection.scalar(text("SELECT pg_try_advisory_lock(:name)"), {"name": _LOCK_NAME})))
        try:
            yield
        finally:
            connection.execute(text("SELECT pg_advisory_unlock(:name)"), {"name": _LOCK_NAME})


def _flocked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _wait_for(taken: Callable[[], bool]) -> None:
    deadline = time.monotonic() + _WAIT_S
    while not taken():
        if time.monotonic() > deadline:
            raise StoreUnavailable(
                "locked", f"the store is being migrated by another process for over {_WAIT_S:g} s; see what holds it"
            )
        time.sleep(0.05)


def _switch_to_wal(database: Database) -> None:
    """Switch the file to write-ahead logging, here and nowhere else: SQLite may say "locked" at once to this."""
    deadline = time.monotonic() + _WAIT_S
    while True:
        connection = database.engine.raw_connection()
        try:
            mode = connection.cursor().execute("PRAGMA journal_mode=WAL").fetchone()[0]
            if str(mode).lower() == "wal":
                return
        except Exception as error:  # the raw driver's own errors: only a lock is worth waiting for
            if "locked" not in str(error) or time.monotonic() > deadline:
                raise
        finally:
            connection.close()
        if time.monotonic() > deadline:
            raise StoreUnavailable(
                "unreachable",
                "the store cannot use write-ahead logging: its file system has no shared memory; use a local disk",
            )
        time.sleep(0.05)
