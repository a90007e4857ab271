"""MLflow, and nowhere else: runs, the model registry with its aliases, and the way of a bundle there and back."""

from __future__ import annotations

import logging
import os
import sqlite3
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from sqlalchemy import create_engine, inspect
from sqlalchemy.exc import SQLAlchemyError

from models.home import DEFAULT_MODEL, triage_home
from training.settings import Settings
from triage.errors import BundleNotFound, TrackingUnavailable

ARTIFACT_PATH = "bundle"
"""Where a run keeps its bundle."""

DIGEST_TAG = "triage.bundle_digest"
_PROBE_TIMEOUT_S = "3"  # a first answer; who waits longer for it is better told at once
_WORK_TIMEOUT_S = "30"  # an upload of a bundle over a slow line
_MAX_PARAMETER = 500  # characters of a parameter that every MLflow server takes
_BATCH = 100  # parameters of a call that MLflow's REST interface takes
_DATABASES = ("sqlite:", "postgresql", "mysql", "mssql")
_OTHER_ADDRESSES = ("file:", "databricks", "uc:")


@dataclass(frozen=True)
class Version:
    """A registered version of a model.

    Attributes:
        name: Name of the model.
        version: Number given by the registry, as text.
        run_id: The run it came from.
        aliases: Aliases that point to it, sorted.
        created: When it was registered, in milliseconds since 1970.
        digest: SHA-256 of the bundle's manifest as it was when registered; empty if unknown.
        tags: Further facts.
    """

    name: str
    version: str
    run_id: str
    aliases: tuple[str, ...]
    created: int
    digest: str
    tags: Mapping[str, str]


@dataclass(frozen=True)
class Run:
    """What is logged about a training run.

    Attributes:
        name: For people.
        parameters: What it was asked to do.
        metrics: Numbers by name.
        tags: Facts such as the data digest.
        files: Files or folders to keep, by artifact folder ("" for the root).
    """

    name: str
    parameters: Mapping[str, object]
    metrics: Mapping[str, float]
    tags: Mapping[str, str]
    files: tuple[tuple[Path, str], ...] = ()


class Tracker:
    """A tracking server and registry that answered.

    Without `MLFLOW_TRACKING_URI` everything is a SQLite file under `TRIAGE_HOME`; with a database URI the artifacts
    still go under `TRIAGE_HOME`, never into the working directory.

    Raises:
        TrackingUnavailable: Within seconds, if it does not answer.
    """

    def __init__(self) -> None:
        settings = Settings()
        self.uri = settings.tracking_uri
        self._artifacts = (settings.home / "artifacts").as_uri() if self.uri.startswith(_DATABASES) else None
        _prepare_environment(self._artifacts)
        with self._translated("does not answer"):
            _probe(self.uri)
            import mlflow.artifacts  # late: two seconds that verbs without a tracker need not wait

            self._mlflow = mlflow
            self._client: Any = mlflow.MlflowClient(tracking_uri=self.uri, registry_uri=self.uri)
            self._client.search_experiments(max_results=1)
            self._client.search_registered_models(max_results=1)
        os.environ["MLFLOW_HTTP_REQUEST_TIMEOUT"] = _WORK_TIMEOUT_S

    def record(self, run: Run, bundle: Path) -> str:
        """Log a run with its bundle and return the run's id."""
        with self._translated("was lost while the run was logged"):
            made = self._client.create_run(self._experiment(), run_name=run.name, tags=dict(run.tags))
            run_id: str = made.info.run_id
            try:
                self._log(run_id, run, bundle)
            except BaseException:
                self._end(run_id, "FAILED")
                raise
            self._end(run_id, "FINISHED")
            return run_id

    def _log(self, run_id: str, run: Run, bundle: Path) -> None:
        parameters = [
            self._mlflow.entities.Param(key, str(value)[:_MAX_PARAMETER]) for key, value in run.parameters.items()
        ]
        metrics = [self._mlflow.entities.Metric(key, float(value), 0, 0) for key, value in run.metrics.items()]
        for start in range(0, max(len(parameters), len(metrics)), _BATCH):
            self._client.log_batch(run_id, metrics[start : start + _BATCH], parameters[start : start + _BATCH])
        for path, folder in run.files:
            log = self._client.log_artifacts if path.is_dir() else self._client.log_artifact
            log(run_id, str(path), folder or None)
        self._client.log_artifacts(run_id, str(bundle), ARTIFACT_PATH)

    def _end(self, run_id: str, status: str) -> None:
        try:
            self._client.set_terminated(run_id, status)
        except self._mlflow.MlflowException:
            if status == "FINISHED":  # a failed run that cannot even be marked so leaves nothing to repair
                raise

    def register(
        self, run_id: str, digest: str, name: str = DEFAULT_MODEL, tags: Mapping[str, str] | None = None
    ) -> str:
        """Make the bundle of a run a version of a model and return its number."""
        with self._translated("was lost while the version was registered"):
            try:
                self._client.create_registered_model(name)
            except self._mlflow.MlflowException as error:
                if error.error_code != "RESOURCE_ALREADY_EXISTS":
                    raise
            source = f"{self._client.get_run(run_id).info.artifact_uri}/{ARTIFACT_PATH}"
            facts = {DIGEST_TAG: digest, **(tags or {})}
            return str(self._client.create_model_version(name, source, run_id, tags=facts).version)

    def versions(self, name: str = DEFAULT_MODEL) -> list[Version]:
        """List the versions of a model, newest first; none where the model is unknown."""
        with self._translated("does not answer"):
            found = self._client.search_model_versions(f"name = '{name}'")
            aliases = self._aliases(name) if found else {}
            versions = [
                Version(
                    name=name,
                    version=str(one.version),
                    run_id=one.run_id or "",
                    aliases=tuple(sorted(alias for alias, version in aliases.items() if version == str(one.version))),
                    created=int(one.creation_timestamp),
                    digest=dict(one.tags).get(DIGEST_TAG, ""),
                    tags=dict(one.tags),
                )
                for one in found
            ]
            return sorted(versions, key=lambda one: -int(one.version))

    def _aliases(self, name: str) -> dict[str, str]:
        return {alias: str(version) for alias, version in self._client.get_registered_model(name).aliases.items()}

    def models(self) -> list[str]:
        """List the names of the registered models."""
        with self._translated("does not answer"):
            return sorted(model.name for model in self._client.search_registered_models(max_results=1000))

    def version(self, name: str, version: str) -> Version:
        """Return a version.

        Raises:
            BundleNotFound: If the registry has no such version.
        """
        found = self.versions(name)
        for one in found:
            if one.version == version:
                return one
        known = ", ".join(one.version for one in found[:20]) or "none"
        raise BundleNotFound(
            f"no version {version!r} of model {name!r} in {self.uri}: there are {known}; see triage models"
        )

    def aliased(self, name: str, alias: str) -> Version:
        """Return the version that an alias points to.

        Raises:
            BundleNotFound: If the alias does not exist.
        """
        found = self.versions(name)
        for one in found:
            if alias in one.aliases:
                return one
        known = ", ".join(sorted({alias for one in found for alias in one.aliases})) or "none"
        raise BundleNotFound(
            f"no alias {alias!r} of model {name!r} in {self.uri}: there are {known}; triage promote sets one"
        )

    def point(self, name: str, alias: str, version: str) -> None:
        """Let an alias point to a version."""
        with self._translated("was lost while the alias was set"):
            self._client.set_registered_model_alias(name, alias, version)

    @contextmanager
    def fetched(self, version: Version) -> Iterator[Path]:
        """Download the bundle of a version into a folder that lives as long as the block."""
        with tempfile.TemporaryDirectory(prefix=".fetching-", dir=triage_home()) as folder:
            with self._translated("was lost while the bundle was fetched"):
                source = self._client.get_model_version_download_uri(version.name, version.version)
                path = self._mlflow.artifacts.download_artifacts(
                    artifact_uri=source, dst_path=folder, tracking_uri=self.uri
                )
            yield Path(path)

    def _experiment(self) -> str:
        found = self._client.get_experiment_by_name(DEFAULT_MODEL)
        if found is not None:
            return str(found.experiment_id)
        location = f"{self._artifacts}/{DEFAULT_MODEL}" if self._artifacts else None
        return str(self._client.create_experiment(DEFAULT_MODEL, artifact_location=location))

    @contextmanager
    def _translated(self, what: str) -> Iterator[None]:
        """Turn what the network, the database or MLflow itself raises into one error."""
        try:
            yield
        except (OSError, SQLAlchemyError, sqlite3.Error) as error:  # those of requests are OSErrors
            raise self._unavailable(what, error) from error
        except Exception as error:
            if not type(error).__module__.startswith("mlflow."):
                raise
            raise self._unavailable(what, error) from error

    def _unavailable(self, what: str, error: Exception) -> TrackingUnavailable:
        return TrackingUnavailable(
            f"MLflow at {_without_password(self.uri)} {what}: {_reason_of(error)}; "
            "check MLFLOW_TRACKING_URI (triage train goes on without it by --no-register)"
        )


