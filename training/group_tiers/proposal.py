"""A policy proposed from the evidence on groups: which is which tier, with what speaks for it as comments."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace

from models.toml_files import dump_policy
from training.data.labels import learn_policy
from training.group_tiers.evidence import LADDER, Judged
from training.group_tiers.history import Closed, History
from triage.errors import InvalidDataset
from triage.policy import Category, Policy, ResolverGroup

CLEAR = 1.5
"""Points between the first tier and the second below which a person should look: odds of less than 4.5 to 1."""

_REVIEW = "please check"


def is_clear(judged: Judged) -> bool:
    """Say whether the evidence on a group leaves little doubt."""
    return judged.margin >= CLEAR


def propose(judged: Sequence[Judged], history: History, known: Policy) -> Policy:
    """Return a policy with the groups of a history at the tiers that the evidence says.

    Tiers, questions and criteria are those of the policy given, categories those of the data. A tier that no group is
    of is folded into the nearest below that has one, else above.

    Args:
        judged: The groups with their evidence.
        history: What they were judged by.
        known: The policy whose tiers are meant; has all of `LADDER`.

    Raises:
        InvalidDataset: If all groups come out at one tier, so that there is nothing to tell apart.
    """
    tier_of = {one.group: one.tier for one in judged if one.tickets}
    if len(set(tier_of.values())) < 2:
        raise InvalidDataset(
            f"all {len(tier_of)} groups look like one tier: nothing in names, journeys, times and texts tells them "
            "apart; give a file of reassignments with --moves, or write the tiers of groups into a policy yourself"
        )
    categories = _categories(history, known)
    tiers = {entry.label for entry in categories}
    names = [one.group for one in judged if one.tickets]
    return replace(
        known,
        version=f"proposed-{history.dataset.digest[:12]}",
        categories=categories,
        groups=tuple(_groups(names, tier_of, history.closed, tiers)),
        folding=_folding({*tier_of.values()}),
        illegal=frozenset(),
        never_automatic=frozenset(),
        aliases={},
        attention=tuple(replace(route, group=None) for route in known.attention),
        escalation=replace(
            known.escalation,
            skills=tuple(
                replace(one, categories=())
                for one in known.escalation.skills
                if _fold(one.tier, {*tier_of.values()}) != _lowest({*tier_of.values()})
            ),
        ),
    )


def _categories(history: History, known: Policy) -> tuple[Category, ...]:
    """Return the categories of the data, where they are not its groups, as the known policy describes them."""
    rows = [row for row in history.dataset.rows if "category" in row.labels]
    if all(row.labels["category"] == row.resolver_group for row in rows):
        return ()
    learned = learn_policy(history.dataset).categories
    described = {entry.label: entry for entry in known.categories}
    return tuple(replace(described.get(one.label, one), parent=None) for one in learned)


def _groups(
    names: Sequence[str], tier_of: Mapping[str, str], closed: Sequence[Closed], known: set[str]
) -> list[ResolverGroup]:
    """List groups so that the first that fits a route is the one that resolves it most often.

    A group that resolves some category most often at its tier names those; then the largest of each tier takes what
    is left, and the others come last: they are known, and named by people.
    """
    counts: dict[tuple[str, str], Counter[str]] = {}
    for one in closed:
        if one.category in known and one.resolver in tier_of:
            counts.setdefault((tier_of[one.resolver], str(one.category)), Counter())[one.resolver] += 1
    takes: dict[str, list[str]] = {}
    for (_, category), of in sorted(counts.items()):
        takes.setdefault(max(of, key=lambda group: (of[group], group)), []).append(category)
    largest = {tier: next((name for name in names if tier_of[name] == tier), None) for tier in LADDER}
    named = [name for name in names if name in takes and largest[tier_of[name]] != name]
    rest = [name for name in names if name not in named]
    return [
        *(ResolverGroup(name, tier_of[name], tuple(takes[name])) for name in named),
        *(ResolverGroup(name, tier_of[name]) for name in rest),
    ]


def _folding(there: set[str]) -> dict[str, str]:
    return {tier: _fold(tier, there) for tier in LADDER if tier not in there}


def _fold(tier: str, there: set[str]) -> str:
    if tier in there:
        return tier
    place = LADDER.index(tier)
    by_nearness = (*reversed(LADDER[:place]), *LADDER[place:])
    return next(one for one in by_nearness if one in there)


def _lowest(there: set[str]) -> str:
    return next(tier for tier in LADDER if tier in there)


def policy_text(policy: Policy, judged: Sequence[Judged], history: History) -> str:
    """Return the policy as TOML to be reviewed: above each group what speaks for its tier, and against it."""
    of = {one.group: one for one in judged}
    parts = dump_policy(policy).split("[[groups]]\n")
    doubtful = [group.name for group in policy.groups if not is_clear(of[group.name])]
    head = [
        f"# Proposed from {len(history.closed)} closed tickets of {len(policy.groups)} groups; read it before use.",
        *(f"# Read: {one}." for one in history.read),
        f"# {len(doubtful)} groups are marked '{_REVIEW}': the evidence there is thin or points both ways.",
        "# Points are natural logarithms of odds. Change a tier where you know better; their order matters:",
        "# a route goes to the first group that fits tier and category.",
        "# Then: triage train EXPORT --policy THIS-FILE",
        "",
    ]
    commented = [
        f"{_comment(of[group.name])}[[groups]]\n{part}"
        for group, part in zip(policy.groups, parts[1 : len(policy.groups) + 1], strict=True)
    ]
    return "\n".join(head) + parts[0] + "".join(commented)


def _comment(judged: Judged) -> str:
    ranked = sorted(judged.points, key=lambda tier: -judged.points[tier])
    doubt = "" if is_clear(judged) else f" ({_REVIEW}: {ranked[1]} is only {judged.margin:.1f} points behind)"
    lines = [f"{judged.tickets} tickets resolved; {judged.tier}{doubt}"]
    lines += [f"  {one.kind}: {one.text} ({_points(one.points, judged.tier, ranked[1])})" for one in judged.evidence]
    return "".join(f"# {' '.join(line.splitlines())}\n" for line in lines)


def _points(points: Mapping[str, float], tier: str, rival: str) -> str:
    said = {one: points.get(one, 0.0) for one in (tier, rival)}
    other = max(points, key=lambda one: points[one])
    said.setdefault(other, points[other])
    return ", ".join(f"{one} {value:+.1f}" for one, value in said.items())


def document_of(policy: Policy, judged: Sequence[Judged], history: History) -> dict[str, object]:
    """Return the proposal as a JSON document: each group with its tier, how clear it is, and the evidence."""
    return {
        "tickets": len(history.closed),
        "read": list(history.read),
        "folding": dict(policy.folding),
        "groups": [
            {
                "group": one.group,
                "tier": one.tier,
                "clear": is_clear(one),
                "margin": round(one.margin, 3),
                "tickets": one.tickets,
                "evidence": [
                    {"kind": said.kind, "text": said.text, "points": {t: round(p, 3) for t, p in said.points.items()}}
                    for said in one.evidence
                ],
            }
            for one in judged
            if one.tickets
        ],
    }
