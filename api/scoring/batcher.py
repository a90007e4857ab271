"""A bounded queue before `Triager.decide`: micro-batches, deadlines, and the rules' route where the encoder fails."""

from __future__ import annotations

import asyncio
import contextlib
import math
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial

import structlog

from api.http.exceptions import TooBusy
from models.serving.answers import AnswerMemory
from models.triager import Triager
from triage.decision import Decision
from triage.ticket import Ticket

_BULK_SHARE = 8
"""Tickets of batch requests in a round beside single ones: a quarter of the largest round, so they never starve."""
_STUCK_S = 30.0
"""A micro-batch under way for longer, in seconds, counts as stuck: a hundred times what a round should take."""
_SMOOTHING = 0.2
"""Weight of the last micro-batch in the moving average of seconds a ticket: five rounds make most of it."""
_ROUND_S = 0.2
"""A round takes no more tickets than are decided in this time, in seconds: a tenth of the usual deadline."""
_SHARE = 0.8
"""Share of the deadline that the queue before a ticket may take; the rest is for its own round and for the store."""
log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class View:
    """What an answer is to show.

    Attributes:
        clearance: What the reader may see of similar tickets.
        explain: Whether to say why: which words counted, and what is similar.
    """

    clearance: int = 0
    explain: bool = True


PLAIN_VIEW = View()
"""With an explanation, for a reader who may see what everybody may."""


@dataclass(eq=False)
class _Waiting:
    """One ticket that waits, with the model that was current when it came."""

    ticket: Ticket
    triager: Triager
    view: View
    deadline: float
    decision: asyncio.Future[Decision]


@dataclass(frozen=True)
class Load:
    """A finished micro-batch: its tickets, the seconds it took, and what failed in it, if anything did."""

    tickets: int
    seconds: float
    fallback: str | None


