"""Starts a program of a test beside it, waits for it to answer, and ends it with all that it started."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

_PATIENCE_S = 90.0


@contextmanager
def started(command: list[str], log: Path, ready: str, **environment: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run a program until the block is left; the block begins when `ready` answers below 500."""
    with log.open("w") as sink:
        process = subprocess.Popen(
            command, env=os.environ | environment, cwd=log.parent, stdout=sink, stderr=sink, start_new_session=True
        )
    try:
        deadline = time.monotonic() + _PATIENCE_S
        while not _answers(ready):
            assert process.poll() is None and time.monotonic() < deadline, log.read_text()[-2000:]
            time.sleep(0.2)
        yield process
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait(5)


def _answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=10).status_code < 500
    except httpx.HTTPError:
        return False
