"""MLflow, and nowhere else: runs, the model registry with its aliases, and the way of a bundle there and back."""

from __future__ import annotations

import getpass
import json
import logging
import os
import re
import sqlite3
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from filelock import FileLock, Timeout
from sqlalchemy import create_engine, inspect
from sqlalchemy.exc import SQLAlchemyError

from models.home import DEFAULT_MODEL, triage_home
from training.registry.homes import follow_home
from training.settings import Settings
from triage.errors import BundleNotFound, TrackingUnavailable

ARTIFACT_PATH = "bundle"
"""Where a run keeps its bundle."""

DIGEST_TAG = "triage.bundle_digest"
_PROBE_TIMEOUT_S = "3"  # a first answer; who waits longer for it is better told at once
_WORK_TIMEOUT_S = "30"  # an upload of a bundle over a slow line
_MAX_PARAMETER = 500  # characters of a parameter that every MLflow server takes
_MAX_TAG, _MAX_METRIC, _MAX_DESCRIPTION = 5000, 250, 5000  # characters that its database takes
_DATA_DIGEST = 36  # characters of the digest of a data set that its database takes
_UNNAMEABLE = re.compile(r"[^/\w.\- :]")
_LOCK_TIMEOUT_S = 120  # MLflow needs some ten seconds to make its tables, on a busy machine more
_ABOUT = "Routes helpdesk tickets: tier, category and resolver group, with a certified error rate. See triage models."
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
class Opening:
    """What is known of a run when it begins.

    Attributes:
        name: For people.
        verb: What was called, such as ``train``.
        parent: The run that it goes on from; empty where there is none.
        data: The files that it reads.
    """

    name: str
    verb: str
    parent: str = ""
    data: tuple[Path, ...] = ()


@dataclass(frozen=True)
class Run:
    """What is logged about a training run.

    Attributes:
        parameters: What it was asked to do, and the choices made.
        metrics: Numbers by name.
        tags: Facts such as the data digest.
        files: Files or folders to keep, by artifact folder ("" for the root).
        data: Digest, name and number of rows of the tickets; None where there were none.
    """

    parameters: Mapping[str, object]
    metrics: Mapping[str, float]
    tags: Mapping[str, str]
    files: tuple[tuple[Path, str], ...] = ()
    data: tuple[str, str, int] | None = None


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
        with self._translated("does not answer"), _alone(settings.home, self.uri):
            _probe(self.uri)
            import mlflow.artifacts  # late: two seconds that verbs without a tracker need not wait

            self._mlflow = mlflow
            self._client: Any = mlflow.MlflowClient(tracking_uri=self.uri, registry_uri=self.uri)
            self._client.search_experiments(max_results=1)
            self._client.search_registered_models(max_results=1)
            if not settings.mlflow_tracking_uri and self._artifacts is not None:
                _follow_home(self.uri, self._artifacts)
        os.environ["MLFLOW_HTTP_REQUEST_TIMEOUT"] = _WORK_TIMEOUT_S

    @contextmanager
    def running(self, opening: Opening) -> Iterator[str]:
        """Open a run that lasts as long as the block, and yield its id.

        A run whose block fails is kept as failed, with the error in a tag; one that is interrupted, as killed.
        """
        tags = {"mlflow.source.name": f"triage {opening.verb}", "mlflow.source.type": "LOCAL", **_commit()}
        tags |= {"triage.verb": opening.verb, "mlflow.user": _user()}
        tags |= {"mlflow.parentRunId": opening.parent} if opening.parent else {}
        tags |= {"triage.files": ", ".join(map(str, opening.data))[:_MAX_PARAMETER]} if opening.data else {}
        with self._translated("was lost while the run was opened"):
            made = self._client.create_run(self._experiment(), run_name=opening.name, tags=tags)
        run_id: str = made.info.run_id
        try:
            yield run_id
        except BaseException as error:
            self._failed(run_id, error)
            raise
        self._end(run_id, "FINISHED")

    def _failed(self, run_id: str, error: BaseException) -> None:
        with suppress(Exception):  # a failed run that cannot even be marked so leaves nothing to repair
            self._client.set_tag(run_id, "triage.error", f"{type(error).__name__}: {error}"[:_MAX_TAG])
            self._client.set_terminated(run_id, "FAILED" if isinstance(error, Exception) else "KILLED")

    def log(self, run_id: str, run: Run) -> None:
        """Log what a run was asked, found and left behind."""
        with self._translated("was lost while the run was logged"):
            self._log(run_id, run)

    def _log(self, run_id: str, run: Run) -> None:
        entities = self._mlflow.entities
        parameters = [entities.Param(key, str(value)[:_MAX_PARAMETER]) for key, value in run.parameters.items()]
        now = int(1000 * time.time())
        metrics = [entities.Metric(_metric_name(key), float(value), now, 0) for key, value in run.metrics.items()]
        for start in range(0, max(len(parameters), len(metrics)), _BATCH):
            self._client.log_batch(run_id, metrics[start : start + _BATCH], parameters[start : start + _BATCH])
        for key, value in run.tags.items():
            self._client.set_tag(run_id, key, value)
        if run.data is not None:
            self._log_data(run_id, *run.data)
        for path, folder in run.files:
            log = self._client.log_artifacts if path.is_dir() else self._client.log_artifact
            log(run_id, str(path), folder or None)

    def _log_data(self, run_id: str, digest: str, name: str, rows: int) -> None:
        """Log the tickets as a data set: its digest, where it came from and how many there are, never a ticket."""
        entities = self._mlflow.entities
        files = self._client.get_run(run_id).data.tags.get("triage.files", name)
        found = entities.Dataset(
            name=name[:_MAX_PARAMETER],
            digest=digest[:_DATA_DIGEST],
            source_type="local",
            source=json.dumps({"uri": files}),
            profile=json.dumps({"num_rows": rows}),
        )
        tag = entities.InputTag("mlflow.data.context", "training")
        self._client.log_inputs(run_id, [entities.DatasetInput(found, [tag])])

    def _end(self, run_id: str, status: str) -> None:
        with self._translated("was lost while the run was closed"):
            self._client.set_terminated(run_id, status)

    def register(self, run_id: str, digest: str, name: str = DEFAULT_MODEL, description: str = "") -> str:
        """Make the model of a run a version of a registered model and return its number.

        Args:
            run_id: The run, with the model at the root of its artifacts.
            digest: Of the bundle.
            name: Of the registered model.
            description: Of the version, in Markdown.
        """
        with self._translated("was lost while the version was registered"):
            try:
                self._client.create_registered_model(name, description=_ABOUT)
            except self._mlflow.MlflowException as error:
                if error.error_code != "RESOURCE_ALREADY_EXISTS":
                    raise
            source = self._client.get_run(run_id).info.artifact_uri
            made = self._client.create_model_version(
                name, source, run_id, tags={DIGEST_TAG: digest}, description=_shortened(description)
            )
            return str(made.version)

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

    def run_of(self, name: str, digest: str) -> str:
        """Return the run that made a bundle, by the bundle's digest; empty where it is not registered."""
        return next((one.run_id for one in self.versions(name) if one.digest == digest), "")

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
                if not source.endswith(f"/{ARTIFACT_PATH}"):  # a version from before is the bundle and no more
                    source = f"{source.rstrip('/')}/{ARTIFACT_PATH}"
                path = self._mlflow.artifacts.download_artifacts(
                    artifact_uri=source, dst_path=folder, tracking_uri=self.uri
                )
            yield Path(path)

    def _experiment(self) -> str:
        found = self._client.get_experiment_by_name(DEFAULT_MODEL)
        if found is not None:
            return str(found.experiment_id)
        location = f"{self._artifacts}/{DEFAULT_MODEL}" if self._artifacts else None
        try:
            return str(self._client.create_experiment(DEFAULT_MODEL, artifact_location=location))
        except self._mlflow.MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":  # another first training was quicker
                raise
            return str(self._client.get_experiment_by_name(DEFAULT_MODEL).experiment_id)

    @contextmanager
    def _translated(self, what: str) -> Iterator[None]:
        """Turn what the network, the database or MLflow itself raises into one error."""
        try:
            yield
        except (OSError, SQLAlchemyError, sqlite3.Error, Timeout) as error:  # those of requests are OSErrors
            raise self._unavailable(what, error) from error
        except Exception as error:
            if not type(error).__module__.startswith("mlflow."):
                raise
            if getattr(error, "error_code", "") == "INVALID_PARAMETER_VALUE":
                raise TrackingUnavailable(
                    f"MLflow at {_without_password(self.uri)} answers, and does not take what it is given: "
                    f"{_reason_of(error)}"
                ) from error
            raise self._unavailable(what, error) from error

    def _unavailable(self, what: str, error: Exception) -> TrackingUnavailable:
        return TrackingUnavailable(
            f"MLflow at {_without_password(self.uri)} {what}: {_reason_of(error)}; "
            "check MLFLOW_TRACKING_URI (triage train goes on without it by --no-register)"
        )


