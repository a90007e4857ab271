"""Verbs on policies: what one says, and which shares of traffic it should expect."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from training.cli.inputs import add_data_arguments, bundle_path
from training.terminal import Parser, print_json, say, table


def policy(arguments: list[str]) -> int:
    """Check a policy file, or learn from recent tickets which shares of labels it should expect."""
    parser = Parser(prog="triage policy", description="Check a policy file, or learn the shares it should expect.")
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="check|shares")
    check = verbs.add_parser("check", help="read a policy file, say what contradicts itself, or show what it holds")
    check.add_argument("policy", nargs="?", type=Path, metavar="POLICY", help="policy file; the default one without it")
    check.add_argument("--json", action="store_true", help="print one JSON document")
    shares = verbs.add_parser(
        "shares", help="learn from recent tickets, labelled or not, how often each label comes in traffic now"
    )
    shares.add_argument("bundle", metavar="BUNDLE", help="folder of a bundle, or NAME@ALIAS")
    add_data_arguments(shares)
    shares.add_argument("--out", type=Path, metavar="FILE", help="write the bundle's policy with these shares in it")
    shares.add_argument("--json", action="store_true", help="print one JSON document")
    options = parser.parse_args(arguments)
    return _shares(options) if options.verb == "shares" else _check(options)


def _shares(options: Any) -> int:
    from models.atomic_write import check_writable, write_text
    from models.bundle.bundle import load_bundle
    from models.toml_files import dump_policy
    from training.data.columns import parse_mapping
    from training.evaluation.traffic_shares import read_tickets, shares_in, with_shares
    from triage.errors import InvalidRequest

    if options.out is not None:
        if options.out.exists():
            raise InvalidRequest(f"--out {str(options.out)!r} is there already; name a new file")
        check_writable(options.out)
    bundle = load_bundle(bundle_path(options.bundle))
    tickets = read_tickets(options.data, parse_mapping(options.map), skip_bad_rows=options.skip_bad_rows)
    found = shares_in(bundle, tickets)
    if options.out is not None:
        write_text(options.out, dump_policy(with_shares(bundle.policy, found)))
    if options.json:
        print_json({"rows": len(tickets), "targets": {target: vars(shares) for target, shares in found.items()}})
        return 0
    for target, shares in found.items():
        say(f"\n{target}, learned from {len(tickets)} recent tickets\n")
        ranked = sorted(shares.traffic.items(), key=lambda pair: -pair[1])
        rows = [[label, shares.history[label], share] for label, share in ranked]
        say(table(["label", "in training", "in traffic"], rows))
    if options.out is not None:
        say(f"\n{options.out} states these shares: triage train DATA --policy {options.out} corrects for them")
    return 0


def _check(options: Any) -> int:
    from triage.defaults import default_policy
    from triage.policy import read_policy

    found = read_policy(options.policy) if options.policy else default_policy()
    gaps = _gaps(found)
    summary = {
        "version": found.version,
        "ordinal": found.ordinal,
        "tiers": list(found.labels("tier")),
        "folding": dict(found.folding),
        "categories": list(found.labels("category")),
        "groups": len(found.groups),
        "illegal": [list(pair) for pair in sorted(found.illegal)],
        "remarks": gaps,
        "ok": True,
    }
    if options.json:
        print_json(summary)
        return 0
    say(f"policy {found.version} is fine")
    say(f"  tiers       {' < '.join(found.labels('tier')) if found.ordinal else ', '.join(found.labels('tier'))}")
    if found.folding:
        say(f"  folded      {', '.join(f'{a} into {b}' for a, b in found.folding.items())}")
    say(f"  categories  {', '.join(found.labels('category'))}")
    say(f"  groups      {', '.join(dict.fromkeys(group.name for group in found.groups)) or 'none'}")
    for gap in gaps:
        say(f"  remark      {gap}")
    return 0


def _gaps(policy: Any) -> list[str]:
    """Say what a policy leaves open, though nothing in it is wrong."""
    remarks = [
        f"{target} {entry.label!r} has no description: where there is no history, it cannot be recognised"
        for target in policy.targets
        for entry in policy.entries(target)
        if not entry.description
    ]
    pairs = [(tier, category) for tier in policy.labels("tier") for category in policy.labels("category")]
    homeless = [pair for pair in pairs if policy.is_legal(*pair) and policy.resolver_group(*pair) is None]
    if homeless and policy.groups:
        shown = ", ".join(f"{tier}/{category}" for tier, category in homeless[:5])
        remarks.append(
            f"{len(homeless)} legal routes have no resolver group: {shown}{' …' if len(homeless) > 5 else ''}"
        )
    return remarks
