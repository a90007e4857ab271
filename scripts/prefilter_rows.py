"""Write what a prefilter learns from beside a desk's own tickets, to `training/cascade/prefilter-rows.npz`.

Run as `python -P scripts/prefilter_rows.py` after `scripts/shorten_screening.py`; two minutes on two cores. The rows
are those of the data set as token ids, with what the shipped classifier says of each. Of the writers that the
classifier has not read, those that it rightly flags are kept apart: by them a prefilter's threshold is chosen.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from models.screening import shipped_classifier
from models.screening.classifier import alarm_and_no_ticket, read_part
from training.cascade.prefilter import ALARMS, HELD_BACK, LEARN, NO_TICKETS, ROWS_FILE, TokenRows, log_odds
from triage.ticket import Ticket

ROOT = Path(__file__).parent.parent
TARGET = ROOT / "training" / "cascade" / ROWS_FILE
ORDINARY_ROWS = 8_000
"""Rows kept of those that the classifier finds ordinary: more make the file larger and nothing better."""
FLAGGED, DOUBTFUL = 0.5, 0.1


class Row(NamedTuple):
    """A ticket, the file that it is from, its writer, and whether it is of a kind that must be flagged."""

    ticket: Ticket
    sort: str
    writer: str
    is_special: bool


def read_rows() -> Iterator[Row]:
    """Yield the rows of all writers."""
    for sort in ("attention", "not-tickets"):
        for file in sorted((ROOT / "datasets").glob(f"{sort}-*.jsonl")):
            for row in map(json.loads, file.read_text("utf-8").splitlines()):
                yield Row(Ticket(subject=row["subject"], body=row["body"]), sort, row["writer"], bool(row["kind"]))


def main() -> None:
    """Ask the classifier about every row, and write what is kept."""
    rows, classifier = list(read_rows()), shipped_classifier()
    texts = [read_part(row.ticket) for row in rows]
    print(f"asking the classifier about {len(rows)} rows", flush=True)
    found = classifier.probabilities(texts)
    held = np.array([row.writer in HELD_BACK for row in rows])
    attention = np.array([row.sort == "attention" for row in rows])
    alarm, no_ticket = alarm_and_no_ticket(found)
    said = np.where(attention, alarm, no_ticket)
    rightly = held & np.array([row.is_special for row in rows]) & (said >= FLAGGED)
    doubtful = np.maximum(alarm, no_ticket) > DOUBTFUL
    ordinary = np.flatnonzero(~held & ~doubtful)
    drawn = np.random.default_rng(0).permutation(ordinary)[:ORDINARY_ROWS]
    use = np.full(len(rows), -1)
    use[~held & doubtful], use[drawn] = LEARN, LEARN
    use[rightly & attention], use[rightly & ~attention] = ALARMS, NO_TICKETS
    kept = np.flatnonzero(use >= 0)
    tokens = TokenRows.of([classifier.tokens(texts[row]) for row in kept])
    np.savez_compressed(
        TARGET,
        tokens=tokens.tokens.astype(np.uint16),
        starts=tokens.starts.astype(np.int32),
        log_odds=log_odds(found[kept]).astype(np.float16),
        use=use[kept].astype(np.int8),
    )
    counts = {name: int((use == kind).sum()) for name, kind in (("learn", 0), ("alarms", 1), ("no tickets", 2))}
    print(f"written to {TARGET.name}: {counts}, {TARGET.stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
