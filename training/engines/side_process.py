"""One long call in a process of its own, while this one goes on."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from types import MappingProxyType
from typing import Any, TypeVar, cast

from joblib.externals.loky import ProcessPoolExecutor
from joblib.externals.loky.process_executor import TerminatedWorkerError

from models.serving.orphans import end_with
from triage.errors import InvalidRequest

Result = TypeVar("Result")
_PAUSE_S = 0.001


def _frozen(view: MappingProxyType[Any, Any]) -> tuple[type, tuple[dict[Any, Any]]]:
    """Say how a read-only mapping is made again: such defaults of policies and gates do not travel by themselves."""
    return MappingProxyType, (dict(view),)


def _under_way(future: Future[Result]) -> Future[Result]:
    """Wait some milliseconds until a call is on its way: an executor that ends before that ends with a traceback."""
    while not (future.running() or future.done()):
        time.sleep(_PAUSE_S)
    return future


@contextmanager
def _told() -> Iterator[None]:
    try:
        yield
    except TerminatedWorkerError as error:
        raise InvalidRequest(
            "the system ended the process that learned from all tickets, probably for want of memory: "
            "learn from fewer with --newest"
        ) from error


class SideProcess:
    """A process that waits for one call.

    Args:
        executor: Of one worker.
    """

    def __init__(self, executor: ProcessPoolExecutor) -> None:
        self._executor = executor

    def begin(self, call: Callable[[], Result]) -> Callable[[], Result]:
        """Start a call there, and return what waits for its result.

        Args:
            call: Sent to the process with what it is bound to.

        Raises:
            InvalidRequest: If the system has ended the process, or ends it while what is returned waits. What the call
                itself raises is raised there too.
        """
        with _told():
            future = _under_way(self._executor.submit(call))

        def result() -> Result:
            with _told():
                return cast(Result, future.result())

        return result


@contextmanager
def side_process(at_once: Callable[[], object]) -> Iterator[SideProcess]:
    """Start a process, which ends with the block, whether anybody waited for its call or not.

    Args:
        at_once: Called there to begin with: what it imports is there when the call comes.
    """
    reducers = {MappingProxyType: _frozen}
    executor = ProcessPoolExecutor(
        1, job_reducers=reducers, result_reducers=reducers, initializer=end_with, initargs=(os.getpid(),)
    )
    try:
        _under_way(executor.submit(at_once))
        yield SideProcess(executor)
    finally:
        executor.shutdown(wait=True, kill_workers=True)
