"""`triage simulate`: a history replayed through a desk with staff, hours and handling times, arm by arm."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path

from models.atomic_write import write_text
from models.bundle.bundle import Bundle, load_bundle
from models.terminal import JsonOption, log, log_step, number, option, print_json, print_table, progress, seed, verb
from training.cli.evaluate import warn_of_training_tickets
from training.cli.options import DataOptions, bundle_path, read_data_of_people
from training.data.dataset import Dataset, LabelledTicket
from training.data.labels import in_words_of
from training.reports.page_file import check_page
from training.reports.simulation import cell, simulation_page
from training.simulation.arms import arms_of
from training.simulation.compare import FIGURES, LEAST_REPLICATIONS, Arm, Past, Simulated, compare, overlaid
from training.simulation.desk import handling_min
from triage.defaults import default_policy
from triage.errors import InvalidRequest
from triage.policy import Policy, read_policy

_PRINTED = ("work_h_per_100", "saved_h_per_100", "misrouted", "moves", "first_wait_min", "resolved_h", "unresolved")

_LEAST, _ENOUGH = 2, 100
"""Tickets below which nothing can be replayed, and below which a few of them make every replication alike."""


def _replications(text: str) -> int:
    return number(text, int, lambda value: LEAST_REPLICATIONS <= value <= 10_000, f"{LEAST_REPLICATIONS} to 10000")


def _weeks(text: str) -> int:
    return number(text, int, lambda value: 1 <= value <= 1000, "a whole number from 1 to 1000")


@dataclass(frozen=True, kw_only=True)
class SimulateOptions(DataOptions, JsonOption):
    """The options of `triage simulate`."""

    policy: list[Path] = option("policy to simulate; may be repeated (default: the default policy)", [], "FILE")
    bundle: str | None = option("add an arm in which this bundle decides, by its own gate", None, "BUNDLE")
    threshold: list[str] = option(
        "add an arm in which the bundle is followed from this probability on; may be repeated", [], "P"
    )
    replications: int = option("how often each arm is run", LEAST_REPLICATIONS, "N", read=_replications)
    overlay: int = option(
        "lay so many weeks over each other: a desk with as many times the tickets", 1, "N", read=_weeks
    )
    seed: int = option("seed of everything that is drawn", 0, "N", read=seed)
    out: Path | None = option("write the report as an HTML page", None, "FILE.html")


@verb
def simulate(options: SimulateOptions) -> None:
    """Replay a history through a simulated desk, and compare policies, rules, models and thresholds.

    Tickets come when they came; tiers have the staff, hours and handling times of the policy (`staff`, `hours`,
    `handling_min`, `[escalation] reassign_min`). Arms: no machine (everything begins at the first line), written rules
    only, the bundle, the bundle from a threshold on; each for each policy. DATA needs dates, and the tier that
    resolved each ticket.

    Examples:
        triage simulate closed.csv --bundle my-bundle --out simulation.html
        triage simulate closed.csv --policy now.toml --policy planned.toml --bundle my-bundle --threshold 0.9
        triage simulate closed.csv --overlay 8 --replications 100 --json
    """
    if options.out is not None:
        check_page(options.out)
    thresholds = _thresholds(options)
    policies = [read_policy(path) for path in options.policy] or [default_policy()]
    bundle = load_bundle(bundle_path(options.bundle)) if options.bundle is not None else None
    history = read_data_of_people(options, *policies)
    if bundle is not None and options.bundle is not None:
        warn_of_training_tickets(bundle_path(options.bundle), bundle, history)
    rows = _usable(history, policies)
    dated = [Past(row.ticket.opened_at, row.labels["tier"]) for row in rows if row.ticket.opened_at is not None]
    past, places = overlaid(dated, options.overlay)
    arms = _arms(options, policies, [rows[place] for place in places], bundle=bundle, thresholds=thresholds)
    with progress(options.replications * len(arms), "simulating", unit=" runs") as bar:
        found = compare(past, arms, options.replications, options.seed, progress=bar.update)
    source = f"{found.tickets} tickets over {found.days:.0f} days, {found.replications} replications"
    if options.out is not None:
        write_text(options.out, simulation_page(found, source, _assumed(policies)))
    if options.json:
        print_json({**asdict(found), "confidence": 0.95, "assumed": _assumed(policies), "overruns": found.overruns})
        return
    _print(found, source, options.out)


def _thresholds(options: SimulateOptions) -> list[float]:
    if options.threshold and options.bundle is None:
        raise InvalidRequest("--threshold needs a --bundle whose probabilities it is compared with")
    given = [number(text, float, lambda value: 0 < value <= 1, "a number in (0, 1]") for text in options.threshold]
    return list({f"{one:g}": one for one in given}.values())  # as an arm is named: 0.9 and 0.90 are one


def _usable(history: Dataset, policies: list[Policy]) -> list[LabelledTicket]:
    """Return the rows with a date and a tier that every policy knows.

    Raises:
        InvalidRequest: If too few are left to simulate anything, or a tier is unknown.
    """
    rows = in_words_of(policies[0], history)
    usable = [row for row in rows if row.ticket.opened_at is not None and row.labels.get("tier")]
    if len(usable) < len(rows):
        log(f"left out: {len(rows) - len(usable)} tickets without a date or a tier")
    if len(usable) < _LEAST:
        advice = (
            "map them with --map opened_at=COLUMN --map tier=COLUMN, or let triage policy learn say which group is "
            "which tier"
            if len(usable) < len(rows) or not rows
            else "give a longer history"
        )
        raise InvalidRequest(f"{len(usable)} tickets have a date and a tier, {_LEAST} are needed at least: {advice}")
    if len(usable) < _ENOUGH:
        log(
            f"only {len(usable)} tickets: every replication is drawn from them, so the intervals promise more than "
            f"they carry; give {_ENOUGH} or more"
        )
    for policy in policies:
        policy.resolve("tier", Counter(row.labels["tier"] for row in usable))
    return usable


def _arms(
    options: SimulateOptions,
    policies: list[Policy],
    rows: list[LabelledTicket],
    *,
    bundle: Bundle | None,
    thresholds: list[float],
) -> list[Arm]:
    log_step(f"deciding {len(rows)} tickets")
    tickets = [row.ticket for row in rows]
    names = [f"{path.stem}: " for path in options.policy] if len(policies) > 1 else [""]
    if len(set(names)) < len(names):
        names = [f"{place} {name}" for place, name in enumerate(names, 1)]
    return [
        arm
        for name, one in zip(names, policies, strict=True)
        for arm in arms_of(tickets, one, bundle, thresholds, name=name)
    ]


def _assumed(policies: list[Policy]) -> list[str]:
    said = [
        "Tickets of each replication are drawn anew from the history, onto the moments at which tickets came; all arms "
        "have the same tickets, and each would take as long in all of them.",
        "Handling times are lognormal about the policy's medians; where a policy states no staff, a tier has as many "
        "people as keep it busy for 0.8 of its hours in that policy's first arm.",
        "What nobody decides begins at the first staffed tier and climbs one tier at a time.",
    ]
    return said + [
        f"Policy {one.version}: {', '.join(f'{tier} {handling_min(one, tier):g} min' for tier in one.labels('tier'))}; "
        f"{one.escalation.reassign_min:g} minutes a reassignment"
        for one in policies
    ]


def _print(found: Simulated, source: str, out: Path | None) -> None:
    print(f"{source}; means with 95 % intervals\n")
    print_table(
        ["", *found.arms],
        [[FIGURES[name], *(cell(figures.get(name)) for figures in found.arms.values())] for name in _PRINTED],
    )
    for overrun in found.overruns:
        print(f"\n{overrun}")
    if out is not None:
        print(f"\npage  {out}")
