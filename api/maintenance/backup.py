"""Backups: one SQLite file, whatever the store is, taken while the service runs and restored in one transaction."""

from __future__ import annotations

import os
import sqlite3
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from sqlalchemy import Connection, func, insert, select, text
from sqlalchemy.orm import Session

from api.maintenance.since_backup import Kept, bring_back, since_backup
from api.store.database import Database, file_url
from api.store.erasure import RESTORED
from api.store.migrations.migrate import migrate
from api.store.rows import new_id
from api.store.tables import Base, StoredPosition
from triage.errors import InvalidRequest

_CHUNK = 1000


class Restored(NamedTuple):
    """What a store has after a restore: how many rows each table has, and what stayed as it was in it."""

    rows: dict[str, int]
    kept: Kept


def back_up(database: Database, target: Path) -> dict[str, int]:
    """Write everything in the store to a new file, and return how many rows of each table it has.

    Args:
        database: The store; it may be in use.
        target: The file to make, readable for its owner only; it appears whole or not at all.

    Raises:
        InvalidRequest: The file is there already, or cannot be written.
        StoreUnavailable: The store does not answer.
    """
    return _written(target, lambda draft: _copy(database, draft))


def restore(
    database: Database, backup: Path, *, replace: bool = False, keep: Path | None = None, room: Path | None = None
) -> Restored:
    """Put a backup's rows in place of the store's, in one transaction, and say what is there then.

    Nobody else writes meanwhile: what was committed before is replaced, and in the file to `keep` where one is named;
    what comes later finds the backup's rows. What was revoked or forgotten since the backup stays revoked and
    forgotten, accounts stay as they are, and nobody is told twice of what was sent (`since_backup`). Whoever shares the
    store is told by `RESTORED` that what it remembers is out of date.

    Args:
        database: The store; it may be in use, by a service of this version.
        backup: A file that `back_up` wrote, by this version or an older one.
        replace: Whether rows that the store has now may be given up.
        keep: Where to write what the store has now, as `back_up` does; no file is made of a store without a row.
        room: Directory with room for a copy of the backup for as long as this takes; None takes that of temporary
            files, which in a container may be small.

    Raises:
        InvalidRequest: The file is no backup, is damaged, the store is not empty and neither `replace` nor `keep` is
            given, or what it has cannot be kept.
        StoreUnavailable: The store is as it was.
    """
    check(backup)
    migrate(database)
    with (
        _opened_copy(backup, room) as source,
        source.engine.connect() as old,
        database.alone(list(Base.metadata.tables)) as new,
    ):
        if any(_count(new, name) for name in Base.metadata.tables):
            if keep is not None:
                _written(keep, lambda draft: _copy(database, draft, within=new))
            elif not replace:
                raise InvalidRequest(
                    "the store is not empty: restoring replaces all of it; add --replace if that is meant"
                )
        kept = _pour_all(old, new)
        _go_on_counting(database, new)
        counts = {name: _count(new, name) for name in sorted(Base.metadata.tables)}
        _tell(new)
        return Restored(counts, kept)


def _tell(connection: Connection) -> None:
    """Let whoever shares the store know that a backup was restored: a row that was not in the backup."""
    with Session(connection) as session:
        source, name = RESTORED
        session.merge(StoredPosition(source=source, name=name, value=new_id(), updated_at=datetime.now(UTC)))
        session.flush()


def _pour_all(old: Connection, new: Connection) -> Kept:
    """Put all rows of a backup in place of those of the store, but for what no backup can take back."""
    since = since_backup(new, old)
    for table in reversed(Base.metadata.sorted_tables):
        new.execute(table.delete())
    for table in Base.metadata.sorted_tables:
        if table.name != "sessions":  # whoever was signed in then signs in again
            _pour(old, new, table)
    return bring_back(new, since)


