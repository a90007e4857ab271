"""Tickets a second of `triage score`, here and on a Ray cluster, over one file; `python bench/score_engines.py BUNDLE`.

Both take turns. A rate counts from the first rows in the output to the last, without the start of the processes or of
the cluster, whose seconds stand beside it; what both wrote must be the same to the byte.

    python bench/score_engines.py BUNDLE [--texts FILE] [--rows 4096] [--repetitions 3] [--address HOST:PORT]
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from performance import fresh_texts
from score_memory import lines_in

from models.terminal import table
from training.data.dataset import read_dataset

ROOT = Path(__file__).parents[1]


def scored(command: list[str], out: Path) -> tuple[float, float]:
    """Run `triage score`, and return rows a second and the seconds until the first rows were there."""
    partial, began = out.with_name(out.name + ".partial"), time.monotonic()
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as process:
        while (first := lines_in(partial) - 1) < 1 and process.poll() is None:  # the first line is the run's own
            time.sleep(0.02)
        started = time.monotonic()
        _, complaints = process.communicate()
    if process.returncode:
        raise SystemExit(f"{' '.join(command)} ended with status {process.returncode}:\n{complaints[-2000:]}")
    return (lines_in(out) - first) / (time.monotonic() - started), started - began


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("bundle", type=Path, help="folder of a bundle")
    parser.add_argument("--texts", type=Path, default=ROOT / "datasets" / "tickets.jsonl", help="tickets to decide")
    parser.add_argument("--rows", type=int, default=4096)
    parser.add_argument("--repetitions", type=int, default=3)
    parser.add_argument("--address", help="of a Ray cluster; left out, one is started on this machine for each run")
    chosen = parser.parse_args()
    texts = itertools.islice(fresh_texts(list(read_dataset([chosen.texts], {}, skip_bad_rows=True).rows)), chosen.rows)
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    engines = {"here": [], "ray": ["--engine", "ray", *(["--address", chosen.address] if chosen.address else [])]}
    seen: dict[str, list[tuple[float, float]]] = {name: [] for name in engines}
    with tempfile.TemporaryDirectory(prefix="triage-engines-") as folder:
        data = Path(folder) / "in.jsonl"
        data.write_text(
            "".join(json.dumps({"id": str(place), "text": text}) + "\n" for place, text in enumerate(texts))
        )
        for _ in range(chosen.repetitions):
            written = []
            for name, options in engines.items():
                out = Path(folder) / f"{name}.jsonl"
                command = [sys.executable, "-P", "-m", "triage", "score", str(chosen.bundle), str(data)]
                seen[name].append(scored([*command, "--out", str(out), *options], out))
                written.append(out.read_bytes())
            if written[0] != written[1]:
                raise SystemExit("the two files differ")
    lines = []
    for name, found in seen.items():
        rates, starts = zip(*found, strict=True)
        spread = f"{statistics.median(rates):.0f} ({min(rates):.0f} to {max(rates):.0f})"
        lines.append([name, spread, f"{statistics.median(starts):.1f}"])
    print(table(["engine", "rows a second", "seconds to the first"], lines))


if __name__ == "__main__":
    main()
