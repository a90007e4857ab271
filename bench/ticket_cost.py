"""Where a ticket's time goes, and what the first stage saves, as processor time of one thread in one run.

Run as `python bench/ticket_cost.py BUNDLE TICKETS [COUNT]`. Every ticket is decided in turn by both stages, by
the full model alone, and by nothing but the encoder, which is what any service with an encoder pays: so a busy machine
troubles all alike.
"""

from __future__ import annotations

import cProfile
import pstats
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

from models.bundle.bundle import load_bundle
from models.screening import shipped_classifier
from models.serving.threads import limit_blas_threads
from models.terminal import table
from models.triager import Triager
from training.data.dataset import read_dataset
from triage.ticket import Ticket

PARTS = {
    "encoder and its tokens": ("models/encoder.py", "encode"),
    "guessed vectors": ("models/cascade/student.py", "coordinates"),
    "cues": ("triage/screening/screen.py", "screen"),
    "language": ("models/language.py", "detect_language"),
    "neighbours": ("models/reference/index.py", "nearest"),
    "words and fields": ("models/features/features.py", "sparse_features"),
    "written rules": ("models/features/features.py", "match_rules"),
    "heads": ("models/model.py", "probabilities"),
    "explanation": ("models/model.py", "explanation"),
}


def cost(call: Callable[[], object]) -> float:
    began = time.thread_time()
    call()
    return 1000 * (time.thread_time() - began)


def fresh(ticket: Ticket) -> Ticket:
    """Return a ticket of which nothing was read before."""
    return replace(ticket)


def main(path: Path, data: Path, count: int) -> None:
    limit_blas_threads()
    bundle = load_bundle(path, threads=1)
    ways = {"both stages": Triager(bundle), "full model alone": Triager(bundle.without_cascade())}
    tickets = [row.ticket for row in read_dataset([data], {}, skip_bad_rows=True).rows]
    order = np.random.default_rng(0).permutation(len(tickets))[: count + 20]
    tickets = [tickets[place] for place in order]
    for ticket in tickets[:20]:
        for triager in ways.values():
            triager.decide([fresh(ticket)], explain=True)
    found: dict[str, list[float]] = {name: [] for name in (*ways, "encoder alone", "screening alone")}
    screening = shipped_classifier()
    for ticket in tickets[20:]:
        for name, triager in ways.items():
            one = fresh(ticket)
            found[name].append(cost(partial(triager.decide, [one], explain=True)))
        found["encoder alone"].append(cost(partial(bundle.encoder.encode, [ticket.text])))
        found["screening alone"].append(cost(partial(screening.opinions, [fresh(ticket)])))
    base = np.median(found["full model alone"])
    lines = [
        [name, *(float(np.quantile(values, q)) for q in (0.5, 0.95)), float(np.mean(values)), np.median(values) / base]
        for name, values in found.items()
    ]
    print(table(["processor time, ms", "p50", "p95", "mean", "of the full model"], lines))
    passed = [one.by_first_stage for one in bundle.predict([fresh(ticket) for ticket in tickets[20:]])]
    print(f"\nthe first stage answers {np.mean(passed):.3f} of {len(passed)} tickets")
    for name, triager in ways.items():
        profile = cProfile.Profile(time.thread_time)
        again = [fresh(ticket) for ticket in tickets[20:]]
        profile.enable()
        for ticket in again:
            triager.decide([ticket], explain=True)
        profile.disable()
        print(f"\n{name}: share of a ticket")
        print(table(["part", "share"], shares(pstats.Stats(profile))))


def shares(stats: pstats.Stats) -> list[list[object]]:
    rows: dict[tuple[str, int, str], tuple[int, int, float, float, object]] = stats.stats  # type: ignore[attr-defined]

    def spent(file: str, function: str) -> float:
        return sum(row[3] for (name, _, called), row in rows.items() if name.endswith(file) and called == function)

    whole = spent("models/triager.py", "decide")
    return [[part, spent(*where) / whole] for part, where in PARTS.items()]


if __name__ == "__main__":
    if len(sys.argv) > 2:
        main(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]) if len(sys.argv) > 3 else 200)
    else:
        print("name a bundle and tickets: python bench/ticket_cost.py BUNDLE TICKETS [COUNT]")
