"""Writes docs/performance.md and its plots from what `bench/performance.py` measured."""

from __future__ import annotations

import itertools
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from jinja2 import Environment, StrictUndefined
from wire import Answer, quantile

TEMPLATE = Path(__file__).parent / "peers" / "performance.md.jinja"
CLIENTS = (1, 8, 64)
BASE, SCORE, FULL_SCORE = "a", "triage score", "triage score --no-cascade"
TRACED, OWN_GRAPH = "ONNX as torch exports it, int8, a text a core", "ONNX by this project's graph, int8, a text a core"
"""Settings of the raw loop: the best that documentation leads to, and the encoder that this project makes of it."""
NAMES = {
    "service": "this service",
    "a": "(a) FastAPI, SentenceTransformer.encode, linear head",
    "b": "(b) `mlflow models serve` of the same",
    "c": "(c) BentoML with adaptive batching, the same",
    "e": "(e) TF-IDF and linear head, FastAPI",
}


@dataclass
class Measured:
    """One peer's answers of one level of one repetition."""

    seconds: float
    answers: list[Answer]

    @property
    def good(self) -> list[float]:
        return [answer.seconds for answer in self.answers if answer.status == 200]

    @property
    def rate(self) -> float:
        return len(self.good) / self.seconds


@dataclass
class Peer:
    """A server: how it is asked, and what was seen of it."""

    key: str
    path: str
    command: list[str]
    environment: dict[str, str]
    packages: list[str]
    ready: str = "/docs"
    port: int = 0
    pid: int = 0
    starts_s: list[float] = field(default_factory=list)
    disk_mb: float = 0.0
    cpu_s: float = 0.0
    tickets: int = 0
    memory_mb: list[float] = field(default_factory=list)
    levels: dict[str, list[Measured]] = field(default_factory=dict)

    def body(self, text: str) -> dict[str, Any]:
        return {"b": {"inputs": [text]}, "c": {"texts": [text]}}.get(self.key, {"text": text})


def spread(values: Sequence[float], digits: int = 2) -> str:
    """Write a median with minimum and maximum."""
    return f"{statistics.median(values):.{digits}f} ({min(values):.{digits}f}–{max(values):.{digits}f})"


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [f"| {' | '.join(head)} |", f"|{'---|' * len(head)}", *(f"| {' | '.join(row)} |" for row in rows)]
    return "\n".join(lines)


def all_times(peer: Peer, level: str) -> list[float]:
    """Return the seconds of every answer of 200 under a load."""
    return list(itertools.chain.from_iterable(one.good for one in peer.levels[level]))


def comparisons(found: Sequence[Peer], loops: Mapping[str, list[float]]) -> list[list[str]]:
    """Return how many times better the service is: by repetition, so that what disturbs one disturbs both sides."""
    by_key = {peer.key: peer for peer in found}
    service, many = by_key["service"], str(CLIENTS[-1])
    speeds = [[inverse(quantile(one.good, 0.5)) for one in by_key[key].levels["1"]] for key in ("service", BASE)]
    mine = [one.rate for one in service.levels[many]]
    told = [["one client, p50", NAMES[BASE], spread(times(*speeds))]]
    for key in (key for key in by_key if key != "service"):
        others = [one.rate for one in by_key[key].levels[many]]
        told.append([f"{many} clients, answers of 200 a second", NAMES[key], spread(times(mine, others))])
    for loop in (TRACED, OWN_GRAPH):
        told.append([f"{many} clients, answers of 200 a second", f"(d) {loop}", spread(times(mine, loops[loop]))])
        for name in (SCORE, FULL_SCORE):
            told.append([f"`{name}`, texts a second", f"(d) {loop}", spread(times(loops[name], loops[loop]))])
    return told


def inverse(seconds: float) -> float:
    """Return how many fit into a second; 0.0 where none was answered."""
    return 1 / seconds if seconds else 0.0


def times(over: Sequence[float], under: Sequence[float]) -> list[float]:
    return [one / max(other, 1e-9) for one, other in zip(over, under, strict=True)]


