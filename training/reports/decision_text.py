"""A decision written down: as a row of a table, and for people at a terminal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from models.terminal import table
from triage.decision import Decision, TargetDecision
from triage.prediction import Neighbour
from triage.wording import ATTENTION, NO_TICKET, phrase_of

COLUMNS = (
    "ticket_id",
    "tier",
    "category",
    "resolver_group",
    "automation",
    "tier_source",
    "tier_reason",
    "tier_confidence",
    "tier_top",
    "category_source",
    "category_reason",
    "category_confidence",
    "category_top",
    "novelty",
)
"""Columns of a scored file, in order."""


def columns_of(targets: Sequence[str]) -> tuple[str, ...]:
    """Return the columns of a file that is scored for these targets: `COLUMNS`, then those of further targets.

    Example:
        >>> columns_of(["tier", "category", "priority"])[-2:]
        ('priority_confidence', 'priority_top')
    """
    names = ("{0}", "{0}_source", "{0}_reason", "{0}_confidence", "{0}_top")
    further = [name.format(target) for target in targets for name in names]
    return tuple(dict.fromkeys((*COLUMNS, *further)))


def as_row(decision: Decision, columns: Sequence[str] = COLUMNS) -> dict[str, Any]:
    """Write a decision as a row of these columns; `*_top` is the model's own top label even where it abstained."""
    row: dict[str, Any] = dict.fromkeys(columns)
    row |= {
        "ticket_id": decision.ticket_id,
        "tier": decision.tier,
        "category": decision.category,
        "resolver_group": decision.resolver_group,
        "automation": str(decision.automation),
        "novelty": decision.novelty,
    }
    for target, verdict in decision.targets.items():
        row[target] = verdict.label
        row[f"{target}_source"] = str(verdict.source)
        row[f"{target}_reason"] = str(verdict.reason)
        row[f"{target}_confidence"] = verdict.confidence
        row[f"{target}_top"] = verdict.alternatives[0].label if verdict.alternatives else None
    return row


def as_text(decision: Decision) -> str:
    """Write a decision for a person at a terminal."""
    route = " · ".join(label or "–" for label in (decision.tier, decision.category) if label or decision.targets)
    lines = [f"{route}   [{decision.automation}]"]
    if decision.resolver_group:
        lines[0] += f"   → {decision.resolver_group}"
    lines += [*_screened(decision), ""]
    rows = [
        [target, v.label, v.automation, _confidence(v), _reason(v), _others(v)]
        for target, v in decision.targets.items()
    ]
    lines.append(
        table(["", "label", "", "sure", "because", "or else"], [[str(c) if c else "–" for c in r] for r in rows])
    )
    explanation = decision.explanation
    if explanation.terms:
        lines += ["", "for it:     " + ", ".join(f"{t.term} ({t.weight:+.2f})" for t in explanation.terms[:8])]
    if explanation.against:
        lines.append("against it: " + ", ".join(f"{t.term} ({t.weight:+.2f})" for t in explanation.against[:5]))
    if explanation.similar:
        lines.append("similar:    " + "; ".join(_neighbour(n) for n in explanation.similar[:3]))
    for title, items in (("ask", decision.questions), ("hand over", decision.hand_over)):
        if items:
            lines += ["", f"{title}:", *(f"  - {item}" for item in items)]
    version = f"model {decision.model_version}" if decision.model_version else "no model: rules only"
    lines += ["", f"{version}, policy {decision.policy_version}"]
    lines += _not_read(decision)
    if decision.truncated:
        lines.append("the text is longer than the encoder reads: only its beginning was embedded")
    return "\n".join(lines)


def _screened(decision: Decision) -> list[str]:
    alarms = [f"!! {ATTENTION.get(one.kind, one.kind)}: {one.evidence!r}" for one in decision.attention]
    return alarms + ([f"no ticket: {NO_TICKET[decision.kind]}"] if decision.kind else [])


def _not_read(decision: Decision) -> list[str]:
    parts = ", ".join(f"{part.what.replace('_', ' ')} ({part.chars} characters)" for part in decision.left_out)
    return [f"not read: {parts}"] if parts else []


def _confidence(verdict: TargetDecision) -> str:
    return "–" if verdict.confidence is None else f"{100 * verdict.confidence:.0f}%"


def _reason(verdict: TargetDecision) -> str:
    if verdict.rule and str(verdict.reason) != "rule":
        return f"{phrase_of(verdict.reason)}; rule {verdict.rule!r} suggests"
    return f"rule {verdict.rule!r}" if verdict.rule else phrase_of(verdict.reason)


def _others(verdict: TargetDecision) -> str:
    others = [score for score in verdict.alternatives if score.label != verdict.label][:2]
    return ", ".join(f"{score.label} {100 * score.probability:.0f}%" for score in others)


def _neighbour(neighbour: Neighbour) -> str:
    labels = "/".join(neighbour.labels.values())
    name = neighbour.title or neighbour.ticket_id or "a past ticket"
    return f"{name} ({labels}, {neighbour.similarity:.2f})"