def check(file: Path) -> dict[str, int]:
    """Read a whole backup, and return how many rows of each table it has.

    Raises:
        InvalidRequest: It is missing, damaged, or no backup.
    """
    if not file.is_file():
        raise InvalidRequest(f"{file} is not there: name a file that triage store backup wrote")
    try:
        connection = _opened_to_read(file)
        try:
            verdict = connection.execute("PRAGMA integrity_check").fetchone()[0]
            names = [row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type='table'")]
            counts = {
                name: connection.execute(f'SELECT count(*) FROM "{name}"').fetchone()[0]
                for name in sorted(names)
                if name in Base.metadata.tables
            }
        finally:
            connection.close()
    except sqlite3.Error as error:
        raise InvalidRequest(
            f"{file} is no backup of a store: {error}; name a file that triage store backup wrote"
        ) from error
    if verdict != "ok" or "alembic_version" not in names:
        raise InvalidRequest(f"{file} is damaged or no backup of a store: its integrity check fails; use another one")
    return counts


def _opened_to_read(file: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"{file.resolve().as_uri()}?mode=ro", uri=True)


def _written(target: Path, copy: Callable[[Path], None]) -> dict[str, int]:
    """Have a copy of the store written to a new file, which appears whole or not at all, and count its rows."""
    if target.exists():
        raise InvalidRequest(f"{target} is there already: a backup never overwrites one; choose another name")
    draft = target.with_name(f".{target.name}.draft")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        draft.unlink(missing_ok=True)
        os.close(os.open(draft, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
        copy(draft)
        counts = check(draft)
        _sync(draft)
        os.replace(draft, target)
        _sync(target.parent)
        return counts
    except OSError as error:
        raise InvalidRequest(f"cannot write the backup {target}: {error.strerror}; choose another place") from error
    finally:
        for leftover in (draft, *draft.parent.glob(f"{draft.name}-*"), draft.with_name(f"{draft.name}.lock")):
            with suppress(OSError):  # where nothing could be made, nothing is left over
                leftover.unlink()


def _sync(path: Path) -> None:
    """Wait until a file, or the names in a directory, are on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _copy(database: Database, draft: Path, within: Connection | None = None) -> None:
    """Copy one state of the store: that which a transaction beside which nobody writes has found, where one is given.

    SQLite is read by another connection all the same: it copies nothing by one that has begun to write.
    """
    with database.translating():
        if database.dialect == "sqlite":
            _copy_file(database, draft)
        elif within is not None:
            _copy_rows(within, draft)
        else:
            with database.engine.connect() as connection:
                connection = connection.execution_options(isolation_level="REPEATABLE READ")
                database.unhurried(connection)
                _copy_rows(connection, draft)


def _copy_file(database: Database, draft: Path) -> None:
    connection = database.engine.raw_connection()
    target = sqlite3.connect(draft)
    try:
        # All pages in one step: between two steps others would write, and the copy would begin anew each time.
        connection.driver_connection.backup(target)  # type: ignore[union-attr]
        target.execute("PRAGMA journal_mode=DELETE")
    finally:
        target.close()
        connection.close()


def _copy_rows(old: Connection, draft: Path) -> None:
    target = Database(file_url(draft))
    try:
        migrate(target)
        with target.engine.connect() as new, new.execution_options(triage_writes=True).begin():
            for table in Base.metadata.sorted_tables:
                _pour(old, new, table)
        with target.engine.connect() as connection:
            connection.connection.driver_connection.execute("PRAGMA journal_mode=DELETE")  # type: ignore[union-attr]
    finally:
        target.close()


@contextmanager
def _opened_copy(backup: Path, room: Path | None) -> Iterator[Database]:
    """Open a copy of a backup, brought to this version's shape; the backup itself is never changed."""
    if room is not None:
        room.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".triage-restore-", dir=room) as folder:
        copy = Path(folder) / "store.sqlite"
        source, target = _opened_to_read(backup), sqlite3.connect(copy)
        try:
            source.backup(target)
        finally:
            source.close()
            target.close()
        database = Database(file_url(copy))
        try:
            migrate(database)
            yield database
        finally:
            database.close()


def _pour(old: Connection, new: Connection, table: Any) -> None:
    result = old.execute(select(table).execution_options(yield_per=_CHUNK))
    for rows in result.mappings().partitions(_CHUNK):
        new.execute(insert(table), [dict(row) for row in rows])


def _count(connection: Connection, name: str) -> int:
    return int(connection.scalar(select(func.count()).select_from(Base.metadata.tables[name])) or 0)


def _go_on_counting(database: Database, connection: Connection) -> None:
    """Let PostgreSQL's running numbers go on after the restored ones; SQLite looks at the rows.

    They never go back: a transaction that fails after this would not take that back.
    """
    if database.dialect == "postgresql":
        for name, column in _numbered():
            counter = f"pg_get_serial_sequence('{name}', '{column}')"
            so_far = f"pg_sequence_last_value(CAST({counter} AS regclass))"
            last = f"GREATEST((SELECT max({column}) FROM {name}), {so_far}, 1)"
            connection.execute(text(f"SELECT setval({counter}, {last}) WHERE {counter} IS NOT NULL"))


def _numbered() -> Iterator[tuple[str, str]]:
    """Name every column that the database itself counts, with its table: whole numbers that identify a row."""
    for table in Base.metadata.sorted_tables:
        counted = table.autoincrement_column
        if counted is not None:
            yield table.name, counted.name
