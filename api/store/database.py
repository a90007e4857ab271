"""The way into the database: connections, transactions, and the translation of what can go wrong with them."""

from __future__ import annotations

import errno
import os
import sqlite3
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

from sqlalchemy import Column, Connection, CursorResult, Dialect, Engine, Insert, Select, create_engine, event, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.orm import Session

from triage.errors import InvalidRequest, StoreUnavailable

PATIENCE_S = 5.0
"""How long a transaction waits for its turn before the store counts as locked."""
_ALONE_PATIENCE_S = 30.0
"""How long whoever replaces the whole store waits for those who write, in seconds: they are told to wait meanwhile."""
_GATE = 7_215_063_185
"""Lock of PostgreSQL that every writer shares, and that whoever replaces the whole store has alone.

It is taken before any row or table: nobody has written half of something then, and no two wait for each other.
"""

_LIMITS = ("statement_timeout", "idle_in_transaction_session_timeout")
"""How PostgreSQL is told what a request may take of it; what changes whole tables takes longer."""
_ENTER = text("SELECT set_config('lock_timeout', :ms, true), pg_advisory_xact_lock_shared(:gate)")
_FULL = ("SQLITE_FULL", "SQLITE_IOERR_WRITE", "SQLITE_IOERR_FSYNC", "SQLITE_IOERR_SHMSIZE", "53100", "53200")
_LOCKED = ("SQLITE_BUSY", "SQLITE_LOCKED", "55P03", "57014", "40001", "40P01", "533")
_AWAY = (
    *("SQLITE_IOERR", "SQLITE_READONLY", "SQLITE_CANTOPEN", "SQLITE_CORRUPT", "SQLITE_NOTADB"),
    *("57P", "08", "25006", "28", "3D", "3F", "42P01", "42501"),
)
"""Beginnings of the names that SQLite, and of the codes that PostgreSQL, gives to what can go wrong."""


