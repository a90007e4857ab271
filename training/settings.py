"""Settings of the training wing: environment variables, read where a command starts."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from models.home import DEFAULT_MODEL, triage_home
from models.local_store import CHAMPION


class Settings(BaseSettings):
    """What the environment says about where runs are tracked and what they leave behind."""

    model_config = SettingsConfigDict(env_prefix="TRIAGE_", frozen=True, extra="ignore", env_ignore_empty=True)

    home: Path = Field(default_factory=triage_home, description="directory of all state: embedding cache, runs, models")
    organisation: str = Field(
        default="", description="name of the organisation whose tickets these are; empty: an id kept under TRIAGE_HOME"
    )
    model: str = Field(
        default=f"{DEFAULT_MODEL}@{CHAMPION}", description="NAME@ALIAS of the local models whose policy is in use"
    )
    bundle: Path | None = Field(default=None, description="bundle directory that is served instead of an alias")
    policy: Path | None = Field(default=None, description="policy file that overrides the bundle's")
    mlflow_tracking_uri: str = Field(
        default="",
        validation_alias="MLFLOW_TRACKING_URI",
        description="MLflow server or database; empty: SQLite under TRIAGE_HOME. with SQLite, artifacts go there too",
    )

    @field_validator("home")
    @classmethod
    def _made(cls, home: Path) -> Path:
        """Make the directory, as `triage_home` does: the environment wins over the default factory."""
        home = home.expanduser()
        home.mkdir(parents=True, exist_ok=True)
        return home.resolve()

    @property
    def tracking_uri(self) -> str:
        """Where runs are tracked."""
        return self.mlflow_tracking_uri or f"sqlite:///{self.home / 'mlflow.db'}"
