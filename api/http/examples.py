"""Examples of the API's documentation; a test sends every one of them."""

from __future__ import annotations

from typing import Any

from fastapi.openapi.models import Example

_VPN = {
    "id": "INC-20417",
    "subject": "VPN drops every ten minutes",
    "body": "Since the update on Monday the VPN disconnects me every ten minutes. Restarting did not help.",
    "channel": "email",
    "opened_at": "2026-11-20T08:12:00Z",
    "attributes": {"site": "north"},
}
_CHAT = {"text": "hi, i forgot my password and the reset mail never arrives", "channel": "chat"}

TICKET_EXAMPLES: dict[str, Example] = {
    "mail": Example(summary="A mail with subject and body", value=_VPN),
    "chat": Example(summary="One line of chat", value=_CHAT),
}
BATCH_EXAMPLES: dict[str, Example] = {
    "two": Example(summary="Two tickets", value={"tickets": [{**_VPN, "id": "INC-20418"}, _CHAT]})
}
FEEDBACK_EXAMPLES: dict[str, Example] = {
    "accepted": Example(summary="The decision was right", value={"verdict": "accepted", "agent": "jo.doe"}),
    "unsure": Example(
        summary="Hard to say", value={"verdict": "unsure", "agent": "jo.doe", "comment": "two faults in one ticket"}
    ),
}

DECISION_EXAMPLE: dict[str, Any] = {
    "decision_id": "6f0d6c1e-5f0f-4f5e-9a39-0d8a1f5f2c11",
    "ticket_id": "INC-20417",
    "tier": "L2",
    "category": "network",
    "resolver_group": "network-operations",
    "automation": "suggested",
    "source": "model",
    "reason": "low_confidence",
    "targets": {
        "tier": {
            "label": "L2",
            "automation": "suggested",
            "source": "model",
            "reason": "low_confidence",
            "confidence": 0.71,
            "alternatives": [{"label": "L2", "probability": 0.71}, {"label": "L1", "probability": 0.22}],
            "likely": ["L2", "L1"],
            "rule": None,
            "ticket_risk": 0.29,
            "certified_risk": 0.05,
        },
        "category": {
            "label": "network",
            "automation": "automatic",
            "source": "model",
            "reason": "confident",
            "confidence": 0.97,
            "alternatives": [{"label": "network", "probability": 0.97}, {"label": "software", "probability": 0.02}],
            "likely": ["network"],
            "rule": None,
            "ticket_risk": 0.03,
            "certified_risk": 0.05,
        },
    },
    "rule": None,
    "explanation": {
        "target": "tier",
        "label": "L2",
        "rival": "L3",
        "terms": [{"term": "vpn", "weight": 1.84}, {"term": "disconnects", "weight": 0.61}],
        "against": [{"term": "update", "weight": 0.22}],
        "similar": [
            {
                "ticket_id": "INC-11892",
                "similarity": 0.83,
                "title": "VPN keeps dropping",
                "labels": {"tier": "L2", "category": "network"},
            }
        ],
    },
    "questions": [
        "Was the usual fix (restart, sign in again, reinstall) tried already, and does the problem come and go?"
    ],
    "hand_over": ["all logs and the exact steps to reproduce"],
    "language": "en",
    "novelty": 0.41,
    "truncated": False,
    "model_version": "3",
    "policy_version": "2026-11",
    "stored": True,
}