class Database:
    """An engine with this project's manners: immediate write transactions, bounded patience, errors that help.

    On SQLite every connection keeps foreign keys, full synchronisation and secure deletion switched on, and the threads
    of one process queue for the write transaction instead of polling for it.

    Args:
        url: ``sqlite:///FILE`` or ``postgresql://…``.
        patience_s: How long a transaction may wait for its turn.

    Raises:
        InvalidRequest: The URL names neither.
    """

    def __init__(self, url: str, patience_s: float = PATIENCE_S) -> None:
        self.url = parse_url(url)
        self.patience_s = patience_s
        self.dialect: Literal["sqlite", "postgresql"] = (
            "sqlite" if self.url.get_backend_name() == "sqlite" else "postgresql"
        )
        self.engine = _sqlite(self.url) if self.dialect == "sqlite" else _postgres(self.url, patience_s)
        self._turn = threading.Lock()

    @property
    def file(self) -> Path | None:
        """The database file, or None where there is no file."""
        return _file_of(self.url)

    @contextmanager
    def reading(self) -> Iterator[Session]:
        """Open a session that reads one consistent state.

        Raises:
            StoreUnavailable: The store does not answer in time.
        """
        with (
            self.translating(),
            self.engine.connect() as connection,
            Session(connection, expire_on_commit=False) as session,
        ):
            yield session

    @contextmanager
    def writing(self, patience_s: float | None = None) -> Iterator[Session]:
        """Open a session whose changes are on disk when the block is left, or not made at all.

        Args:
            patience_s: How long to wait for the turn to write; the database's own patience where not given.

        Raises:
            StoreUnavailable: The store does not take the changes; none of them is made.
        """
        patience_s = self.patience_s if patience_s is None else patience_s
        with self.translating(), self._my_turn(patience_s) as left_s, self.engine.connect() as connection:
            connection = connection.execution_options(triage_writes=True, triage_patience_s=left_s)
            with connection.begin(), Session(connection, expire_on_commit=False) as session:
                if self.dialect == "postgresql":
                    session.execute(_ENTER, {"ms": str(max(1, int(left_s * 1000))), "gate": _GATE})
                yield session
                session.flush()

    @contextmanager
    def alone(self, tables: Sequence[str]) -> Iterator[Connection]:
        """Open a transaction beside which nobody else writes, however long it takes; readers see what was before.

        Args:
            tables: All that the store has, which PostgreSQL keeps from other writers too, such as `psql`.

        Raises:
            StoreUnavailable: Somebody else writes for too long, or the store fails; nothing was changed.
        """
        with (
            self.translating(),
            self._my_turn(_ALONE_PATIENCE_S) as left_s,
            self.engine.connect() as connection,
        ):
            connection = connection.execution_options(triage_writes=True, triage_patience_s=left_s)
            with connection.begin():
                self.unhurried(connection)
                if self.dialect == "postgresql":
                    connection.execute(text(f"SET LOCAL lock_timeout = {int(left_s * 1000)}"))
                    connection.execute(text("SELECT pg_advisory_xact_lock(:gate)"), {"gate": _GATE})
                    connection.execute(text(f"LOCK TABLE {', '.join(sorted(tables))} IN EXCLUSIVE MODE"))
                yield connection

    def unhurried(self, transaction: Connection | Session) -> None:
        """Let a transaction take as long as it takes, since it reads or writes whole tables; SQLite sets no limit."""
        if self.dialect == "postgresql":
            for name in _LIMITS:
                transaction.execute(text(f"SET LOCAL {name} = 0"))

    @contextmanager
    def outside_transactions(self) -> Iterator[Connection]:
        """Open a connection for statements that stand in no transaction, such as VACUUM, and take what they take.

        Raises:
            StoreUnavailable: The store does not answer, or somebody holds what is asked for.
        """
        with self.translating(), self.engine.connect() as connection:
            quiet = connection.execution_options(isolation_level="AUTOCOMMIT")
            quiet.detach()  # what is set for it must not hold for whoever has it next
            for name in _LIMITS if self.dialect == "postgresql" else ():
                quiet.execute(text(f"SET {name} = 0"))
            yield quiet

    def serialise(self, session: Session, *names: str) -> None:
        """Let only one transaction at a time past this point for each of the names; SQLite has one writer anyway."""
        if self.dialect == "postgresql":
            for name in sorted(set(names)):
                session.execute(text("SELECT pg_advisory_xact_lock(hashtextextended(:name, 0))"), {"name": name})

    def ping(self) -> None:
        """Ask the store for one row, so that a readiness probe knows whether it answers.

        Raises:
            StoreUnavailable: It does not.
        """
        with self.reading() as session:
            session.execute(text("SELECT 1"))

    def is_sound(self) -> bool:
        """Say whether the database finds no damage in itself; PostgreSQL looks after that on its own."""
        with self.reading() as session:
            return self.dialect == "postgresql" or session.scalar(text("PRAGMA integrity_check")) == "ok"

    def close(self) -> None:
        """Close all connections."""
        self.engine.dispose()

    @contextmanager
    def _my_turn(self, patience_s: float) -> Iterator[float]:
        if self.dialect != "sqlite":
            yield patience_s
            return
        start = time.monotonic()
        if not self._turn.acquire(timeout=patience_s):
            raise StoreUnavailable(
                "locked", f"the store is locked: no turn to write within {patience_s:g} s; try again"
            )
        try:
            yield max(0.05, patience_s - (time.monotonic() - start))
        finally:
            self._turn.release()

    @contextmanager
    def translating(self) -> Iterator[None]:
        """Turn a driver's errors inside the block into `StoreUnavailable`."""
        try:
            yield
        except PoolTimeout as error:
            raise StoreUnavailable("locked", "the store is busy: no free connection in time; try again") from error
        except (DBAPIError, sqlite3.Error) as error:
            raise unavailable(error) from error


