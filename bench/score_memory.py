"""Memory of `triage score` over many short tickets: it should not grow; `python bench/score_memory.py --bundle DIR`.

The tickets are those of a file, drawn again and again in another order and with a number each. What counts is the
memory at the end beside the memory after the first third.
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

from wire import Running, tell

from training.data.dataset import read_dataset

ROOT = Path(__file__).parents[1]
_SHORT = 40
"""Words of a ticket that counts as short."""


def write(path: Path, source: Path, rows: int) -> None:
    """Write tickets that are short, each with a number."""
    texts = [row.ticket.text for row in read_dataset([source], {}, skip_bad_rows=True).rows]
    short, draw = [text for text in texts if 0 < len(text.split()) <= _SHORT], random.Random(0)
    with path.open("w") as file:
        for number in range(rows):
            file.write(json.dumps({"id": str(number), "text": f"{draw.choice(short)} {number}"}) + "\n")


def lines_in(path: Path) -> int:
    try:
        with path.open("rb") as file:
            return sum(chunk.count(b"\n") for chunk in iter(lambda: file.read(1 << 20), b""))
    except OSError:
        return 0


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--bundle", help="bundle that decides, or rules")
    parser.add_argument("--texts", type=Path, default=ROOT / "datasets" / "tickets.jsonl")
    parser.add_argument("--rows", type=int, default=300_000)
    parser.add_argument("--every", type=float, default=5.0, help="seconds between two looks")
    chosen = parser.parse_args()
    if chosen.bundle is None:
        print("  needs --bundle DIR: skipped")
        return
    with tempfile.TemporaryDirectory(prefix="triage-memory-") as folder:
        data, out = Path(folder) / "in.jsonl", Path(folder) / "out.jsonl"
        write(data, chosen.texts, chosen.rows)
        command = [sys.executable, "-P", "-m", "triage", "score", chosen.bundle, str(data), "--out", str(out)]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        seen: list[tuple[int, float]] = []
        began, watched = time.monotonic(), Running(process, 0, Path(folder), Path(folder))
        stopped = threading.Event()
        while process.poll() is None:
            seen.append((lines_in(out.with_name("out.jsonl.partial")), watched.rss_mb()))
            stopped.wait(chosen.every)
        seconds = time.monotonic() - began
        while_working = [(rows, memory) for rows, memory in seen if memory > 0]
        early = next((memory for rows, memory in while_working if rows >= chosen.rows / 3), 0.0)
        late = while_working[-1][1]
        tell(
            {
                "rows": lines_in(out),
                "rows a second": chosen.rows / seconds,
                "memory after the first third, MB": early,
                "memory at the end, MB": late,
                "grown, %": 100 * (late / early - 1) if early else float("nan"),
            }
        )


if __name__ == "__main__":
    main()
