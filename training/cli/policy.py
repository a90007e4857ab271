"""Check a policy file, or learn from tickets which group is which tier, which shares to expect, and what answers say.

Examples:
    triage policy check my-policy.toml
    triage policy learn closed.csv --out my-policy.toml
    triage policy shares my-bundle recent.csv --out my-policy.toml
    triage policy questions history.csv --out my-policy.toml
    triage policy fit my-bundle closed.csv --out level-fit.html
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from models.atomic_write import check_writable, write_text
from models.bundle.bundle import load_bundle
from models.terminal import Family, JsonOption, argument, option, print_json, print_result, print_table, progress
from models.toml_files import dump_policy
from models.triager import Triager
from training.cli.evaluate import training_tickets, warn_of
from training.cli.options import (
    BundleOption,
    DataOptions,
    bundle_path,
    check_mapping,
    keep_mapping,
    log_left_out,
    read_data_of_people,
)
from training.data.labels import in_words_of, listed_labels
from training.evaluation.traffic_shares import read_tickets, shares_in, shares_left_out, with_shares
from training.group_tiers.evidence import judge
from training.group_tiers.history import Places, read_history
from training.group_tiers.proposal import document_of, is_clear, policy_text, propose
from training.question_weights import with_settling, with_weights
from training.reports.level_fit import level_fit_page
from training.reports.page_file import check_page
from triage.defaults import default_policy, default_rules
from triage.errors import InvalidRequest
from triage.escalation.level_fit import LevelFit, Routed, level_fit
from triage.escalation.questions import gain
from triage.escalation.thread import returns
from triage.policy import Policy, read_policy
from triage.policy.faults import uncleared, ungrouped, words_for_ids

policy = Family("policy", __doc__)
_SHOWN_GROUPS = 30


@dataclass(frozen=True, kw_only=True)
class SharesOptions(BundleOption, DataOptions, JsonOption):
    """The options of `triage policy shares`."""

    out: Path | None = option("write the bundle's policy with these shares in it, to a new file", None, "FILE")


@policy.verb("shares")
def shares(options: SharesOptions) -> None:
    """Learn from recent tickets, labelled or not, how often each label comes in traffic now.

    Examples:
        triage policy shares my-bundle recent.csv
        triage policy shares my-bundle recent.csv --out my-policy.toml
    """
    if options.out is not None:
        if options.out.exists():
            raise InvalidRequest(f"--out {str(options.out)!r} is there already; name a new file")
        check_writable(options.out)
    check_mapping(options)
    bundle = load_bundle(bundle_path(options.bundle))
    tickets = read_tickets(options.data, options.roles, options=options.reading, skip_bad_rows=options.skip_bad_rows)
    keep_mapping(options, options.data, need_dates=False)
    found = shares_in(bundle, tickets)
    if options.out is not None:
        write_text(options.out, dump_policy(with_shares(bundle.policy, found)))
    if options.json:
        print_json({"rows": len(tickets), "targets": {target: vars(one) for target, one in found.items()}})
        return
    for target, one in found.items():
        print(f"\n{target}, learned from {len(tickets)} recent tickets\n")
        ranked = sorted(one.traffic.items(), key=lambda pair: -pair[1])
        print_table(
            ["label", "in training", "in traffic"], [[label, one.history[label], share] for label, share in ranked]
        )
    if options.out is not None:
        print(f"\n{options.out} states these shares: triage train DATA --policy {options.out} corrects for them")


@dataclass(frozen=True, kw_only=True)
class JourneyOptions(DataOptions, JsonOption):
    """The options of verbs that read which groups had a ticket."""

    journey: str | None = option(
        "column with the groups that had a ticket, in order: 'Desk > Network > Vendor' (default: found by its name)",
        None,
        "COLUMN",
    )
    moves: Path | None = option(
        "file with a row for each time that a group got a ticket: ticket, group, at", None, "FILE"
    )


@dataclass(frozen=True, kw_only=True)
class LearnOptions(JourneyOptions):
    """The options of `triage policy learn`."""

    closed: str | None = option("column with the time of closing (default: found by its name)", None, "COLUMN")
    out: Path = option("write the proposed policy to a new file", Path("policy.toml"), "FILE")


@policy.verb("learn")
def learn(options: LearnOptions) -> None:
    """Propose which resolver group is which tier, for a desk whose tickets have groups but no tiers.

    The evidence is in names, reassignments, handling times, mix of categories and wording; it stands in the file above
    each group, to be reviewed. Afterwards `triage train EXPORT --policy FILE` learns tiers from groups. (It is not what
    `triage train --policy learn` does, which takes the tiers of a tier column as they are.)

    Examples:
        triage policy learn closed.csv --map resolver_group="Assignment group" --out my-policy.toml
        triage policy learn closed.csv --moves reassignments.csv --closed "Resolved" --out my-policy.toml
    """
    if options.out.exists():
        raise InvalidRequest(f"--out {str(options.out)!r} is there already; name a new file")
    check_writable(options.out)
    check_mapping(options)
    with progress(None, "reading") as bar:
        history = read_history(
            options.data,
            options.roles,
            Places(options.journey, options.closed, options.moves),
            options=options.reading,
            skip_bad_rows=options.skip_bad_rows,
            progress=bar.update,
        )
    log_left_out(history.dataset)
    keep_mapping(options, options.data)
    judged = judge(history.closed, default_rules())
    proposed = propose(judged, history, default_policy())
    write_text(options.out, policy_text(proposed, judged, history))
    groups = [one for one in judged if one.tickets]
    document = {"out": str(options.out), **document_of(proposed, judged, history)}
    if options.json:
        print_json(document)
        return
    said = "; ".join(history.read) or "names, categories and texts alone: no journeys, no times"
    print(f"{len(history.closed)} closed tickets of {len(groups)} groups; read {said}\n")
    print_table(
        ["group", "tier", "clear", "tickets", "first of the evidence"],
        [
            [
                one.group,
                one.tier,
                "yes" if is_clear(one) else "check",
                one.tickets,
                next((e.text for e in one.evidence), ""),
            ]
            for one in groups[:_SHOWN_GROUPS]
        ],
    )
    if len(groups) > _SHOWN_GROUPS:
        print(f"… and {len(groups) - _SHOWN_GROUPS} more")
    print(f"\n{options.out} has the evidence for each; review it, then: triage train EXPORT --policy {options.out}")


@dataclass(frozen=True, kw_only=True)
class QuestionsOptions(DataOptions, JsonOption):
    """The options of `triage policy questions`."""

    policy: Path | None = option("policy with the questions (default: the default policy)", None, "FILE")
    bundle: str | None = option("learn with it how often each question lets it decide", None, "BUNDLE")
    out: Path = option("write the policy with the learned probabilities, to a new file", Path("policy.toml"), "FILE")


@policy.verb("questions")
def questions(options: QuestionsOptions) -> None:
    """Learn from tickets with a tier what each answer to a question says of each tier.

    Examples:
        triage policy questions history.csv --out my-policy.toml
        triage policy questions history.csv --policy my-policy.toml --bundle my-bundle --out new-policy.toml
    """
    if options.out.exists():
        raise InvalidRequest(f"--out {str(options.out)!r} is there already; name a new file")
    check_writable(options.out)
    known = read_policy(options.policy) if options.policy else default_policy()
    history = read_data_of_people(options, known)
    rows = [row for row in history.rows if row.labels.get("tier")]
    if not rows:
        raise InvalidRequest("no row has a tier: map the column with --map tier=COLUMN")
    tiers = known.resolve("tier", [row.labels["tier"] for row in rows])
    learned = with_weights(known, [row.ticket for row in rows], tiers)
    if options.bundle is not None:
        triager = Triager.load(bundle_path(options.bundle))
        learned = with_settling(learned, triager, [row.ticket for row in rows])
    write_text(options.out, dump_policy(learned))
    even = dict.fromkeys(learned.labels("tier"), 1.0)
    gains = {question.id: gain(question, even) for question in learned.catalogue}
    document = {"rows": len(rows), "out": str(options.out), "gain": gains}
    ranked = sorted(gains.items(), key=lambda one: -one[1])
    lines = [f"  {name:<12} {value:.3f} nats where every tier is as likely" for name, value in ranked]
    print_result(
        document, "\n".join([f"{options.out}: learned from {len(rows)} tickets", *lines]), as_json=options.json
    )


@dataclass(frozen=True, kw_only=True)
class FitOptions(BundleOption, JourneyOptions):
    """The options of `triage policy fit`."""

    out: Path | None = option("write the report as an HTML page", None, "FILE.html")


@policy.verb("fit")
def fit(options: FitOptions) -> None:
    """Say how well levels fit: of tickets with the tier that resolved them, where the bundle would have sent each.

    Examples:
        triage policy fit my-bundle closed.csv --out level-fit.html
        triage policy fit my-bundle closed.csv --json
    """
    if options.out is not None:
        check_page(options.out)
    path = bundle_path(options.bundle)
    bundle = load_bundle(path)
    triager = Triager(bundle)
    known = triager.policy
    history = read_data_of_people(options, known)
    rows = [row for row in in_words_of(known, history) if row.labels.get("tier")]
    if not rows:
        raise InvalidRequest("no row has a tier: map the column of the tier that resolved it with --map tier=COLUMN")
    learned_from = training_tickets(path, bundle, history)
    warning = warn_of(learned_from, history)
    bounces = _bounces(options, known, [row.resolver_group for row in rows])
    decisions = triager.decide([row.ticket for row in rows])
    done = [
        Routed(
            sent=decision.tier,
            resolved=known.fold("tier", row.labels["tier"]),
            category=row.labels.get("category"),
            resolver_group=row.resolver_group,
            opened_at=row.ticket.opened_at,
            bounces=bounces.get(row.place),
        )
        for row, decision in zip(rows, decisions, strict=True)
        if decision.tier is not None
    ]
    if not done:
        raise InvalidRequest("the bundle names no tier for any of these tickets: train one with tiers")
    found = level_fit(known, done)
    if options.out is not None:
        source = f"{len(done)} tickets, sent by {triager.model_version or 'the rules'}"
        write_text(options.out, level_fit_page(found, source, warning))
    every = found.all
    lines = [
        f"{every.tickets} tickets: {every.right:.3f} right at once, {every.first_line:.3f} resolved by the first line",
        f"  sent too low   {every.too_low:.3f}, cost {every.cost_low:.3f} a ticket",
        f"  sent too high  {every.too_high:.3f}, cost {every.cost_high:.3f} a ticket",
        *(
            [f"  bounces        {every.bounces:.3f}, cost {every.cost_bounces:.3f} a ticket"]
            if every.bounces is not None
            else []
        ),
        *_first_line(found, known),
        *(f"  {tier:<12} resolves {share:.3f}" for tier, share in found.resolved.items()),
        *([f"  page           {options.out}"] if options.out else []),
    ]
    print_result({**asdict(found), "learned_from": learned_from}, "\n".join(lines), as_json=options.json)


def _bounces(options: FitOptions, known: Policy, groups: Sequence[str | None]) -> dict[str, int]:
    """Return by the place of its row how often a ticket came back; empty where nothing tells of journeys.

    Raises:
        InvalidRequest: If journeys are asked for, and no row names a resolver group.
    """
    if not any(groups):
        if options.journey or options.moves:
            raise InvalidRequest("--journey and --moves need a resolver group: map it with --map resolver_group=COLUMN")
        return {}
    history = read_history(
        options.data,
        options.roles,
        Places(options.journey, None, options.moves),
        options=replace(options.reading, known=listed_labels(known)),
        skip_bad_rows=options.skip_bad_rows,
    )
    return {one.place: returns(one.path) for one in history.closed if one.told}


def _first_line(found: LevelFit, policy: Policy) -> list[str]:
    """Say whether the first line gets what the policy expects; where it does not, how to correct for it."""
    first = policy.first_line
    if not found.expected:
        return ["  first line     the policy expects no share: state expected_share, or triage policy shares learns it"]
    expected, sent = (sum(shares.get(tier, 0.0) for tier in first) for shares in (found.expected, found.sent))
    return [f"  first line     expected {expected:.3f}, sent {sent:.3f}, resolved {found.all.first_line:.3f}"]


@dataclass(frozen=True, kw_only=True)
class CheckOptions(JsonOption):
    """The options of `triage policy check`."""

    policy: Path | None = argument("policy file (default: the default policy)", "POLICY", None)


@policy.verb("check")
def check(options: CheckOptions) -> None:
    """Read a policy file, say what contradicts itself, or show what it holds.

    Examples:
        triage policy check
        triage policy check my-policy.toml --json
    """
    found = read_policy(options.policy) if options.policy else default_policy()
    remarks, tiers, categories = _remarks(found), list(found.labels("tier")), list(found.labels("category"))
    document = {
        "version": found.version,
        "ordinal": found.ordinal,
        "tiers": tiers,
        "folding": dict(found.folding),
        "categories": categories,
        "groups": len(found.groups),
        "illegal": [list(pair) for pair in sorted(found.illegal)],
        "min_recall": {target: guards for target in found.targets if (guards := found.guards(target))},
        "remarks": remarks,
        "ok": True,
    }
    folded = ", ".join(f"{one} into {other}" for one, other in found.folding.items())
    lines = [
        f"policy {found.version} is fine",
        f"  tiers       {(' < ' if found.ordinal else ', ').join(tiers)}",
        *([f"  folded      {folded}"] if folded else []),
        f"  categories  {', '.join(categories)}",
        f"  groups      {', '.join(dict.fromkeys(group.name for group in found.groups)) or 'none'}",
        *(
            f"  guarded     {label} of {target}: at least {least:.0%} of its tickets are decided right or asked about"
            for target in found.targets
            for label, least in found.guards(target).items()
        ),
        *(f"  remark      {remark}" for remark in remarks),
    ]
    print_result(document, "\n".join(lines), as_json=options.json)


def _remarks(policy: Policy) -> list[str]:
    """Return what a policy leaves open, though nothing in it is wrong."""
    remarks = [
        f"{target} {entry.label!r} has no description: where there is no history, it cannot be recognised"
        for target in policy.targets
        for entry in policy.entries(target)
        if not entry.description
    ]
    remarks += shares_left_out(policy)
    remarks += [*ungrouped(policy), *uncleared(policy), *words_for_ids(policy)]
    remarks += [
        f"{target} {entry.label!r} has a min_recall and is folded into another label: nothing guards it"
        for target in policy.targets
        for entry in policy.entries(target)
        if entry.min_recall is not None and entry.label not in policy.labels(target)
    ]
    pairs = [(tier, category) for tier in policy.labels("tier") for category in policy.labels("category")]
    homeless = [pair for pair in pairs if policy.is_legal(*pair) and policy.resolver_group(*pair) is None]
    if homeless and policy.groups:
        shown = ", ".join(f"{tier}/{category}" for tier, category in homeless[:5])
        remarks.append(
            f"{len(homeless)} legal routes have no resolver group: {shown}{' …' if len(homeless) > 5 else ''}"
        )
    return remarks
