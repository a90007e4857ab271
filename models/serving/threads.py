"""The budget of threads: one for each matrix product, since products of single tickets are too slim to share."""

from __future__ import annotations

from functools import cache

from threadpoolctl import threadpool_limits

BLAS_THREADS = 1
"""Threads of one matrix product. A ticket's products take microseconds, and a second thread waits longer for its turn
than it works: with OpenBLAS's own choice of two threads on two cores a ticket took 27 ms of processor time in place of
12, or 37 ms where 15 (`python bench/thread_budget.py`). Cores are used by several texts or processes at a time."""


@cache
def limit_blas_threads() -> None:
    """Let every matrix product of this process run on its caller's thread, from now on; asked again, it does nothing.

    Training does not call this: its products are wide, and it sets limits of its own around the others.
    """
    threadpool_limits(limits=BLAS_THREADS, user_api="blas")
