"""Labels as the policy has them: aliases resolved, tiers by resolver group, unknown ones refused; or learned."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence, Set
from dataclasses import replace
from pathlib import Path

from training.data.dataset import Dataset, LabelledTicket, targets_in
from training.data.labelling.hierarchy import known_level, roll_up
from training.data.labelling.settle import GROUP, LEAST_ROWS
from triage.errors import BadRow, InvalidDataset, InvalidRequest, UnknownLabel
from triage.policy import Category, Policy, ResolverGroup, Tier
from triage.rules import RuleBook, check_labels, read_rules

MIN_ROWS = LEAST_ROWS
"""Rows that a class needs to be learned, and classes of that size (two) that a target needs."""


FOLLOWS = 0.99
"""Share of tickets from which on a resolver group counts as what the policy's groups say: the rest is slips of hand."""


def resolve_labels(dataset: Dataset, policy: Policy, *, skip_bad_rows: bool = False) -> Dataset:
    """Turn the labels of a data set into the policy's own.

    Targets beside tier and category that the policy does not have are left aside, see `with_further_targets`. Aliases
    are resolved; a label that is a path becomes its deepest level that the policy has; a row without a tier
    takes that of its resolver group, unless the role `tier` was switched off. A row whose only labels were held back on
    reading, such as ``Unassigned``, is left out: that was told there.

    Raises:
        UnknownLabel: Naming all labels of a target that the policy lacks.
        InvalidDataset: If rows end up without any label, or labels of both targets are unknown.
    """
    levelled = _levelled(dataset.rows, policy)
    _refuse_unknown(replace(dataset, rows=levelled), policy)
    rows, bad = [], []
    for row in (_in_words_of(policy, row, "tier" not in dataset.switched_off) for row in levelled):
        if row.labels:
            rows.append(row)
        elif not row.held_back:
            file, _, line = row.place.rpartition(":")
            bad.append(BadRow(file, int(line), f"resolver group {row.resolver_group!r} has no tier in the policy"))
    if bad and not (skip_bad_rows and rows):
        raise InvalidDataset(
            f"{len(bad)} rows have no label: the first is {bad[0]}; add their groups to the policy", bad
        )
    if not rows:
        raise InvalidDataset(
            f"none of the {len(dataset.rows)} rows has a label: what stands there are placeholders, or several labels "
            "in one cell; map another column with --map category=COLUMN"
        )
    return replace(dataset, rows=rows, targets=targets_in(rows), bad_rows=(*dataset.bad_rows, *bad))


def listed_labels(*policies: Policy) -> dict[str, Set[str]]:
    """Return by target the labels that policies list, aliases among them: what `ReadOptions.known` takes."""
    found: dict[str, set[str]] = {}
    for policy in policies:
        for target, labels in policy.known_labels.items():
            found.setdefault(target, set()).update(labels, policy.aliases.get(target, {}))
    return {target: frozenset(labels) for target, labels in found.items()}


def _levelled(rows: Sequence[LabelledTicket], policy: Policy) -> list[LabelledTicket]:
    """Put the deepest level that the policy has in the place of labels that are paths; held back ones it has return."""
    targets = ("tier", "category", *policy.further)
    known = {target: {*policy.labels(target), *policy.aliases.get(target, {})} for target in targets}
    groups = {*policy.group_names, *policy.aliases.get("resolver_group", {})}
    deepest: dict[tuple[str, str], str] = {}
    levelled = []
    for row in rows:
        if row.held_back.get("resolver_group") in groups:
            row = replace(row, resolver_group=row.held_back["resolver_group"])
        back = {target: label for target, label in row.held_back.items() if label in known.get(target, ())}
        labels = {**row.labels, **back}
        if "resolver_group" in known and row.resolver_group is not None:
            labels["resolver_group"] = row.resolver_group
        for target, label in labels.items():
            if (target, label) not in deepest:
                deepest[target, label] = known_level(label, known.get(target, set()).__contains__) or label
            labels[target] = deepest[target, label]
        levelled.append(row if labels == row.labels else replace(row, labels=labels))
    return levelled


def _in_words_of(policy: Policy, row: LabelledTicket, by_group: bool) -> LabelledTicket:
    labels = {
        target: policy.canonical(target, label)
        for target, label in row.labels.items()
        if target in ("tier", "category") or policy.entries(target)
    }
    if by_group and "tier" not in labels and row.resolver_group is not None:
        tier = policy.tier_of_group(row.resolver_group)
        labels = {"tier": tier, **labels} if tier is not None else labels
    return row if labels == row.labels else replace(row, labels=labels)


def in_words_of(policy: Policy, dataset: Dataset) -> list[LabelledTicket]:
    """Return the rows with the policy's own labels, unknown ones left as they are: for measuring, not for learning."""
    levelled = (row for row in _levelled(dataset.rows, policy) if row.labels or not row.held_back)
    return [_in_words_of(policy, row, "tier" not in dataset.switched_off) for row in levelled]