class Prepared:
    """A statement that is turned into SQL once for each sort of database: to do so takes longer than to run it.

    Args:
        statement: An insert, or a query with named parameters.
        names: What is stated each time it runs: columns of an insert, parameters of a query.
        number: Column of the running number that an insert gives; None where nobody asks for it.
    """

    def __init__(
        self, statement: Insert | Select[Any], names: Sequence[str], number: Column[int] | None = None
    ) -> None:
        self._statement, self._names, self._number = statement, list(names), number
        self._ready: dict[str, tuple[str, Sequence[str] | None, dict[str, Any]]] = {}

    def run(self, connection: Connection, values: Mapping[str, Any]) -> CursorResult[Any]:
        """Run the statement with these values.

        Args:
            connection: In a transaction.
            values: One for each name.
        """
        sql, order, converters = self._ready.get(connection.dialect.name) or self._prepare(connection.dialect)
        bound = {**values, **{name: convert(values[name]) for name, convert in converters.items()}}
        return connection.exec_driver_sql(sql, bound if order is None else tuple(bound[name] for name in order))

    def number_of(self, connection: Connection, values: Mapping[str, Any]) -> int:
        """Insert a row, and return its running number."""
        result = self.run(connection, values)
        return int(result.lastrowid if connection.dialect.name == "sqlite" else result.scalar_one())

    def _prepare(self, dialect: Dialect) -> tuple[str, Sequence[str] | None, dict[str, Any]]:
        statement, is_insert = self._statement, isinstance(self._statement, Insert)
        if isinstance(statement, Insert) and self._number is not None and dialect.name != "sqlite":
            statement = statement.returning(self._number)  # SQLite tells it anyway, and takes twice as long if asked
        compiled: Any = statement.compile(dialect=dialect, column_keys=self._names if is_insert else None)
        converters = {
            name: convert
            for name, bind in compiled.binds.items()
            if (convert := bind.type.dialect_impl(dialect).bind_processor(dialect)) is not None
        }
        self._ready[dialect.name] = str(compiled), compiled.positiontup, converters
        return self._ready[dialect.name]


def parse_url(url: str) -> URL:
    """Read a store's URL; ``postgresql://`` and ``postgres://`` mean psycopg 3.

    Raises:
        InvalidRequest: It is no URL, or names a database that is not supported.
    """
    try:
        if "\0" in url:
            raise ValueError("no file and no password has a NUL in it")
        parsed = make_url(url)
    except (ArgumentError, ValueError) as error:  # of a port that is no number, which may be half of a password
        raise InvalidRequest(
            "the store's URL cannot be read: it must be sqlite:///FILE or postgresql://USER@HOST/NAME; "
            "set TRIAGE_STORE_URL"
        ) from error
    backend = parsed.drivername.split("+")[0]
    if backend in ("postgresql", "postgres"):
        return parsed.set(drivername="postgresql+psycopg")
    if backend == "sqlite" and parsed.database not in (None, "", ":memory:") and not parsed.query:
        return parsed.set(drivername="sqlite+pysqlite")
    raise InvalidRequest(
        f"no store for {backend!r}: it must be sqlite:///FILE or postgresql://USER@HOST/NAME; set TRIAGE_STORE_URL"
    )


def file_of(url: str) -> Path | None:
    """Return the file of a store, which need not be there, or None where there is no file.

    Raises:
        InvalidRequest: The URL names no store.

    Example:
        >>> file_of("sqlite:////srv/store.sqlite").name
        'store.sqlite'
    """
    return _file_of(parse_url(url))


def _file_of(url: URL) -> Path | None:
    return Path(str(url.database)) if url.get_backend_name() == "sqlite" else None


def file_url(file: Path) -> str:
    """Return the URL of a store in a file, whatever characters its path has.

    Example:
        >>> file_url(Path("/srv/100%?.sqlite"))
        'sqlite:////srv/100%25%3F.sqlite'
    """
    return URL.create("sqlite", database=str(file)).render_as_string(hide_password=False)


