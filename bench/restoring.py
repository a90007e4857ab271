"""How long writers wait while a backup is restored into a store of the same size, which is kept beforehand.

Fills a store as `bench/queue_page.py` does, backs it up, and restores that with a copy of what was there, while another
connection writes one row after the other: the longest of these writes is what feedback and commits wait for.

    python -m bench.restoring [--decisions 20000] [--url postgresql://…/an-empty-database]
"""

from __future__ import annotations

import argparse
import tempfile
import threading
import time
from pathlib import Path

from api.maintenance.backup import back_up, restore
from api.store.repository import Repository, open_repository
from api.telemetry import configure_logs
from bench.queue_page import fill
from triage.errors import StoreUnavailable


def longest_write(store: Repository, over: threading.Event) -> float:
    """Write until it is over, and return how long the longest write took, tries that were refused among it."""
    longest = 0.0
    while not over.is_set():
        began = time.perf_counter()
        while True:
            try:
                store.move_position("bench", "written", str(began))
                break
            except StoreUnavailable:
                time.sleep(0.02)
        longest = max(longest, time.perf_counter() - began)
        time.sleep(0.01)
    return longest


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--decisions", type=int, default=20_000)
    options.add_argument("--url", default="")
    given = options.parse_args()
    configure_logs("warning")
    with tempfile.TemporaryDirectory() as folder:
        home, file = Path(folder), Path(folder) / "backup.sqlite"
        fill(home, given.decisions)
        filled = open_repository(home)
        began = time.perf_counter()
        back_up(filled.database, file)
        taken = time.perf_counter() - began
        print(f"back up            {taken:7.1f} s   {file.stat().st_size / 1e6:.0f} MB", flush=True)
        stores = [open_repository(home, given.url) if given.url else filled, open_repository(home, given.url)]
        if given.url:
            restore(stores[0].database, file, replace=True)
        over, waits = threading.Event(), []
        writer = threading.Thread(target=lambda: waits.append(longest_write(stores[1], over)))
        writer.start()
        began, clock = time.perf_counter(), time.process_time()
        restore(stores[0].database, file, keep=home / "kept.sqlite")
        whole, worked = time.perf_counter() - began, time.process_time() - clock
        over.set()
        writer.join()
        for store in {filled, *stores}:
            store.close()
    print(f"restore            {whole:7.1f} s   processor {worked:.1f} s")
    print(f"writers waited     {waits[0]:7.1f} s   {waits[0] * 100_000 / given.decisions:.0f} s for 100,000")


if __name__ == "__main__":
    main()
