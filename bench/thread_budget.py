"""What threads of the matrix library cost a single ticket: `python bench/thread_budget.py BUNDLE TICKETS`."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

from threadpoolctl import threadpool_limits

from models.triager import Triager
from training.data.dataset import read_dataset
from triage.ticket import Ticket

ROUNDS, TICKETS = 5, 60


def measured(triager: Triager, tickets: list[Ticket]) -> tuple[float, float]:
    """Return wall-clock and processor time of one ticket, in milliseconds."""
    wall, cpu = time.perf_counter(), time.process_time()
    for ticket in tickets:
        triager.decide([ticket], explain=True)
    return tuple(1000 * (now - then) / len(tickets) for now, then in  # type: ignore[return-value]
                 ((time.perf_counter(), wall), (time.process_time(), cpu)))  # fmt: skip


def main(bundle: Path, data: Path) -> None:
    triager = Triager.load(bundle)
    tickets = [row.ticket for row in read_dataset([data], {}, skip_bad_rows=True).rows]
    print("threads, wall-clock and processor time of a ticket in ms, interleaved")
    for number in range(ROUNDS):
        for threads in range(1, (os.cpu_count() or 1) + 1):
            with threadpool_limits(threads, user_api="blas"):
                wall, cpu = measured(triager, tickets[number * TICKETS : (number + 1) * TICKETS])
            print(f"{threads:>3} {wall:7.1f} {cpu:7.1f}")


if __name__ == "__main__":
    if len(sys.argv) == 3:
        main(Path(sys.argv[1]), Path(sys.argv[2]))
    else:
        print("name a bundle and tickets: python bench/thread_budget.py BUNDLE TICKETS")
