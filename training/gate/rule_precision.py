"""How often a fallback rule is right where it contradicts a model that abstains: what it must beat the model with."""

from __future__ import annotations

from collections import Counter

from scipy.stats import beta

from training.gate.gate import CalibrationScores, labelled_with, routed
from triage.gate import Gate
from triage.policy import Policy
from triage.rules import RuleBook

DELTA = 0.05
"""Chance that a rule is worse than its bound."""

Floors = dict[str, dict[str, float]]
"""By rule name and target, the lower bound of a precision."""


def fallback_floors(rules: RuleBook, policy: Policy, scores: CalibrationScores, gate: Gate) -> Floors:
    """Return what `Rule.precision_at_least` says of each fallback rule.

    A rule changes the suggestion only where the model abstains and names another label. There its precision is much
    lower than over all its matches, for most of what it knows the model knows as well. So it is measured there alone,
    on tickets that the model had not seen.

    Args:
        rules: The rule book.
        policy: Folds and ranks labels.
        scores: What the model says of tickets that it had not seen.
        gate: Says where the model abstains.
    """
    found: Floors = {
        rule.name: {target: 0.0 for target in scores.probabilities if rule.names(target) is not None}
        for rule in rules.rules
    }
    for target in scores.probabilities:
        own = gate.targets[target]
        spoke, right = Counter[str](), Counter[str]()
        told = routed(scores, target, policy, gate, risk=own.certified_risk or 1.0)
        for place, row in enumerate(labelled_with(scores.rows, target)):
            label = str(told.label[place])
            threshold = own.threshold_of(label)
            if threshold is not None and told.eligible[place] and told.confidence[place] >= threshold:
                continue
            rule = None if rules.bypass(row.ticket, target) else rules.fallback(row.ticket, target)
            named = None if rule is None else policy.fold(target, str(rule.names(target)))
            if rule is None or named == label:
                continue
            spoke[rule.name] += 1
            right[rule.name] += named == policy.fold(target, row.labels[target])
        for name, count in spoke.items():
            found[name][target] = lower_bound(right[name], count, DELTA)
    return found


def lower_bound(right: int, spoke: int, delta: float) -> float:
    """Return the exact lower confidence bound of a precision (Clopper and Pearson 1934), in [0, 1].

    Example:
        >>> round(lower_bound(59, 59, 0.05), 4)
        0.9505
    """
    return 0.0 if right == 0 else round(float(beta.ppf(delta, right, spoke - right + 1)), 4)
