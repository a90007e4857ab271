"""How the time and the memory of a training grow with the history: `triage train` on more and more invented tickets.

Each is made of two tickets with the same labels, half of the words of either in a drawn order, so that it is no
near-duplicate; its vector is the mean of theirs with noise, and lies in the cache before training begins. So encoding
is left out, and everything else is the command as users run it. The first size is trained twice and counted once: the
vectors of single words are then there for all.

    python bench/training_slope.py TICKETS [--policy learn] [--rows 5000 10000 20000]
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from performance import as_read, cpu_seconds, memory_mb

from models.terminal import table
from training.data.dataset import read_dataset
from training.data.labelled_ticket import LabelledTicket
from training.encoders.cache import CachedEncoder
from training.encoders.onnx_export import DEFAULT_ENCODER
from training.encoders.open import open_encoder
from triage.ticket import Ticket

NOISE = 0.02
"""Spread of the noise in each direction of a vector of length 1: in all of 384 together 0.4."""


class Known:
    """Stands in for the encoder while the cache is filled: it has a vector for each text already."""

    def __init__(self, name: str, vectors: dict[str, NDArray[np.float32]]) -> None:
        self.name, self.dim, self._vectors = name, len(next(iter(vectors.values()))), vectors

    def encode(self, texts: Sequence[str], progress: object = None) -> NDArray[np.float32]:
        return np.stack([self._vectors[text] for text in texts])

    def truncates(self, texts: Sequence[str]) -> list[bool]:
        return [False] * len(texts)


def crossed(rows: Sequence[LabelledTicket], vectors: NDArray[np.float32], count: int) -> dict[int, tuple[str, object]]:
    """Return so many tickets, each a line of a file and its vector, by number."""
    draw, noise = random.Random(0), np.random.default_rng(0)
    alike: dict[tuple[tuple[str, str | None], ...], list[int]] = defaultdict(list)
    for place, row in enumerate(rows):
        alike[tuple(sorted(row.labels.items()))].append(place)
    made: dict[int, tuple[str, object]] = {}
    for number in range(count):
        one = draw.randrange(len(rows))
        other = draw.choice(alike[tuple(sorted(rows[one].labels.items()))])
        words = [word for place in (one, other) for word in _half(rows[place].ticket.text.split(), draw)]
        draw.shuffle(words)
        text = " ".join([*words, f"{number:06}"])
        line = {**as_read(rows[one]), "id": str(number), "subject": "", "body": text}
        vector = vectors[one] + vectors[other] + noise.normal(0, 2 * NOISE, vectors.shape[1])
        made[number] = json.dumps(line), (vector / np.linalg.norm(vector)).astype(np.float32)
    return made


def _half(words: list[str], draw: random.Random) -> list[str]:
    return draw.sample(words, -(-len(words) // 2))


def trained(data: Path, out: Path, policy: list[str]) -> tuple[float, float, float]:
    """Train, and return seconds, seconds of processor time and the most memory in MB."""
    command = [sys.executable, "-P", "-m", "triage", "train", str(data), "--no-register", "--out", str(out), *policy]
    began, cpu, most = time.monotonic(), 0.0, 0.0
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        while process.poll() is None:
            cpu, most = max(cpu, cpu_seconds(process.pid)), max(most, memory_mb(process.pid))
            time.sleep(0.25)
    if process.returncode:
        raise SystemExit(f"training on {data.name} ended with status {process.returncode}")
    return time.monotonic() - began, cpu, most


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("tickets", type=Path, help="labelled tickets that the others are made of")
    parser.add_argument("--policy", help="as `triage train` takes it")
    parser.add_argument("--rows", type=int, nargs="+", default=[5_000, 10_000, 20_000], help="sizes, the least first")
    chosen = parser.parse_args()
    rows = [row for row in read_dataset([chosen.tickets], {}, skip_bad_rows=True).rows if row.ticket.text]
    vectors = CachedEncoder(open_encoder(DEFAULT_ENCODER, print)[0]).encode([row.ticket.text for row in rows])
    policy = [] if chosen.policy is None else ["--policy", chosen.policy]
    lines = []
    with tempfile.TemporaryDirectory(prefix="triage-slope-") as scratch:
        room = Path(scratch)
        os.environ["TRIAGE_HOME"] = str(room / "home")
        encoder = open_encoder(DEFAULT_ENCODER, print)[0]
        for turn, count in enumerate([chosen.rows[0], *chosen.rows]):
            made = crossed(rows, vectors, count)
            data = room / f"{count}.jsonl"
            data.write_text("".join(line + "\n" for line, _ in made.values()))
            texts = {Ticket(body=json.loads(line)["body"]).text: vector for line, vector in made.values()}
            CachedEncoder(Known(encoder.name, texts)).encode(list(texts))  # type: ignore[arg-type]
            took, cpu, most = trained(data, room / f"bundle-{turn}", policy)
            if turn:
                lines.append([f"{count:,}", f"{took:.0f}", f"{cpu:.0f}", f"{1000 * took / count:.1f}", f"{most:.0f}"])
                print(f"· {count:,} tickets in {took:.0f} s", flush=True)
    heads = ["tickets", "seconds", "of processor time", "ms a ticket", "MB at most"]
    print(table(heads, lines))


if __name__ == "__main__":
    main()
