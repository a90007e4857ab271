"""The API's own description: problems that every route may answer with, and limits taken from the settings."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from api.http.problems import MEDIA_TYPE
from api.settings import Settings
from triage.policy import Policy

TITLE = "Helpdesk triage"
DESCRIPTION = (
    "Routes helpdesk tickets to the lowest support tier that can resolve them. Decides only where it can keep a "
    "stated error rate; every other ticket gets a suggestion, its reason, and the questions that would settle it."
    "\n\n**Safe retries**: `POST /v1/predict`, `/v1/predict/batch` and feedback take the header `Idempotency-Key` (1 "
    "to 255 visible characters). Sent again with the same body, the answer is the same; with another body it is "
    "refused (422)."
)
_PROBLEM_SCHEMA: dict[str, Any] = {
    "title": "Problem",
    "description": "RFC 9457: what went wrong, for people and for programs; never holds what was submitted.",
    "type": "object",
    "required": ["type", "title", "status", "detail", "code", "request_id"],
    "properties": {
        "type": {"type": "string", "examples": ["urn:triage:problem:queue-full"]},
        "title": {"type": "string"},
        "status": {"type": "integer", "minimum": 400, "maximum": 599},
        "detail": {"type": "string"},
        "code": {"type": "string"},
        "request_id": {"type": "string"},
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["field", "code"],
                "properties": {"field": {"type": "string"}, "code": {"type": "string"}},
            },
        },
    },
}
_TEXTS = {
    400: "The body is not JSON that can be read (`malformed-json`), or the request is not HTTP that can be read",
    401: "No key, or none that is valid now",
    403: "The key lacks the scope",
    404: "There is no such thing",
    409: "The state does not allow it",
    413: "The body is larger than the service takes",
    415: "The body is not JSON",
    422: "The request is well formed, but a field is not valid; `errors` names field and code",
    429: "A cap is reached; see `Retry-After`",
    500: "The service failed on this request",
    503: "Too much to do (`queue-full`, `deadline`), stopping, or the store does not answer; see `Retry-After`",
    507: "The store is full",
}
_PACKET = "/v1/tickets/{ticket_id}/packet"
_RETRYABLE = (429, 503, 507)


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Describe the problems that a route may answer with, for the `responses` of its decorator."""
    return {status: _response(status) for status in statuses}


def _response(status: int) -> dict[str, Any]:
    described: dict[str, Any] = {
        "description": _TEXTS[status],
        "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
    }
    if status in _RETRYABLE:
        described["headers"] = {"Retry-After": {"description": "Seconds", "schema": {"type": "integer"}}}
    return described


PROBLEMS = problems(400, 401, 403, 413, 415, 422, 429, 503)
"""What every route with a body may answer with."""


def describe(app: FastAPI, settings: Settings) -> dict[str, Any]:
    """Write the OpenAPI document, once for each policy: two may state the same version and list other labels."""
    policy: Policy = app.state.parts.service.model.triager.policy
    if app.openapi_schema is None or app.state.described_policy is not policy:
        document = get_openapi(title=TITLE, version=app.version, description=DESCRIPTION, routes=app.routes)
        schemas = document.setdefault("components", {}).setdefault("schemas", {})
        schemas["Problem"] = _PROBLEM_SCHEMA
        for name in ("HTTPValidationError", "ValidationError"):
            schemas.pop(name, None)
        document["info"]["x-policy-version"] = policy.version
        _state_names(schemas)
        _state_labels(schemas, policy)
        _state_targets(schemas, policy)
        _state_what_tickets_take(document, policy)
        if settings.open_loopback:
            _open(document)
        app.openapi_schema, app.state.described_policy = document, policy
    return app.openapi_schema


def _state_names(schemas: dict[str, Any]) -> None:
    schemas["TicketIn"]["properties"]["attributes"]["anyOf"][0]["additionalProperties"] = False  # names without NUL


