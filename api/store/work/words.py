"""Words of tickets, found by an index of three letters at a time: FTS5 in SQLite, pg_trgm in PostgreSQL."""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy import (
    ColumnElement,
    Connection,
    Select,
    column,
    exists,
    func,
    inspect,
    or_,
    select,
    table,
    text,
    union_all,
)
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session, aliased

from api.store.database import Database
from api.store.tables import StoredTicket

TABLE, INDEX = "ticket_words", "ix_tickets_words"
"""Names of the index in SQLite, where it is a table, and in PostgreSQL."""
_LEAST = 3
"""Letters of a word that the index can find: shorter ones are looked for in the texts themselves."""
COMMON = 20_000
"""Tickets that hold some words from which on these are common: to list so many takes some 20 ms."""
AT_A_TIME = 200
"""Tickets that SQLite puts into the index together, which takes a fifth of the time; those that came since are read."""
_COLUMNS = ("ticket_id", "subject", "body")
_NAMES, _NEW, _OLD = (", ".join(f"{part}{name}" for name in _COLUMNS) for part in ("", "new.", "old."))
_ADD = f"INSERT INTO {TABLE} (rowid, {_NAMES}) VALUES (new.seq, {_NEW});"
_REMOVE = f"INSERT INTO {TABLE} ({TABLE}, rowid, {_NAMES}) VALUES ('delete', old.seq, {_OLD});"
_LAST = f"(SELECT coalesce(max(id), 0) FROM {TABLE}_docsize)"
_ADD_NEWEST = f"INSERT INTO {TABLE} (rowid, {_NAMES}) SELECT seq, {_NAMES} FROM tickets WHERE seq > {_LAST}"
_IF_INDEXED = f"WHEN EXISTS (SELECT 1 FROM {TABLE}_docsize WHERE id = old.seq)"
_TRIGGERS = {
    f"{TABLE}_added": f"AFTER INSERT ON tickets WHEN new.seq % {AT_A_TIME} = 0 BEGIN {_ADD_NEWEST}; END",
    f"{TABLE}_removed": f"AFTER DELETE ON tickets {_IF_INDEXED} BEGIN {_REMOVE} END",
    f"{TABLE}_changed": f"AFTER UPDATE OF {_NAMES} ON tickets {_IF_INDEXED} BEGIN {_REMOVE} {_ADD} END",
}
_TRIGGERS_AT_ONCE = {
    f"{TABLE}_added": f"AFTER INSERT ON tickets BEGIN {_ADD} END",
    f"{TABLE}_removed": f"AFTER DELETE ON tickets BEGIN {_REMOVE} END",
    f"{TABLE}_changed": f"AFTER UPDATE OF {_NAMES} ON tickets BEGIN {_REMOVE} {_ADD} END",
}
"""As they were up to revision 0015: each ticket was put into the index as it came."""
_POSTGRES_TEXT = "lower(subject || ' ' || body || ' ' || coalesce(ticket_id, ''))"
_SCHEMA = (
    "SELECT quote_ident(n.nspname) FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace "
    "WHERE e.extname = 'pg_trgm'"
)
_WITHOUT_MEANS = (
    "SQLITE_ERROR",  # no module FTS5, or no tokenizer of it
    *("0A000", "58P01", "42704"),  # no such extension, no file of it, or not its operators
    *("42501", "3F000"),  # no right to it, or no schema for it
    *("23505", "42710"),  # somebody else makes it at this moment
)
"""What SQLite and PostgreSQL say where they lack the means for an index of words."""
_PORTION = 500
"""Pages that are merged at a time: a tenth of a second, in which nobody else writes."""


def make_index(connection: Connection) -> None:
    """Make the index of the tickets that are there and of those to come; a database that cannot is left without."""
    if connection.dialect.name == "sqlite":
        words = f"CREATE VIRTUAL TABLE {TABLE} USING fts5({_NAMES}, content='tickets', content_rowid='seq', "
        if not _tried(connection, f"{words}tokenize='trigram')"):
            return
        _set_triggers(connection, _TRIGGERS)
        connection.execute(text(f"INSERT INTO {TABLE} ({TABLE}) VALUES ('rebuild')"))
        return
    schema = connection.scalar(text(_SCHEMA))
    if schema is None:
        _tried(connection, "CREATE EXTENSION IF NOT EXISTS pg_trgm SCHEMA public")
        schema = connection.scalar(text(_SCHEMA))
    if schema is not None:
        _tried(connection, f"CREATE INDEX {INDEX} ON tickets USING gin (({_POSTGRES_TEXT}) {schema}.gin_trgm_ops)")


def index_later(connection: Connection) -> None:
    """Let SQLite index new tickets some hundred at a time."""
    if _has_table(connection):
        _set_triggers(connection, _TRIGGERS)


def index_at_once(connection: Connection) -> None:
    """Let SQLite index each ticket as it comes, those that are not yet among them."""
    if _has_table(connection):
        connection.execute(text(_ADD_NEWEST))
        _set_triggers(connection, _TRIGGERS_AT_ONCE)


