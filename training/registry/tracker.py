"""MLflow, and nowhere else: runs, the model registry with its aliases, and the way of a bundle there and back."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from models.home import DEFAULT_MODEL, triage_home
from training.registry.connectivity import DATABASES, PROBE_TIMEOUT_S, knock, quieten, reason_of, without_password
from training.settings import Settings
from triage.errors import BundleNotFound, TrackingUnavailable

ARTIFACT_PATH = "bundle"
"""Where a run keeps its bundle."""

DIGEST_TAG = "triage.bundle_digest"
_WORK_TIMEOUT_S = "30"
_MAX_PARAMETER = 500


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
        self._artifacts = (settings.home / "artifacts").as_uri() if self.uri.startswith(DATABASES) else None
        quieten(self._artifacts)
        os.environ["MLFLOW_HTTP_REQUEST_TIMEOUT"] = PROBE_TIMEOUT_S
        with self._talking("does not answer"):
            knock(self.uri)
            from mlflow import MlflowClient

            self._client: Any = MlflowClient(tracking_uri=self.uri, registry_uri=self.uri)
            self._client.search_experiments(max_results=1)
            self._client.search_registered_models(max_results=1)
        os.environ["MLFLOW_HTTP_REQUEST_TIMEOUT"] = _WORK_TIMEOUT_S

    def record(self, run: Run, bundle: Path) -> str:
        """Log a run with its bundle and return the run's id."""
        with self._talking("was lost while the run was logged"):
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
        from mlflow.entities import Metric, Param

        parameters = [Param(key, str(value)[:_MAX_PARAMETER]) for key, value in run.parameters.items()]
        metrics = [Metric(key, float(value), 0, 0) for key, value in run.metrics.items()]
        for start in range(0, max(len(parameters), len(metrics)), 100):
            self._client.log_batch(run_id, metrics[start : start + 100], parameters[start : start + 100])
        for path, folder in run.files:
            log = self._client.log_artifacts if path.is_dir() else self._client.log_artifact
            log(run_id, str(path), folder or None)
        self._client.log_artifacts(run_id, str(bundle), ARTIFACT_PATH)

    def _end(self, run_id: str, status: str) -> None:
        from mlflow.exceptions import MlflowException

        try:
            self._client.set_terminated(run_id, status)
        except MlflowException:
            if status == "FINISHED":  # a failed run that cannot even be marked so leaves nothing to repair
                raise

    def register(
        self, run_id: str, digest: str, name: str = DEFAULT_MODEL, tags: Mapping[str, str] | None = None
    ) -> str:
        """Make the bundle of a run a version of a model and return its number."""
        from mlflow.exceptions import MlflowException

        with self._talking("was lost while the version was registered"):
            try:
                self._client.create_registered_model(name)
            except MlflowException as error:
                if error.error_code != "RESOURCE_ALREADY_EXISTS":
                    raise
            source = f"{self._client.get_run(run_id).info.artifact_uri}/{ARTIFACT_PATH}"
            facts = {DIGEST_TAG: digest, **(tags or {})}
            return str(self._client.create_model_version(name, source, run_id, tags=facts).version)

    def versions(self, name: str = DEFAULT_MODEL) -> list[Version]:
        """List the versions of a model, newest first; none where the model is unknown."""
        with self._talking("does not answer"):
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
        with self._talking("does not answer"):
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
        with self._talking("was lost while the alias was set"):
            self._client.set_registered_model_alias(name, alias, version)

    @contextmanager
    def fetched(self, version: Version) -> Iterator[Path]:
        """Download the bundle of a version into a folder that lives as long as the block."""
        with tempfile.TemporaryDirectory(prefix=".fetching-", dir=triage_home()) as folder:
            with self._talking("was lost while the bundle was fetched"):
                import mlflow.artifacts

                source = self._client.get_model_version_download_uri(version.name, version.version)
                path = mlflow.artifacts.download_artifacts(artifact_uri=source, dst_path=folder, tracking_uri=self.uri)
            yield Path(path)

    def _experiment(self) -> str:
        found = self._client.get_experiment_by_name(DEFAULT_MODEL)
        if found is not None:
            return str(found.experiment_id)
        place = f"{self._artifacts}/{DEFAULT_MODEL}" if self._artifacts else None
        return str(self._client.create_experiment(DEFAULT_MODEL, artifact_location=place))

    @contextmanager
    def _talking(self, what: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise self._unavailable(what, error) from error
        except _troubles() as error:
            raise self._unavailable(what, error) from error

    def _unavailable(self, what: str, error: Exception) -> TrackingUnavailable:
        return TrackingUnavailable(
            f"MLflow at {without_password(self.uri)} {what}: {reason_of(error)}; "
            "check MLFLOW_TRACKING_URI (triage train goes on without it by --no-register)"
        )


def _troubles() -> tuple[type[Exception], ...]:
    import sqlite3

    from mlflow.exceptions import MlflowException
    from requests.exceptions import RequestException
    from sqlalchemy.exc import SQLAlchemyError

    return MlflowException, RequestException, SQLAlchemyError, sqlite3.Error