@contextmanager
def _alone(home: Path, uri: str) -> Iterator[None]:
    """Let one process at a time make the tables of a SQLite file: two first trainings would be in each other's way."""
    if not uri.startswith("sqlite:"):
        yield
        return
    with FileLock(home / "mlflow.lock", timeout=_LOCK_TIMEOUT_S):
        yield


def _follow_home(uri: str, artifacts: str) -> None:
    engine = create_engine(uri)
    try:
        follow_home(engine, DEFAULT_MODEL, artifacts)
    finally:
        engine.dispose()


def _commit() -> dict[str, str]:
    """Return the tag with the commit of this code, where it runs in a checkout."""
    root = Path(__file__).parents[2]
    if not (root / ".git").exists():
        return {}
    try:
        command = ["git", "-C", str(root), "rev-parse", "HEAD"]
        said = subprocess.run(command, capture_output=True, text=True, check=True, timeout=5).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return {}
    return {"mlflow.source.git.commit": said}


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):  # a container's user may have no name
        return "unknown"


def metric_part(text: str) -> str:
    """Return a text as one part of the path that names a metric: a label such as ``and/or`` is no two parts of it.

    Example:
        >>> metric_part("and/or")
        'and_or'
    """
    return text.replace("/", "_")


def _metric_name(name: str) -> str:
    """Return a name that MLflow takes: labels may hold any character, and a path has parts that are names.

    Example:
        >>> _metric_name("tier/label/<L1>/recall"), _metric_name("tier/label/../recall"), _metric_name("a//b/")
        ('tier/label/_L1_/recall', 'tier/label/__/recall', 'a/_/b/_')
    """
    parts = _UNNAMEABLE.sub("_", name)[:_MAX_METRIC].split("/")
    whole = "/".join(part if part.strip(".") else "_" * max(1, len(part)) for part in parts)
    return whole[:_MAX_METRIC].rstrip("/.")


def _shortened(text: str) -> str:
    """Return a description that MLflow takes."""
    rest = "\n… the whole card is model-card.md among the artifacts of the run"
    return text if len(text) <= _MAX_DESCRIPTION else text[: _MAX_DESCRIPTION - len(rest)] + rest


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
