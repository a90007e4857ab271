"""Evaluation: labelled tickets replayed through the one door, with baselines beside it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.triager import Triager
from training.data.dataset import LabelledTicket
from training.data.labelling.hierarchy import levels_of, separator_of
from training.evaluation import metrics
from training.evaluation.label_shift_effect import label_shift_effect
from training.evaluation.predictions import Predictions, Progress, TargetPredictions, ask
from triage.decision import Source
from triage.errors import InvalidDataset
from triage.gate import TargetGate
from triage.policy import Policy
from triage.ticket import Ticket

Guesser = Callable[[Sequence[Ticket]], Sequence[str]]
"""A baseline of one target: tickets in, one label each out."""

Baselines = Mapping[str, Mapping[str, Guesser]]
"""Per target, baselines by name."""


def evaluate(
    triager: Triager,
    rows: Sequence[LabelledTicket],
    *,
    baselines: Baselines | None = None,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Measure a triager on labelled rows.

    Rows whose labels came from a machine alone (weight 0) are left out: they would measure agreement with it.

    Args:
        triager: What to measure; without a bundle only the rules are.
        rows: With the policy's own labels; see `training.data.labels.in_words_of`.
        baselines: Fitted baselines of each target; the rules alone are always measured beside them.
        progress: Called with the number of tickets decided.

    Returns:
        Plain numbers ready for JSON: ``rows``, ``targets``, ``route``, ``abstained``, ``sources``, ``reasons``. Each
        target says in ``promise`` for whom its certificate holds. Where labels are paths, ``by_level`` says how often
        they are right at each level, as written and as rolled up to what is learned; where rows have a group,
        ``by_group`` has the share decided and the error rate among those of each; where the policy guards labels,
        ``guards`` says what became of their tickets.

    Raises:
        InvalidDataset: If no row has a label of a target that the model has a head for.
    """
    usable = [row for row in rows if row.weight > 0]
    return measure(triager, ask(triager, usable, progress), baselines)


def measure(triager: Triager, answers: Predictions, baselines: Baselines | None = None) -> dict[str, Any]:
    """Measure answers that were collected already; see `evaluate`."""
    if not answers.targets:
        raise InvalidDataset(
            "nothing can be measured: no row has a label of a target that the bundle has a head for; check the mapping"
        )
    ruled = Triager(policy=triager.policy, rules=triager.rules)
    rules = ask(ruled, answers.rows, opinions=answers.opinions or None)
    targets = {
        target: _of_target(found, triager.policy, _guesses(found, answers, rules, (baselines or {}).get(target, {})))
        for target, found in answers.targets.items()
    }
    for target, found in answers.targets.items():
        if (effect := label_shift_effect(triager, found)) is not None:
            targets[target]["label_shift"] = effect
        targets[target]["promise"] = triager.gate.targets.get(target, TargetGate()).promise.value
        if by_level := _by_level(found, answers):
            targets[target]["by_level"] = by_level
        if by_group := _by_group(found, answers):
            targets[target]["by_group"] = by_group
    automatic, right = answers.automatic, answers.right
    return {
        "rows": len(answers.rows),
        "targets": targets,
        "route": {
            "coverage": _share(automatic),
            "risk": metrics.selective_risk(right, automatic),
            "accuracy": _share(right),
        },
        "abstained": _abstained(answers, rules, triager),
        "sources": dict(Counter(str(decision.source) for decision in answers.decisions)),
        "reasons": dict(Counter(str(decision.reason) for decision in answers.decisions)),
    }


