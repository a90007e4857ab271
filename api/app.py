"""The application, built from its settings; importing this module builds nothing."""

from __future__ import annotations

import importlib
import os
from collections.abc import AsyncIterator, Callable, Collection, Mapping
from contextlib import asynccontextmanager
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING

from anyio import to_thread
from fastapi import APIRouter, FastAPI

from api.deps import Parts
from api.helpdesks.config import load_helpdesks
from api.helpdesks.outbound import OUTCOMES, UpdateSender
from api.helpdesks.poller import Poller
from api.helpdesks.receiver import UNKNOWN, WebhookReceiver
from api.http.middleware import BehindProxyMiddleware, RequestContextMiddleware
from api.http.openapi import TITLE, describe
from api.http.problems import add_error_handlers
from api.learning.jobs import Runner
from api.learning.worth_asking import WorthAsking
from api.mail.config import load_mailboxes
from api.maintenance.retention_job import RetentionJob
from api.pages.live import Watch
from api.routes import (
    autonomy,
    claims,
    decisions,
    docs,
    feedback,
    health,
    model,
    policy,
    predict,
    tickets,
    users,
    webhooks,
)
from api.routes.knowledge import entries as knowledge
from api.routes.knowledge import page as knowledge_page
from api.routes.pages import assets, learning, overview, people, queue, sign_in, ticket, try_ticket
from api.routes.protocols import inference
from api.scoring.knowledge import Knowledge
from api.scoring.reviews import Reviews
from api.scoring.service import Service
from api.scoring.threads import TicketThreads
from api.security.api_keys import Keyring
from api.security.auth import Access, deny_by_default
from api.security.rate_limit import Limiter
from api.security.sign_in import Door
from api.settings import Settings
from api.store.database import Database
from api.store.feedback import Caps
from api.store.repository import Repository, open_repository
from api.telemetry import MULTIPROCESS_VARIABLE, Metrics, show_at_zero
from api.tracing import TracingMiddleware
from triage.errors import InvalidRequest

_ROUTERS: tuple[APIRouter, ...] = (
    predict.plain,
    predict.router,
    predict.redirects,
    inference.router,
    decisions.router,
    feedback.router,
    tickets.router,
    knowledge.router,
    knowledge.of_tickets,
    knowledge_page.router,
    webhooks.router,
    model.router,
    autonomy.router,
    policy.router,
    health.router,
    claims.router,
    queue.router,
    overview.router,
    ticket.router,
    try_ticket.router,
    assets.router,
    sign_in.router,
    people.router,
    learning.router,
    users.router,
    docs.router,
)


if TYPE_CHECKING:
    from api.mail.reader import MailReader


