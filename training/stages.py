"""Stages of maturity: how much a bundle has learned from, and what the next stage needs, label by label."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from training.data.dataset import LabelledTicket
from training.data.labels import MIN_ROWS
from training.gate.served import certificates_of
from triage.policy import Policy
from triage.prediction import in_order

DESCRIPTIONS, EXAMPLES, FULL, EXTENDED = "descriptions", "examples", "full", "extended"

STARTED = (DESCRIPTIONS, EXAMPLES)
"""Stages at which nothing was set aside and the model decides nothing."""

HANDFUL = 8
"""Tickets of a label that make a handful."""

_MEANS = {
    DESCRIPTIONS: "no ticket was learned from: the policy's descriptions suggest, written rules decide",
    EXAMPLES: "few tickets for a label: they and the policy's descriptions suggest, written rules decide",
    FULL: "fitted and calibrated on the helpdesk's own tickets",
    EXTENDED: "fitted on the helpdesk's own tickets; labels added since are suggested, never decided",
}
_SHOWN = 12  # labels named one by one; a desk with a hundred would print a page


@dataclass(frozen=True)
class Stage:
    """How much a bundle has learned from.

    Attributes:
        name: ``descriptions``, ``examples``, ``full`` or ``extended``.
        means: What that is, in words.
        needs: What the next stage, or the rest of this one, needs; one line each.
    """

    name: str
    means: str
    needs: tuple[str, ...]


def stage_facts(stage: str, policy: Policy, rows: Sequence[LabelledTicket]) -> dict[str, Any]:
    """Return what the manifest says of a stage: its name, and the tickets of each of the policy's labels."""
    tickets = {}
    for target in in_order({*("tier", "category"), *policy.targets}):
        counts = Counter(row.labels[target] for row in rows if target in row.labels and row.weight > 0)
        listed = (*(entry.label for entry in policy.entries(target)), *sorted(counts))
        tickets[target] = {label: counts[label] for label in listed}
    return {"name": stage, "tickets": {target: counts for target, counts in tickets.items() if counts}}


def stage_of(manifest: Mapping[str, Any]) -> Stage:
    """Return the stage of a bundle by its manifest; one that does not say was trained in full."""
    facts = manifest.get("stage", {})
    name = facts.get("name", FULL)
    return Stage(name, _MEANS.get(name, ""), tuple(_needs(name, facts, manifest)))


def _needs(name: str, facts: Mapping[str, Any], manifest: Mapping[str, Any]) -> Iterator[str]:
    tickets: Mapping[str, Mapping[str, int]] = facts.get("tickets", {})
    if name == DESCRIPTIONS:
        yield f"a handful of tickets of each label ({HANDFUL} are one): triage start DATA"
    if name == EXTENDED:
        added = facts.get("added", {})
        yield from _missing({target: {label: tickets[target][label] for label in added[target]} for target in added})
        listed = "; ".join(f"{target} {', '.join(labels)}" for target, labels in added.items())
        yield f"a training on the whole history, which alone can let these be decided: {listed}"
        return
    missing = list(_missing(tickets))
    yield from missing
    if name == EXAMPLES and not missing:
        yield f"nothing: every label has {MIN_ROWS} tickets, so triage train learns them in full"
    if name == FULL:
        yield from _uncertified(manifest)
        if not missing:
            yield "fresh tickets now and then: the world changes"


def _missing(tickets: Mapping[str, Mapping[str, int]]) -> Iterator[str]:
    """Say how many tickets each label lacks to be learned in full."""
    for target, counts in tickets.items():
        few = {label: MIN_ROWS - count for label, count in counts.items() if count < MIN_ROWS}
        if not any(counts.values()):
            yield f"{target}: {MIN_ROWS} tickets of each label to be learned in full"
            continue
        for label, lacking in list(few.items())[:_SHOWN]:
            plural = "ticket" if lacking == 1 else "tickets"
            yield f"{target} {label}: {lacking} {plural} more to be learned in full"
        if len(few) > _SHOWN:
            yield f"{target}: {len(few) - _SHOWN} other labels lack tickets as well"


def _uncertified(manifest: Mapping[str, Any]) -> Iterator[str]:
    by_label = bool(manifest.get("settings", {}).get("per_class"))
    for target, facts in certificates_of(manifest).items():
        gates = list(facts.get("by_label", {}).values()) if by_label else [facts]
        more = [one["more_tickets"] for one in gates if one.get("more_tickets")]
        if more and all(one.get("threshold") is None for one in gates):
            yield f"{target}: about {min(more)} tickets more until any can be decided without a person"
