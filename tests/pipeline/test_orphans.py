"""Processes that learn for another end with it, and nothing else ends with its parent."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from joblib.externals.loky import ProcessPoolExecutor

from models.serving.orphans import end_with

from ..conftest import wait_until

AT_WORK = """
import os, time
from pathlib import Path
from training.engines.side_process import side_process

def tell():
    Path({out!r}).write_text(str(os.getpid()))
    time.sleep(600)

with side_process(os.getpid) as side:
    side.begin(tell)()
"""
IDLE = """
import os, time
from joblib.externals.loky import get_reusable_executor
from models.serving.orphans import end_with
from pathlib import Path

workers = get_reusable_executor(2, initializer=end_with, initargs=(os.getpid(),))
workers._start_executor_manager_thread()
workers._ensure_executor_running()
Path({out!r}).write_text(str(next(iter(workers._processes))))
time.sleep(600)
"""


def test_what_no_process_of_joblib_is_stays() -> None:
    end_with(os.getpid())
    assert "end-with-parent" not in [thread.name for thread in threading.enumerate()]


@pytest.mark.parametrize("script", [AT_WORK, IDLE])
def test_processes_that_learn_end_with_a_training_that_is_killed(tmp_path: Path, script: str) -> None:
    out = tmp_path / "out"
    with subprocess.Popen([sys.executable, "-P", "-c", script.format(out=str(out))]) as killed:
        wait_until(lambda: out.is_file() and out.read_text() != "", 60)
        killed.kill()
    worker = Path("/proc", out.read_text())
    wait_until(lambda: not worker.is_dir(), 60)


def test_a_process_whose_training_ended_before_its_first_look_ends_at_once() -> None:
    executor = ProcessPoolExecutor(1, initializer=end_with, initargs=(os.getpid() - 1,))
    try:
        begun = executor.submit(signal.pause)
        assert begun.exception(60) is not None
    finally:
        executor.shutdown(wait=True, kill_workers=True)
