"""Verbs that route tickets: score, predict, rules."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from training.cli.inputs import MAP_HELP, add_data_arguments, open_triager, read_data
from training.terminal import Parser, note, print_json, progress, say, table


def score(arguments: list[str]) -> int:
    """Decide every row of a file and write one decision a row."""
    from training.batch_scoring import check_output
    from training.batch_scoring import score as score_file
    from training.data.columns import parse_mapping

    parser = Parser(
        prog="triage score",
        description="Decide every row of a data file; writes one decision a row in the order of the input. An "
        "interrupted run continues where it stopped (OUT.partial).",
    )
    parser.add_argument("bundle", metavar="BUNDLE", help="folder of a bundle, or NAME@ALIAS")
    parser.add_argument("data", type=Path, metavar="DATA", help="CSV, JSONL or Parquet file")
    parser.add_argument("--map", action="append", default=[], metavar="ROLE=COLUMN", help=MAP_HELP)
    parser.add_argument("--out", type=Path, required=True, help="ends in .jsonl, .csv or .parquet")
    parser.add_argument("--json", action="store_true", help="print a summary as one JSON document")
    options = parser.parse_args(arguments)
    mapping = parse_mapping(options.map)
    check_output(options.out, options.data)
    bar: Any = None

    def watch(total: int | None, done: int) -> Any:
        nonlocal bar
        bar = progress(total, "scoring", initial=done)
        if done:
            note(f"continuing after row {done}")
        return bar.update

    try:
        done = score_file(open_triager(options.bundle), options.data, options.out, mapping=mapping, progress=watch)
    finally:
        if bar is not None:
            bar.close()
    for row in done.unscorable[:20]:
        note(f"default route: {row}")
    if len(done.unscorable) > 20:
        note(f"default route: … and {len(done.unscorable) - 20} more")
    summary = {
        "out": str(options.out),
        "rows": done.rows,
        "resumed": done.resumed,
        "automatic": done.automatic,
        "unscorable": [{"line": row.line, "reason": row.reason} for row in done.unscorable],
    }
    if options.json:
        print_json(summary)
    else:
        say(f"{done.rows} decisions in {options.out} ({done.resumed} from an earlier run)")
        say(f"of the {done.rows - done.resumed} made now, {done.automatic} are automatic")
    return 0


def predict(arguments: list[str]) -> int:
    """Decide one ticket given on the command line."""
    from training.reports.decision_text import as_document, as_text
    from triage.errors import InvalidRequest
    from triage.ticket import Ticket

    parser = Parser(prog="triage predict", description="Decide one ticket and say why.")
    parser.add_argument(
        "bundle", metavar="BUNDLE", help="folder of a bundle, or NAME@ALIAS; 'rules' for the rules alone"
    )
    parser.add_argument("text", help="what the requester wrote; - reads it from stdin")
    parser.add_argument("--subject", default="", help="subject line, if there is one")
    parser.add_argument("--channel", help="such as email or phone")
    parser.add_argument("--language", help="ISO 639-1 code; detected where it is not stated")
    parser.add_argument("--json", action="store_true", help="print one JSON document, shaped like the service's answer")
    options = parser.parse_args(arguments)
    ticket = Ticket(
        subject=options.subject, body=_text(options.text), channel=options.channel, language=options.language
    )
    if not ticket.text:
        raise InvalidRequest("the ticket has no text: nothing can be decided; write what the requester said")
    triager = _triager(options.bundle)
    decision = triager.decide([ticket], explain=True)[0]
    if options.json:
        print_json(as_document(decision))
    else:
        say(as_text(decision))
    return 0


def _triager(reference: str) -> Any:
    from models.triager import Triager

    return Triager() if reference == "rules" and not Path(reference).exists() else open_triager(reference)


def _text(argument: str) -> str:
    import sys

    return sys.stdin.read() if argument == "-" else argument


def rules(arguments: list[str]) -> int:
    """Check a rule file, or replay it on labelled tickets."""
    parser = Parser(
        prog="triage rules", description="Check rules against a policy, or measure them on labelled tickets."
    )
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="check|replay")
    check = verbs.add_parser("check", help="read a rule file and check its labels against the policy")
    check.add_argument("rules", nargs="?", type=Path, metavar="RULES", help="rule file; the default rules without it")
    replay = verbs.add_parser("replay", help="precision and coverage of each rule on labelled tickets")
    add_data_arguments(replay)
    replay.add_argument("--rules", type=Path, help="rule file; the default rules without it")
    for one in (check, replay):
        one.add_argument("--policy", type=Path, help="policy file; the default policy without it")
        one.add_argument("--json", action="store_true", help="print one JSON document")
    options = parser.parse_args(arguments)
    return _check_rules(options) if options.verb == "check" else _replay_rules(options)


def _book(options: Any) -> Any:
    from triage.defaults import default_policy, default_rules
    from triage.policy import read_policy
    from triage.prediction import TARGETS
    from triage.rules import check_labels, read_rules

    policy = read_policy(options.policy) if options.policy else default_policy()
    book = read_rules(options.rules) if options.rules else default_rules()
    known = {target: [entry.label for entry in policy.entries(target)] for target in TARGETS}
    check_labels(book, known, str(options.rules or "the default rules"))
    return policy, book


def _check_rules(options: Any) -> int:
    _, book = _book(options)
    kinds = [str(rule.kind) for rule in book.rules]
    if options.json:
        print_json(
            {"rules": len(kinds), "bypass": kinds.count("bypass"), "fallback": kinds.count("fallback"), "ok": True}
        )
    else:
        say(f"{len(kinds)} rules are fine: {kinds.count('bypass')} bypass, {kinds.count('fallback')} fallback")
    return 0


def _replay_rules(options: Any) -> int:
    from models.triager import Triager
    from training.data.labels import resolve_labels
    from training.evaluation.evaluate import measure
    from training.evaluation.predictions import ask
    from training.evaluation.rules_replay import replay

    policy, book = _book(options)
    dataset = resolve_labels(read_data(options), policy, skip_bad_rows=options.skip_bad_rows)
    with progress(len(dataset), "replaying") as bar:
        lines = replay(book, policy, dataset.rows, bar.update)
    triager = Triager(policy=policy, rules=book)
    measured = measure(triager, ask(triager, dataset.rows))
    alone = {target: values["baselines"]["rules only"] for target, values in measured["targets"].items()}
    if options.json:
        print_json({"rows": len(dataset), "rules": lines, "targets": alone, "route": measured["route"]})
        return 0
    for target, values in alone.items():
        right, f1 = values["accuracy"], values["macro_f1"]
        say(f"\n{target}: rules alone are right on {right:.3f} of {len(dataset)} tickets, macro-F1 {f1:.3f}\n")
        rule_labels = [(line, line["targets"][target]) for line in lines if target in line["targets"]]
        rows = [
            [line["name"], line["kind"], m["label"], m["spoke"], m["coverage"], m["precision"]]
            for line, m in rule_labels
        ]
        say(table(["rule", "kind", "label", "spoke on", "coverage", "precision"], rows))
    return 0
