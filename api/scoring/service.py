"""A ticket's journey through the service: seen before? → decide → record → answer."""

from __future__ import annotations

import asyncio
import functools
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any, TypeVar
from uuid import uuid4

import structlog

from api.http.exceptions import TooBusy
from api.scoring.admission import ARRIVED, AdmissionControl
from api.scoring.batcher import Batcher, Load
from api.scoring.decision_writer import DecisionWriter
from api.scoring.model_holder import ModelHolder
from api.security.auth import Principal
from api.settings import Settings
from api.store.repository import Repository
from api.store.rows import Attempt, Entry, StoredResult
from api.telemetry import Metrics
from models.triager import Triager
from models.wire import DECIMALS, DecisionDocument
from triage.decision import Decision
from triage.errors import StoreUnavailable
from triage.policy import Policy
from triage.ticket import Ticket

_T = TypeVar("_T")
_LOOK_S = 0.25
_LEAST_WAIT_S = 0.05
_READERS = 4
log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Answers:
    """What a request is answered with: one document per ticket, and whether all of them are in the store."""

    documents: list[dict[str, Any]]
    stored: bool


class Service:
    """Everything that the routes share; one per process.

    Args:
        settings: The service's settings.
        repository: The store.
        metrics: Where to count.
    """

    def __init__(self, settings: Settings, repository: Repository, metrics: Metrics) -> None:
        self.settings = settings
        self.repository = repository
        self.metrics = metrics
        self.draining = False
        self.desk = ModelHolder(settings, on_swap=self._on_swap, on_failure=metrics.load_failures.inc)
        self.batcher = Batcher(
            queue_size=settings.queue_size,
            score_batch=settings.score_batch,
            wait_s=settings.batch_wait_ms / 1000,
            on_load=self._on_load,
        )
        self.door = AdmissionControl(
            settings.queue_size + settings.score_batch,
            settings.request_deadline_s,
            lambda: self.batcher.queue_s,
            self._on_turned_away,
        )
        self.decision_writer = DecisionWriter(
            repository, settings.spool_size, on_spool=metrics.spooled.set, on_drop=metrics.dropped.inc
        )
        self._readers = ThreadPoolExecutor(_READERS, thread_name_prefix="read")
        self._watch: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Load and warm up the model, and begin to decide and to record."""
        await asyncio.get_running_loop().run_in_executor(None, self.desk.start)
        self.metrics.model_ready.set(int(self.desk.has_model))
        self.batcher.start()
        self.decision_writer.start()
        self._watch = asyncio.create_task(self.desk.watch(), name="watch")

    async def stop(self) -> None:
        """Commit what is left and let go of everything."""
        if self._watch is not None:
            self._watch.cancel()
        await self.batcher.stop()
        await self.decision_writer.stop(within_s=5.0)
        self.desk.stop()
        self._readers.shutdown(wait=False, cancel_futures=True)

    @property
    def unready(self) -> str | None:
        """Why this process should get no traffic now: a machine-readable code, or None."""
        if self.draining:
            return "draining"
        if not self.batcher.is_alive:
            return "scoring-stuck"
        if not self.desk.has_model and not self.settings.rules_only:
            return "model-unavailable"
        return None

    async def answer(
        self, tickets: Sequence[Ticket], principal: Principal, *, attempt: Attempt | None = None, bulk: bool = False
    ) -> Answers:
        """Decide tickets and record the decisions; a ticket that was decided before keeps its decision.

        Raises:
            TooBusy: The service cannot answer in time.
            KeyReused: The attempt's key was used for another request.
        """
        triager, began = self.desk.triager, ARRIVED.get(time.monotonic())
        if attempt is not None:
            replayed = await self._read(functools.partial(self.repository.replay, attempt))
            if replayed:
                return Answers([found.answer_for(principal.clearance) for found in replayed], True)
        known = await self._known(tickets, principal) if attempt is None else [None] * len(tickets)
        tickets = [with_id(ticket) for ticket in tickets]
        fresh = [ticket for ticket, earlier in zip(tickets, known, strict=True) if earlier is None]
        deadline_s = self.settings.batch_deadline_s if bulk else self.settings.request_deadline_s
        left_s = deadline_s - (time.monotonic() - began)
        try:
            decisions = await self._decide(triager, fresh, left_s, bulk, principal) if fresh else []
        except TooBusy as error:
            self.metrics.shed.labels(error.code).inc()
            raise
        left_s = deadline_s - (time.monotonic() - began)
        wait_s = min(self.settings.store_wait_ms / 1000, max(_LEAST_WAIT_S, left_s))
        made = iter(await self._record(fresh, decisions, triager.policy, principal, attempt, wait_s) if fresh else [])
        answers = [(earlier, True) if earlier is not None else next(made) for earlier in known]
        return Answers([document for document, _ in answers], all(stored for _, stored in answers))

    async def _decide(
        self, triager: Triager, tickets: Sequence[Ticket], left_s: float, bulk: bool, principal: Principal
    ) -> list[Decision]:
        if left_s <= 0:
            raise TooBusy(
                "deadline", "the deadline passed before the ticket was read: too much to do; try again later", 1
            )
        clearance = principal.clearance
        return await self.batcher.decide(triager, tickets, deadline_s=left_s, bulk=bulk, clearance=clearance)

    async def _known(self, tickets: Sequence[Ticket], principal: Principal) -> list[dict[str, Any] | None]:
        """Look up which tickets were decided before, so that they need no score."""
        if not any(ticket.id for ticket in tickets):
            return [None] * len(tickets)

        def look() -> list[dict[str, Any] | None]:
            earlier = [self.repository.known(ticket, principal.source) for ticket in tickets]
            usable = [found if found and (found.by_model or not self.desk.has_model) else None for found in earlier]
            return [found.answer_for(principal.clearance) if found else None for found in usable]

        return await self._read(look) or [None] * len(tickets)

    async def _read(self, look: Callable[[], _T]) -> _T | None:
        """Ask the store something on a thread; None where it does not answer soon: it must not hold up a decision."""
        try:
            async with asyncio.timeout(_LOOK_S):
                return await asyncio.get_running_loop().run_in_executor(self._readers, look)
        except (StoreUnavailable, TimeoutError):
            return None

    async def _record(
        self,
        tickets: Sequence[Ticket],
        decisions: Sequence[Decision],
        policy: Policy,
        principal: Principal,
        attempt: Attempt | None,
        wait_s: float,
    ) -> list[tuple[dict[str, Any], bool]]:
        entries = [
            self._entry(ticket, decision, policy, principal)
            for ticket, decision in zip(tickets, decisions, strict=True)
        ]
        for entry in entries:
            self.metrics.observe_decision(entry.answer)
        recorded: Sequence[StoredResult] | None = None
        try:
            recorded = await self.decision_writer.record(
                entries, source=principal.source, key_id=principal.key_id, attempt=attempt, wait_s=wait_s
            )
        except StoreUnavailable as error:
            log.warning("decision_not_stored", code=error.code)
        if recorded is None:
            return [({**entry.answer, "stored": False}, False) for entry in entries]
        return [(found.answer_for(principal.clearance), True) for found in recorded]

    def _entry(self, ticket: Ticket, decision: Decision, policy: Policy, principal: Principal) -> Entry:
        document = DecisionDocument.from_decision(
            decision, str(uuid4()), alternatives=self.settings.alternatives, decimals=DECIMALS
        )
        answer = document.model_dump(mode="json")
        return Entry(ticket, answer, is_sensitive(policy, decision), principal.clearance)

    def _on_turned_away(self, error: TooBusy) -> None:
        self.metrics.shed.labels(error.code).inc()
        self.metrics.requests.labels("POST", "/v1/predict", 503).inc()

    def _on_load(self, load: Load) -> None:
        self.metrics.batch_size.observe(load.tickets)
        self.metrics.scoring.observe(load.seconds)
        self.metrics.waiting.set(self.batcher.waiting)
        if load.fallback:
            self.metrics.fallbacks.labels(load.fallback).inc()

    def _on_swap(self, version: str) -> None:
        self.metrics.swaps.inc()
        self.metrics.model_ready.set(1)


def with_id(ticket: Ticket) -> Ticket:
    """Give a ticket that came without an id one of its own, so that it can be found, corrected and forgotten."""
    return ticket if ticket.id else replace(ticket, id=uuid4().hex)


def is_sensitive(policy: Policy, decision: Decision) -> bool:
    """Say whether a decision may belong to a category that the policy keeps from most eyes.

    What is only suspected counts: a category that was named, or that the model holds for likely.
    """
    sensitive = {entry.label for entry in policy.categories if entry.sensitive}
    verdict = decision.targets.get("category")
    named = {verdict.label, *verdict.likely, *(score.label for score in verdict.alternatives[:1])} if verdict else set()
    return bool(sensitive & named)
