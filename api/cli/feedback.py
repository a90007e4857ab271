"""Export what people said about decisions as training rows, and see where they disagree.

Examples:
    triage feedback export --out labels.jsonl
    triage feedback disputed
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from api.cli.options import age, opened_store
from api.privacy.redact import Redactor
from api.store.export import MACHINE, PERSON, ExportRules
from api.store.repository import Repository
from models.atomic_write import atomic, writable_place
from models.terminal import NEEDED, Family, JsonOption, count, option, print_json, print_result, print_table
from triage.errors import InvalidRequest

feedback = Family("feedback", __doc__)

_WHICH = "which feedback counts"


@dataclass(frozen=True, kw_only=True)
class ExportOptions(JsonOption):
    """The options of `triage feedback export`."""

    out: Path = option("the file to write", NEEDED, "FILE.jsonl")
    people_only: bool = option("leave out tickets that nobody has said anything about", False, group=_WHICH)
    settled_after: timedelta | None = option(
        "leave out younger feedback (default: none)", None, "24h", read=age, group=_WHICH
    )
    skip_disputed: bool = option("leave out decisions on which people disagree", False, group=_WHICH)
    cap_per_agent: int = option("most labels of one day by one agent; 0: no cap", 500, "N", read=count, group=_WHICH)
    cap_per_key: int = option("most labels of one day by one key; 0: no cap", 5000, "N", read=count, group=_WHICH)
    raw: bool = option("leave personal data and secrets in the texts", False)


@feedback.verb("export")
def export(options: ExportOptions) -> None:
    """Write training rows.

    Examples:
        triage feedback export --out labels.jsonl
        triage feedback export --out labels.jsonl --people-only --settled-after 24h
    """
    rules = ExportRules(
        people_only=options.people_only,
        cap_per_agent=options.cap_per_agent or None,
        cap_per_key=options.cap_per_key or None,
        settled_after=options.settled_after or timedelta(0),
        skip_disputed=options.skip_disputed,
        redactor=None if options.raw else Redactor(),
    )
    left_out: Counter[str] = Counter()
    with opened_store() as store:
        sources = _write(store, rules, options.out, left_out)
    people, machine = sources[PERSON], sources[MACHINE]
    document = {
        "out": str(options.out),
        "rows": people + machine,
        "person": people,
        "machine": machine,
        "left_out": dict(sorted(left_out.items())),
    }
    lines = [
        f"{people + machine} rows in {options.out}: {people} labelled by people, "
        f"{machine} by the machine alone (they teach nothing)",
        *(f"left out {count}: {reason}" for reason, count in sorted(left_out.items())),
    ]
    if people:
        lines.append(f"train on them: triage train {options.out}")
    print_result(document, "\n".join(lines), as_json=options.json)


def _write(store: Repository, rules: ExportRules, out: Path, left_out: Counter[str]) -> Counter[str]:
    """Write the rows; the file appears whole or not at all, readable for its owner only."""
    if out.suffix != ".jsonl":
        raise InvalidRequest(f"{out} does not end in .jsonl: training rows are written as JSON lines; name it so")
    if not out.parent.is_dir():
        raise InvalidRequest(f"cannot write {out}: there is no folder {out.parent}; choose another place")
    sources = Counter[str]()
    try:
        with atomic(writable_place(out), mode=0o600) as draft, draft.open("w", encoding="utf-8") as file:
            for row in store.training_rows(rules, left_out):
                sources[row["label_source"]] += 1
                file.write(json.dumps(row, ensure_ascii=False, allow_nan=False) + "\n")
    except OSError as error:
        raise InvalidRequest(f"cannot write {out}: {error.strerror}; choose another place") from error
    return sources


@feedback.verb("disputed")
def disputed(options: JsonOption) -> None:
    """List decisions on which people disagree.

    Examples:
        triage feedback disputed
    """
    with opened_store() as store:
        rows = store.disputed()
    if options.json:
        found = [
            {"decision_id": row.id, "ticket_id": row.ticket_id, "feedback": [one.document() for one in row.feedback]}
            for row in rows
        ]
        print_json({"disputed": found})
    elif not rows:
        print("nobody disagrees")
    else:
        opinions = [
            " | ".join(
                f"{one.agent}: {one.tier or '-'}/{one.category or '-'}" for one in row.feedback if one.undoes is None
            )
            for row in rows
        ]
        lines = [(row.ticket_id, row.id, opinion) for row, opinion in zip(rows, opinions, strict=True)]
        print_table(("ticket", "decision", "who said what"), lines)