def _of_target(found: TargetPredictions, policy: Policy, guesses: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    correct, confidence = found.correct, found.confidence
    unknown = Counter(label for label in found.true.tolist() if label not in found.labels)
    result: dict[str, Any] = {
        "rows": len(found.true),
        "accuracy": _share(correct),
        "macro_f1": metrics.macro_f1(found.true.tolist(), found.top.tolist()),
        "macro_f1_known": metrics.macro_f1(found.true.tolist(), found.top.tolist(), found.labels),
        "ece": metrics.ece(correct, confidence),
        "brier": metrics.brier(found.true.tolist(), found.labels, found.probabilities),
        "aurc": metrics.aurc(correct, confidence),
        "coverage": _share(found.kept),
        "selective_risk": metrics.selective_risk(correct, found.kept),
        "final_accuracy": _share(found.named_right),
        "thresholds": metrics.right_wrong_none(correct, confidence),
        "per_class": metrics.per_class(found.true.tolist(), found.top.tolist()),
        "unknown_labels": _unknown(unknown, found.labels),
        "baselines": {
            name: {
                "accuracy": metrics.accuracy(found.true.tolist(), list(guess)),
                "macro_f1": metrics.macro_f1(found.true.tolist(), list(guess)),
            }
            for name, guess in guesses.items()
        },
    }
    if found.set_sizes.any():
        result["sets"] = {"coverage": _share(found.likely), "mean_size": float(np.mean(found.set_sizes))}
    if guards := policy.guards(found.target):
        result["guards"] = [_guarded(found, label, least) for label, least in guards.items()]
    if found.target == "tier" and policy.ordinal:
        result["misses"] = metrics.misses(policy.labels("tier"), found.true.tolist(), found.top.tolist())
    return result


def _unknown(counts: Mapping[str, int], labels: Sequence[str]) -> list[dict[str, Any]]:
    """List labels that a bundle does not know, with the one of its own that differs from each in case alone, if any."""
    own = {label.casefold(): label for label in labels}
    return [
        {"label": label, "rows": rows, **({"known_as": own[label.casefold()]} if label.casefold() in own else {})}
        for label, rows in sorted(counts.items())
    ]


def _guarded(found: TargetPredictions, label: str, least: float) -> dict[str, Any]:
    """Count how the tickets of a label that must not be missed came out.

    Its ``recall`` is the share of them that was decided right or left to a person.
    """
    own = found.true == label
    missed = int(np.sum(own & found.kept & ~found.correct))
    right = int(np.sum(own & found.kept & found.correct))
    rows = int(np.sum(own))
    return {
        "label": label,
        "min_recall": least,
        "rows": rows,
        "decided_right": right,
        "missed": missed,
        "left_to_people": rows - right - missed,
        "recall": 1.0 - missed / rows if rows else None,
    }


def _by_level(found: TargetPredictions, answers: Predictions) -> list[dict[str, Any]]:
    """Measure labels that are paths at each level, as written and as learned; empty where they are none.

    A label that the policy's aliases turned into another one is taken as that.
    """
    true = found.true.tolist()
    written = [answers.rows[place].written.get(found.target, "").strip() for place in found.rows]
    separator = separator_of(Counter(one or other for one, other in zip(written, true, strict=True)))
    if separator is None:
        return []
    learned, named = ([levels_of(label, separator) for label in labels] for labels in (true, found.top.tolist()))
    paths = [levels_of(label, separator) for label in written]
    whole = [path if path[: len(short)] == short else short for path, short in zip(paths, learned, strict=True)]
    return metrics.by_level(whole, learned, named)


def _by_group(found: TargetPredictions, answers: Predictions) -> list[dict[str, Any]]:
    """Measure each group of the data alone, by name; empty where no row has one."""
    groups = np.array([answers.rows[place].group or "" for place in found.rows], dtype=np.str_)
    return [
        {
            "group": str(group),
            "rows": int(mine.sum()),
            "coverage": _share(found.kept[mine]),
            "selective_risk": metrics.selective_risk(found.correct[mine], found.kept[mine]),
        }
        for group in np.unique(groups[groups != ""])
        for mine in [groups == group]
    ]


def _guesses(
    found: TargetPredictions, answers: Predictions, rules: Predictions, fitted: Mapping[str, Guesser]
) -> dict[str, Sequence[str]]:
    tickets = [answers.rows[row].ticket for row in found.rows]
    guesses: dict[str, Sequence[str]] = {name: list(guess(tickets)) for name, guess in fitted.items()}
    guesses["rules only"] = [rules.decisions[row].targets[found.target].label or "" for row in found.rows]
    return guesses


def _abstained(answers: Predictions, rules: Predictions, triager: Triager) -> dict[str, Any]:
    """Compare rules, the model's guess and the default on tickets with a target that the model left undecided.

    A ticket counts as right where every target that the model left undecided is.
    """
    total = len(answers.rows)
    held = np.zeros(total, dtype=bool)
    right = {name: np.ones(total, dtype=bool) for name in ("rule", "model", "default")}
    for target, found in answers.targets.items():
        sources = np.array([answers.decisions[row].targets[target].source for row in found.rows], dtype=object)
        undecided = ~found.kept & (sources != Source.BYPASS_RULE)
        open_rows = found.rows[undecided]
        held[open_rows] = True
        by_rules = np.array([rules.decisions[row].targets[target].label for row in open_rows], dtype=object)
        default = triager.rules.catch_all.names(target)
        folded = triager.policy.fold(target, default) if default else None
        right["rule"][open_rows] &= np.asarray(by_rules == found.true[undecided], dtype=bool)
        right["model"][open_rows] &= found.correct[undecided]
        right["default"][open_rows] &= np.asarray(found.true[undecided] == folded, dtype=bool)
    return {"rows": int(held.sum()), **{f"{name}_accuracy": _share(values[held]) for name, values in right.items()}}


def _share(flags: NDArray[np.bool_]) -> float:
    return float(np.mean(flags)) if len(flags) else 0.0
