"""The service in this process, by rules alone."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from api.app import create_app
from api.settings import Settings, load_settings
from api.store.repository import Repository

from ..local_client import TestClient


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("TRIAGE_") and not name.startswith("TRIAGE_TEST_")]:
        monkeypatch.delenv(name)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return load_settings(home=tmp_path, open_loopback=True, rules_only=True)


@pytest.fixture
def client(settings: Settings) -> Iterator[TestClient]:
    with TestClient(create_app(settings), raise_server_exceptions=False) as client:
        yield client


def store_of(client: TestClient) -> Repository:
    """Return the store behind a service that a test runs in its own process."""
    store: Repository = client.app.state.parts.service.store  # type: ignore[attr-defined]
    return store
