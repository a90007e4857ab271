"""`/v1/decisions`: what was decided, newest first, and one decision with its ticket and everything said about it."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Query, Request
from pydantic import BaseModel, ConfigDict, Field

from api.http.exceptions import NotFound
from api.http.openapi import problems
from api.http.schemas import MAX_NAME_CHARS
from api.scoring.service import Service
from api.security.auth import GuardedRoute, Principal, require
from api.store.rows import DecisionRow, without_similar
from models.wire import DecisionDocument

router = APIRouter(prefix="/v1", tags=["decisions"], route_class=GuardedRoute)

Reader = Annotated[Principal, Depends(require("read"))]
NO_NUL = r"^[^\u0000]*$"
Id = Annotated[str, Query(min_length=1, max_length=MAX_NAME_CHARS, pattern=NO_NUL)]


class TicketOut(BaseModel):
    """The ticket that was decided, as it is kept."""

    subject: str
    body: str
    channel: str | None


class FeedbackOut(BaseModel):
    """One thing that a person said about a decision."""

    feedback_id: str
    decision_id: str
    verdict: Literal["accepted", "corrected", "unsure", "undone"]
    tier: str | None
    category: str | None
    agent: str
    reason: str | None
    comment: str | None
    undoes: str | None = Field(description="id of the feedback that this row takes back")
    created_at: datetime


class KeptDecisionOut(DecisionDocument):
    """A decision as it stands in the store."""

    model_config = ConfigDict(title="KeptDecision", protected_namespaces=())

    created_at: datetime
    desk: str = Field(description="the helpdesk that the ticket id belongs to")
    revision: int = Field(ge=1, description="2 for the second text of the same ticket id, and so on")
    ticket: TicketOut | None = Field(description="null where it was forgotten, or is kept from this key")
    withheld: bool = Field(
        description="the text is kept from this key: its clearance is too low for a sensitive ticket"
    )
    standing: FeedbackOut | None = Field(description="the feedback that counts: the last one that was not taken back")
    feedback: list[FeedbackOut] = Field(description="everything that was said, oldest first")
    revisions: list[str] = Field(description="ids of all decisions about this ticket id, oldest first; empty in lists")


class DecisionsOut(BaseModel):
    """A page of decisions, newest first."""

    decisions: list[KeptDecisionOut]
    next: str | None = Field(description="value of `before` for the next page; null on the last one")


@router.get("/decisions", response_model=DecisionsOut, responses=problems(401, 403, 422, 503))
def decisions(
    request: Request,
    reader: Reader,
    limit: Annotated[int, Query(ge=1, le=200, description="most decisions to return")] = 50,
    before: Annotated[Id | None, Query(description="id of a decision: only older ones are returned")] = None,
    ticket_id: Annotated[Id | None, Query(description="only decisions about this ticket")] = None,
    open: Annotated[bool, Query(description="only decisions that nobody has said anything about")] = False,
) -> dict[str, Any]:
    """List the latest decisions, newest first."""
    service: Service = request.app.state.service
    rows = service.repository.latest(limit + 1, before=before, ticket_id=ticket_id, open_only=open)
    shown, more = rows[:limit], len(rows) > limit
    return {"decisions": [described(row, reader, service) for row in shown], "next": shown[-1].id if more else None}


@router.get("/decisions/{decision_id}", response_model=KeptDecisionOut, responses=problems(401, 403, 404, 422, 503))
def decision(request: Request, decision_id: str, reader: Reader) -> dict[str, Any]:
    """Return one decision with its ticket, its history and everything said about it."""
    service: Service = request.app.state.service
    return described(kept(service, decision_id), reader, service)


def kept(service: Service, decision_id: str) -> DecisionRow:
    """Return a decision of the store.

    Raises:
        NotFound: There is none with that id.
    """
    row = service.repository.decision(decision_id) if "\x00" not in decision_id else None
    if row is None:
        raise NotFound(
            "no-such-decision",
            "there is no decision with that id: it was never made here, or is past its retention; "
            "see GET /v1/decisions",
        )
    return row


def described(row: DecisionRow, reader: Principal, service: Service) -> dict[str, Any]:
    """Return a decision as `KeptDecisionOut` describes it, without what the reader's clearance does not cover."""
    withheld = row.sensitive and reader.clearance < service.desk.triager.policy.sensitive_clearance
    answer = without_similar(row.answer) if withheld or reader.clearance < row.clearance else row.answer
    if withheld:
        answer = {**answer, "explanation": {"terms": [], "against": [], "similar": []}}
    hidden = withheld or row.forgotten
    standing = row.standing
    return {
        **answer,
        "created_at": row.created_at,
        "desk": row.source,
        "revision": row.revision,
        "ticket": None if hidden else {"subject": row.subject, "body": row.body, "channel": row.channel},
        "withheld": withheld,
        "standing": standing.document() if standing else None,
        "feedback": [said.document() for said in row.feedback],
        "revisions": list(row.revisions),
    }