def unavailable(error: Exception) -> Exception:
    """Translate a driver's error into `StoreUnavailable`, or give it back where it is a fault of this code."""
    cause = error.orig if isinstance(error, DBAPIError) else error
    state = str(getattr(cause, "sqlite_errorname", None) or getattr(cause, "sqlstate", None) or "")
    if state.startswith(_FULL):
        return StoreUnavailable("full", "the store is full: the disk takes no more rows; free some space")
    if state.startswith(_LOCKED):
        return StoreUnavailable("locked", "the store is locked: another writer holds it; try again")
    unreached = not state and type(cause).__name__ in ("OperationalError", "InterfaceError", "ConnectionTimeout")
    gone = isinstance(error, DBAPIError) and error.connection_invalidated
    if state.startswith(_AWAY) or unreached or gone or "no such table" in str(cause):
        evidence = f"{type(cause).__name__} {state}".strip()
        return StoreUnavailable(
            "unreachable", f"the store does not answer: {evidence}; see that it runs and is writable"
        )
    return error


def _sqlite(url: URL) -> Engine:
    _make_private(Path(str(url.database)))
    engine = create_engine(
        url,
        pool_size=16,
        max_overflow=48,
        pool_timeout=PATIENCE_S,
        connect_args={"timeout": PATIENCE_S},
        hide_parameters=True,  # what people wrote has no place in the message of an error
    )

    @event.listens_for(engine, "connect")
    def _prepare(connection: Any, _record: Any) -> None:
        connection.isolation_level = None  # transactions are begun here, by `_begin`, never by the driver
        for pragma in ("foreign_keys=ON", "synchronous=FULL", "secure_delete=ON", "temp_store=MEMORY"):
            connection.execute(f"PRAGMA {pragma}")
        connection.create_function("lowered", 1, _lowered, deterministic=True)  # SQLite's own knows no accents

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        options = connection.get_execution_options()
        patience_s = options.get("triage_patience_s", PATIENCE_S)
        driver: Any = connection.connection.driver_connection
        driver.execute(f"PRAGMA busy_timeout={int(patience_s * 1000)}")
        driver.execute("BEGIN IMMEDIATE" if options.get("triage_writes") else "BEGIN")

    return engine


def _lowered(text: str | None) -> str | None:
    return text and text.lower()


def _make_private(file: Path) -> None:
    """Make the database file before SQLite does, readable for its owner only: it holds what people wrote.

    One that is there is not opened: to close it would take away the locks of all connections of this process to it, and
    another process could then take itself for the last one and remove the log that these still write to.
    """
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        if not file.exists():
            os.close(os.open(file, os.O_CREAT | os.O_WRONLY, 0o600))
        elif not os.access(file, os.W_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    except OSError as error:
        raise StoreUnavailable(
            "unreachable",
            f"the store cannot be written: {file}: {error.strerror}; see who owns it and whether the disk is full",
        ) from error


def _postgres(url: URL, patience_s: float) -> Engine:
    milliseconds = int(patience_s * 1000)
    limits = {"statement_timeout": milliseconds * 2, "lock_timeout": milliseconds}
    limits["idle_in_transaction_session_timeout"] = 60_000
    said = {"timezone": "UTC", **limits}
    options = " ".join(f"-c {name}={value}" for name, value in said.items())
    query = dict(url.query)
    query["options"] = f"{query.get('options', '')} {options}".strip()
    manners = {
        "connect_timeout": 3,
        "tcp_user_timeout": milliseconds,
        "keepalives_idle": 30,
        "application_name": "triage",
    }
    try:
        return create_engine(
            url.set(query=query),
            pool_size=16,
            max_overflow=16,
            pool_timeout=patience_s,
            pool_recycle=1800,
            pool_pre_ping=True,
            connect_args=manners,
            hide_parameters=True,
        )
    except (ModuleNotFoundError, NoSuchModuleError) as error:
        raise InvalidRequest(
            "psycopg is not installed: a PostgreSQL store needs it; pip install 'helpdesk-triage[postgres]'"
        ) from error
    except SQLAlchemyError as error:
        raise InvalidRequest(
            "the store's URL cannot be used: PostgreSQL does not know it; set TRIAGE_STORE_URL"
        ) from error
