"""`/v1/decisions/{id}/claim`: an agent takes a ticket, so that nobody else works on it, and gives it back."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Response

from api.deps import Reviewer, ReviewsDep, ServiceDep
from api.http.openapi import problems
from api.http.schemas import Person
from api.security.auth import GuardedRoute

router = APIRouter(prefix="/v1", tags=["feedback"], route_class=GuardedRoute)

Agent = Annotated[Person, Query(description="who takes it or gives it back")]
_RESPONSES = {**problems(401, 403, 404, 409), **problems(422, 503, 507)}


@router.post("/decisions/{decision_id}/claim", responses=_RESPONSES, status_code=204)
def claim(decision_id: str, agent: Agent, service: ServiceDep, reviews: ReviewsDep, reviewer: Reviewer) -> Response:
    """Take a ticket for half an hour; taking one's own again renews it."""
    service.store.claim(reviews.decision(decision_id).id, reviewer.agent or agent)
    return Response(status_code=204)


@router.delete("/decisions/{decision_id}/claim", responses=_RESPONSES, status_code=204)
def release(decision_id: str, agent: Agent, service: ServiceDep, reviews: ReviewsDep, reviewer: Reviewer) -> Response:
    """Give a ticket back; a verdict does so by itself."""
    service.store.release(reviews.decision(decision_id).id, reviewer.agent or agent)
    return Response(status_code=204)
