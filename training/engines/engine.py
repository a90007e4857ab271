"""Where tickets are decided: what an engine has to do, the one that is this process, and how another is opened."""

from __future__ import annotations

import importlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, cast

from models.serving.threads import limit_blas_threads
from models.terminal import option
from models.triager import Triager
from training.reports.decision_text import as_row
from triage.errors import InvalidRequest
from triage.ticket import Ticket

HERE, RAY = "here", "ray"
ENGINES = (HERE, RAY)
Row = dict[str, Any]
"""A decision by the names of `training.reports.decision_text.columns_of`."""


@dataclass(frozen=True, kw_only=True)
class EngineOptions:
    """The options of verbs whose work may be done on several machines."""

    engine: str = option("where the work is done: here, or ray for a Ray cluster", HERE, "here|ray", group="engine")
    address: str | None = option(
        "HOST:PORT of the cluster for --engine ray, or auto (default: one on this machine, for this run)",
        None,
        "HOST:PORT",
        group="engine",
    )

    @property
    def is_ray(self) -> bool:
        """Whether the work is done on a Ray cluster.

        Raises:
            InvalidRequest: If there is no such engine, or an address is stated for one that has none.
        """
        if self.engine not in ENGINES:
            raise InvalidRequest(f"--engine {self.engine!r}: known are {' and '.join(ENGINES)}")
        if self.address is not None and self.engine != RAY:
            raise InvalidRequest("--address is that of a Ray cluster: give --engine ray as well")
        return self.engine == RAY


class BatchLost(InvalidRequest):
    """A batch that an engine cannot have decided.

    Attributes:
        number: Its place in the order, from 0.
        why: What became of it, and what to do, to stand behind its name.
    """

    def __init__(self, number: int, why: str) -> None:
        super().__init__(f"batch {number + 1} {why}")
        self.number, self.why = number, why


class Engine(Protocol):
    """Decides batches of tickets somewhere."""

    @property
    def triager(self) -> Triager:
        """Decides as the engine does, in this process."""

    def rows(self, batches: Iterable[Sequence[Ticket]]) -> Iterator[list[Row]]:
        """Decide each batch as a whole, and yield the rows of the batches in their order.

        Batches are asked for as they can be taken, so that a long file is never held whole.

        Raises:
            BatchLost: If one of them cannot be decided.
        """


@dataclass(frozen=True)
class InThisProcess:
    """Decides one batch after another with a triager."""

    triager: Triager

    def rows(self, batches: Iterable[Sequence[Ticket]]) -> Iterator[list[Row]]:
        """Decide each batch, and yield its rows."""
        targets = self.triager.policy.targets
        for batch in batches:
            yield [as_row(decision, targets) for decision in self.triager.decide(batch)]


def scoring_engine(options: EngineOptions, bundle: Path, *, cascade: bool = True) -> Engine:
    """Return the engine that options name, with a bundle and its cascade, or without that.

    Raises:
        InvalidRequest: If there is no such engine, or Ray is not installed.
        BundleError: If the bundle cannot be used; one for processes of this machine says so with the first rows.
    """
    if options.is_ray:
        return cast(Engine, _ray_module("ray_scoring").RayEngine(bundle, options.address, cascade))
    from training.engines.processes import InProcesses  # which needs the names above

    limit_blas_threads()
    return InProcesses(bundle, cascade)


def training_engine(options: EngineOptions) -> AbstractContextManager[object]:
    """Return a block in which joblib's work is done where options say.

    Raises:
        InvalidRequest: If there is no such engine, or Ray is not installed.
    """
    if options.is_ray:
        return cast(AbstractContextManager[object], _ray_module("ray_cluster").joblib_on_ray(options.address))
    return nullcontext()


def _ray_module(name: str) -> Any:
    try:
        return importlib.import_module(f"training.engines.{name}")
    except ModuleNotFoundError as error:
        raise InvalidRequest(
            f"{error.name} is not installed: --engine ray needs it; pip install 'helpdesk-triage[ray]'"
        ) from error