def drop_index(connection: Connection) -> None:
    """Take the index away; the texts stay."""
    if connection.dialect.name == "sqlite":
        for name in _TRIGGERS:
            connection.execute(text(f"DROP TRIGGER IF EXISTS {name}"))
        connection.execute(text(f"DROP TABLE IF EXISTS {TABLE}"))
    else:
        connection.execute(text(f"DROP INDEX IF EXISTS {INDEX}"))


def holding(database: Database, words: str, *, one_by_one: bool = False) -> list[ColumnElement[bool]]:
    """Return the conditions under which a ticket holds words: in subject, text or id, whatever their case.

    Args:
        database: To be asked.
        words: Separated by blanks; a part of a word counts as well.
        one_by_one: Whether the index is asked about each ticket, not once for all that hold the words: quick where
            few tickets are in question, and the words are common.
    """
    if database.dialect == "postgresql":
        whole = func.lower(
            StoredTicket.subject.concat(text("' '"))
            .concat(StoredTicket.body)
            .concat(text("' '"))
            .concat(func.coalesce(StoredTicket.ticket_id, text("''")))
        )
        return [whole.contains(word.lower(), autoescape=True) for word in words.split()]
    found = _indexed_words(database, words)
    conditions = [_held(word) for word in words.split() if word not in found]
    if found and one_by_one:
        indexed = exists(_matching(found).where(_FTS.c.rowid == StoredTicket.seq).correlate(StoredTicket))
        conditions.append(or_(indexed, StoredTicket.seq.in_(_newest_with(found))))
    elif found:
        conditions.append(StoredTicket.seq.in_(union_all(_matching(found), _newest_with(found))))
    return conditions


def are_common(database: Database, session: Session, words: str) -> bool:
    """Say whether the index has so many tickets with all these words that it should not list them.

    It counts no further than that, which takes about a millisecond. PostgreSQL is never asked: it chooses by itself.
    """
    found = _indexed_words(database, words) if database.dialect == "sqlite" else []
    if not found:
        return False
    some = _matching(found).limit(COMMON).subquery()
    return session.scalar(select(func.count()).select_from(some)) == COMMON


def merge(database: Database) -> None:
    """Merge the index into one, bit by bit, so that what was deleted from it is in the file no more."""
    if database.dialect == "postgresql" or not _is_indexed(database):
        return
    first, step, changed = True, -_PORTION, 2
    while first or changed >= 2:  # a step that changes less than two rows found nothing to do
        with database.writing() as session:
            before = session.scalar(text("SELECT total_changes()")) or 0
            session.execute(text(f"INSERT INTO {TABLE} ({TABLE}, rank) VALUES ('merge', {step})"))
            changed = (session.scalar(text("SELECT total_changes()")) or 0) - before
        first, step = step < 0, _PORTION


_FTS = table(TABLE, column("rowid"), column(TABLE))
_INDEXED = table(f"{TABLE}_docsize", column("id"))
"""Where FTS5 keeps the length of each text that is in the index."""


def _indexed_words(database: Database, words: str) -> list[str]:
    return [word for word in words.split() if len(word) >= _LEAST] if _is_indexed(database) else []


def _matching(words: list[str]) -> Select[int]:
    quoted = " ".join('"' + word.replace('"', '""') + '"' for word in words)
    return select(_FTS.c.rowid).where(_FTS.c[TABLE].op("MATCH")(quoted))


def _newest_with(words: list[str]) -> Select[int]:
    """Return the tickets that came since the index was written last and hold all words, whatever their case."""
    read = aliased(StoredTicket)
    last = select(func.coalesce(func.max(_INDEXED.c.id), 0)).scalar_subquery()
    each = (
        or_(*(func.instr(func.lowered(getattr(read, name)), word.lower()) > 0 for name in _COLUMNS)) for word in words
    )
    return select(read.seq).where(read.seq > last, *each)


def _held(word: str) -> ColumnElement[bool]:
    """Return that a text holds a word; SQLite compares without regard to the case of letters without accents."""
    read = aliased(StoredTicket)
    columns = (read.subject, read.body, read.ticket_id)
    return StoredTicket.seq.in_(select(read.seq).where(or_(*(one.contains(word, autoescape=True) for one in columns))))


def _is_indexed(database: Database) -> bool:
    with database.engine.connect() as connection:
        return _has_table(connection)


def _has_table(connection: Connection) -> bool:
    return connection.dialect.name == "sqlite" and inspect(connection).has_table(TABLE)


def _set_triggers(connection: Connection, triggers: Mapping[str, str]) -> None:
    for name, when in triggers.items():
        connection.execute(text(f"DROP TRIGGER IF EXISTS {name}"))
        connection.execute(text(f"CREATE TRIGGER {name} {when}"))


def _tried(connection: Connection, statement: str) -> bool:
    """Run a statement that a database may lack the means for, and say whether it had them.

    Raises:
        DBAPIError: It has them, and the statement failed all the same, as on a full disk.
    """
    try:
        with connection.begin_nested():
            connection.execute(text(statement))
    except DBAPIError as error:
        state = getattr(error.orig, "sqlite_errorname", None) or getattr(error.orig, "sqlstate", None)
        if state not in _WITHOUT_MEANS:
            raise
        return False
    return True
