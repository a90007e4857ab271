"""Verbs on the desk's history: data check, data fetch."""

from __future__ import annotations

import argparse
from pathlib import Path

from training.cli.inputs import add_data_arguments
from training.terminal import Parser, note, print_json, progress, say, seed, table


def data(arguments: list[str]) -> int:
    """Examine a history of tickets, or fetch a public one."""
    parser = Parser(prog="triage data", description="Examine a history of tickets, or fetch a public data set.")
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="check|fetch")
    check = verbs.add_parser(
        "check", help="what is wrong with the data and what to mend first; exit 1 if it is serious"
    )
    add_data_arguments(check, bad_rows=False)
    check.add_argument("--seed", type=seed, default=0, help="of samples and cross-validation (default 0)")
    check.add_argument("--json", action="store_true", help="print one JSON document")
    fetch = verbs.add_parser("fetch", help="fetch a public data set, check its digest, show its licence")
    fetch.add_argument("name", metavar="clinc150|banking77|endava", help="which one")
    fetch.add_argument("--out", type=Path, help="file to write (default NAME.jsonl)")
    fetch.add_argument("--url", help="a mirror that holds the same files")
    fetch.add_argument("--json", action="store_true", help="print one JSON document")
    options = parser.parse_args(arguments)
    return _check(options) if options.verb == "check" else _fetch(options)


def _check(options: argparse.Namespace) -> int:
    from training.data.columns import parse_mapping
    from training.data.dataset import read_dataset
    from training.quality.checks import diagnose

    with progress(None, "reading") as bar:
        dataset = read_dataset(options.data, parse_mapping(options.map), skip_bad_rows=True, progress=bar.update)
    found = diagnose(dataset, options.seed, lambda what: note(f"examining {what}"))
    if options.json:
        print_json({**found.to_document(), "ignored_columns": list(dataset.ignored_columns)})
        return int(found.serious)
    say(f"{found.rows} rows; ignored columns: {', '.join(dataset.ignored_columns) or 'none'}")
    for target, counts in found.balance.items():
        shown = list(counts.items())[:15]
        say(f"\n{target}: {len(counts)} labels{'' if len(counts) == len(shown) else f', the {len(shown)} commonest'}")
        say(
            table(["label", "rows", "share"], [[label, n, n / sum(counts.values())] for label, n in shown], indent="  ")
        )
    say("\nwhat to mend first:")
    for finding in found.findings:
        say(f"\n  [{finding.severity}] {finding.what}")
        if finding.do:
            say(f"    → {finding.do}")
        for place in finding.places[:8]:
            say(f"      {place}")
        if len(finding.places) > 8:
            say(f"      … {finding.rows} rows in all")
    return int(found.serious)


def _fetch(options: argparse.Namespace) -> int:
    from training.data.public import fetch

    out = options.out or Path(f"{options.name}.jsonl")
    fetched = fetch(options.name, out, url=options.url)
    if options.json:
        print_json({**vars(fetched), "out": str(fetched.out)})
        return 0
    say(f"{fetched.rows} rows in {fetched.out}")
    say(f"  licence  {fetched.licence}")
    say(f"  source   {fetched.cite}")
    for path, digest in fetched.digests.items():
        say(f"  sha256   {digest}  {path}")
    return 0
