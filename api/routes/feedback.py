"""`/v1/decisions/{id}/feedback`: people accept, correct or doubt a decision, and take it back."""

from __future__ import annotations

from functools import partial
from typing import Annotated

from anyio import to_thread
from fastapi import APIRouter, Body, Query, Request

from api.deps import IdempotencyHeader, Reviewer, ReviewsDep, idempotency_key
from api.http.examples import FEEDBACK_EXAMPLES
from api.http.openapi import PROBLEMS, problems
from api.http.schemas import FeedbackIn, FeedbackOut, Person
from api.security.auth import GuardedRoute

router = APIRouter(prefix="/v1", tags=["feedback"], route_class=GuardedRoute)


@router.post("/decisions/{decision_id}/feedback", responses={**PROBLEMS, **problems(404, 409, 507)})
async def feedback(
    request: Request,
    decision_id: str,
    payload: Annotated[FeedbackIn, Body(openapi_examples=FEEDBACK_EXAMPLES)],
    reviews: ReviewsDep,
    reviewer: Reviewer,
    idempotency: IdempotencyHeader = None,
) -> FeedbackOut:
    """Keep what a person says about a decision; it is on disk when this answers."""
    key = await idempotency_key(request, reviewer, idempotency)
    keep = partial(reviews.keep, decision_id, payload, reviewer, idempotency_key=key)
    return await to_thread.run_sync(keep)


@router.delete("/decisions/{decision_id}/feedback/{feedback_id}", responses=problems(401, 403, 404, 422, 503, 507))
def undo(
    decision_id: str,
    feedback_id: str,
    reviews: ReviewsDep,
    reviewer: Reviewer,
    agent: Annotated[Person, Query(description="who takes it back")],
) -> FeedbackOut:
    """Take feedback back; what was said stays in the history, and the one before it counts again."""
    return reviews.take_back(decision_id, feedback_id, agent, reviewer)
