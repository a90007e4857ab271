"""Deciding tickets on a Ray cluster: one actor a core, each with the bundle, rows in order, lost batches sent again."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import ray
from ray.exceptions import (
    NodeDiedError,
    ObjectLostError,
    OutOfMemoryError,
    RayActorError,
    RayTaskError,
    WorkerCrashedError,
)

from models.bundle.bundle import load_bundle
from models.serving.garbage import exempt_what_is_loaded
from models.serving.threads import limit_blas_threads
from models.triager import Triager
from training.engines.engine import BatchLost, Row
from training.engines.ray_cluster import connected
from training.reports.decision_text import as_row
from triage.errors import InvalidRequest
from triage.ticket import Ticket

_AHEAD = 2
"""Batches that an actor has at a time: it finds the next one there when it has done one."""
_UNWRITTEN = 8
"""Batches per actor that may be under way or wait for an earlier one, which bounds the memory of this process."""
_TRIES = 4
"""How often a batch is sent: one that takes so many actors with it is itself what ends them."""
_LOST = (RayActorError, ObjectLostError, OutOfMemoryError, NodeDiedError, WorkerCrashedError)
"""What Ray says of an answer that never comes, since its actor, its node or the memory for it is gone."""
_PATIENCE_S = 120.0
"""How long no actor may answer, while there is none that works, in seconds: then the cluster has no core for us."""


class Worker:
    """An actor's side: a triager on one core."""

    def load(self, files: Mapping[str, bytes], cascade: bool, digest: str) -> None:
        """Build the triager from a bundle's files, audited as everywhere, with its cascade or without.

        Raises:
            BundleError: If they are not what they should be, such as where this node has other code.
        """
        limit_blas_threads()
        with tempfile.TemporaryDirectory(prefix="triage-bundle-") as folder:
            for name, content in files.items():
                (Path(folder) / name).parent.mkdir(parents=True, exist_ok=True)
                (Path(folder) / name).write_bytes(content)
            bundle = load_bundle(Path(folder), expected_digest=digest, threads=1)
        self._triager = Triager(bundle if cascade else bundle.without_cascade())
        exempt_what_is_loaded()

    def rows(self, tickets: Sequence[Ticket]) -> list[Row]:
        """Decide tickets."""
        targets = self._triager.policy.targets
        return [as_row(decision, targets) for decision in self._triager.decide(tickets)]


@dataclass(frozen=True)
class RayEngine:
    """Decides batches on all cores of a cluster.

    Attributes:
        bundle: The folder of the bundle on this machine; its files are sent to every node.
        address: ``HOST:PORT`` or ``auto``; None starts a cluster on this machine.
        cascade: Ask its first stage and its prefilter of screening first; otherwise both encoders read every ticket.
    """

    bundle: Path
    address: str | None = None
    cascade: bool = True

    @cached_property
    def triager(self) -> Triager:
        """Decides as the actors do."""
        bundle = load_bundle(self.bundle)
        return Triager(bundle if self.cascade else bundle.without_cascade())

    def rows(self, batches: Iterable[Sequence[Ticket]]) -> Iterator[list[Row]]:
        """Decide each batch on some actor, and yield the rows of the batches in their order.

        An actor that is lost, with its node or alone, gives its batches to the others, and another is asked for.

        Raises:
            InvalidRequest: If no cluster answers, or no actor is left and none comes.
            BatchLost: If a batch ends every actor that has it.
            BundleError: If a node cannot load the bundle.
        """
        files = {
            path.relative_to(self.bundle).as_posix(): path.read_bytes()
            for path in sorted(self.bundle.rglob("*"))
            if path.is_file()
        }
        with connected(self.address) as cores:
            digest = load_bundle(self.bundle).digest
            yield from _Crew(ray.put(files), self.cascade, digest, cores).rows(batches)


@dataclass
class _Batch:
    """A batch: its place in the order, its tickets, and how often it was sent."""

    number: int
    tickets: Sequence[Ticket]
    tries: int = 0