def as_written(rows: Sequence[LabelledTicket]) -> list[LabelledTicket]:
    """Return rows with their labels as they were read, before any policy put its own in their place.

    A tier that only follows from the resolver group, or a label that was held back on reading, is none of these; rows
    of which nothing says how they were read keep the labels that they have.
    """
    return [
        replace(row, labels={target: label.strip() for target, label in row.written.items()})
        if row.written or row.resolver_group or row.held_back
        else row
        for row in rows
    ]


def _refuse_unknown(dataset: Dataset, policy: Policy) -> None:
    faults = []
    for target in dataset.targets:
        if target not in ("tier", "category"):
            continue  # what the policy does not list of these was learned, or is left aside
        try:
            policy.resolve(target, {row.labels[target] for row in dataset.rows if target in row.labels})
        except UnknownLabel as error:
            faults.append(error)
    if len(faults) == 1 and policy.entries(faults[0].target):
        raise faults[0]
    if faults:
        faulty = [str(f) if policy.entries(f.target) else f"the policy has no {f.target} at all" for f in faults]
        off = " ".join(f"--map {fault.target}=" for fault in faults)
        raise InvalidDataset(
            f"{'; '.join(faulty)}; leave the target out with {off}, or take the labels as they are by --policy learn"
        )


def learn_policy(dataset: Dataset, tier_order: Sequence[str] = ()) -> Policy:
    """Make a policy out of the data: its labels, every pair legal, and the commonest resolver group of each pair.

    Labels that are paths are taken at the deepest level that has enough tickets.

    Args:
        dataset: What was read.
        tier_order: All tiers of the data in order of escalation; empty makes them nominal.

    Raises:
        InvalidRequest: If the order lacks a tier of the data, or states one twice.
    """
    dataset = _with_groups(dataset)
    learned = {target: _learned(dataset, target) for target in ("tier", "category", *dataset.targets)}
    found = {target: sorted(set(labels.values())) for target, labels in learned.items()}
    missing = sorted(set(found["tier"]) - set(tier_order))
    if tier_order and (missing or len(set(tier_order)) < len(tier_order)):
        fault = f"lacks {', '.join(map(repr, missing))}" if missing else "names a tier twice"
        raise InvalidRequest(
            f"--tier-order {fault}: the data has {', '.join(found['tier'])}; list each once, lowest first"
        )
    return Policy(
        version=f"learned-{dataset.digest[:12]}",
        tiers=tuple(Tier(label) for label in tier_order or found["tier"]),
        categories=tuple(Category(label) for label in found["category"]),
        groups=tuple(_commonest_groups(dataset, learned)),
        ordinal=bool(tier_order),
    ).with_labels(_further(dataset))


def with_further_targets(policy: Policy, dataset: Dataset) -> Policy:
    """Return a policy with the labels that the data has of targets beside tier and category, and it does not list.

    A target that cannot be learned is not added: nothing could ever decide it, and no route would be automatic.
    """
    return policy.with_labels(_further(_with_groups(dataset)))


def _with_groups(dataset: Dataset) -> Dataset:
    """Return a data set whose rows have their resolver group as a label; a group that is the category is none."""
    grouped = [row for row in dataset.rows if row.resolver_group is not None]
    if all(row.resolver_group in {label.strip() for label in row.written.values()} for row in grouped):
        return dataset
    rows = [
        row if row.resolver_group is None else replace(row, labels={**row.labels, "resolver_group": row.resolver_group})
        for row in dataset.rows
    ]
    return replace(dataset, rows=rows, targets=targets_in(rows))


def follows_from_policy(policy: Policy, rows: Sequence[LabelledTicket]) -> bool:
    """Say whether the policy's groups of tier and category tell the resolver group of nearly every ticket already.

    Then there is nothing to learn of it that the other targets do not say, and a head of its own could only err.

    Args:
        policy: Names the group of a tier and category.
        rows: In the policy's own labels.
    """
    known = [row for row in rows if "resolver_group" in row.labels and {"tier", "category"} & row.labels.keys()]
    same = (policy.resolver_group(row.labels.get("tier"), row.labels.get("category")) for row in known)
    right = sum(group == row.labels["resolver_group"] for row, group in zip(known, same, strict=True))
    return bool(known) and right >= FOLLOWS * len(known)


def with_learned_group(dataset: Dataset, policy: Policy, *, asked: bool = False) -> Dataset:
    """Return a data set with the resolver group as a target where training learns it; else the data set as it is.

    A group of which no two labels have enough tickets is one nevertheless where nothing else could be learned.

    Args:
        dataset: What was read.
        policy: What it would be trained with.
        asked: Whether the group is learned though it follows from tier and category.
    """
    grouped, full = _with_groups(dataset), with_further_targets(policy, dataset)
    if GROUP not in full.further:
        return dataset if dataset.targets else grouped
    follows = not asked and follows_from_policy(full, in_words_of(full, dataset))
    return dataset if follows else grouped


