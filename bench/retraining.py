"""A year of monthly retraining on a growing history: plain comparison and promotion, twelve times.

Run as `python -m bench.retraining datasets/tickets.jsonl [--undated] [ROLE=COLUMN …]`. The tickets are put in the
order of their dates (as they stand in the file where they have none) and cut into a first half, which the first version
learns from, and twelve months. Each month the history so far is trained anew under the present champion and compared as
`triage promote` does; what holds up is promoted. `--undated` takes the dates away: only texts tell what is new.
"""

from __future__ import annotations

import os
import sys
import tempfile
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from models.local_store import LocalModelStore
from models.terminal import table
from training.data.columns import parse_mapping
from training.data.dataset import Dataset, dataset_digest, read_dataset
from training.pipeline import train
from training.registry import promote as promotion
from training.registry.publish import publish
from training.registry.tracker import Tracker
from training.task import LEARN, TrainSettings

MONTHS, FIRST_SHARE, LONG_AGO = 12, 0.5, datetime.min.replace(tzinfo=UTC)


def main(file: Path, mapping: list[str], undated: bool) -> None:
    dataset = read_dataset([file], parse_mapping(mapping))
    dataset.rows.sort(key=lambda row: row.ticket.opened_at or LONG_AGO)
    if undated:
        dataset.rows[:] = [replace(row, ticket=replace(row.ticket, opened_at=None)) for row in dataset.rows]
    first = round(FIRST_SHARE * len(dataset))
    ends = [first + round(month * (len(dataset) - first) / MONTHS) for month in range(MONTHS + 1)]
    lines = []
    with tempfile.TemporaryDirectory() as folder:
        os.environ["TRIAGE_HOME"] = folder
        tracker, local_store = Tracker(), LocalModelStore.of()
        for month, end in enumerate(ends):
            out = Path(folder) / f"bundle-{month}"
            lines.append([month, end, *_month(part(dataset, end), tracker, local_store, out)])
            print(*lines[-1], flush=True)
    header = ["month", "tickets", "compared on", "accuracy before", "after", "verdict"]
    print(table(header, lines))
    compared = sum(line[-1] in ("promoted", "refused") for line in lines[1:])
    print(f"{compared} of {MONTHS} compared, {sum(line[-1] == 'promoted' for line in lines[1:])} promoted, none forced")


def part(dataset: Dataset, end: int) -> Dataset:
    rows = dataset.rows[:end]
    return replace(dataset, rows=rows, digest=dataset_digest(rows))


def _month(dataset: Dataset, tracker: Tracker, local_store: LocalModelStore, out: Path) -> list[object]:
    champion = promotion.present(tracker, local_store)
    settings = TrainSettings((), out, policy=LEARN, champion=local_store.path(champion) if champion else None)
    train(settings, dataset=dataset, log=lambda step: None)
    _, version = publish(tracker, out)
    challenge = promotion.Challenge(tracker.version(local_store.name, version), "champion")
    result = promotion.promote(tracker, local_store, challenge)
    if result.comparison is None:
        return ["–", "–", "–", "first"]
    if result.comparison.obstacles:
        return [result.comparison.common, "–", "–", result.comparison.obstacles[0]]
    check = next(check for check in result.comparison.checks if "accuracy" in check.what)
    against = [one.what for one in result.comparison.checks if not one.passed]
    print("refused for", against, file=sys.stderr) if against else None
    figures = [result.comparison.common, round(check.champion, 3), round(check.challenger, 3)]
    return [*figures, "promoted" if result.promoted else "refused"]


if __name__ == "__main__":
    words = sys.argv[1:]
    if words:
        main(Path(words[0]), [word for word in words[1:] if "=" in word], "--undated" in words)
    else:
        print(__doc__)
