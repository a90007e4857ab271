"""One long call in a process of its own, while this one goes on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import MappingProxyType
from typing import Any, TypeVar, cast

from joblib.externals.loky import ProcessPoolExecutor
from joblib.externals.loky.process_executor import TerminatedWorkerError

from triage.errors import InvalidRequest

Result = TypeVar("Result")


def _frozen(view: MappingProxyType[Any, Any]) -> tuple[type, tuple[dict[Any, Any]]]:
    """Say how a read-only mapping is made again: such defaults of policies and gates do not travel by themselves."""
    return MappingProxyType, (dict(view),)


@contextmanager
def beside(call: Callable[[], Result]) -> Iterator[Callable[[], Result]]:
    """Start a call in another process, and yield what waits for its result.

    The process ends with the block, whether anybody waited or not.

    Args:
        call: Sent to the process with what it is bound to.

    Raises:
        InvalidRequest: Of what was yielded: if the system ends the process. What the call itself raises is raised too.
    """
    reducers = {MappingProxyType: _frozen}
    executor = ProcessPoolExecutor(1, job_reducers=reducers, result_reducers=reducers)
    try:
        future = executor.submit(call)

        def result() -> Result:
            try:
                return cast(Result, future.result())
            except TerminatedWorkerError as error:
                raise InvalidRequest(
                    "the system ended the process that learned from all tickets, probably for want of memory: "
                    "learn from fewer with --newest"
                ) from error

        yield result
    finally:
        executor.shutdown(wait=True, kill_workers=True)
