"""Hand-over items found in tickets: `python bench/hand_over.py [--tickets FILE] [--labels FILE] [--show ITEM]`.

Two labelling passes marked the items in 308 shipped tickets; numbers of contracts, devices and cases and evidence that
a fault lies outside are one item there. A span counts as found where the letters that
it shares with a labelled one of the same item are at least half of the letters of both. The cues were improved on the
organisations of one half; their writer had read the other half as a labeller, so its figures are no blind test.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter, defaultdict
from collections.abc import Iterable
from pathlib import Path

from triage.escalation.packet import find_items

ROOT = Path(__file__).parents[1]
Spans = list[tuple[str, int, int]]
LABELLED = dict.fromkeys(("contract", "serial", "case", "fault_outside"), "reference")
"""What the labelling passes call items that have names of their own."""


def words(start: int, end: int, text: str) -> set[int]:
    """Return the places of the letters and digits of a span."""
    return {place for place in range(start, end) if text[place].isalnum()}


def overlap(one: tuple[str, int, int], other: tuple[str, int, int], text: str) -> float:
    a, b = words(*one[1:], text), words(*other[1:], text)
    return len(a & b) / max(1, len(a | b)) if one[0] == other[0] else 0.0


def matched(found: Spans, labelled: Spans, text: str) -> Counter[str]:
    """Count, by item, pairs of spans that cover each other by half; each span is used once."""
    left, hits = list(labelled), Counter[str]()
    for span in found:
        best = max(left, key=lambda other: overlap(span, other, text), default=None)
        if best is not None and overlap(span, best, text) >= 0.5:
            left.remove(best)
            hits[span[0]] += 1
    return hits


def f1(hits: int, found: int, labelled: int) -> float:
    return 2 * hits / max(1, found + labelled)


def table(pairs: Iterable[tuple[Spans, Spans, str]], title: str) -> float:
    hits, found, labelled = Counter[str](), Counter[str](), Counter[str]()
    for ours, theirs, text in pairs:
        hits += matched(ours, theirs, text)
        found.update(span[0] for span in ours)
        labelled.update(span[0] for span in theirs)
    print(title)
    for item in sorted(labelled):
        figures = f"precision {hits[item] / max(1, found[item]):.2f} recall {hits[item] / labelled[item]:.2f}"
        print(
            f"  {item:<14} {labelled[item]:>4} labelled  {figures} F1 {f1(hits[item], found[item], labelled[item]):.2f}"
        )
    total = f1(hits.total(), found.total(), labelled.total())
    print(f"  {'all':<14} {labelled.total():>4} labelled  F1 {total:.3f}")
    return total


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--tickets", type=Path, default=ROOT / "datasets" / "tickets.jsonl")
    parser.add_argument("--labels", type=Path, default=ROOT / "datasets" / "hand-over.jsonl")
    parser.add_argument(
        "--show", help="print what is missed and wrong of an item, in the half that cues are written on"
    )
    chosen = parser.parse_args()
    tickets = {row["id"]: row for row in map(json.loads, chosen.tickets.read_text("utf-8").splitlines())}
    labels = [json.loads(line) for line in chosen.labels.read_text("utf-8").splitlines()]
    organisations = sorted({row["organisation"] for row in labels})
    parts: dict[str, list[tuple[Spans, Spans, Spans, str]]] = defaultdict(list)
    for row in labels:
        ticket = tickets[row["id"]]
        text = f"{ticket['subject']}\n{ticket['body']}"
        ours = [(LABELLED.get(one.item, one.item), one.start, one.end) for one in find_items(text)]
        a, b = ([(item, start, end) for item, start, end in row[key]] for key in ("labeller_a", "labeller_b"))
        part = "written on" if organisations.index(row["organisation"]) % 2 == 0 else "unseen"
        parts[part].append((ours, a, b, text))
        if chosen.show and part == "written on":
            show(ours, a, text, chosen.show)
    if chosen.show:
        return 0
    every = [one for rows in parts.values() for one in rows]
    table(((b, a, text) for _, a, b, text in every), f"agreement of the two labelling passes, {len(every)} tickets")
    reached = 1.0
    for part in ("written on", "unseen"):
        for place, who in ((1, "a"), (2, "b")):
            pairs = [(one[0], one[place], one[3]) for one in parts[part]]  # type: ignore[misc]
            reached = table(pairs, f"cues against labeller {who}, organisations {part}, {len(pairs)} tickets")
    return 0 if reached >= 0.70 else 1


def show(ours: Spans, labelled: Spans, text: str, item: str) -> None:
    hit = [a for a in ours for b in labelled if overlap(a, b, text) >= 0.5]
    met = [b for a in ours for b in labelled if overlap(a, b, text) >= 0.5]
    for sign, spans, good in (("+", ours, hit), ("-", labelled, met)):
        for span in spans:
            if span[0] == item and span not in good:
                print(sign, repr(text[span[1] : span[2]]))


if __name__ == "__main__":
    sys.exit(main())
