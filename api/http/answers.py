"""What a decision looks like on the wire: probabilities rounded, the strongest alternatives only."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from triage.decision import Decision, TargetDecision
from triage.prediction import Explanation

DECIMALS = 3
"""Decimals of every probability on the wire: more would only help to guess what the model was trained on."""


def from_decision(decision: Decision, decision_id: str, *, alternatives: int = 5) -> dict[str, Any]:
    """Translate a decision to the wire: what `DecisionOut` describes, ready for JSON.

    Args:
        decision: What was decided.
        decision_id: Its id.
        alternatives: How many labels per target are told at most.
    """
    return {
        "decision_id": decision_id,
        "ticket_id": decision.ticket_id,
        "tier": decision.tier,
        "category": decision.category,
        "resolver_group": decision.resolver_group,
        "automation": decision.automation.value,
        "source": decision.source.value,
        "reason": decision.reason.value,
        "targets": _targets(decision.targets, alternatives),
        "rule": decision.rule,
        "explanation": _explanation(decision.explanation),
        "questions": list(decision.questions),
        "hand_over": list(decision.hand_over),
        "language": decision.language,
        "novelty": _rounded(decision.novelty),
        "truncated": decision.truncated,
        "model_version": decision.model_version,
        "policy_version": decision.policy_version,
        "stored": True,
    }


def _targets(targets: Mapping[str, TargetDecision], alternatives: int) -> dict[str, Any]:
    return {
        target: {
            "label": verdict.label,
            "automation": verdict.automation.value,
            "source": verdict.source.value,
            "reason": verdict.reason.value,
            "confidence": _rounded(verdict.confidence),
            "alternatives": [
                {"label": score.label, "probability": _rounded(score.probability)}
                for score in verdict.alternatives[:alternatives]
            ],
            "likely": list(verdict.likely),
            "rule": verdict.rule,
        }
        for target, verdict in targets.items()
    }


def _explanation(explanation: Explanation) -> dict[str, Any]:
    return {
        "terms": [{"term": term.term, "weight": _rounded(term.weight)} for term in explanation.terms],
        "against": [{"term": term.term, "weight": _rounded(term.weight)} for term in explanation.against],
        "similar": [
            {
                "ticket_id": near.ticket_id,
                "similarity": _rounded(near.similarity),
                "title": near.title,
                "labels": dict(near.labels),
            }
            for near in explanation.similar
        ],
    }


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(float(value), DECIMALS) + 0.0
