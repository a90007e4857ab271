"""Which revision a store has, and which one this code expects: told without loading Alembic, for a quick start."""

from __future__ import annotations

from importlib.resources import files

from sqlalchemy import Connection, inspect, text

from api.store.database import Database


def is_newest(database: Database) -> bool:
    """Say whether the store has the shape that this code expects."""
    return revision_of(database) == newest_revision()


def revision_of(database: Database) -> str | None:
    """Return the revision that the store has; None for an empty one."""
    with database.translating(), database.engine.connect() as connection:
        return standing(connection)


def standing(connection: Connection) -> str | None:
    """Return the revision of the store that a connection leads to; None for an empty one."""
    if not inspect(connection).has_table("alembic_version"):
        return None
    found = connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
    return None if found is None else str(found)


def newest_revision() -> str:
    """Return the revision that this code expects, which the name of its file says: ``v0015_forgotten.py``."""
    names = (file.name for file in files("api.store.migrations").joinpath("versions").iterdir())
    return max(name[1:].partition("_")[0] for name in names if name.startswith("v") and name.endswith(".py"))