def without_target(dataset: Dataset, target: str) -> Dataset:
    """Return a data set without the labels of a target; the tickets stay."""
    rows = [
        replace(row, labels={name: one for name, one in row.labels.items() if name != target}) for row in dataset.rows
    ]
    return replace(dataset, rows=rows, targets=targets_in(rows))


def _further(dataset: Dataset) -> dict[str, list[str]]:
    """Return the labels of the targets beside tier and category of which two have enough tickets to be learned."""
    found = {}
    for target in dataset.targets:
        if target not in ("tier", "category"):
            learned = _learned(dataset, target)
            counts = Counter(learned[row.labels[target]] for row in dataset.rows if target in row.labels and row.weight)
            if sum(count >= MIN_ROWS for count in counts.values()) > 1:
                found[target] = sorted(set(learned.values()))
    return found


def rolled_up(dataset: Dataset) -> Dataset:
    """Return a data set with labels that are paths at the level they are learned at without a policy of one's own."""
    learned = {target: _learned(dataset, target) for target in dataset.targets}
    rows = [
        replace(row, labels={target: learned.get(target, {}).get(label, label) for target, label in row.labels.items()})
        for row in dataset.rows
    ]
    return replace(dataset, rows=rows)


def _learned(dataset: Dataset, target: str) -> Mapping[str, str]:
    """Return what each label of the data is learned as."""
    counts = Counter(row.labels[target] for row in dataset.rows if target in row.labels)
    levelled = roll_up(counts, MIN_ROWS)
    return levelled.learned if levelled is not None else {label: label for label in counts}


def _commonest_groups(dataset: Dataset, learned: Mapping[str, Mapping[str, str]]) -> list[ResolverGroup]:
    counts: dict[tuple[str | None, str | None], Counter[str]] = {}
    learned_route = [target for target in dataset.targets if target in ("tier", "category")]
    if not learned_route:
        return []
    for row in dataset.rows:
        if row.resolver_group is not None and all(target in row.labels for target in learned_route):
            tier, category = (learned[target].get(row.labels.get(target, "")) for target in ("tier", "category"))
            pair = (tier, category)
            group = learned.get("resolver_group", {}).get(row.resolver_group, row.resolver_group)
            counts.setdefault(pair, Counter())[group] += 1
    taken: dict[tuple[str, str | None], list[str]] = {}
    for (tier, category), groups in sorted(counts.items(), key=str):
        name = min(groups, key=lambda group: (-groups[group], group))
        taken.setdefault((name, tier), []).extend([category] if category is not None else [])
    return [ResolverGroup(name, tier, tuple(categories)) for (name, tier), categories in taken.items()]


def rules_for(policy: Policy, file: Path | None, otherwise: RuleBook) -> RuleBook:
    """Return the rules of a file, or those given; every label that they name must be the policy's.

    Raises:
        TriageError: If the file is no rule file, or a rule names a label that the policy lacks.
    """
    rules = otherwise if file is None else read_rules(file)
    check_labels(rules, policy.known_labels, where=str(file or "rules in use"))
    return rules


def learnable(rows: Sequence[LabelledTicket], target: str, minimum: int = MIN_ROWS) -> tuple[list[str], dict[str, int]]:
    """Say which labels of a target can be learned, and which are too rare.

    Args:
        rows: The rows to learn from; those of weight 0 do not count.
        target: Such as ``tier``.
        minimum: Rows that a label needs.

    Returns:
        The labels with enough rows, sorted (empty where fewer than two have), and the others with their rows.
    """
    counts = Counter(row.labels[target] for row in rows if target in row.labels and row.weight > 0)
    enough = sorted(label for label, count in counts.items() if count >= minimum)
    rare = {label: count for label, count in sorted(counts.items()) if count < minimum}
    return (enough, rare) if len(enough) > 1 else ([], dict(counts))


def refuse_unlearnable(rows: Sequence[LabelledTicket], targets: Sequence[str]) -> Mapping[str, list[str]]:
    """Return the learnable labels of each target that has any.

    Raises:
        InvalidDataset: If no target can be learned, with the counts found.
    """
    found = {target: learnable(rows, target) for target in targets}
    usable = {target: labels for target, (labels, _) in found.items() if labels}
    if not usable:
        seen = "; ".join(
            f"{target} has {', '.join(f'{label!r} ({count} rows)' for label, count in list(rare.items())[:10])}"
            for target, (_, rare) in found.items()
        )
        raise InvalidDataset(
            f"nothing can be learned: a target needs two classes with {MIN_ROWS} rows each, but {seen}; add rows, "
            "or take what there is with triage start, which goes by the policy's descriptions and a few tickets"
        )
    return usable
