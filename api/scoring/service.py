"""A ticket's journey through the service: seen before? → decide → record → answer."""

from __future__ import annotations

import asyncio
import functools
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence, Set
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from typing import NamedTuple, TypeVar
from uuid import uuid4

import structlog

from api.http.exceptions import TooBusy
from api.http.reception import Received
from api.maintenance.dead_letters import DeadLetter, DeadLetters
from api.scoring.admission import ARRIVED, AdmissionControl
from api.scoring.autonomy import AutonomyKeeper
from api.scoring.batcher import Batcher, Load, View
from api.scoring.decision_writer import DecisionWriter, Waiting
from api.scoring.learning import ReviewLearner
from api.scoring.model_holder import ModelHolder
from api.security.auth import Principal
from api.security.clearance import answer_for, answer_unstored, is_suspected
from api.settings import Settings
from api.store.repository import Repository
from api.store.rows import RELOADS, DecisionRow, IdempotencyKey, NewDecision, made_at, new_id
from api.telemetry import Metrics, described
from api.tracing import Tracing
from models.explain import forget_names
from models.features.tokens import forget_tokens
from models.features.vectorizer import forget_words
from models.language import forget_languages
from models.serving.answers import AnswerMemory
from models.triager import Triager
from models.wire import ALTERNATIVES, DECIMALS, DecisionDocument
from triage.decide import alarmed
from triage.decision import Decision
from triage.errors import StoreUnavailable, TriageError
from triage.escalation.retriage import cut_by
from triage.escalation.thread import Bounded, Event, Thread, grown, within
from triage.policy import Policy
from triage.ticket import Ticket

_T = TypeVar("_T")
_LOOK_S, _LOOK_SHARE = 0.25, 0.125
"""Patience with the store before a decision: this share of the time that is left, but at most these seconds while the
store is known not to answer."""
_STORE_WAIT_S, _LEAST_WAIT_S = 0.5, 0.05
"""How long an answer waits for its decision to be committed, in seconds, and how long it does at least."""
_READERS = 4
_BATCH_WAIT_S = 0.0
"""How long an idle batcher waits for company, in seconds: texts are encoded one by one, so that company saves nothing,
and whoever comes while a round is under way is decided together in the next one."""
_BACKLOG_TICKETS = 1000
"""Decisions kept in memory while the store does not answer: 50 seconds at the 20 tickets a second that are promised."""
_GIVEN_UP = 1000
"""Dead letters that are remembered, so that who sent one learns that sending it again is of no use."""
_NEW_S = 300.0
"""Age in seconds up to which a decision that the store lacks counts as one that is still on its way there."""
_LEARN_S = 5.0
"""How long a start waits until what people said is learned again, in seconds; after that it is learned meanwhile."""
log = structlog.get_logger(__name__)


class _Known(NamedTuple):
    """What is known of a ticket that comes in: the answer that stands, else what happened to it."""

    document: DecisionDocument | None
    events: tuple[Event, ...] = ()
    erasure: object = None
    is_looked_up: bool = True


_NOTHING_KNOWN, _NOT_LOOKED_UP = _Known(None), _Known(None, is_looked_up=False)