def _state_labels(schemas: dict[str, Any], policy: Policy) -> None:
    """List the labels that feedback and events may name, and which never together: of the policy, with its aliases."""
    for said in ("FeedbackIn", "EventIn"):
        for target in ("tier", "category"):
            known = sorted(_names(policy, target))
            options: list[dict[str, Any]] = [{"type": "string", "enum": known}] if known else []
            schemas[said]["properties"][target]["anyOf"] = [*options, {"type": "null"}]
        apart = [
            {"not": {"required": ["tier", "category"], "properties": {"tier": {"enum": tiers}, "category": categories}}}
            for tiers, categories in _never_together(policy)
        ]
        schemas[said] |= {"allOf": apart} if apart else {}


def _names(policy: Policy, target: str) -> dict[str, str]:
    """Return what a label of a target may be called: itself and its aliases, each with the label that is meant."""
    return {entry.label: entry.label for entry in policy.entries(target)} | dict(policy.aliases.get(target, {}))


def _never_together(policy: Policy) -> list[tuple[list[str], dict[str, Any]]]:
    """Return tiers, and as a schema the categories that cannot stand with them."""
    tiers, categories = _names(policy, "tier"), _names(policy, "category")
    by_categories: dict[tuple[str, ...], list[str]] = {}
    for tier, meant in sorted(tiers.items()):
        barred = tuple(sorted(name for name, label in categories.items() if not policy.is_legal(meant, label)))
        by_categories.setdefault(barred, []).append(tier)
    return [(named, {"enum": list(barred)}) for barred, named in by_categories.items() if barred]


def _state_targets(schemas: dict[str, Any], policy: Policy) -> None:
    """List the targets that feedback may correct, each with its labels."""
    known = {**{target: policy.labels(target) for target in policy.targets}, "resolver_group": policy.group_names}
    labels = {name: sorted({*found, *policy.aliases.get(name, {})}) for name, found in known.items()}
    schemas["FeedbackIn"]["properties"]["targets"] |= {
        "properties": {name: {"type": "string", "enum": found} for name, found in labels.items() if found},
        "additionalProperties": False,
    }
    groups = {"type": "string", "enum": labels["resolver_group"]}
    schemas["FeedbackIn"]["properties"]["resolver_group"]["anyOf"] = [
        *([groups] if groups["enum"] else []),
        {"type": "null"},
    ]


def _state_what_tickets_take(document: dict[str, Any], policy: Policy) -> None:
    """List the groups, skills, answers and tiers that the routes of a ticket take."""
    schemas = document["components"]["schemas"]
    event, nothing = schemas["EventIn"]["properties"], {"type": "null"}
    groups, skills = list(policy.group_names), [one.name for one in policy.escalation.skills]
    event["resolver_group"]["anyOf"] = [*([{"type": "string", "enum": groups}] if groups else []), nothing]
    event["needs"] |= {"items": {"type": "string", "enum": skills}} if skills else {"maxItems": 0}
    by_text, _ = schemas["AnswerIn"]["anyOf"][1], schemas["AnswerIn"].pop("anyOf")
    schemas["AnswerIn"]["anyOf"] = [
        {**by_text, "properties": {**by_text["properties"], "answer": nothing}},
        *(
            {
                "required": ["answer"],
                "properties": {
                    "question": {"enum": [question.id, question.ask]},
                    "answer": {"enum": [option.answer for option in question.options]},
                },
            }
            for question in policy.catalogue
            if question.options
        ),
    ]
    [to] = [one for one in document["paths"][_PACKET]["get"]["parameters"] if one["name"] == "to"]
    to["schema"] = {"type": "string", "enum": [entry.label for entry in policy.tiers]} if policy.tiers else nothing


def _open(document: dict[str, Any]) -> None:
    """Take out that operations need a key: this service asks for none."""
    document["components"].pop("securitySchemes", None)
    for operations in document["paths"].values():
        for operation in operations.values():
            operation.pop("security", None)
