"""A Ray cluster: joined at an address or started on this machine for one run, and joblib's work done on it."""

from __future__ import annotations

import logging
import os
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout

os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # read at the import: nothing is told to anybody
os.environ.setdefault("RAY_worker_niceness", "0")  # of a cluster started here: its workers do all that there is to do

import joblib
import ray
from ray.util.joblib import register_ray

from models.cores import cores
from triage.errors import InvalidRequest

_QUIET = ("ray", "ray.util.multiprocessing.pool")
_ANSWER_S = 10.0
"""How long an address may take to let a connection in, in seconds: Ray itself would go on trying for minutes."""


@contextmanager
def connected(address: str | None) -> Iterator[int]:
    """Join a cluster for a block, and yield the number of its cores.

    Args:
        address: ``HOST:PORT`` or ``auto``; None starts one on this machine, with all cores that this process may use.

    Raises:
        InvalidRequest: If no cluster answers there.
    """
    for name in _QUIET:
        logging.getLogger(name).setLevel(logging.ERROR)
    here = {"address": "local", "num_cpus": cores(), "include_dashboard": False}
    with redirect_stdout(sys.stderr):  # Ray tells of lost nodes where the answer of a verb belongs
        try:
            _knock(address)
            ray.init(
                **(here if address is None else {"address": address}),
                log_to_driver=False,
                logging_level=logging.ERROR,
                configure_logging=True,
            )
        except (OSError, ValueError, RuntimeError) as error:
            what = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
            raise InvalidRequest(
                f"no Ray cluster at {address or 'this machine'!r}: {what}; see ray status, or leave --address out"
            ) from error
        try:
            yield max(1, int(ray.cluster_resources().get("CPU", 1)))  # type: ignore[no-untyped-call]
        finally:
            ray.shutdown()


def _knock(address: str | None) -> None:
    """Try an address before Ray does.

    Raises:
        OSError: Nobody lets a connection in.
        ValueError: It is no ``HOST:PORT``.
    """
    if address is None or address == "auto":
        return
    host, _, port = address.rpartition(":")
    if not host or not port.isdecimal():
        raise ValueError("it is no HOST:PORT")
    socket.create_connection((host, int(port)), timeout=_ANSWER_S).close()


@contextmanager
def joblib_on_ray(address: str | None) -> Iterator[int]:
    """Let joblib spread its work over a cluster in a block, and yield the number of its cores.

    Raises:
        InvalidRequest: If no cluster answers there.
    """
    with connected(address) as cores:
        register_ray()  # type: ignore[no-untyped-call]
        with joblib.parallel_config(backend="ray", n_jobs=-1):
            yield cores
