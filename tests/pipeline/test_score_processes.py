"""Long files are decided in several processes: the same rows in the same order, and a plain word where one is lost."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from joblib.externals.loky import reusable_executor

from models.triager import Triager
from training.engines import processes
from training.engines.engine import InThisProcess
from training.engines.processes import InProcesses
from triage.errors import InvalidDataset, InvalidRequest
from triage.ticket import Ticket

from ..conftest import wait_until
from .conftest import shipped_rows

BATCHES, SIZE = 12, 7


def batches() -> list[list[Ticket]]:
    """Twelve batches of real words, each ticket another."""
    tickets = [
        Ticket(str(number), row["subject"], row["body"]) for number, row in enumerate(shipped_rows(BATCHES * SIZE))
    ]
    return [tickets[start : start + SIZE] for start in range(0, len(tickets), SIZE)]


@pytest.fixture(autouse=True)
def two_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "cpu_count", lambda: 2)


def test_processes_give_the_rows_that_this_process_gives_in_their_order(bundle: Path) -> None:
    here = list(InThisProcess(Triager.load(bundle)).rows(batches()))
    assert list(InProcesses(bundle).rows(iter(batches()))) == here
    assert [row["ticket_id"] for rows in here for row in rows] == [str(number) for number in range(BATCHES * SIZE)]


def test_a_short_file_starts_no_process(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(**_: object) -> None:
        raise AssertionError("a process was started")

    monkeypatch.setattr(processes, "Parallel", refuse)
    few = batches()[:3]
    assert [len(rows) for rows in InProcesses(bundle).rows(few)] == [SIZE] * 3
    assert list(InProcesses(bundle).rows([])) == []


def test_a_fault_in_the_middle_of_a_file_is_told_as_from_one_process(bundle: Path) -> None:
    def broken() -> Iterator[list[Ticket]]:
        yield from batches()
        raise InvalidDataset("the file ends in the middle of a row")

    with pytest.raises(InvalidDataset, match="in the middle of a row"):
        list(InProcesses(bundle).rows(broken()))


def test_a_process_that_is_ended_is_told_in_a_line_and_the_next_run_works(bundle: Path) -> None:
    rows = InProcesses(bundle).rows(batches() * 20)
    assert len(next(rows)) == SIZE
    for worker in list(reusable_executor._executor._processes):
        os.kill(worker, signal.SIGKILL)
    with pytest.raises(InvalidRequest, match=r"want of memory: what was decided is kept"):
        list(rows)
    assert len(list(InProcesses(bundle).rows(batches()))) == BATCHES


def test_processes_end_with_the_one_that_was_killed(bundle: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    script = f"""
from itertools import cycle
from pathlib import Path
from joblib.externals.loky import reusable_executor
from training.engines import processes
from triage.ticket import Ticket
processes.cpu_count = lambda: 2
for _ in processes.InProcesses(Path({str(bundle)!r})).rows(cycle([[Ticket(body="the printer is out of toner")]])):
    Path({str(out)!r}).write_text(" ".join(map(str, reusable_executor._executor._processes)))
"""
    with subprocess.Popen([sys.executable, "-P", "-c", script]) as killed:
        wait_until(lambda: out.is_file() and len(out.read_text().split()) == 2, 60)
        killed.kill()
    workers = [Path("/proc", worker) for worker in out.read_text().split()]
    assert len(workers) == 2
    wait_until(lambda: not any(worker.is_dir() for worker in workers), 60)