class Batcher:
    """Collects tickets of concurrent requests and decides them together, on one thread of its own.

    Requests for one ticket come first; batch requests fill the room that is left, so that neither starves the other.
    A request that cannot be answered within its deadline is refused at once, by the time that tickets took lately.

    Args:
        queue_size: Most tickets that wait, for single requests and for batch requests each.
        score_batch: Most tickets decided together.
        wait_s: How long an idle batcher waits for company, in seconds.
        on_load: Called on the event loop after each micro-batch.
        memory: Answers to texts that come again, which need no turn; None remembers none.
    """

    def __init__(
        self,
        *,
        queue_size: int,
        score_batch: int,
        wait_s: float,
        on_load: Callable[[Load], object] = lambda load: None,
        memory: AnswerMemory | None = None,
    ) -> None:
        self.queue_size = queue_size
        self._score_batch = score_batch
        self._wait_s = wait_s
        self._on_load = on_load
        self._memory = AnswerMemory(0) if memory is None else memory  # an empty one is false
        self._single: deque[_Waiting] = deque()
        self._bulk: deque[_Waiting] = deque()
        self._arrived = asyncio.Event()
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="score")
        self._task: asyncio.Task[None] | None = None
        self._scoring_since: float | None = None
        self._scoring = 0
        self._seconds_a_ticket = 0.0

    @property
    def waiting(self) -> int:
        """Tickets that wait for a score now."""
        return len(self._single) + len(self._bulk)

    @property
    def queue_s(self) -> float:
        """Seconds until a ticket that came now would be decided."""
        return (self._scoring + len(self._single) + 1) * self._seconds_a_ticket if self._scoring else 0.0

    @property
    def is_alive(self) -> bool:
        """Whether tickets are being decided: the loop runs, and no micro-batch has been under way for long."""
        since = self._scoring_since
        return (
            self._task is not None and not self._task.done() and (since is None or time.monotonic() - since < _STUCK_S)
        )

    def start(self) -> None:
        """Begin to decide; needs a running event loop."""
        self._task = asyncio.create_task(self._run(), name="batcher")

    async def stop(self) -> None:
        """Stop deciding; whoever still waits is told that the service is busy."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
        _turn_away((*self._single, *self._bulk))
        self._executor.shutdown(wait=False)

    async def decide(
        self,
        triager: Triager,
        tickets: Sequence[Ticket],
        *,
        deadline_s: float,
        bulk: bool = False,
        view: View = PLAIN_VIEW,
    ) -> list[Decision]:
        """Decide tickets within a deadline, all of them by the same model.

        Args:
            triager: The model to use, even if another one takes its place meanwhile.
            tickets: What to decide; the order is kept.
            deadline_s: Seconds from now.
            bulk: Whether single requests go first.
            view: What the answer is to show.

        Raises:
            TooBusy: If the queue is full or the deadline passes.
        """
        known = [self._memory.get(triager, ticket, **vars(view)) for ticket in tickets]
        fresh = [ticket for ticket, answer in zip(tickets, known, strict=True) if answer is None]
        given = iter(await self._decided(triager, fresh, deadline_s, view, bulk=bulk) if fresh else [])
        return [answer if answer is not None else next(given) for answer in known]

    async def _decided(
        self, triager: Triager, tickets: Sequence[Ticket], deadline_s: float, view: View, *, bulk: bool
    ) -> list[Decision]:
        queue = self._bulk if bulk else self._single
        self._admit(queue, len(tickets), deadline_s)
        deadline = time.monotonic() + deadline_s
        loop = asyncio.get_running_loop()
        waiting = [_Waiting(ticket, triager, view, deadline, decision=loop.create_future()) for ticket in tickets]
        queue.extend(waiting)
        self._arrived.set()
        try:
            async with asyncio.timeout(deadline_s):
                if len(waiting) == 1:
                    return [await waiting[0].decision]
                return list(await asyncio.gather(*(one.decision for one in waiting)))
        except TimeoutError as error:
            raise TooBusy(
                "deadline", f"no answer within {deadline_s:g} s: too much to do; try again later", self._retry_after()
            ) from error
        finally:
            for one in waiting:
                one.decision.cancel()

    def _admit(self, queue: deque[_Waiting], count: int, deadline_s: float) -> None:
        while queue and queue[0].decision.done():
            queue.popleft()
        size = max(self.queue_size, count)
        if len(queue) + count > size:
            raise TooBusy(
                "queue-full",
                f"{len(queue)} tickets wait already: the queue is full; try again later",
                self._retry_after(),
            )
        ahead = self._scoring + len(self._single) + (len(queue) if queue is self._bulk else 0)
        if ahead and (ahead + count) * self._seconds_a_ticket > _SHARE * deadline_s:
            raise TooBusy(
                "queue-full",
                f"{ahead} tickets wait already: the deadline cannot be kept; try again later",
                self._retry_after(),
            )

    def _retry_after(self) -> int:
        return min(30, max(1, math.ceil(self.waiting * self._seconds_a_ticket)))

    async def _run(self) -> None:
        while True:
            await self._arrived.wait()
            if self._wait_s and self.waiting < self._score_batch:
                await asyncio.sleep(self._wait_s)
            batch = self._take()
            if batch:
                await self._decide(batch)

    def _take(self) -> list[_Waiting]:
        """Take what is decided next: of one model and view, not yet given up, single requests first.

        No more than is decided in a moment, however slow the model: who comes next need not wait for a long round.
        """
        most = self._score_batch
        if self._seconds_a_ticket:
            most = max(1, min(most, int(_ROUND_S / self._seconds_a_ticket)))
        batch: list[_Waiting] = []
        for queue, room in ((self._single, most), (self._bulk, _BULK_SHARE if self._single else most)):
            until = min(most, len(batch) + room)
            while queue and len(batch) < until:
                one = queue[0]
                if batch and (one.triager is not batch[0].triager or one.view != batch[0].view):
                    break
                queue.popleft()
                if not one.decision.done() and one.deadline > time.monotonic():
                    batch.append(one)
        if not self.waiting:
            self._arrived.clear()
        return batch

    async def _decide(self, batch: list[_Waiting]) -> None:
        triager, view = batch[0].triager, batch[0].view
        self._scoring_since = began = time.monotonic()
        self._scoring = len(batch)
        remembered_since = self._memory.forgotten
        try:
            job = asyncio.get_running_loop().run_in_executor(
                self._executor, decide_or_fall_back, triager, [e.ticket for e in batch], view
            )
            decisions, fallback = await job
        except asyncio.CancelledError:
            _turn_away(batch)
            raise
        except Exception as error:  # the rules failed as well: those who wait must hear of it, and the loop must go on
            for one in batch:
                if not one.decision.done():
                    one.decision.set_exception(error)
            return
        finally:
            self._scoring_since, self._scoring = None, 0
        seconds = time.monotonic() - began
        self._seconds_a_ticket += _SMOOTHING * (seconds / len(batch) - self._seconds_a_ticket)
        for one, decision in zip(batch, decisions, strict=True):
            if fallback is None:
                self._memory.put(triager, one.ticket, decision, begun=remembered_since, **vars(view))
            if not one.decision.done():
                one.decision.set_result(decision)
        self._on_load(Load(len(batch), seconds, fallback))


def _turn_away(waiting: Sequence[_Waiting]) -> None:
    for one in waiting:
        if not one.decision.done():
            one.decision.set_exception(TooBusy("draining", "the service is stopping; ask another instance", 5))


def decide_or_fall_back(
    triager: Triager, tickets: Sequence[Ticket], view: View = PLAIN_VIEW
) -> tuple[list[Decision], str | None]:
    """Decide tickets by the model, or by its rules alone where the model fails on them.

    One ticket that the encoder cannot take must not spoil its neighbours': after a failure each is tried alone.

    Returns:
        The decisions, and what made any of them fall back: ``memory``, ``encoder``, or ``screening`` where only the
        classifier failed that says what must not wait; None where nothing did.
    """
    failed: list[str] = []
    decide = partial(
        triager.decide,
        explain=view.explain,
        clearance=view.clearance,
        on_unscreened=lambda: failed.append("screening"),
    )
    if triager.bundle is None:
        return decide(tickets), next(iter(failed), None)
    try:
        return decide(tickets), next(iter(failed), None)
    except MemoryError:
        log.error("out_of_memory", tickets=len(tickets))
        return _by_rules(triager, tickets), "memory"
    except (
        Exception
    ) as error:  # encoders and estimators raise types of their own; whatever it is, the rules still route
        log.error("encoder_failed", kind=type(error).__name__, tickets=len(tickets))
        if len(tickets) == 1:
            return _by_rules(triager, tickets), "encoder"
    outcomes = [decide_or_fall_back(triager, [ticket], view) for ticket in tickets]
    return [decision for decided, _ in outcomes for decision in decided], next(
        (cause for _, cause in outcomes if cause), None
    )


def _by_rules(triager: Triager, tickets: Sequence[Ticket]) -> list[Decision]:
    rules = Triager(policy=triager.policy, rules=triager.rules)
    return [replace(decision, model_version=None) for decision in rules.decide(tickets)]
