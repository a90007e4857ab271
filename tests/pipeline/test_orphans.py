"""Processes that learn for another end with it, and nothing else ends with its parent."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

from models.serving.orphans import work_for

from ..conftest import wait_until


def test_in_the_process_itself_it_is_the_call_alone() -> None:
    assert work_for(os.getpid(), max, 2, 3) == 3
    assert work_for(os.getpid(), sorted, "ba", reverse=True) == ["b", "a"]
    assert "end-with-parent" not in [thread.name for thread in threading.enumerate()]


def test_processes_that_learn_end_with_a_training_that_is_killed(tmp_path: Path) -> None:
    out = tmp_path / "out"
    script = f"""
import os, time
from pathlib import Path
from training.engines.side_process import side_process

def tell():
    Path({str(out)!r}).write_text(str(os.getpid()))
    time.sleep(600)

with side_process(os.getpid) as side:
    side.begin(tell)()
"""
    with subprocess.Popen([sys.executable, "-P", "-c", script]) as killed:
        wait_until(lambda: out.is_file() and out.read_text() != "", 60)
        killed.kill()
    worker = Path("/proc", out.read_text())
    wait_until(lambda: not worker.is_dir(), 60)
