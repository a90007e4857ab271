"""How exports of helpdesks are read: a table over a folder of files, encodings told apart, and orders of dates.

Run: python -P bench/reading_exports.py FOLDER [--columns 200] [--seed 0]
"""

from __future__ import annotations

import argparse
import random
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path

from training.data.dataset import read_dataset
from training.data.dates import date_column
from training.data.reading import ReadOptions
from triage.errors import InvalidDataset, InvalidRequest

_FORMS = ("%d{s}%m{s}%Y", "%m{s}%d{s}%Y", "%d{s}%m{s}%y", "%m{s}%d{s}%y", "%Y{s}%m{s}%d", "%y{s}%m{s}%d")
_TIMES = ("", " %H:%M", " %H:%M:%S", " %I:%M %p")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--columns", type=int, default=200, help="generated columns of dates")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    print("| file | flags | tickets | labels | dated | bad | said |\n|---|---|---|---|---|---|---|")
    for path in sorted(options.folder.iterdir()):
        print(_line(path))
    print()
    print("dates of", options.columns, "generated columns:", dict(_orders(options.columns, options.seed)))


def _line(path: Path) -> str:
    """Read a file as it is, else with the flag that the error asks for."""
    for flags, how in (("none", ReadOptions()), ("--multi first", ReadOptions(multi="first"))):
        try:
            dataset = read_dataset([path], options=how, skip_bad_rows=True)
        except (InvalidDataset, InvalidRequest) as error:
            asked = str(error)
            if "--multi" in asked and flags == "none":
                continue
            return f"| {path.name} | {flags} | refused: {asked} | | | | |"
        labels = Counter(row.labels["category"] for row in dataset.rows if "category" in row.labels)
        dated = sum(row.ticket.opened_at is not None for row in dataset.rows)
        said = "; ".join(finding.what.removeprefix(f"{path.name}: ").split(":")[0] for finding in dataset.findings)
        cells = (path.name, flags, len(dataset), len(labels), dated, len(dataset.bad_rows), said)
        return f"| {' | '.join(map(str, cells))} |"
    return f"| {path.name} | refused |"


def _orders(columns: int, seed: int) -> Counter[str]:
    """Generate columns of dates in known forms, and count those read right, wrong, and asked for."""
    draw, outcomes = random.Random(seed), Counter[str](right=0, wrong=0, asked=0)
    for _ in range(columns):
        form = draw.choice(_FORMS).format(s=draw.choice("/-.")) + draw.choice(_TIMES)
        first = datetime(2025, 6, 1, tzinfo=UTC) - timedelta(days=draw.randint(0, 900))
        span, rows = draw.choice((2, 10, 60, 400)), draw.choice((3, 12, 40, 200))
        moments = [first + timedelta(days=draw.randint(0, span), minutes=draw.randint(0, 1439)) for _ in range(rows)]
        if draw.random() < 0.6:
            moments.sort(reverse=draw.random() < 0.3)
        texts = [moment.strftime(form) for moment in moments]
        if draw.random() < 0.1:
            texts, moments = (list(one) for one in zip(*sorted(zip(texts, moments, strict=True)), strict=True))
        try:
            column = date_column(texts, "generated")
        except InvalidRequest:
            outcomes["asked"] += 1
            continue
        found = [column.read(text) for text in texts]
        right = all(one is not None and one.date() == moment.date() for one, moment in zip(found, moments, strict=True))
        outcomes["right" if right else "wrong"] += 1
    return outcomes


if __name__ == "__main__":
    main()
