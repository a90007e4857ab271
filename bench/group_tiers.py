"""Tiers of groups proposed from journeys that are simulated: `python bench/group_tiers.py [--seeds 20]`.

The shipped tickets of seven organisations drawn at random go through a desk: most begin at the service desk, are
handed up one tier at a time or straight to who resolves them, go wrong at times and come back; each stay takes a time
drawn from a wide distribution of its tier and group. What `triage policy learn` then makes of the groups is compared
with their tiers in the default policy, with real names and with names that say nothing, and for each kind of evidence
alone. With `--itsm FILE` it is measured on that file too: a column `category` of groups, and a column `tier` that
only says whether the first line resolved it.
"""

from __future__ import annotations

import argparse
import csv
import json
import random
import statistics
import sys
from pathlib import Path

from training.group_tiers.evidence import KINDS, LADDER, Judged, judge
from training.group_tiers.history import Closed, Stay
from training.group_tiers.proposal import is_clear
from triage.defaults import default_policy, default_rules
from triage.policy import Policy
from triage.ticket import Ticket

SHIPPED = Path(__file__).parents[1] / "datasets" / "tickets.jsonl"
MINUTES = {"L0": 8.0, "L1": 40.0, "L2": 300.0, "L3": 1500.0, "L4": 3000.0}
LONGEST = 12


def journey(row: dict[str, str], policy: Policy, groups: list[str], draw: random.Random) -> list[str]:
    """Return the groups that have a ticket until the one that resolves it has it for the last time."""
    resolver, tier = row["resolver_group"], row["tier"]
    at = "self-service" if tier == "L0" and draw.random() < 0.9 else "service-desk"
    if draw.random() < 0.15:  # somebody sends it somewhere at once, right in three of five cases
        at = resolver if draw.random() < 0.6 else draw.choice(groups)
    path = [at]
    while at != resolver and len(path) < LONGEST:
        here = policy.tier_of_group(at) or "L1"
        chance, above = draw.random(), LADDER[min(LADDER.index(here) + 1, len(LADDER) - 1)]
        if chance < 0.12:
            at = draw.choice(groups)
        elif chance < 0.4 or here >= tier:
            at = resolver
        else:
            at = policy.resolver_group(above, row["category"]) or resolver
        path += [at] if at != path[-1] else []
    if draw.random() < 0.1:  # it is not over yet, and comes back
        path += [draw.choice(groups), resolver]
    return [one for place, one in enumerate(path) if place == 0 or one != path[place - 1]]


def simulate(rows: list[dict[str, str]], policy: Policy, names: dict[str, str], seed: int) -> list[Closed]:
    draw = random.Random(seed)
    groups = sorted(names)
    pace = {group: draw.lognormvariate(0.0, 0.6) for group in groups}
    tiers = {tier: minutes * draw.lognormvariate(0.0, 0.3) for tier, minutes in MINUTES.items()}
    closed = []
    for row in rows:
        stays = [
            Stay(names[group], tiers[policy.tier_of_group(group) or "L1"] * pace[group] * draw.lognormvariate(0, 1))
            for group in journey(row, policy, groups, draw)
        ]
        if stays[-1].group != names[row["resolver_group"]]:
            stays.append(Stay(names[row["resolver_group"]], 10.0))
        closed.append(Closed(Ticket(subject=row["subject"], body=row["body"]), tuple(stays), row["category"]))
    return closed


def right(judged: list[Judged], tier_of: dict[str, str]) -> tuple[float, float, float, float]:
    """Return shares that are right: of groups, of tickets, of groups that are clear; and the share that is clear."""
    known = [one for one in judged if one.group in tier_of and one.tickets]
    good = [one.tier == tier_of[one.group] for one in known]
    clear = [one.tier == tier_of[one.group] for one in known if is_clear(one)]
    tickets = sum(one.tickets for one in known)
    return (
        sum(good) / len(good),
        sum(one.tickets for one, fine in zip(known, good, strict=True) if fine) / tickets,
        sum(clear) / max(1, len(clear)),
        len(clear) / len(known),
    )


def one_seed(seed: int, rows: list[dict[str, str]], policy: Policy) -> dict[str, tuple[float, float, float, float]]:
    draw = random.Random(seed)
    organisations = draw.sample(sorted({row["organisation"] for row in rows}), 7)
    chosen = [row for row in rows if row["organisation"] in organisations]
    groups = sorted({row["resolver_group"] for row in chosen} | {"service-desk", "self-service"})
    tier_of = {group: policy.tier_of_group(group) or "" for group in groups}
    found = {}
    rules = default_rules()
    for title, names in (
        ("real names", {group: group for group in groups}),
        ("no names", {group: f"Team {number:02}" for number, group in enumerate(groups)}),
    ):
        closed = simulate(chosen, policy, names, seed)
        named = {names[group]: tier for group, tier in tier_of.items()}
        found[title] = right(judge(closed, rules), named)
        if title == "no names":
            for kind in KINDS[1:]:
                found[f"no names, {kind} alone"] = right(judge(closed, rules, [kind]), named)
                others = [other for other in KINDS if other != kind]
                found[f"no names, without {kind}"] = right(judge(closed, rules, others), named)
        else:
            found["real names alone"] = right(judge(closed, rules, ["name"]), named)
            blind = [Closed(one.ticket, one.stays[-1:], one.category) for one in closed]
            found["real names, no journeys"] = right(judge(blind, rules), named)
    return found


def interval(values: list[float]) -> str:
    spread = 1.96 * statistics.stdev(values) / len(values) ** 0.5 if len(values) > 1 else 0.0
    return f"{statistics.mean(values):.3f} ± {spread:.3f}"


def of_itsm(path: Path) -> None:
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    closed = [Closed(Ticket(subject=row["subject"], body=row["body"]), (Stay(row["category"]),)) for row in rows]
    first = {row["category"] for row in rows if row["tier"] == "first-line"}
    judged = judge(closed, default_rules())
    good = [one for one in judged if (one.tier in ("L0", "L1")) == (one.group in first)]
    tickets = sum(one.tickets for one in good)
    print(f"{path.name}: {len(good)} of {len(judged)} groups rightly first line or not, {tickets} of {len(rows)} rows")
    at = {tier: [one.group for one in judged if one.tier == tier] for tier in LADDER}
    print("  proposed: " + ", ".join(f"{tier} {len(groups)}" for tier, groups in at.items() if groups))
    print(f"  clear: {sum(map(is_clear, judged))} groups")


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--first-seed", type=int, default=100, help="the constants were looked at on seeds below 100")
    parser.add_argument("--itsm", type=Path, help="CSV with columns subject, body, category and tier")
    chosen = parser.parse_args()
    if chosen.itsm is not None:
        of_itsm(chosen.itsm)
    rows = [json.loads(line) for line in SHIPPED.read_text("utf-8").splitlines()]
    policy = default_policy()
    seeds = range(chosen.first_seed, chosen.first_seed + chosen.seeds)
    found = [one_seed(seed, rows, policy) for seed in seeds]
    print(f"{len(found)} desks of 7 organisations: shares right of groups, of tickets, of clear groups; share clear")
    for title in found[0]:
        columns = [interval([one[title][place] for one in found]) for place in range(4)]
        print(f"  {title:<36} " + "   ".join(columns))
    return 0


if __name__ == "__main__":
    sys.exit(main())
