"""Rules replayed on labelled tickets: how often each speaks, and how often it is right."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from training.data.dataset import LabelledTicket
from training.gate.rule_precision import DELTA, lower_bound
from triage.policy import Policy
from triage.rules import Rule, RuleBook

Progress = Callable[[int], object]


@dataclass
class Tally:
    """How one rule did for one target.

    Attributes:
        matched: Labelled tickets that the rule's conditions fit.
        spoke: Those of them on which no earlier rule of its kind did: what the rule decides in service.
        right: Those of `spoke` whose label it named.
    """

    matched: int = 0
    spoke: int = 0
    right: int = 0

    @property
    def precision(self) -> float | None:
        """Share right of those it spoke on, in [0, 1]; None where it never spoke."""
        return self.right / self.spoke if self.spoke else None


def replay(
    rules: RuleBook, policy: Policy, rows: Sequence[LabelledTicket], progress: Progress | None = None
) -> list[dict[str, Any]]:
    """Measure every rule on labelled tickets.

    Args:
        rules: The rule book; its catch-all speaks where no other fallback rule does.
        policy: Folds tiers.
        rows: With the policy's own labels.
        progress: Called with the number of tickets done.

    Returns:
        For each rule, in order: ``name``, ``kind`` and per target that it names ``label``, ``matched``, ``spoke``,
        ``coverage``, ``right``, ``precision``.
    """
    tallies = {(rule.name, target): Tally() for rule in rules.rules for target in rule.named}
    labelled: Counter[str] = Counter()
    for row in rows:
        matching = [rule for rule in rules.rules if rule.is_catch_all or rule.matches(row.ticket)]
        for target, label in row.labels.items():
            labelled[target] += 1
            _count(tallies, matching, target, policy, policy.fold(target, label))
        if progress is not None:
            progress(1)
    return [_line(rule, tallies, labelled) for rule in rules.rules]


def _count(
    tallies: dict[tuple[str, str], Tally], matching: Sequence[Rule], target: str, policy: Policy, true: str
) -> None:
    spoken = set()
    for rule in matching:
        named = rule.names(target)
        if named is None:
            continue
        tally = tallies[rule.name, target]
        tally.matched += 1
        if rule.kind not in spoken:
            spoken.add(rule.kind)
            tally.spoke += 1
            tally.right += policy.fold(target, named) == true


def _line(rule: Rule, tallies: dict[tuple[str, str], Tally], labelled: Mapping[str, int]) -> dict[str, Any]:
    targets = {}
    for target, label in rule.named.items():
        tally = tallies[rule.name, target]
        targets[target] = {
            "label": label,
            "matched": tally.matched,
            "spoke": tally.spoke,
            "coverage": tally.spoke / labelled[target] if labelled[target] else 0.0,
            "right": tally.right,
            "precision": tally.precision,
        }
    return {"name": rule.name, "kind": str(rule.kind), "targets": targets}


LEAST_ROWS = 5
"""Tickets that a rule must have spoken on for its precision to be worth stating."""


def precisions(lines: Sequence[dict[str, Any]], least: int = LEAST_ROWS) -> dict[str, dict[str, float]]:
    """Return per rule name and target the measured precision, as `RuleBook.measured` takes it.

    Args:
        lines: What `replay` returned.
        least: Tickets that a rule must have spoken on for its precision to count.
    """
    return {
        line["name"]: {t: m["precision"] for t, m in line["targets"].items() if m["spoke"] >= max(1, least)}
        for line in lines
    }


def lower_bounds(lines: Sequence[dict[str, Any]]) -> dict[str, dict[str, float]]:
    """Return per rule name and target the lower bound of its precision over all tickets that it spoke on.

    That is what a rule goes by where no model was fitted that it could be compared with on unseen tickets; elsewhere
    see `training.gate.rule_precision.fallback_floors`.
    """
    return {
        line["name"]: {
            target: lower_bound(m["right"], m["spoke"], DELTA)
            for target, m in line["targets"].items()
            if m["spoke"] >= LEAST_ROWS
        }
        for line in lines
    }
