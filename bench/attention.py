"""What must never wait and what is no ticket: recall and false alarms by kind and writer.

Run as `python bench/attention.py [FOLDER WRITER] [--bundle DIR]`. Without arguments, the written cues and the shipped
screening are measured on every row of the data set; the shipped classifier has learned from these rows, so its figures
flatter. With the folder of a classifier that was trained without a writer's rows (`scripts.shorten_screening TEACHER
--without WRITER --out FOLDER`), screening is measured on that writer's rows alone, and for a few pairs of thresholds.
With a bundle, tickets that its prefilter finds ordinary are not put to the classifier, as in the service.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from models.bundle.bundle import load_bundle
from models.encoder import OnnxEncoder
from models.screening import ScreeningClassifier, shipped_classifier
from models.terminal import table
from triage.screening import Opinion, find_attention, no_ticket, screen
from triage.screening.intake import KINDS
from triage.screening.screen import ATTENTION_KINDS
from triage.ticket import Ticket

DATA = Path(__file__).parent.parent / "datasets"
Flags = Callable[[Ticket, Opinion], bool]


def rows_of(sort: str, writer: str | None) -> list[dict[str, Any]]:
    files = sorted(DATA.glob(f"{sort}-{writer or '*'}.jsonl"))
    return [json.loads(line) for file in files for line in file.read_text("utf-8").splitlines()]


def ticket_of(row: dict[str, Any]) -> Ticket:
    return Ticket(row["id"], row["subject"], row["body"], attributes=row.get("headers", {}))


def measured(sort: str, rows: Sequence[dict[str, Any]], opinions: Sequence[Opinion], flags: Flags) -> list[list[Any]]:
    """Return a line per writer and kind: rows, share flagged."""
    lines = []
    flagged = [flags(ticket_of(row), opinion) for row, opinion in zip(rows, opinions, strict=True)]
    for writer in sorted({row["writer"] for row in rows}):
        kinds = sorted({row["kind"] for row in rows if row["kind"]})
        for name, wanted in [*((kind, {kind}) for kind in kinds), ("all kinds", set(kinds)), ("false alarms", {None})]:
            hits = [
                hit for row, hit in zip(rows, flagged, strict=True) if row["writer"] == writer and row["kind"] in wanted
            ]
            lines.append([sort, writer, name, len(hits), float(np.mean(hits))])
    return lines


def thresholds(rows: Sequence[dict[str, Any]], opinions: Sequence[Opinion], sort: str) -> list[list[Any]]:
    """Return recall and false alarms by the two thresholds: alone, and seconding a cue."""
    kinds = ATTENTION_KINDS if sort == "attention" else KINDS
    by_cue = [
        bool(find_attention(ticket_of(row)) if sort == "attention" else no_ticket(ticket_of(row))) for row in rows
    ]
    likely = np.array([opinion.of(kinds) for opinion in opinions])
    cue, matter = np.array(by_cue), np.array([row["kind"] is not None for row in rows])
    found = []
    for seconding in (0.02, 0.05, 0.1, 0.2, 0.3):
        for alone in (0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9):
            flagged = (likely >= alone) | (cue & (likely >= seconding))
            found.append([sort, seconding, alone, float(flagged[matter].mean()), float(flagged[~matter].mean())])
    return found


def main(folder: Path | None, writer: str | None, bundle: Path | None) -> None:
    prefilter = None if bundle is None else load_bundle(bundle).prefilter
    classifier = shipped_classifier()
    if folder is not None:
        head = np.load(folder / "head.npy", allow_pickle=False)
        classifier = ScreeningClassifier(OnnxEncoder(folder), head)
    sorts = {
        "attention": lambda ticket, opinion: bool(screen(ticket, (), opinion).attention),
        "not-tickets": lambda ticket, opinion: screen(ticket, (), opinion).no_ticket is not None,
    }
    cues: dict[str, Flags] = {
        "attention": lambda ticket, _: bool(find_attention(ticket)),
        "not-tickets": lambda ticket, _: no_ticket(ticket) is not None,
    }
    for sort, flags in sorts.items():
        rows = rows_of(sort, writer)
        if not rows:  # a writer of only the other sort
            continue
        opinions = classifier.opinions([ticket_of(row) for row in rows], prefilter)
        for title, how in (("written cues", cues[sort]), ("cues and classifier", flags)):
            print(f"\n{title}")
            print(table(["", "writer", "kind", "rows", "flagged"], measured(sort, rows, opinions, how)))
        if folder is not None:
            print(
                table(["", "seconding from", "alone from", "recall", "false alarms"], thresholds(rows, opinions, sort))
            )
    if folder is None:
        ordinary = [json.loads(line) for line in (DATA / "tickets.jsonl").read_text("utf-8").splitlines()]
        tickets = [ticket_of(row) for row in ordinary]
        screened = [screen(t, (), o) for t, o in zip(tickets, classifier.opinions(tickets, prefilter), strict=True)]
        lines = []
        for tier in ("L0", "L1", "L2", "L3", "L4"):
            own = [one for one, row in zip(screened, ordinary, strict=True) if row["tier"] == tier]
            flagged = [bool(one.attention) for one in own]
            none = [one.no_ticket is not None for one in own]
            lines.append([tier, len(own), float(np.mean(flagged)), float(np.mean(none))])
        print("\nordinary tickets")
        print(table(["tier", "rows", "attention", "no ticket"], lines))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", nargs="?", type=Path, help="of a classifier")
    parser.add_argument("writer", nargs="?", help="whose rows it has not read")
    parser.add_argument("--bundle", type=Path, help="whose prefilter goes before it")
    chosen = parser.parse_args()
    main(chosen.folder, chosen.writer, chosen.bundle)
