"""The report: one self-contained page on how good a bundle is, where it is not, and what it costs to trust it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from training.diagnostics.ablation import Extras
from training.evaluation.record import Record
from training.evaluation.slices import confused_pairs, slices
from training.gate.served import certificates_of, served_gates
from training.reports import plots
from training.reports.model_card import POLICIES, SPLITS, for_whom
from training.stages import stage_of
from triage.wording import phrase_of

_MOST_SLICES, _MOST_CLASSES = 18, 40
_WORST_FIRST = 12


Drawn = Mapping[str, Mapping[str, str]]
"""Of each target its plots by name, as SVG."""


def report(
    manifest: Mapping[str, Any],
    record: Record,
    *,
    on: str = "",
    warning: str = "",
    extras: Extras | None = None,
    drawn: Drawn | None = None,
) -> str:
    """Build the page.

    Args:
        manifest: The manifest of the bundle.
        record: What it answered.
        on: What the bundle itself was measured on, in words; empty for the part set aside in training.
        warning: What whoever reads the figures of `on` has to know, such as that the bundle knew some of the tickets.
        extras: Learning curve and ablation, where they were made.
        drawn: What `target_plots` returned for the same two; None draws them.

    Returns:
        HTML that loads nothing from elsewhere.
    """
    drawn = target_plots(manifest, record) if drawn is None else drawn
    environment = Environment(
        loader=PackageLoader("training.reports"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["pct"] = lambda value: f"{100 * value:.1f} %"
    environment.filters["num"] = lambda value: f"{value:.3f}"
    environment.filters["reason"] = phrase_of
    return environment.get_template("report.html").render(
        manifest=manifest,
        measured=record.measured,
        stage=stage_of(manifest),
        policy=POLICIES.get(manifest["settings"].get("policy"), "a file of its own"),
        split=SPLITS.get(manifest["data"].get("split"), "?"),
        on=on,
        warning=warning,
        deletion=None if extras is None else extras.deletion,
        targets=[_target(target, manifest, record, extras) | {"plots": drawn[target]} for target in record.outcomes],
        reasons=sorted(record.measured["reasons"].items(), key=lambda item: -item[1]),
        sources=sorted(record.measured["sources"].items(), key=lambda item: -item[1]),
    )


def target_plots(manifest: Mapping[str, Any], record: Record) -> Drawn:
    """Draw what the page shows of each target, which takes longer than all the rest of it."""
    risk = manifest["settings"].get("target_risk")
    return {
        target: {
            "confusion-matrix": plots.confusion_matrix(outcome),
            "reliability": plots.reliability(outcome),
            "risk-coverage": plots.risk_coverage(outcome, risk),
            "right-wrong-none": plots.right_wrong_none(record.measured["targets"][target]["thresholds"]),
        }
        for target, outcome in record.outcomes.items()
    }


def _target(target: str, manifest: Mapping[str, Any], record: Record, extras: Extras | None) -> dict[str, Any]:
    outcome, values = record.outcomes[target], record.measured["targets"][target]
    facts = manifest["targets"].get(target, {})
    risk = manifest["settings"].get("target_risk")
    gate = certificates_of(manifest).get(target, {})
    served = served_gates(manifest).get(target)
    alone = gate.get("by_label", {})
    classes = sorted((row for row in values["per_class"] if row["rows"]), key=lambda row: row["f1"])
    return {
        "name": target,
        "values": values,
        "facts": facts,
        "gate": gate,
        "change": None if served is None else served.change(target),
        "alone": sorted(alone.items(), key=lambda item: -item[1]["tickets"]),
        "certified_alone": sum(one["threshold"] is not None for one in alone.values()),
        "bound": _bound(gate, risk),
        "for_whom": for_whom(gate, risk),
        "risk": risk,
        "ticket_risk": manifest.get("gate", {}).get("max_ticket_risk"),
        "kept_rate": values["selective_risk"] <= risk if risk is not None else True,
        "bars": _bars(values),
        "estimators": _estimators(facts),
        "classes": classes[:_MOST_CLASSES],
        "classes_left_out": max(0, len(classes) - _MOST_CLASSES),
        "slices": slices(record, target)[:_MOST_SLICES],
        "pairs": confused_pairs(outcome, _WORST_FIRST),
        **_extras(target, values, extras),
    }


def _bound(gate: Mapping[str, Any], risk: float | None) -> float | None:
    """Return the upper bound of the error rate; of a promise to new groups earlier versions wrote that of any group."""
    bound: float | None = gate.get("bound")
    if bound is None or risk is None or gate.get("promise") != "new_group":
        return bound
    return min(bound, risk)


def _bars(values: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return accuracy and macro-F1 of the baselines and of the bundle, the worst first."""
    rows = [{"name": name, **figures, "own": False} for name, figures in values["baselines"].items()]
    rows.append({"name": "this bundle", "accuracy": values["accuracy"], "macro_f1": values["macro_f1"], "own": True})
    return sorted(rows, key=lambda row: (row["accuracy"], row["own"]))


def _estimators(facts: Mapping[str, Any]) -> list[tuple[str, float]]:
    """Return the cross-fitted accuracy of each estimator alone and of all together."""
    alone = sorted(facts.get("estimators", {}).items(), key=lambda item: item[1])
    whole = facts.get("cross_fitted_accuracy")
    return [*alone, ("all together", whole)] if alone and whole is not None else []


def _extras(target: str, values: Mapping[str, Any], extras: Extras | None) -> dict[str, Any]:
    if extras is None or target not in extras.learning:
        return {"learning": None, "ablation": []}
    others = [(name, figures["accuracy"]) for name, figures in values["baselines"].items() if name == "rules only"]
    drawn = plots.curve(extras.learning[target], "tickets learned from", "accuracy on the part set aside", others)
    return {"learning": drawn, "ablation": sorted(extras.ablation.get(target, {}).items(), key=lambda item: item[1])}
