"""Runs that move with `TRIAGE_HOME`: MLflow keeps absolute addresses, which are put right after a move."""

from __future__ import annotations

from sqlalchemy import ColumnClause, Engine, column, func, inspect, select, table, update

_PLACES = (
    ("experiments", "artifact_location"),
    ("runs", "artifact_uri"),
    ("model_versions", "source"),
    ("model_versions", "storage_location"),
    ("logged_models", "artifact_location"),
)
"""Where MLflow's tables hold addresses of artifacts."""


def follow_home(engine: Engine, experiment: str, artifacts: str) -> bool:
    """Let a database below `TRIAGE_HOME` say where its artifacts are now, in one transaction.

    Args:
        engine: The database.
        experiment: Name of the experiment whose address tells where the home was.
        artifacts: Address of the folder of all artifacts, as it is now.

    Returns:
        Whether anything was changed.
    """
    known = inspect(engine)
    if not known.has_table("experiments"):
        return False
    kept = table("experiments", column("name"), column("artifact_location"))
    with engine.begin() as connection:
        stated = connection.scalar(select(kept.c.artifact_location).where(kept.c.name == experiment))
        before = str(stated or "").removesuffix(f"/{experiment}")
        if not stated or before in (artifacts, stated):
            return False
        for name, place in _PLACES:
            if known.has_table(name) and any(one["name"] == place for one in known.get_columns(name)):
                where: ColumnClause[str] = column(place)
                moved = artifacts + func.substr(where, len(before) + 1)
                own = func.substr(where, 1, len(before) + 1) == f"{before}/"
                connection.execute(update(table(name, where)).where(own).values({place: moved}))
    return True
