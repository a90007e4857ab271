"""Whether a tracker can be reached, found out in seconds, and what MLflow is told beforehand."""

from __future__ import annotations

import logging
import os

DATABASES = ("sqlite:", "postgresql", "mysql", "mssql")
"""How the address of a database begins."""

_OTHERS = ("file:", "databricks", "uc:")

PROBE_TIMEOUT_S = "3"
"""Seconds to wait for a first answer."""


def reason_of(error: BaseException) -> str:
    """Return the innermost cause in a few words: what the network or the database said."""
    while error.__cause__ is not None or error.__context__ is not None:
        error = error.__cause__ or error.__context__ or error
    return (str(error).strip().split("\n")[0] or type(error).__name__)[:200]


def knock(uri: str) -> None:
    """Knock once, before MLflow is even imported: by itself it would try a database for a hundred seconds.

    Any answer of a server will do: whether it is MLflow's is found out by the first question.

    Raises:
        OSError: If a server does not answer within seconds.
        SQLAlchemyError: If a database does not.
    """
    if uri.startswith(("http:", "https:")):
        import httpx

        try:
            httpx.get(f"{uri.rstrip('/')}/health", timeout=float(PROBE_TIMEOUT_S))
        except httpx.InvalidURL as error:
            raise OSError(f"no usable address: {error}") from error
        except httpx.HTTPError as error:
            raise OSError(str(error) or type(error).__name__) from error
    elif uri.startswith(DATABASES):
        from sqlalchemy import create_engine, inspect

        engine = create_engine(uri)
        try:
            inspect(engine).get_table_names()
        finally:
            engine.dispose()
    elif "://" in uri and not uri.startswith(_OTHERS):
        raise OSError("no such kind of address: http, https, file and databases are known")


def quieten(artifacts: str | None) -> None:
    """Set what MLflow reads from the environment: no telemetry, short waits, no folder in the working directory."""
    os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR", "1")
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    os.environ["MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT"] = "true"  # stdout is for results
    if artifacts is not None:
        os.environ["_MLFLOW_SERVER_ARTIFACT_ROOT"] = artifacts
    os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "CRITICAL")  # it would print a traceback beside the error it raises
    for name in ("mlflow", "alembic"):
        logging.getLogger(name).setLevel(logging.CRITICAL)


def without_password(uri: str) -> str:
    """Return an address without the user and password in it."""
    before, at, after = uri.rpartition("@")
    return f"{before.split('//')[0]}//…@{after}" if at and "//" in before else uri
