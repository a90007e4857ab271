"""Deciding tickets in several processes of this machine: one a core, each with the bundle, rows in order."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache, partial
from itertools import chain, islice
from pathlib import Path

from joblib import Parallel, cpu_count, delayed
from joblib.externals.loky.process_executor import TerminatedWorkerError

from models.bundle.bundle import Bundle, load_bundle
from models.serving.garbage import exempt_what_is_loaded
from models.serving.orphans import end_with
from models.serving.threads import limit_blas_threads
from models.triager import Triager
from training.engines.engine import InThisProcess, Row
from triage.errors import InvalidRequest
from triage.ticket import Ticket

_WORTH_A_PROCESS = 8
"""Batches from which other processes are started: each takes a second to load the bundle, and its memory."""


@dataclass(frozen=True)
class InProcesses:
    """Decides short files in this process, and longer ones in a process for each core.

    Threads of one process share the interpreter, which is busy for a fifth of a ticket's time.

    Attributes:
        bundle: The folder of the bundle.
        cascade: Ask its first stage and its prefilter of screening first; otherwise both encoders read every ticket.
    """

    bundle: Path
    cascade: bool = True

    @cached_property
    def triager(self) -> Triager:
        """Decides as the processes do."""
        return Triager(self._loaded if self.cascade else self._loaded.without_cascade())

    @cached_property
    def _loaded(self) -> Bundle:
        return load_bundle(self.bundle)

    def rows(self, batches: Iterable[Sequence[Ticket]]) -> Iterator[list[Row]]:
        """Decide each batch, and yield the rows of the batches in their order.

        Raises:
            InvalidRequest: If the system ends one of the processes.
        """
        batches = iter(batches)
        first = list(islice(batches, _WORTH_A_PROCESS))
        if len(first) < _WORTH_A_PROCESS or cpu_count() == 1:
            yield from InThisProcess(self.triager).rows(chain(first, batches))
            return
        digest = self._loaded.digest
        workers = Parallel(
            n_jobs=cpu_count(),
            return_as="generator",
            pre_dispatch="2*n_jobs",
            batch_size=1,
            initializer=end_with,
            initargs=(os.getpid(),),
        )
        try:
            decided = partial(_decided, self.bundle, self.cascade, digest)
            yield from workers(delayed(decided)(batch) for batch in chain(first, batches))
        except TerminatedWorkerError as error:
            raise InvalidRequest(
                "the system ended one of the processes that decide, most likely for want of memory: what was decided "
                "is kept; make room, and run the same again"
            ) from error


def _decided(folder: Path, cascade: bool, digest: str, tickets: Sequence[Ticket]) -> list[Row]:
    """Decide a batch in one of the processes."""
    return next(InThisProcess(_triager(folder, cascade, digest)).rows([tickets]))


@lru_cache(maxsize=2)  # a bundle with its cascade and without
def _triager(folder: Path, cascade: bool, digest: str) -> Triager:
    """Return the triager of this process.

    Raises:
        BundleError: If the bundle is not what it was when the run began.
    """
    limit_blas_threads()
    bundle = load_bundle(folder, expected_digest=digest, threads=1)
    triager = Triager(bundle if cascade else bundle.without_cascade())
    exempt_what_is_loaded()
    return triager