@dataclass
class _Crew:
    """The actors of one run, and what each of them does.

    Attributes:
        files: The bundle's files in Ray's object store.
        cascade: Whether its cascade is asked.
        digest: What the bundle must be.
        size: How many actors there should be.
        actors: Those that were asked for and not lost, by number.
        coming: Numbers of those that still load the bundle, by what they will answer.
        busy: How many batches each of the others has, by number.
        under_way: Batches with the number of their actor, by what it will answer.
        again: Batches whose actor was lost.
        done: Rows that wait for those of an earlier batch, by the batch's number.
        lost: Actors lost since the last answer.
    """

    files: Any
    cascade: bool
    digest: str
    size: int
    actors: list[Any] = field(default_factory=list)
    coming: dict[Any, int] = field(default_factory=dict)
    busy: dict[int, int] = field(default_factory=dict)
    under_way: dict[Any, tuple[_Batch, int]] = field(default_factory=dict)
    again: list[_Batch] = field(default_factory=list)
    done: dict[int, list[Row]] = field(default_factory=dict)
    lost: int = 0

    def rows(self, batches: Iterable[Sequence[Ticket]]) -> Iterator[list[Row]]:
        """Yield the rows of each batch, in order."""
        source = (_Batch(number, tickets) for number, tickets in enumerate(batches))
        due, more = 0, True
        for _ in range(self.size):
            self._ask_for_an_actor()
        while more or self.under_way or self.again:
            unwritten = len(self.under_way) + len(self.again) + len(self.done)
            for batch in self._next(source, _UNWRITTEN * self.size - unwritten):
                if batch is None:
                    more = False
                else:
                    self._send(batch)
            if more or self.under_way or self.again:
                self._collect()
            while due in self.done:
                yield self.done.pop(due)
                due += 1

    def _next(self, source: Iterator[_Batch], most: int) -> Iterator[_Batch | None]:
        """Yield batches for the places that are free, those that were lost first; None where there are no more."""
        free = sum(_AHEAD - has for has in self.busy.values())
        self.again.sort(key=lambda batch: batch.number)
        for _ in range(min(free, len(self.again))):
            free -= 1
            yield self.again.pop(0)
        for _ in range(min(free, most)):
            batch = next(source, None)
            yield batch
            if batch is None:
                return

    def _send(self, batch: _Batch) -> None:
        number = min(self.busy, key=self.busy.__getitem__)
        if batch.tries == _TRIES:
            why = f"was sent {_TRIES} times, and each time the actor that had it was lost: look at the nodes' memory"
            raise BatchLost(batch.number, f"{why}; what was decided is kept")
        batch.tries += 1
        self.busy[number] += 1
        self.under_way[self.actors[number].rows.remote(batch.tickets)] = (batch, number)

    def _collect(self) -> None:
        """Wait for the next answer, and take it.

        Raises:
            InvalidRequest: If nobody works and nobody comes.
            Exception: Whatever an actor raised.
        """
        ready, _ = ray.wait([*self.under_way, *self.coming], num_returns=1, timeout=_PATIENCE_S)
        if (not ready and not self.busy) or self.lost > _TRIES * self.size:
            raise InvalidRequest(
                f"no core of the Ray cluster takes the work ({self.lost} actors were lost, {len(self.coming)} do not "
                "start): see ray status; what was decided is kept"
            )
        for answer in ready:
            batch, number = self.under_way.pop(answer, None) or (None, self.coming.pop(answer, -1))
            try:
                rows = ray.get(answer)
            except _LOST:
                self._lose(number, batch)
            except RayTaskError as error:  # in its own words, which are not those of a terminal on another machine
                raise error.cause from None
            else:
                self.busy[number] = self.busy.get(number, 1) - 1
                if batch is not None:
                    self.done[batch.number], self.lost = rows, 0

    def _ask_for_an_actor(self) -> None:
        actor: Any = ray.remote(Worker).options(num_cpus=1, scheduling_strategy="SPREAD").remote()
        self.coming[actor.load.remote(self.files, self.cascade, self.digest)] = len(self.actors)
        self.actors.append(actor)

    def _lose(self, number: int, batch: _Batch | None) -> None:
        """Note that an actor is lost, with the batch that it had, and ask for another in its place."""
        if batch is not None:
            self.again.append(batch)
        if self.busy.pop(number, None) is None and batch is not None:
            return  # this is its second batch
        self.lost += 1
        ray.kill(self.actors[number])
        self._ask_for_an_actor()
