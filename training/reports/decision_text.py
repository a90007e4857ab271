"""A decision written down: as a row of a table, and for people at a terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

from models.terminal import table
from triage.decision import Decision, TargetDecision
from triage.prediction import ROUTE, SAID_OF_A_TARGET, Neighbour, in_order
from triage.wording import ATTENTION, NO_TICKET, phrase_of, phrase_of_rule

COLUMNS = (
    "ticket_id",
    "tier",
    "category",
    "resolver_group",
    "automation",
    *(f"tier_{one}" for one in SAID_OF_A_TARGET),
    *(f"category_{one}" for one in SAID_OF_A_TARGET),
    "novelty",
)
"""Columns of a scored file, in order."""


def columns_of(targets: Sequence[str]) -> tuple[str, ...]:
    """Return the columns of a file that is scored for these targets: `COLUMNS`, then those of further targets.

    Example:
        >>> columns_of(["tier", "category", "priority"])[-2:]
        ('priority_confidence', 'priority_top')
    """
    further = (column for columns in _columns_by_target(tuple(targets)).values() for column in columns)
    return tuple(dict.fromkeys((*COLUMNS, *further)))


@lru_cache(maxsize=64)
def _columns_by_target(targets: tuple[str, ...]) -> Mapping[str, tuple[str, ...]]:
    """Return the columns of each target: its label, then what is said of it.

    A target of an earlier bundle whose columns would be those of something else has them under `target_NAME`.

    Example:
        >>> _columns_by_target(("tier", "automation"))["automation"][:2]
        ('target_automation', 'target_automation_source')
    """
    found, taken = dict[str, tuple[str, ...]](), set(COLUMNS)
    for target in in_order(targets):
        name = target
        while target not in ROUTE and taken & set(_columns_named(name)):
            name = f"target_{name}"
        found[target] = _columns_named(name)
        taken |= set(found[target])
    return found


def _columns_named(name: str) -> tuple[str, ...]:
    return (name, *(f"{name}_{one}" for one in SAID_OF_A_TARGET))


def as_row(decision: Decision, targets: Sequence[str] = ()) -> dict[str, Any]:
    """Write a decision as a row of the columns of these targets and of its own.

    `*_top` is the model's own top label even where it abstained.
    """
    targets = tuple(dict.fromkeys((*targets, *decision.targets)))
    row: dict[str, Any] = dict.fromkeys(columns_of(targets))
    row |= {
        "ticket_id": decision.ticket_id,
        "tier": decision.tier,
        "category": decision.category,
        "resolver_group": decision.resolver_group,
        "automation": str(decision.automation),
        "novelty": decision.novelty,
    }
    columns = _columns_by_target(targets)
    for target, verdict in decision.targets.items():
        top = verdict.alternatives[0].label if verdict.alternatives else None
        said = (verdict.label, str(verdict.source), str(verdict.reason), verdict.confidence, top)
        row |= zip(columns[target], said, strict=True)
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
    lines += _words_that_counted(decision)
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


def _words_that_counted(decision: Decision) -> list[str]:
    """Say which words speak for the label that is explained, which against it, and which for the runner-up."""
    explanation = decision.explanation
    first, second = explanation.label or "it", explanation.rival or "the runner-up"
    parts = (
        (f"for {first}:", [term for term in explanation.terms if term.weight > 0][:8]),
        (f"against {first}:", [term for term in explanation.terms if term.weight < 0][:5]),
        (f"for {second}:", explanation.against[:5]),
    )
    lines = [
        f"{title:11} " + ", ".join(f"{term.term} ({term.weight:+.2f})" for term in terms)
        for title, terms in parts
        if terms
    ]
    return ["", *lines] if lines else []


def _screened(decision: Decision) -> list[str]:
    alarms = [f"!! {ATTENTION.get(one.kind, one.kind)}: {one.evidence!r}" for one in decision.attention]
    return alarms + ([f"no ticket: {NO_TICKET[decision.kind]}"] if decision.kind else [])


def _not_read(decision: Decision) -> list[str]:
    parts = ", ".join(f"{part.what.replace('_', ' ')} ({part.chars} characters)" for part in decision.left_out)
    return [f"not read: {parts}"] if parts else []


def _confidence(verdict: TargetDecision) -> str:
    return "–" if verdict.confidence is None else f"{100 * verdict.confidence:.0f}%"


def _reason(verdict: TargetDecision) -> str:
    reason, rule = phrase_of(verdict.reason), verdict.rule
    if rule is None:
        return reason
    by_policy = phrase_of_rule(rule, verdict.source, verdict.automation)
    if str(verdict.reason) != "rule":
        return f"{reason}; {by_policy or f'rule {rule!r} suggests'}"
    return by_policy or f"rule {rule!r}"


def _others(verdict: TargetDecision) -> str:
    others = [score for score in verdict.alternatives if score.label != verdict.label][:2]
    return ", ".join(f"{score.label} {100 * score.probability:.0f}%" for score in others)


def _neighbour(neighbour: Neighbour) -> str:
    labels = "/".join(neighbour.labels.values())
    name = neighbour.title or neighbour.ticket_id or "a past ticket"
    return f"{name} ({labels}, {neighbour.similarity:.2f})"
