"""Commits decisions for concurrent requests together, and keeps them in memory while the store does not answer."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import Protocol

import structlog

from api.http.exceptions import Refused
from api.store.rows import KEYS, DecisionRow, IdempotencyKey, NewDecision, digest_of
from triage.errors import StoreUnavailable
from triage.ticket import Ticket

_LITTLE_PATIENCE_S = 0.05
"""How long an answer waits for its commit while the store does not answer, in seconds."""
_GROUP = 64
"""Most tickets in a transaction: one commit for a whole burst, and still only milliseconds of holding the store."""
_PATIENCE_S = 1.0
"""How long a commit waits for its turn to write, in seconds; behind it others wait."""
_BACKOFF_S = (0.1, 0.5, 1.0, 2.0, 5.0)
"""Pauses after failures in a row, in seconds; the last one repeats, so that a store that is back is soon noticed."""
_LOST = 1000
"""Decisions that are remembered as not kept, so that nobody is told for minutes to wait for them."""
log = structlog.get_logger(__name__)


class Store(Protocol):
    """The part of the store that is written to here."""

    def record(
        self,
        decisions: Sequence[NewDecision],
        *,
        source: str = KEYS,
        key_id: str | None = None,
        idempotency_key: IdempotencyKey | None = None,
        patience_s: float | None = None,
    ) -> list[DecisionRow]:
        """Commit decisions in one transaction."""
        ...

    def note_forestalled(self, stands: Mapping[str, str]) -> None:
        """Note that ids which were answered lead to decisions that stood before."""
        ...


@dataclass(eq=False)
class _Job:
    """The decisions of one request that wait to be committed; they go together, but for those that no store takes."""

    decisions: Sequence[NewDecision]
    source: str
    key_id: str | None
    idempotency_key: IdempotencyKey | None
    done: asyncio.Future[list[DecisionRow | None]]
    is_answered: bool = False


@dataclass(frozen=True)
class Waiting:
    """Decisions that wait to be committed: all of one request, or one of them.

    Attributes:
        decisions: As they are to be committed.
        first: Place of the first of them in their request.
        done: Will tell how those of the request stand in the store.
    """

    decisions: Sequence[NewDecision]
    first: int
    done: asyncio.Future[list[DecisionRow | None]]


class DecisionWriter:
    """Takes decisions and tells whether they were committed in time; what was not is tried again later.

    Args:
        store: Where decisions go.
        backlog_size: Most tickets kept in memory; beyond, the newest are dropped and counted.
        on_backlog: Called with the number of tickets kept in memory, after each change.
        on_drop: Called with the number of tickets dropped.
        on_dead: Called, on a thread, with each decision that the store can never take, its source and the error.
    """

    def __init__(
        self,
        store: Store,
        backlog_size: int,
        *,
        on_backlog: Callable[[int], object] = lambda size: None,
        on_drop: Callable[[int], object] = lambda lost: None,
        on_dead: Callable[[NewDecision, str, Exception], object] = lambda new, source, error: None,
    ) -> None:
        self._store = store
        self._backlog_size = backlog_size
        self._on_backlog, self._on_drop, self._on_dead = on_backlog, on_drop, on_dead
        self._jobs: deque[_Job] = deque()
        self._size = 0
        self._arrived = asyncio.Event()
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="record")
        self._task: asyncio.Task[None] | None = None
        self._failures, self._problem = 0, ""
        self._lost: deque[str] = deque(maxlen=_LOST)
        self._is_noting = False

    @property
    def problem(self) -> str | None:
        """Why the last decisions could not be committed: a machine-readable code, or None where they could."""
        return self._problem if self._failures else None

    def holds(self, decision_id: str) -> bool:
        """Say whether a decision waits here to be committed."""
        return any(new.document.decision_id == decision_id for job in list(self._jobs) for new in job.decisions)

    def has_lost(self, decision_id: str) -> bool:
        """Say whether a decision was lately found not to be kept: another one stood there first, or none was taken."""
        return decision_id in self._lost

    def waiting_under(self, key: IdempotencyKey) -> Waiting | None:
        """Return the decisions of the request with an idempotency key, where they wait here to be committed.

        Raises:
            KeyReused: What waits is another request's.
        """
        for job in self._jobs:
            used = job.idempotency_key
            if used is not None and (used.owner, used.key) == (key.owner, key.key):
                key.check(used.digest)
                return Waiting(job.decisions, 0, job.done)
        return None

    def waiting_about(self, tickets: Sequence[Ticket], source: str) -> list[Waiting | None]:
        """Return for each ticket the decision about the same text of the same id that waits here to be committed."""
        found: dict[str, list[Waiting]] = {ticket.id: [] for ticket in tickets if ticket.id} if self._jobs else {}
        for job in self._jobs if found else ():
            if job.source == source:
                for place, new in enumerate(job.decisions):
                    if new.ticket.id in found:
                        found[new.ticket.id].append(Waiting([new], place, job.done))
        return [_about_the_same(ticket, found.get(ticket.id, [])) for ticket in tickets]

    def forestalled(
        self, decisions: Sequence[NewDecision], source: str, idempotency_key: IdempotencyKey | None
    ) -> Sequence[NewDecision]:
        """Return decisions, with what has begun to wait here meanwhile in the place of those that it forestalls.

        Raises:
            KeyReused: Another request with the idempotency key waits here.
        """
        if not self._jobs:
            return decisions
        whole = self.waiting_under(idempotency_key) if idempotency_key is not None else None
        if whole is not None:
            return whole.decisions
        earlier = self.waiting_about([new.ticket for new in decisions], source)
        return [
            one.decisions[0] if one is not None and (_by_model(one.decisions[0]) or not _by_model(new)) else new
            for new, one in zip(decisions, earlier, strict=True)
        ]

    async def settled(self, waiting: Waiting, wait_s: float) -> list[DecisionRow | None]:
        """Wait a while for decisions, and return them as they stand in the store; None for each that is not there."""
        await asyncio.wait([waiting.done], timeout=self._patience(wait_s))
        count = len(waiting.decisions)
        if not waiting.done.done():
            for job in self._jobs:
                job.is_answered = job.is_answered or job.done is waiting.done
            return [None] * count
        if waiting.done.exception() is not None:
            return [None] * count
        return waiting.done.result()[waiting.first : waiting.first + count]

    def start(self) -> None:
        """Begin to commit; needs a running event loop."""
        self._task = asyncio.create_task(self._run(), name="decision-writer")

    async def stop(self, within_s: float) -> None:
        """Commit what waits, as far as the store takes it within a time, and stop."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(within_s):
                while self._jobs or self._is_noting:
                    self._arrived.set()
                    await asyncio.sleep(0.02)
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
        if self._jobs:
            log.error("decisions_lost", tickets=self._size)
        self._executor.shutdown(wait=False)

    async def record(
        self,
        decisions: Sequence[NewDecision],
        *,
        source: str = KEYS,
        key_id: str | None,
        idempotency_key: IdempotencyKey | None = None,
        wait_s: float,
    ) -> list[DecisionRow | None] | None:
        """Commit decisions, waiting for a while.

        Returns:
            The decisions as they stand in the store, None for each that it can never take; or None if that is not
            known yet.

        Raises:
            KeyReused: The idempotency key was used for another request.
        """
        job = _Job(decisions, source, key_id, idempotency_key, done=asyncio.get_running_loop().create_future())
        self._enqueue(job)
        done, _ = await asyncio.wait([job.done], timeout=self._patience(wait_s))
        if done:
            return job.done.result()
        job.is_answered = True
        job.done.add_done_callback(_read_outcome)
        return None

    def _patience(self, wait_s: float) -> float:
        """Return how long to wait for a commit: hardly, where the last one failed."""
        return wait_s if not self._failures else min(wait_s, _LITTLE_PATIENCE_S)

    def _enqueue(self, job: _Job) -> None:
        if self._size + len(job.decisions) > max(self._backlog_size, len(job.decisions)):
            self._on_drop(len(job.decisions))
            self._lose(job.decisions)
            job.done.set_exception(
                StoreUnavailable("full", "the backlog is full: decisions are answered but not kept; mend the store")
            )
            return
        self._jobs.append(job)
        self._count(len(job.decisions))
        self._arrived.set()

    def _count(self, change: int) -> None:
        self._size += change
        self._on_backlog(self._size)

    async def _run(self) -> None:
        while True:
            await self._arrived.wait()
            self._arrived.clear()
            while self._jobs:
                await self._commit(self._group())

    def _group(self) -> list[_Job]:
        """Take the jobs at the front that can share a transaction, without removing them."""
        first = self._jobs[0]
        group, size = [first], len(first.decisions)
        for job in islice(self._jobs, 1, _GROUP):
            size += len(job.decisions)
            whose = (job.key_id, job.source) != (first.key_id, first.source)
            if size > _GROUP or first.idempotency_key or job.idempotency_key or whose:
                break
            group.append(job)
        return group

    async def _commit(self, group: list[_Job]) -> None:
        first = group[0]
        commit = partial(
            self._store.record,
            [new for job in group for new in job.decisions],
            source=first.source,
            key_id=first.key_id,
            idempotency_key=first.idempotency_key,
            patience_s=_PATIENCE_S,
        )
        try:
            recorded = await asyncio.get_running_loop().run_in_executor(self._executor, commit)
        except StoreUnavailable as error:
            await self._back_off(error)
            return
        except Refused as error:
            self._finish(group, error)
            return
        except Exception as error:  # a row that the store can never take must not hold up those behind it
            if len(group) > 1:
                for job in group:
                    await self._commit([job])
            else:
                await self._commit_apart(first, error)
            return
        self._answers()
        await self._note_forestalled(self._share(group, recorded))

    async def _commit_apart(self, job: _Job, error: Exception) -> None:
        """Commit the decisions of a job one by one, and give up those that the store can never take.

        An idempotency key is not kept then: it would stand for fewer decisions than were asked for.
        """
        loop, rows = asyncio.get_running_loop(), list[DecisionRow | None]()
        while len(rows) < len(job.decisions):
            new = job.decisions[len(rows)]
            if len(job.decisions) > 1 or job.idempotency_key is not None:
                commit = partial(
                    self._store.record, [new], source=job.source, key_id=job.key_id, patience_s=_PATIENCE_S
                )
                try:
                    rows.extend(await loop.run_in_executor(self._executor, commit))
                    continue
                except StoreUnavailable as busy:
                    await self._back_off(busy)
                    continue
                except Exception as own:  # this one is to blame
                    error = own
            log.error("decision_not_stored", kind=type(error).__name__, decision_id=new.document.decision_id)
            await loop.run_in_executor(self._executor, self._on_dead, new, job.source, error)
            rows.append(None)
        self._answers()
        await self._note_forestalled(self._settle(job, rows))

    def _answers(self) -> None:
        """Note that the store answers."""
        if self._failures:
            log.info("store_is_back", backlog=self._size)
        self._failures = 0

    def _share(self, group: list[_Job], recorded: list[DecisionRow]) -> dict[str, str]:
        """Tell each job how its decisions stand; return what is to be noted of those that were forestalled."""
        start, forestalled = 0, dict[str, str]()
        for job in group:
            count = len(job.decisions)
            part, start = (recorded, start) if job.idempotency_key else (recorded[start : start + count], start + count)
            forestalled |= self._settle(job, part)
        return forestalled

    def _settle(self, job: _Job, rows: Sequence[DecisionRow | None]) -> dict[str, str]:
        """Tell a job how its decisions stand; return which of the ids that it was answered with lead to other ones."""
        self._remove(job)
        kept = zip(job.decisions, rows, strict=False)
        others = [(new, row) for new, row in kept if row is not None and row.id != new.document.decision_id]
        if not job.done.done():
            job.done.set_result(list(rows))
        if job.is_answered:
            return {str(new.document.decision_id): row.id for new, row in others}
        self._lose([new for new, _ in others])
        return {}

    async def _note_forestalled(self, stands: Mapping[str, str]) -> None:
        """Have the store lead ids that were answered to the decisions that stand; until then they count as awaited."""
        if not stands:
            return
        self._is_noting = True
        log.info("decisions_forestalled", decisions=len(stands))
        note, kind = partial(self._store.note_forestalled, stands), ""
        for pause in _BACKOFF_S:
            try:
                await asyncio.get_running_loop().run_in_executor(self._executor, note)
                kind = ""
                break
            except StoreUnavailable as error:
                kind = f"store-{error.code}"
                await asyncio.sleep(pause)
            except Exception as error:  # such as a decision that is past its retention: there is nothing to lead to
                kind = type(error).__name__
                break
        if kind:
            log.warning("forestalled_not_noted", kind=kind, decisions=len(stands))
            self._lost.extend(stands)
        self._is_noting = False

    def _finish(self, group: list[_Job], error: Exception) -> None:
        for job in group:
            self._remove(job)
            self._lose(job.decisions)
            if job.is_answered:
                self._on_drop(len(job.decisions))
            if not job.done.done():
                job.done.set_exception(error)

    def _lose(self, decisions: Sequence[NewDecision]) -> None:
        """Note that decisions are not kept under their ids."""
        self._lost.extend(new.document.decision_id for new in decisions if new.document.decision_id is not None)

    def _remove(self, job: _Job) -> None:
        self._jobs.remove(job)
        self._count(-len(job.decisions))

    async def _back_off(self, error: StoreUnavailable) -> None:
        if not self._failures:
            log.warning("store_unavailable", code=error.code)
        self._problem = f"store-{error.code}"
        pause = _BACKOFF_S[min(self._failures, len(_BACKOFF_S) - 1)]
        self._failures += 1
        await asyncio.sleep(pause)


def _about_the_same(ticket: Ticket, waiting: Sequence[Waiting]) -> Waiting | None:
    """Return the first decision about the same text; the first of a model where there is one, as in the store."""
    digest = digest_of(ticket) if waiting else ""
    same = [one for one in waiting if digest_of(one.decisions[0].ticket) == digest]
    return next((one for one in same if _by_model(one.decisions[0])), same[0] if same else None)


def _by_model(new: NewDecision) -> bool:
    return new.document.model_version is not None


def _read_outcome(future: asyncio.Future[list[DecisionRow | None]]) -> None:
    """Read the outcome that nobody waits for any more, so that asyncio does not warn about it."""
    if not future.cancelled():
        future.exception()
