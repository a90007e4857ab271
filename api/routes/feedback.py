"""`/v1/decisions/{id}/feedback`: people accept, correct or doubt a decision, and take it back."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from anyio import to_thread
from fastapi import APIRouter, Body, Depends, Query, Request
from pydantic import BaseModel, ConfigDict, Field

from api.http.examples import FEEDBACK_EXAMPLES
from api.http.exceptions import NotAcceptable
from api.http.openapi import PROBLEMS, problems
from api.http.schemas import MAX_NAME_CHARS, Name, Text
from api.routes.decisions import NO_NUL, FeedbackOut, kept
from api.routes.predict import IdempotencyKey
from api.scoring.service import Service
from api.security.auth import GuardedRoute, Principal, require
from api.store.feedback import Caps, Statement
from api.store.rows import UNDONE, Attempt
from triage.errors import UnknownLabel
from triage.policy import Policy

router = APIRouter(prefix="/v1", tags=["feedback"], route_class=GuardedRoute)

Speaker = Annotated[Principal, Depends(require("feedback"))]
Agent = Annotated[Name, Field(min_length=1, description="who says it, as the helpdesk names its people")]
MAX_COMMENT_CHARS = 4000


def _say_what_belongs_together(schema: dict[str, Any]) -> None:
    """Say in the schema what the store asks: a correction names a label, an acceptance need not."""
    stated = {"type": "string"}
    corrected = {"properties": {"verdict": {"const": "corrected"}}}
    schema["anyOf"] = [
        {"properties": {"verdict": {"enum": ["accepted", "unsure"]}}},
        {"required": ["tier"], "properties": {**corrected["properties"], "tier": stated}},
        {"required": ["category"], "properties": {**corrected["properties"], "category": stated}},
    ]


class FeedbackIn(BaseModel):
    """What a person says about a decision; `corrected` names the right tier, the right category or both."""

    model_config = ConfigDict(
        extra="forbid",
        title="Feedback",
        json_schema_extra=_say_what_belongs_together,
    )

    verdict: Literal["accepted", "corrected", "unsure"]
    tier: Name | None = Field(None, description="the right tier; as in the policy")
    category: Name | None = Field(None, description="the right category; as in the policy")
    agent: Agent
    reason: Name | None = Field(None, description="why, in a word or two")
    comment: Annotated[Text, Field(max_length=MAX_COMMENT_CHARS)] | None = Field(None, description="why, at length")


@router.post(
    "/decisions/{decision_id}/feedback", response_model=FeedbackOut, responses={**PROBLEMS, **problems(404, 409, 507)}
)
async def feedback(
    request: Request,
    decision_id: str,
    wire: Annotated[FeedbackIn, Body(openapi_examples=FEEDBACK_EXAMPLES)],
    speaker: Speaker,
    idempotency_key: IdempotencyKey = None,
) -> dict[str, Any]:
    """Keep what a person says about a decision; it is on disk when this answers."""
    attempt = (
        Attempt.of(speaker.key_id, idempotency_key, "POST", request.url.path, await request.body())
        if idempotency_key
        else None
    )
    return await to_thread.run_sync(keep_feedback, request.app.state.service, decision_id, wire, speaker, attempt)


@router.delete(
    "/decisions/{decision_id}/feedback/{feedback_id}",
    response_model=FeedbackOut,
    responses=problems(401, 403, 404, 422, 503, 507),
)
async def undo(
    request: Request,
    decision_id: str,
    feedback_id: str,
    speaker: Speaker,
    agent: Annotated[
        str, Query(min_length=1, max_length=MAX_NAME_CHARS, pattern=NO_NUL, description="who takes it back")
    ],
) -> dict[str, Any]:
    """Take feedback back; what was said stays in the history, and the one before it counts again."""
    service: Service = request.app.state.service

    def keep() -> dict[str, Any]:
        kept(service, decision_id)
        return take_back(service, decision_id, feedback_id, speaker.agent or agent, speaker)

    return await to_thread.run_sync(keep)


def keep_feedback(
    service: Service, decision_id: str, wire: FeedbackIn, speaker: Principal, attempt: Attempt | None
) -> dict[str, Any]:
    """Keep feedback of the API or a page, and return it as `FeedbackOut` describes it."""
    row = kept(service, decision_id)
    tier, category = labels_of(service.desk.triager.policy, wire.tier, wire.category)
    said = Statement(wire.verdict, speaker.agent or wire.agent, tier, category, wire.reason, wire.comment)
    caps = Caps(service.settings.feedback_cap_key or None, service.settings.feedback_cap_agent or None)
    feedback_row = service.repository.feedback(row.id, said, key_id=speaker.key_id, attempt=attempt, caps=caps)
    service.metrics.feedback.labels(said.verdict).inc()
    return feedback_row.document()


def take_back(service: Service, decision_id: str, feedback_id: str, agent: str, speaker: Principal) -> dict[str, Any]:
    """Take feedback of the API or a page back, and return the row that says so as `FeedbackOut` describes it."""
    row = service.repository.undo(decision_id, feedback_id, agent, key_id=speaker.key_id)
    service.metrics.feedback.labels(UNDONE).inc()
    return row.document()


def labels_of(policy: Policy, tier: str | None, category: str | None) -> tuple[str | None, str | None]:
    """Turn the labels of feedback into the policy's own.

    Raises:
        NotAcceptable: The policy does not list a label, or says that the two can never stand together.
    """
    tier, category = _label(policy, "tier", tier), _label(policy, "category", category)
    if not policy.is_legal(tier, category):
        raise NotAcceptable(
            "illegal-pair",
            "the policy says that this tier and category never go together: correct one of them",
            "category",
        )
    return tier, category


def _label(policy: Policy, target: str, label: str | None) -> str | None:
    if label is None:
        return None
    try:
        return policy.fold(target, policy.resolve(target, [label])[0])
    except UnknownLabel as error:
        known = ", ".join(policy.labels(target)) or "none"
        raise NotAcceptable(
            "unknown-label", f"unknown {target}: the policy lists {known}; use one of them", target
        ) from error