class Service:
    """Everything that the routes share; one per process.

    Args:
        settings: The service's settings.
        store: Where decisions are kept.
        metrics: Where to count.

    Attributes:
        forgets: Called where a ticket was forgotten: each lets go of what this process remembers of tickets.
    """

    def __init__(self, settings: Settings, store: Repository, metrics: Metrics) -> None:
        self.settings = settings
        self.store = store
        self.metrics = metrics
        self.tracing = Tracing(settings.otlp_endpoint)
        self.draining = False
        self._reload = self._asked_reload()  # before anything is loaded: whatever is asked from now on is followed
        self._wanted_reload, self._own_reload, self._untold = self._reload or "", "", ""
        self._following: tuple[str, Future[None]] | None = None
        self.model = ModelHolder(settings, on_swap=self._on_swap, on_failure=metrics.load_failures.inc)
        self.memory = AnswerMemory(settings.remember_answers)
        self.forgets: list[Callable[[], object]] = [
            self.memory.forget,
            forget_tokens,
            forget_words,
            forget_names,
            forget_languages,
        ]
        self._erasures: object = None
        self.batcher = Batcher(
            queue_size=settings.queue_size,
            score_batch=settings.score_batch,
            wait_s=_BATCH_WAIT_S,
            on_load=self._on_load,
            memory=self.memory,
        )
        self.admission = AdmissionControl(
            settings.queue_size + settings.score_batch,
            settings.request_deadline_s,
            lambda: self.batcher.queue_s,
            self._on_refused,
        )
        self.decision_writer = DecisionWriter(
            store,
            _BACKLOG_TICKETS,
            on_backlog=metrics.spooled.set,
            on_drop=metrics.dropped.inc,
            on_dead=self._on_dead,
        )
        self._dead_letters = DeadLetters(settings.home)
        self._given_up: deque[str] = deque(maxlen=_GIVEN_UP)
        self.store_problem: str | None = None
        self._unread: set[str] = set()
        self._unasked: set[str] = set()
        self._readers = ThreadPoolExecutor(_READERS, thread_name_prefix="read")
        self.autonomy = AutonomyKeeper(settings, store, metrics)
        self.learner = ReviewLearner(store, self.model) if settings.learn_from_reviews else None
        self._learning = ThreadPoolExecutor(1, thread_name_prefix="learn")
        self._watch: asyncio.Task[None] | None = None
        self._store_watch: asyncio.Task[None] | None = None
        self._reload_watch: asyncio.Task[None] | None = None
        self._learner_watch: asyncio.Task[None] | None = None
        self._has_learned = asyncio.Event()

    async def start(self) -> None:
        """Load and warm up the model, learn what people said of decisions, and begin to decide and to record."""
        learner, loop = self.learner, asyncio.get_running_loop()
        # Asked while the model loads, so that a start without reviews takes no longer.
        said = None if learner is None else loop.run_in_executor(self._learning, learner.has_reviews)
        await loop.run_in_executor(None, self.model.start)
        self.metrics.model_ready.set(int(self.model.is_loaded))
        self.batcher.start()
        self.decision_writer.start()
        self._watch = asyncio.create_task(self.model.watch(), name="watch")
        self._store_watch = asyncio.create_task(self._watch_store(), name="store")
        self._reload_watch = asyncio.create_task(self._watch_reloads(), name="reloads")
        if learner is not None and said is not None:
            self._learner_watch = asyncio.create_task(self._watch_reviews(learner), name="reviews")
            await self._learned_again(said)

    async def stop(self) -> None:
        """Commit what is left and let go of everything."""
        for task in (self._watch, self._store_watch, self._reload_watch, self._learner_watch):
            if task is not None:
                task.cancel()
        await self.batcher.stop()
        await self.decision_writer.stop(within_s=5.0)
        self.model.stop()
        self._readers.shutdown(wait=False, cancel_futures=True)
        self._learning.shutdown(wait=False, cancel_futures=True)
        await asyncio.get_running_loop().run_in_executor(None, self.tracing.stop)

    @property
    def unready(self) -> str | None:
        """Why this process should get no traffic now: a machine-readable code, or None."""
        if self.draining:
            return "draining"
        if not self.batcher.is_alive:
            return "scoring-stuck"
        if not self.model.is_loaded and not self.settings.rules_only:
            return "model-unavailable"
        return None

    @property
    def degraded(self) -> str | None:
        """What does not work while tickets are still decided: a machine-readable code, or None."""
        others = {
            "loading-stuck": self.model.is_overdue,
            "mailbox-not-read": self._unread,
            "helpdesk-not-asked": self._unasked,
        }
        failing = next((code for code, fails in others.items() if fails), None)
        return self.decision_writer.problem or self.store_problem or failing

    def note_helpdesk(self, name: str, *, is_asked: bool) -> None:
        """Note whether a helpdesk that is asked what is new answers, for `degraded` and the metrics."""
        (self._unasked.discard if is_asked else self._unasked.add)(name)
        self.metrics.helpdesk_ready.labels(name).set(int(is_asked))

    def note_mailbox(self, name: str, *, is_read: bool) -> None:
        """Note whether a mailbox is read, for `degraded` and the metrics."""
        (self._unread.discard if is_read else self._unread.add)(name)
        self.metrics.mailbox_ready.labels(name).set(int(is_read))

    async def decide(
        self,
        tickets: Sequence[Ticket],
        principal: Principal,
        *,
        idempotency_key: IdempotencyKey | None = None,
        bulk: bool = False,
        explain: bool = True,
    ) -> list[DecisionDocument]:
        """Decide tickets and record the decisions; a ticket that was decided before keeps its decision.

        A document says in `stored` whether the store has it.

        Args:
            tickets: What to decide; the order is kept.
            principal: Who asks.
            idempotency_key: The request's; where it was answered before, it is answered the same.
            bulk: Whether requests for one ticket go first.
            explain: Whether the answers say why; a decision that was made before without saying why cannot.

        Raises:
            TooBusy: The service cannot answer in time.
            KeyReused: The idempotency key was used for another request.
        """
        triager, began = self.model.triager, ARRIVED.get(time.monotonic())
        due = began + (self.settings.batch_deadline_s if bulk else self.settings.request_deadline_s)
        named = frozenset(ticket.id for ticket in tickets if ticket.id)
        if idempotency_key is not None:
            replayed, known = await self._replayed(idempotency_key, tickets, principal, due)
            if replayed:
                return _told(replayed, named, explain=explain)
        else:
            with self.tracing.step("look up"):
                known = await self._known(tickets, principal, due)
        tickets = [with_id(ticket) for ticket in tickets]
        fresh = [ticket for ticket, one in zip(tickets, known, strict=True) if one.document is None]
        about = [one for one in known if one.document is None]
        parts = [self._bounded(ticket, one.events) for ticket, one in zip(fresh, about, strict=True)]
        whole = [grown(part.ticket, part.events) for part in parts]
        left_s = due - time.monotonic()
        try:
            decisions = (
                await self._score(triager, whole, left_s, View(principal.clearance, explain), bulk=bulk)
                if fresh
                else []
            )
        except TooBusy as error:
            self.metrics.shed.labels(error.code).inc()
            raise
        decisions = [
            alarmed(cut_by(decision, part.over_long), ticket, _alarms_of(part.events), triager.policy)
            for decision, ticket, part in zip(decisions, whole, parts, strict=True)
        ]
        new = [
            replace(self._new(ticket, decision, triager.policy, principal), grown=bool(one.events), erasure=one.erasure)
            for ticket, decision, one in zip(fresh, decisions, about, strict=True)
        ]
        # Where nobody could look, an earlier decision may stand: the commit tells which, so it has all the time left.
        most_s = _STORE_WAIT_S if all(one.is_looked_up for one in about) else due - time.monotonic() - _LEAST_WAIT_S
        with self.tracing.step("record"):
            made = iter(await self._record(new, principal, idempotency_key, _wait_s(due, most_s)) if new else [])
        documents = [one.document if one.document is not None else next(made) for one in known]
        return _told(documents, named, explain=explain)

    def _bounded(self, ticket: Ticket, events: Sequence[Event]) -> Bounded:
        return within(ticket, events, self.settings.max_text_chars)

    def as_read(self, thread: Thread) -> Thread:
        """Return a thread as far as it is read: it may be as long as a ticket."""
        return thread.within(self.settings.max_text_chars)

    async def decide_again(
        self, triager: Triager, thread: Thread, principal: Principal, *, counted: bool = True
    ) -> Decision:
        """Decide a ticket that grew; nothing is recorded.

        Args:
            triager: The model to use.
            thread: The ticket with what happened since, as far as it is read.
            principal: Who asks.
            counted: Whether the metrics count it; what is only tried is not.

        Raises:
            TooBusy: The service cannot answer in time.
        """
        view, score = View(principal.clearance), self._score if counted else self._asked
        try:
            [decision] = await score(triager, [thread.whole], self._left_s(), view, bulk=False)
        except TooBusy as error:
            self.metrics.shed.labels(error.code).inc()
            raise
        return cut_by(decision, thread.over_long)

    def _left_s(self) -> float:
        """Return what is left of the time in which a call is to be answered."""
        return self.settings.request_deadline_s - (time.monotonic() - ARRIVED.get(time.monotonic()))

    async def alarms_in(self, triager: Triager, text: str, principal: Principal) -> list[tuple[str, str]]:
        """Return what must not wait of what was written last, read for itself: below a long text it may be missed.

        Raises:
            TooBusy: The service cannot answer in time.
        """
        if not text.strip():
            return []
        view, left_s = View(principal.clearance, explain=False), self._left_s()
        try:
            _check_left(left_s)
            [alone] = await self.batcher.decide(triager, [with_id(Ticket(body=text))], deadline_s=left_s, view=view)
        except TooBusy as error:
            self.metrics.shed.labels(error.code).inc()
            raise
        return [(one.kind, one.evidence) for one in alone.attention]

    async def preview(self, ticket: Ticket, principal: Principal) -> DecisionDocument:
        """Say what would be decided about a ticket; nothing is kept and nothing is counted.

        Raises:
            TooBusy: The service cannot answer in time.
        """
        triager, deadline_s = self.model.triager, self.settings.request_deadline_s
        view = View(clearance=principal.clearance)
        [decision] = await self.batcher.decide(triager, [with_id(ticket)], deadline_s=deadline_s, view=view)
        held = self.autonomy.hold(decision)
        document = DecisionDocument.from_decision(held, alternatives=ALTERNATIVES, decimals=DECIMALS)
        if isinstance(ticket, Received):
            document = document.as_received(ticket.ignored, ticket.cut)
        return document.model_copy(update={"stored": False})

    async def _score(
        self, triager: Triager, tickets: Sequence[Ticket], left_s: float, view: View, *, bulk: bool
    ) -> list[Decision]:
        decisions = await self._asked(triager, tickets, left_s, view, bulk=bulk)
        for decision in decisions:
            self.metrics.observe_decision(decision)
        return decisions

    async def _asked(
        self, triager: Triager, tickets: Sequence[Ticket], left_s: float, view: View, *, bulk: bool
    ) -> list[Decision]:
        _check_left(left_s)
        with self.tracing.step("score") as said:
            said["tickets"] = len(tickets)
            decisions = await self.batcher.decide(triager, tickets, deadline_s=left_s, bulk=bulk, view=view)
        return [self.autonomy.hold(decision) for decision in decisions]

    async def _replayed(
        self, idempotency_key: IdempotencyKey, tickets: Sequence[Ticket], principal: Principal, due: float
    ) -> tuple[list[DecisionDocument], list[_Known]]:
        """Return what a request with that key was answered with before; where it is new, what happened to its tickets.

        What waits to be committed is looked at first: a moment later it might be neither there nor seen in the store.
        """
        waiting = self.decision_writer.waiting_under(idempotency_key)
        if waiting is not None:
            return await self._settled(waiting, principal, due), []

        def look() -> tuple[list[DecisionRow], list[_Known]]:
            rows = self.store.replay(idempotency_key) or []
            known = [] if rows else self._seen(tickets, principal)
            return rows, [one._replace(document=None) for one in known]

        rows, known = await self._read(look, due, len(tickets)) or ([], [_NOT_LOOKED_UP] * len(tickets))
        return [answer_for(self.model.triager.policy, row, principal) for row in rows], known

    async def _known(self, tickets: Sequence[Ticket], principal: Principal, due: float) -> list[_Known]:
        """Look up which tickets were decided before, so that they need no score: what waits to be committed first."""
        if not any(ticket.id for ticket in tickets):
            return [_NOTHING_KNOWN] * len(tickets)
        waiting = [
            one if one is not None and self._stands(one.decisions[0].document) else None
            for one in self.decision_writer.waiting_about(tickets, principal.source)
        ]

        asked = [ticket for ticket, one in zip(tickets, waiting, strict=True) if one is None]
        look = functools.partial(self._seen, asked, principal)
        kept = await self._read(look, due, len(asked)) if asked else []
        looked = iter([_NOT_LOOKED_UP if one.id else _NOTHING_KNOWN for one in asked] if kept is None else kept)
        settled = [self._settled(one, principal, due) for one in waiting if one is not None]
        told = iter(await asyncio.gather(*settled))
        return [next(looked) if wait is None else _Known(next(told)[0]) for wait in waiting]

    def _seen(self, tickets: Sequence[Ticket], principal: Principal) -> list[_Known]:
        policy, found = self.model.triager.policy, []
        for seen in self.store.seen_all(tickets, principal.source):
            row = seen.decision if seen.decision is not None and self._stands(seen.decision.document) else None
            document = None if row is None else answer_for(policy, row, principal)
            found.append(_Known(document, seen.events, seen.erasure))
        return found

    def _stands(self, document: DecisionDocument) -> bool:
        """Say whether an earlier decision is answered again: one of the rules alone gives way once there is a model."""
        return document.model_version is not None or not self.model.is_loaded

    async def _settled(self, waiting: Waiting, principal: Principal, due: float) -> list[DecisionDocument]:
        """Return decisions that wait to be committed, as the store has them if it has them in time."""
        rows = await self.decision_writer.settled(waiting, _wait_s(due))
        return self._answers(waiting.decisions, rows, principal)

    async def _read(self, look: Callable[[], _T], due: float, tickets: int) -> _T | None:
        """Ask the store something on a thread; None where it does not answer soon: it must not hold up a decision.

        Args:
            look: What asks the store.
            due: When the request has to be answered.
            tickets: How many tickets it is about.
        """
        patience_s = max(_LEAST_WAIT_S, (due - time.monotonic()) * _LOOK_SHARE)
        if self.decision_writer.problem or self.store_problem:
            patience_s = min(_LOOK_S, patience_s)
        try:
            async with asyncio.timeout(patience_s):
                return await asyncio.get_running_loop().run_in_executor(self._readers, look)
        except StoreUnavailable as error:
            log.warning("tickets_not_looked_up", code=error.code, tickets=tickets)
        except TimeoutError:
            log.warning("tickets_not_looked_up", code="slow", patience_s=round(patience_s, 2), tickets=tickets)
        return None

    async def _record(
        self, new: Sequence[NewDecision], principal: Principal, idempotency_key: IdempotencyKey | None, wait_s: float
    ) -> list[DecisionDocument]:
        new = self.decision_writer.forestalled(new, principal.source, idempotency_key)
        rows: Sequence[DecisionRow | None] | None = None
        try:
            rows = await self.decision_writer.record(
                new,
                source=principal.source,
                key_id=principal.key_id,
                idempotency_key=idempotency_key,
                wait_s=wait_s,
            )
        except StoreUnavailable as error:
            log.warning("decision_not_stored", code=error.code)
        return self._answers(new, rows or [None] * len(new), principal)

    def _answers(
        self, decisions: Sequence[NewDecision], rows: Sequence[DecisionRow | None], sender: Principal
    ) -> list[DecisionDocument]:
        """Return decisions as their sender may see them: as the store has them, else as they are to be committed."""
        policy = self.model.triager.policy
        return [
            answer_for(policy, row, sender) if row else answer_unstored(policy, one, sender)
            for one, row in zip(decisions, rows, strict=True)
        ]

    def is_given_up(self, decision_id: str | None) -> bool:
        """Say whether a decision was lately found to be one that the store can never take."""
        return decision_id in self._given_up

    def is_awaited(self, decision_id: str) -> bool:
        """Say whether a decision that the store lacks was answered, and will be there: it waits here, or is quite new.

        When a decision was made is part of its id, so that this holds for one that another worker has answered.
        """
        if self.is_given_up(decision_id) or self.decision_writer.has_lost(decision_id):
            return False
        moment = made_at(decision_id)
        return self.decision_writer.holds(decision_id) or (moment is not None and 0 <= time.time() - moment < _NEW_S)

    def _on_dead(self, new: NewDecision, source: str, error: Exception) -> None:
        letter = DeadLetter.of(new, source, error)
        self._given_up.append(letter.decision_id)
        self.metrics.dead_letters.inc()
        try:
            self._dead_letters.add(letter)
        except OSError as failure:
            log.error("dead_letter_not_written", kind=type(failure).__name__)

    def _new(self, ticket: Ticket, decision: Decision, policy: Policy, principal: Principal) -> NewDecision:
        document = DecisionDocument.from_decision(decision, new_id(), alternatives=ALTERNATIVES, decimals=DECIMALS)
        if isinstance(ticket, Received):
            document = document.as_received(ticket.ignored, ticket.cut)
        return NewDecision(ticket, document, is_suspected(policy, document), principal.clearance)

    def _on_refused(self, error: TooBusy) -> None:
        self.metrics.shed.labels(error.code).inc()
        self.metrics.requests.labels("POST", "/v1/predict", 503).inc()

    def _on_load(self, load: Load) -> None:
        self.metrics.batch_size.observe(load.tickets)
        self.metrics.scoring.observe(load.seconds)
        self.metrics.waiting.set(self.batcher.waiting)
        if load.fallback:
            self.metrics.fallbacks.labels(load.fallback).inc()

    async def _watch_store(self) -> None:
        """Look every few seconds whether the store answers, and what reviews taken by other processes allow."""
        while True:
            await asyncio.sleep(self.settings.poll_s)
            try:
                self.store_problem = await asyncio.get_running_loop().run_in_executor(self._readers, self._ask_store)
                if self.store_problem is None:
                    await asyncio.get_running_loop().run_in_executor(self._readers, self.autonomy.refresh)
            except Exception as error:  # such as no memory for a thread: whatever it is, look again later
                log.error("store_not_watched", **described(error))
            self.metrics.store_ready.set(int(self.decision_writer.problem is None and self.store_problem is None))

    def _ask_store(self) -> str | None:
        try:
            self.store.ping()
            erasures = self.store.erasures()
            if erasures != self._erasures:
                self._erasures = erasures
                self._forget_texts()
            self._tell_reload()
            self._wanted_reload = self.store.position(RELOADS, "asked") or ""
        except StoreUnavailable as error:
            self._forget_texts()  # nobody can say now what was forgotten meanwhile
            return f"store-{error.code}"
        return None

    async def reload(self) -> None:
        """Load bundle, policy and rules anew, and have every other process that shares the store do the same.

        The others are told once it has ended well, be it after nobody waits any more; where the store does not answer,
        as soon as it does.

        Raises:
            InvalidPolicy: If the policy contradicts itself; what is in use stays, here and elsewhere.
            InvalidRules: If the rules do.
            BundleError: If the bundle is refused.
            TooBusy: If it takes too long; what has begun goes on.
        """
        job = self.model.begin_reload()
        job.add_done_callback(self._note_reload)
        await self.model.reloaded(job)
        try:
            await asyncio.get_running_loop().run_in_executor(self._readers, self._tell_reload)
        except StoreUnavailable as error:
            log.warning("reload_not_shared_yet", code=error.code)

    def _note_reload(self, job: Future[None]) -> None:
        """Note that the others are to be told of a reload that ended well here; on the thread that loads."""
        if not job.cancelled() and job.exception() is None:
            self._own_reload = self._untold = new_id()

    def _tell_reload(self) -> None:
        """Tell the other processes of a reload that they have not been told of.

        Raises:
            StoreUnavailable: They are told the next time.
        """
        if untold := self._untold:
            self.store.move_position(RELOADS, "asked", untold)
            if self._untold == untold:
                self._untold = ""

    def _asked_reload(self) -> str | None:
        """Return who asked last that everything is loaded anew; None where the store does not say."""
        try:
            return self.store.position(RELOADS, "asked") or ""
        except StoreUnavailable:
            return None

    async def _watch_reloads(self) -> None:
        """Look every few seconds whether another process was asked to load anew since this one began to load."""
        while True:
            await asyncio.sleep(self.settings.poll_s)
            if self._following or self._wanted_reload not in (self._reload, self._own_reload):
                try:
                    await self._follow_reload()
                except Exception as error:  # such as no memory for a thread: whatever it is, look again later
                    log.error("reload_not_followed", **described(error))

    async def _follow_reload(self) -> None:
        """Load anew what another process was asked to, once: what takes long is waited for again, not begun again."""
        wanted, job = self._following or (self._wanted_reload, self.model.begin_reload())
        self._following = (wanted, job)
        try:
            await self.model.reloaded(job)
        except TriageError as error:
            log.error("reload_failed", problem=type(error).__name__, message=str(error))
        finally:
            if job.done():
                self._following = None
                self._reload = self._reload if job.cancelled() else wanted

    def _forget_texts(self) -> None:
        """Forget whatever this process remembers of tickets."""
        for forget in self.forgets:
            forget()

    async def _learned_again(self, said: asyncio.Future[bool]) -> None:
        """Wait a while until what people said before this start is learned, where they said anything."""
        try:
            async with asyncio.timeout(_LEARN_S):
                if await said:
                    await self._has_learned.wait()
        except TimeoutError:
            log.warning("reviews_not_learned_yet", waited_s=_LEARN_S)

    async def _watch_reviews(self, learner: ReviewLearner) -> None:
        """Look every few seconds at what people said since; what is learned applies to the tickets that come then."""
        while True:
            try:
                await asyncio.get_running_loop().run_in_executor(self._learning, learner.refresh)
            except Exception as error:  # whatever a review breaks, tickets are decided as before
                log.error("reviews_not_learned", problem=type(error).__name__)
            self._has_learned.set()
            await asyncio.sleep(self.settings.poll_s)

    def _on_swap(self, version: str) -> None:
        self.memory.forget()
        self.autonomy.adopt(self.model.triager)
        self.metrics.swaps.inc()
        self.metrics.model_ready.set(1)


def _wait_s(due: float, most_s: float = _STORE_WAIT_S) -> float:
    """Return how long an answer that is due at a time may wait for its decision to be committed, at most so long."""
    return max(_LEAST_WAIT_S, min(most_s, due - time.monotonic()))


def _check_left(left_s: float) -> None:
    if left_s <= 0:
        raise TooBusy("deadline", "the deadline passed before the ticket was read: too much to do; try again later", 1)


def _alarms_of(events: Sequence[Event]) -> Iterator[tuple[str, str]]:
    return (alarm for event in events for alarm in event.attention)


def _told(documents: Sequence[DecisionDocument], named: Set[str], *, explain: bool) -> list[DecisionDocument]:
    """Return documents as they are answered.

    About a ticket that came with an id, what is not stored only suggests. Whoever does not want to know why is not
    told, though a decision that was made before says it.
    """
    told = [one if one.stored or one.ticket_id not in named else one.unconfirmed() for one in documents]
    return told if explain else [one.without_why() for one in told]


def with_id(ticket: Ticket) -> Ticket:
    """Give a ticket that came without an id one of its own, so that it can be found, corrected and forgotten."""
    return ticket if ticket.id else replace(ticket, id=uuid4().hex)
