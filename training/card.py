"""The model card: what a bundle was made from, what it can do, where it cannot, in Markdown."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from training.record import Record
from training.slices import confused_pairs, slices

RUNGS = (
    (0, "no history", "rules, and what the policy says about each label", "8 examples of every label"),
    (
        8,
        "a handful of examples",
        "few tickets for a label: descriptions and rules weigh in",
        "50 tickets of every label",
    ),
    (
        50,
        "a full history",
        "fitted and calibrated on the desk's own tickets",
        "fresh tickets now and then: the world changes",
    ),
)
"""The cold-start ladder: tickets for a label from which a rung holds, its name, what it means, what the next needs."""


SPLITS = {"time": "the latest ones", "group": "whole groups", "random": "at random, every label in proportion"}
"""How rows were set aside, in words."""

POLICIES = {"learn": "learned from the data", "default": "the default one"}


def rung(manifest: Mapping[str, Any], record: Record) -> tuple[str, str, str]:
    """Return the rung of the cold-start ladder that a bundle stands on: its name, what it means, what the next needs.

    The rung goes by the number of tickets for each label on average.
    """
    data = manifest.get("data", {})
    rows = int(data.get("rows", 0))
    labels = max((len(facts.get("labels", ())) for facts in manifest.get("targets", {}).values()), default=1)
    each = rows / max(1, labels)
    name, means, needs = RUNGS[0][1:]
    for least, *said in RUNGS:
        if each >= least:
            name, means, needs = said
    return name, means, needs


def model_card(manifest: Mapping[str, Any], record: Record) -> str:
    """Write the model card of a bundle.

    Args:
        manifest: Of the bundle.
        record: What it answered to the rows set aside.
    """
    return "\n".join(_lines(manifest, record)) + "\n"


def _lines(manifest: Mapping[str, Any], record: Record) -> Iterator[str]:
    data, settings = manifest.get("data", {}), manifest.get("settings", {})
    name, means, needs = rung(manifest, record)
    yield f"# Model card: bundle {manifest['digest'][:12]}"
    yield ""
    yield "Routes helpdesk tickets: says which support tier, category and resolver group a ticket needs, and how sure"
    yield "it is; abstains where the error rate stated below could not be kept. It is made for the desk whose tickets"
    yield "it learned from; on another desk its figures do not hold."
    yield ""
    yield "## Made from"
    kept = f"{data.get('set_aside', '?')} of them set aside ({SPLITS.get(data.get('split'), 'unknown')})"
    yield f"- {data.get('rows', '?')} tickets, data digest `{str(data.get('digest', ''))[:16]}`, {kept}"
    yield f"- encoder `{manifest.get('encoder', {}).get('name', '?')}`, seed {settings.get('seed', '?')}"
    yield f"- policy: {POLICIES.get(settings.get('policy'), 'a file of its own')}"
    yield f"- rung of the cold-start ladder: **{name}** ({means}); the next rung needs {needs}"
    for target, facts in manifest.get("targets", {}).items():
        excluded = facts.get("excluded") or {}
        if excluded:
            listed = ", ".join(f"{label} ({rows})" for label, rows in sorted(excluded.items()))
            yield f"- {target}: too rare to be predicted: {listed}"
    yield ""
    yield "## How good, on tickets it had not seen"
    yield from _figures(record, settings)
    yield ""
    yield "The bundle was then fitted again on all tickets but those kept for calibration; the figures are those of the"
    yield "model before, which had not seen the part set aside."
    yield ""
    yield "## Where it is weak"
    yield from _weaknesses(record)
    yield ""
    yield "## What is promised"
    risk, confidence = settings.get("target_risk", "?"), settings.get("confidence", "?")
    yield f"The error rate among automatic decisions of each target is at most {risk} with probability {confidence}, on"
    yield "tickets that come like those of the calibration part. After a change of products, teams or habits, or at"
    yield "another organisation, that is no promise: watch the realised rate and train again."
    yield ""
    yield "## Not for"
    yield "Deciding about people; judging how urgent a ticket is; tickets in languages that the training data lacks."


def _figures(record: Record, settings: Mapping[str, Any]) -> Iterator[str]:
    yield ""
    yield "| target | tickets | accuracy | macro-F1 | ECE | AURC | decided alone | wrong among those |"
    yield "|---|---|---|---|---|---|---|---|"
    for target, values in record.measured["targets"].items():
        figures = (values[key] for key in ("accuracy", "macro_f1", "ece", "aurc", "coverage", "selective_risk"))
        yield f"| {target} | {values['rows']} | " + " | ".join(f"{figure:.3f}" for figure in figures) + " |"
    route = record.measured["route"]
    automatic, wrong, right = (f"{route[key]:.3f}" for key in ("coverage", "risk", "accuracy"))
    yield ""
    yield f"Whole route: {automatic} automatic, {wrong} of those wrong, {right} right over all."
    for target, values in record.measured["targets"].items():
        if "misses" in values:
            misses = values["misses"]
            yield f"Tiers missed by one: {misses['off_by_one']:.3f}; by two or more: {misses['severe']:.3f}."
        if values["baselines"]:
            listed = ", ".join(f"{name} {figures['accuracy']:.3f}" for name, figures in values["baselines"].items())
            yield f"For comparison, {target} accuracy of {listed}."


def _weaknesses(record: Record) -> Iterator[str]:
    found = False
    for target, outcome in record.outcomes.items():
        for part in [part for part in slices(record, target) if part.gap < 0 and part.notable][:4]:
            found = True
            yield f"- {target}, {part.by} {part.value}: accuracy {part.accuracy:.2f} on {part.rows} tickets"
        pairs = confused_pairs(outcome, 3)
        if pairs:
            found = True
            listed = ", ".join(f"{pair['true']} taken for {pair['named']} ({pair['rows']})" for pair in pairs)
            yield f"- {target}: most often {listed}"
    if not found:
        yield "- nothing stands out"
