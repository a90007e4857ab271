"""`triage feedback`: what people said about decisions, as training rows."""

from __future__ import annotations

import argparse
import json
import os
from collections import Counter
from datetime import timedelta
from pathlib import Path

from api.cli.console import age, opened, run, table
from api.privacy.redact import Redactor
from api.settings import Settings
from api.store.export import MACHINE, PERSON, ExportRules
from api.store.repository import Repository
from triage.__main__ import print_json
from triage.arguments import Parser
from triage.errors import InvalidRequest


def feedback(arguments: list[str]) -> int:
    """Export what people said about decisions as training rows, and see where they disagree."""
    parser = Parser(prog="triage feedback", description=feedback.__doc__)
    verbs = parser.add_subparsers(metavar="export|disputed", required=True)
    export = verbs.add_parser("export", help="write training rows")
    export.add_argument("--out", type=Path, required=True, metavar="FILE.jsonl", help="the file to write")
    export.add_argument(
        "--people-only", action="store_true", help="leave out tickets that nobody has said anything about"
    )
    export.add_argument(
        "--settled-after",
        type=age,
        default=timedelta(0),
        metavar="24h",
        help="leave out younger feedback (default: none)",
    )
    export.add_argument("--skip-disputed", action="store_true", help="leave out decisions on which people disagree")
    export.add_argument(
        "--cap-per-agent",
        type=int,
        default=500,
        metavar="N",
        help="most labels of one day by one agent; 0: no cap (default: 500)",
    )
    export.add_argument(
        "--cap-per-key",
        type=int,
        default=5000,
        metavar="N",
        help="most labels of one day by one key; 0: no cap (default: 5000)",
    )
    export.add_argument("--raw", action="store_true", help="leave personal data and secrets in the texts")
    export.set_defaults(do=_export)
    verbs.add_parser("disputed", help="list decisions on which people disagree").set_defaults(do=_disputed)
    return run(parser, verbs.choices.values(), arguments)


def _export(chosen: argparse.Namespace, settings: Settings) -> int:
    rules = ExportRules(
        people_only=chosen.people_only,
        cap_per_agent=chosen.cap_per_agent or None,
        cap_per_key=chosen.cap_per_key or None,
        settled_after=chosen.settled_after,
        skip_disputed=chosen.skip_disputed,
        redactor=None if chosen.raw else Redactor(),
    )
    left_out: Counter[str] = Counter()
    with opened(settings) as repository:
        sources = _write(repository, rules, chosen.out, left_out)
    people, machine = sources[PERSON], sources[MACHINE]
    if chosen.json:
        print_json(
            {
                "out": str(chosen.out),
                "rows": people + machine,
                "person": people,
                "machine": machine,
                "left_out": dict(sorted(left_out.items())),
            }
        )
        return 0
    print(
        f"{people + machine} rows in {chosen.out}: {people} labelled by people, "
        f"{machine} by the machine alone (they teach nothing)"
    )
    for reason, count in sorted(left_out.items()):
        print(f"left out {count}: {reason}")
    if people:
        print(f"train on them: triage train {chosen.out}")
    return 0


def _write(repository: Repository, rules: ExportRules, out: Path, left_out: Counter[str]) -> Counter[str]:
    """Write the rows; the file appears whole or not at all, readable for its owner only."""
    if out.suffix != ".jsonl":
        raise InvalidRequest(f"{out} does not end in .jsonl: training rows are written as JSON lines; name it so")
    draft, sources = out.with_name(f".{out.name}.{os.getpid()}.draft"), Counter[str]()
    try:
        with os.fdopen(os.open(draft, os.O_CREAT | os.O_TRUNC | os.O_WRONLY, 0o600), "w", encoding="utf-8") as file:
            for row in repository.training_rows(rules, left_out):
                sources[row["label_source"]] += 1
                file.write(json.dumps(row, ensure_ascii=False, allow_nan=False) + "\n")
            file.flush()
            os.fsync(file.fileno())
        os.replace(draft, out)
    except OSError as error:
        raise InvalidRequest(f"cannot write {out}: {error.strerror}; choose another place") from error
    finally:
        draft.unlink(missing_ok=True)
    return sources


def _disputed(chosen: argparse.Namespace, settings: Settings) -> int:
    with opened(settings) as repository:
        rows = repository.disputed()
    found = [
        {"decision_id": row.id, "ticket_id": row.ticket_id, "feedback": [said.document() for said in row.feedback]}
        for row in rows
    ]
    if chosen.json:
        print_json({"disputed": found})
    elif rows:
        said = [
            " | ".join(
                f"{one.agent}: {one.tier or '-'}/{one.category or '-'}" for one in row.feedback if one.undoes is None
            )
            for row in rows
        ]
        print(
            table(
                ("ticket", "decision", "who said what"),
                [(row.ticket_id, row.id, words) for row, words in zip(rows, said, strict=True)],
            )
        )
    else:
        print("nobody disagrees")
    return 0