def write_page(out: Path, found: Sequence[Peer], loops: Mapping[str, list[float]], about: Mapping[str, str]) -> None:
    """Write the page, and the plots beside it."""
    levels = list(map(str, CLIENTS))
    loads = {
        **{level: f"{level} client{'s' * (level != '1')}" for level in levels},
        "open": f"{about['rate']} a second",
    }
    rates = [[NAMES[one.key], *(spread([x.rate for x in one.levels[level]], 1) for level in levels)] for one in found]
    refused = [
        [NAMES[one.key], *(str(sum(len(x.answers) - len(x.good) for x in one.levels[level])) for level in levels)]
        for one in found
    ]
    latencies = [
        [NAMES[one.key], load, *(f"{1000 * quantile(all_times(one, level), share):.0f}" for share in (0.5, 0.95, 0.99))]
        for level, load in loads.items()
        for one in found
    ]
    costs = [
        [
            NAMES[one.key],
            f"{1000 * one.cpu_s / max(one.tickets, 1):.1f}",
            f"{max(one.memory_mb):.0f}",
            f"{1000 * (one.memory_mb[-1] - one.memory_mb[0]) / max(one.tickets, 1):.1f}",
            spread(one.starts_s, 1),
            f"{one.disk_mb:,.0f}",
        ]
        for one in found
    ]
    heads = [
        "CPU seconds per 1,000 tickets",
        "memory, MB",
        "grown per 1,000 tickets, MB",
        "start, s",
        "on the disk, MB",
    ]
    by_clients = ["server", *(loads[level] for level in levels)]
    template = Environment(undefined=StrictUndefined, keep_trailing_newline=True).from_string(TEMPLATE.read_text())
    page = template.render(
        about=about,
        compared=table(["what", "against", "times"], comparisons(found, loops)),
        rates=table(by_clients, rates),
        refused=table(by_clients, refused),
        latencies=table(["server", "load", "p50", "p95", "p99"], latencies),
        costs=table(["server", *heads], costs),
        loops=table(["loop", "texts a second"], [[name, spread(values, 1)] for name, values in loops.items()]),
    )
    (out.parent / "images").mkdir(parents=True, exist_ok=True)
    out.write_text(page)
    plot(found, out.parent / "images" / "performance-rates.svg", "answers of 200 a second", lambda one: one.rate)
    plot(
        found,
        out.parent / "images" / "performance-times.svg",
        "ms, 95 of 100 answers",
        lambda one: 1000 * quantile(one.good, 0.95),
    )


def plot(found: Sequence[Peer], path: Path, label: str, value: Any) -> None:
    """Draw a figure of each server by clients, as a small SVG file."""
    import matplotlib

    matplotlib.use("svg")
    matplotlib.rcParams.update({"svg.hashsalt": "performance", "font.size": 8, "axes.spines.top": False})
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(6, 2.6))
    for place, peer in enumerate(found):
        levels = [[value(one) for one in peer.levels[str(level)]] for level in CLIENTS]
        middle = [statistics.median(one) for one in levels]
        below = [median - min(one) for median, one in zip(middle, levels, strict=True)]
        above = [max(one) - median for median, one in zip(middle, levels, strict=True)]
        at = [column + (place - 2) * 0.16 for column in range(len(CLIENTS))]
        name = NAMES[peer.key].partition(",")[0].replace("`", "")
        axes.bar(at, middle, 0.15, yerr=[below, above], label=name, error_kw={"linewidth": 0.7})
    axes.set_xticks(range(len(CLIENTS)), [f"{level} clients" for level in CLIENTS])
    axes.set_yscale("log")
    axes.set_ylabel(label)
    axes.legend(ncols=3, fontsize=6, frameon=False, loc="lower center", bbox_to_anchor=(0.5, 1.0))
    figure.savefig(path, bbox_inches="tight", metadata={"Date": None})
    pyplot.close(figure)
