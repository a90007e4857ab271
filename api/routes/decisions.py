"""`/v1/decisions`: what was decided, newest first, and one decision with its ticket and everything said about it."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query

from api.console.queries import DecisionQuery
from api.console.untold import sentence
from api.deps import Reader, ReviewsDep, ServiceDep
from api.http.openapi import problems
from api.http.schemas import DecisionDetail, DecisionsOut
from api.security.auth import GuardedRoute

router = APIRouter(prefix="/v1", tags=["decisions"], route_class=GuardedRoute)


@router.get("/decisions", responses=problems(401, 403, 422, 503))
def decisions(
    service: ServiceDep, reviews: ReviewsDep, reader: Reader, query: Annotated[DecisionQuery, Query()]
) -> DecisionsOut:
    """List decisions, the newest first unless `sort` says otherwise; a parameter that is not listed is refused."""
    wanted = query.filter_for(reader, service.model.triager.policy)
    lines = service.store.lines(wanted, query.sort, limit=query.limit + 1, after=query.before)
    page, more = lines[: query.limit], len(lines) > query.limit
    return DecisionsOut(
        decisions=[reviews.shown(line.row, reader) for line in page], next=page[-1].row.id if more else None
    )


@router.get("/decisions/{decision_id}", responses=problems(401, 403, 404, 422, 503))
def decision(decision_id: str, service: ServiceDep, reviews: ReviewsDep, reader: Reader) -> DecisionDetail:
    """Return one decision with its ticket, its history and everything said about it."""
    shown = reviews.shown(reviews.decision(decision_id), reader)
    untold = service.store.untold(shown.desk, shown.ticket_id)
    return shown if untold is None else shown.model_copy(update={"untold": sentence(untold)})
