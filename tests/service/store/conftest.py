"""A store on each database; PostgreSQL where TRIAGE_TEST_POSTGRES_URL says that there is one."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import create_engine, text

from api.store.repository import Repository, open_repository
from api.store.rows import NewDecision
from models.wire import DecisionDocument
from triage.ticket import Ticket

POSTGRES = "TRIAGE_TEST_POSTGRES_URL"


@pytest.fixture
def postgres_url() -> Iterator[str]:
    """A schema of its own in the PostgreSQL of the tests, and its URL."""
    url = os.environ.get(POSTGRES)
    if not url:
        pytest.skip(f"{POSTGRES} is not set: no PostgreSQL to test on")
    schema = f"t_{uuid4().hex[:12]}"
    engine = create_engine(url.replace("postgresql://", "postgresql+psycopg://"), isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(f"CREATE SCHEMA {schema}"))
    yield f"{url}?options=-csearch_path%3D{schema}"
    with engine.connect() as connection:
        connection.execute(text(f"DROP SCHEMA {schema} CASCADE"))
    engine.dispose()


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def store_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """URL of a fresh store, once for each database."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'home' / 'store.sqlite'}"
    return str(request.getfixturevalue("postgres_url"))


@pytest.fixture
def open_store(store_url: str, tmp_path: Path) -> Iterator[Callable[..., Repository]]:
    """Open the same store as often as a test likes; all are closed in the end."""
    opened: list[Repository] = []

    def open_it(**options: object) -> Repository:
        opened.append(open_repository(tmp_path, store_url, **options))  # type: ignore[arg-type]
        return opened[-1]

    yield open_it
    for repository in opened:
        repository.close()


@pytest.fixture
def repository(open_store: Callable[..., Repository]) -> Repository:
    """A fresh store."""
    return open_store()


def _document(ticket_id: str, **changes: Any) -> DecisionDocument:
    stated: dict[str, Any] = {
        "decision_id": None,
        "ticket_id": ticket_id,
        "tier": "L1",
        "category": "access",
        "resolver_group": "service-desk",
        "automation": "automatic",
        "source": "model",
        "reason": "confident",
        "targets": {},
        "rule": None,
        "explanation": {"terms": [{"term": "vpn", "weight": 1.5}], "against": [], "similar": []},
        "questions": [],
        "hand_over": [],
        "language": "en",
        "novelty": 0.25,
        "truncated": False,
        "model_version": "7",
        "policy_version": "1",
    }
    return DecisionDocument.model_validate(stated | changes)


def _new(ticket_id: str = "T-1", body: str = "the vpn drops", sensitive: bool = False, **changes: Any) -> NewDecision:
    ticket = Ticket(id=ticket_id, subject="VPN", body=body, channel="email", attributes={"site": "north"})
    return NewDecision(ticket, _document(ticket_id, **changes), sensitive, clearance=0)


def _decide(repository: Repository, ticket_id: str = "T-1", body: str = "the vpn drops", **changes: Any) -> str:
    return repository.record([_new(ticket_id, body, **changes)])[0].id


@pytest.fixture
def document() -> Callable[..., DecisionDocument]:
    """Make a document as the service would answer it."""
    return _document


@pytest.fixture
def new() -> Callable[..., NewDecision]:
    """Make a ticket and the decision about it."""
    return _new


@pytest.fixture
def decide() -> Callable[..., str]:
    """Record a decision in a store and return its id."""
    return _decide