def create_app(settings: Settings, store: Repository | None = None) -> FastAPI:
    """Build the service.

    Args:
        settings: Everything an operator may choose.
        store: Where decisions are kept; opened from the settings, and closed in the end, where not given.

    Raises:
        TriageError: If the store, the policy, the rules or the file of helpdesks cannot be used.
    """
    opened = store or open_repository(settings.home, settings.store_url, redact=settings.redact_stored)
    service = Service(settings, opened, Metrics())
    caps = Caps(settings.feedback_cap_key or None, settings.feedback_cap_agent or None)
    reviews = Reviews(
        opened, service.model, service.metrics, caps, autonomy=service.autonomy, is_awaited=service.is_awaited
    )
    helpdesks = load_helpdesks(settings.helpdesks)
    opened.told = frozenset(name for name, helpdesk in helpdesks.items() if helpdesk.update)
    opened.subscribers = tuple(name for name, helpdesk in helpdesks.items() if helpdesk.events)
    sender = UpdateSender(opened, helpdesks, _counter_of_updates(service.metrics, helpdesks))
    receiver = WebhookReceiver(service, reviews, helpdesks, sender)
    poller = Poller(helpdesks, receiver, service)
    readers = mail_readers(service, settings, helpdesks)
    retention = RetentionJob(opened, settings)
    jobs = Runner(opened, settings)
    worth_asking = WorthAsking(opened, service.model, blind=settings.audit_blind)
    service.forgets.append(worth_asking.forget)
    keyring = Keyring(opened)
    door = Door(opened, keyring, settings, _shared_counts())
    access = Access(
        opened, keyring, door, open_loopback=settings.open_loopback, limiter=_limiter(settings, opened.database)
    )

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        await service.start()
        sender.start()
        poller.start()
        for reader in readers:
            reader.start()
        retention.start()
        await to_thread.run_sync(jobs.start)
        yield
        retention.stop()
        await to_thread.run_sync(jobs.stop)
        for reader in readers:
            await to_thread.run_sync(reader.stop)
        await poller.stop()
        sender.stop()
        await service.stop()
        if access.limiter is not None:
            access.limiter.close()
        door.close()
        if store is None:
            opened.close()

    app = FastAPI(title=TITLE, version=_version(), lifespan=lifespan, docs_url=None, redoc_url=None, openapi_url=None)
    app.state.parts = Parts(
        service,
        reviews,
        receiver,
        TicketThreads(service, sender.alarm),
        worth_asking=worth_asking,
        jobs=jobs,
        knowledge=Knowledge(service),
        watch=Watch(opened.queue_state, lambda: service.draining),
        watch_tickets=Watch(lambda: (opened.queue_state(), sorted(opened.viewing())), lambda: service.draining),
    )
    app.state.access = access
    app.add_middleware(RequestContextMiddleware, settings=settings, metrics=service.metrics)
    if settings.otlp_endpoint:
        app.add_middleware(TracingMiddleware, tracing=service.tracing)
    app.add_middleware(BehindProxyMiddleware, proxies=settings.forwarders)
    add_error_handlers(app)
    for router in _ROUTERS:
        # Not `include_router`, which nests: a 405 could no longer name every method of a path, and `deny_by_default`
        # could no longer see every route.
        app.router.routes.extend(router.routes)
    deny_by_default(app)
    app.openapi = partial(describe, app, settings)  # type: ignore[method-assign]
    return app


def mail_readers(service: Service, settings: Settings, helpdesks: Collection[str]) -> list[MailReader]:
    """Return the readers of the mailboxes that the settings name; the extra ``mail`` is needed for one.

    Args:
        service: Decides what they read.
        settings: Name the file of mailboxes.
        helpdesks: Names that are taken: tickets of both would be told apart by nothing.

    Raises:
        InvalidRequest: The file of mailboxes makes no sense, names a helpdesk, or a package is not installed.
    """
    if settings.mailboxes is None:
        return []
    try:
        reader = importlib.import_module("api.mail.reader")
    except ModuleNotFoundError as error:
        raise InvalidRequest(
            f"{error.name} is not installed: mailboxes need it; pip install 'helpdesk-triage[mail]'"
        ) from error
    found = load_mailboxes(settings.mailboxes)
    if both := sorted(found.keys() & set(helpdesks)):
        raise InvalidRequest(
            f"a mailbox and a helpdesk have one name ({', '.join(both)}), and tickets are told apart by it: "
            f"give the mailbox in {settings.mailboxes} another one"
        )
    return [
        reader.MailReader(name, mailbox, password, service=service, home=settings.home)
        for name, (mailbox, password) in found.items()
    ]


def _counter_of_updates(metrics: Metrics, helpdesks: Mapping[str, object]) -> Callable[[str, str], None]:
    """Return what counts updates by helpdesk and outcome; one that is no longer in the file counts as unknown."""
    show_at_zero(metrics.updates, (*helpdesks, UNKNOWN), OUTCOMES)

    def count(name: str, outcome: str) -> None:
        metrics.updates.labels(name if name in helpdesks else UNKNOWN, outcome).inc()

    return count


def _limiter(settings: Settings, database: Database) -> Limiter | None:
    """Return what counts the calls of each key: workers share a file beside their metrics, replicas PostgreSQL."""
    if settings.rate is None:
        return None
    shared = _shared_counts()
    database_of_replicas = database if database.dialect == "postgresql" else None
    return Limiter(settings.rate, shared / "rates" if shared else None, database_of_replicas)


def _shared_counts() -> Path | None:
    """Return where several workers count together: the directory of their metrics; None for one process."""
    shared = os.environ.get(MULTIPROCESS_VARIABLE)
    return Path(shared) if shared else None


def _version() -> str:
    try:
        return version("helpdesk-triage")
    except PackageNotFoundError:
        return "0"