def _probe(uri: str) -> None:
    """Ask for a sign of life before MLflow is even imported: by itself it would try a database for a hundred seconds.

    Any answer of a server will do: whether it is MLflow's shows with the first call.

    Raises:
        OSError: If a server does not answer within seconds.
        SQLAlchemyError: If a database does not.
    """
    if uri.startswith(("http:", "https:")):
        try:
            httpx.get(f"{uri.rstrip('/')}/health", timeout=float(_PROBE_TIMEOUT_S))
        except httpx.InvalidURL as error:
            raise OSError(f"no usable address: {error}") from error
        except httpx.HTTPError as error:
            raise OSError(str(error) or type(error).__name__) from error
    elif uri.startswith(_DATABASES):
        engine = create_engine(uri)
        try:
            inspect(engine).get_table_names()
        finally:
            engine.dispose()
    elif "://" in uri and not uri.startswith(_OTHER_ADDRESSES):
        raise OSError("no such kind of address: http, https, file and databases are known")


def _prepare_environment(artifacts: str | None) -> None:
    """Set what MLflow reads from the environment: no telemetry, short waits, no folder in the working directory."""
    os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
    os.environ["MLFLOW_HTTP_REQUEST_TIMEOUT"] = _PROBE_TIMEOUT_S
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR", "1")
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    os.environ["MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT"] = "true"  # stdout is for results
    if artifacts is not None:
        os.environ["_MLFLOW_SERVER_ARTIFACT_ROOT"] = artifacts
    os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "CRITICAL")  # it would print a traceback beside the error it raises
    for name in ("mlflow", "alembic"):
        logging.getLogger(name).setLevel(logging.CRITICAL)


def _reason_of(error: BaseException) -> str:
    """Return the innermost cause in a few words: what the network or the database said."""
    while error.__cause__ is not None or error.__context__ is not None:
        error = error.__cause__ or error.__context__ or error
    return (str(error).strip().split("\n")[0] or type(error).__name__)[:200]


def _without_password(uri: str) -> str:
    """Return an address without the user and password in it."""
    before, at, after = uri.rpartition("@")
    return f"{before.split('//')[0]}//…@{after}" if at and "//" in before else uri
