"""Writes the digests of the shipped tickets, by which a training run knows them again."""

from __future__ import annotations

import json
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from training.data.shipped import DIGESTS, text_digest  # noqa: E402
from triage.ticket import Ticket  # noqa: E402


def digests() -> str:
    """Return one digest a line, sorted, each once."""
    lines = (ROOT / "datasets" / "tickets.jsonl").read_text("utf-8").splitlines()
    rows = [json.loads(line) for line in lines]
    found = {text_digest(Ticket(subject=row.get("subject", ""), body=row["body"])) for row in rows}
    return "".join(f"{digest}\n" for digest in sorted(found))


if __name__ == "__main__":
    (ROOT / "training" / "data" / DIGESTS).write_text(digests(), "ascii")
