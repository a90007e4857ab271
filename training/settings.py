"""Settings of the training wing: environment variables, read where a command starts."""

from __future__ import annotations

from pathlib import Path
from typing import cast

from pydantic import Field, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict
from sqlalchemy import URL, make_url

from models.home import DEFAULT_MODEL, ENVIRONMENT, expanded, made_home, triage_home
from models.local_store import CHAMPION


class Settings(BaseSettings):
    """What the environment says about where runs are tracked and what they leave behind."""

    model_config = cast(SettingsConfigDict, ENVIRONMENT)

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

    _expanded = field_validator("*")(expanded)
    _made = field_validator("home")(made_home)

    @property
    def tracking_uri(self) -> str:
        """Where runs are tracked."""
        file = str(self.home / "mlflow.db")
        own = f"sqlite:///{file}"
        if make_url(own).database != file:  # only then, since MLflow makes the directory that it reads unquoted
            own = URL.create("sqlite", database=file).render_as_string(hide_password=False)
        return self.mlflow_tracking_uri or own
