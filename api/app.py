"""The application, built from its settings; importing this module builds nothing."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from fastapi import APIRouter, FastAPI

from api.helpdesks.config import load_desks
from api.helpdesks.outbound import UpdateSender
from api.http.middleware import RequestContextMiddleware
from api.http.openapi import TITLE, describe
from api.http.problems import add_error_handlers
from api.maintenance.retention_job import RetentionJob
from api.routes import decisions, docs, feedback, health, model, pages, policy, predict, session, webhooks
from api.scoring.service import Service
from api.security.auth import Access, deny_by_default
from api.security.rate_limit import Limiter, open_limiter
from api.settings import Settings
from api.store.repository import Repository, open_repository
from api.telemetry import MULTIPROCESS_VARIABLE, Metrics

_ROUTERS: tuple[APIRouter, ...] = (
    predict.router,
    predict.redirects,
    decisions.router,
    feedback.router,
    webhooks.router,
    model.router,
    policy.router,
    health.router,
    pages.router,
    pages.assets,
    session.router,
    docs.router,
)


def create_app(settings: Settings, repository: Repository | None = None) -> FastAPI:
    """Build the service.

    Args:
        settings: Everything an operator may choose.
        repository: The store; opened from the settings where not given.

    Raises:
        TriageError: If the store, the policy or the rules cannot be used.
    """
    store = repository or open_repository(settings.home, settings.store_url, redact=settings.redact_stored)
    service = Service(settings, store, Metrics())

    desks = load_desks(settings.desks)
    courier = UpdateSender(store, desks, lambda desk, outcome: service.metrics.updates.labels(desk, outcome).inc())
    upkeep = RetentionJob(store, settings)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        await service.start()
        courier.start()
        upkeep.start()
        yield
        upkeep.stop()
        courier.stop()
        await service.stop()
        if app.state.limiter is not None:
            app.state.limiter.close()
        if repository is None:
            store.close()

    app = FastAPI(title=TITLE, version=_version(), lifespan=lifespan, docs_url=None, redoc_url=None, openapi_url=None)
    app.state.service = service
    app.state.settings = settings
    app.state.repository = store
    app.state.taking = webhooks.Taking(service, desks, courier)
    app.state.limiter = _limiter(settings)
    app.state.access = Access(store, settings.open_loopback)
    app.add_middleware(RequestContextMiddleware, settings=settings, metrics=service.metrics)
    add_error_handlers(app)
    for router in _ROUTERS:
        app.router.routes.extend(
            router.routes
        )  # flat, so that 405 can name every method of a path and a test every scope
    deny_by_default(app)
    app.openapi = partial(describe, app, settings)  # type: ignore[method-assign]
    return app


def _limiter(settings: Settings) -> Limiter | None:
    """Return what counts the calls of each key; workers share their count in the directory of their metrics."""
    if settings.rate is None:
        return None
    shared = os.environ.get(MULTIPROCESS_VARIABLE)
    return open_limiter(*settings.rate, Path(shared) / "rates" if shared else None)


def _version() -> str:
    try:
        return version("helpdesk-triage")
    except PackageNotFoundError:
        return "0"
