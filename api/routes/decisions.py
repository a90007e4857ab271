"""`/v1/decisions`: what was decided, newest first, and one decision with its ticket and everything said about it."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query

from api.deps import Reader, ReviewsDep, ServiceDep
from api.http.openapi import problems
from api.http.schemas import MAX_NAME_CHARS, NO_NUL, DecisionDetail, DecisionsOut
from api.security.auth import GuardedRoute

router = APIRouter(prefix="/v1", tags=["decisions"], route_class=GuardedRoute)

Id = Annotated[str, Query(min_length=1, max_length=MAX_NAME_CHARS, pattern=NO_NUL)]


@router.get("/decisions", responses=problems(401, 403, 422, 503))
def decisions(
    service: ServiceDep,
    reviews: ReviewsDep,
    reader: Reader,
    limit: Annotated[int, Query(ge=1, le=200, description="most decisions to return")] = 50,
    before: Annotated[Id | None, Query(description="id of a decision: only older ones are returned")] = None,
    ticket_id: Annotated[Id | None, Query(description="only decisions about this ticket")] = None,
    open: Annotated[bool, Query(description="only decisions that nobody has said anything about")] = False,
) -> DecisionsOut:
    """List the latest decisions, newest first."""
    rows = service.store.latest(limit + 1, before=before, ticket_id=ticket_id, open_only=open)
    page, more = rows[:limit], len(rows) > limit
    return DecisionsOut(decisions=[reviews.shown(row, reader) for row in page], next=page[-1].id if more else None)


@router.get("/decisions/{decision_id}", responses=problems(401, 403, 404, 422, 503))
def decision(decision_id: str, reviews: ReviewsDep, reader: Reader) -> DecisionDetail:
    """Return one decision with its ticket, its history and everything said about it."""
    return reviews.shown(reviews.decision(decision_id), reader)
