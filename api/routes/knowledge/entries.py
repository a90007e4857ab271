"""`/v1/knowledge`: proposals to hand down, accepting or dismissing them, accepted entries, and those that fit."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Query

from api.deps import KnowledgeDep, Reader, Reviewer
from api.http.openapi import problems
from api.routes.tickets import DeskReader, TicketId, TicketRoute
from api.scoring.knowledge import (
    AcceptIn,
    DismissIn,
    EntriesOut,
    EntryOut,
    ProposalOut,
    ProposalsOut,
    TicketKnowledgeOut,
    WithdrawIn,
)
from api.security.auth import GuardedRoute

router = APIRouter(prefix="/v1", tags=["knowledge"], route_class=GuardedRoute)
of_tickets = APIRouter(prefix="/v1", tags=["knowledge"], route_class=TicketRoute)

EntryId = Annotated[str, Path(pattern=r"^k-[0-9a-f]{4,40}$", description="the id of a proposal and of its entry")]


@router.get("/knowledge/proposals", responses=problems(401, 403, 422, 503))
def proposals(knowledge: KnowledgeDep, reader: Reader) -> ProposalsOut:
    """Return what could be handed down: tickets of higher tiers that share a resolution, with the evidence."""
    return knowledge.proposals(reader)


@router.post(
    "/knowledge/proposals/{entry_id}/accept", responses={**problems(400, 401, 403, 404), **problems(413, 415, 422, 503)}
)
def accept(entry_id: EntryId, payload: AcceptIn, knowledge: KnowledgeDep, reviewer: Reviewer) -> EntryOut:
    """Accept a proposal: it becomes a knowledge entry, or the next version of one; or write an entry's next version."""
    return knowledge.accept(entry_id, payload, reviewer)


@router.post(
    "/knowledge/proposals/{entry_id}/dismiss",
    responses={**problems(400, 401, 403, 404), **problems(409, 413, 415, 422), **problems(503)},
)
def dismiss(entry_id: EntryId, payload: DismissIn, knowledge: KnowledgeDep, reviewer: Reviewer) -> ProposalOut:
    """Decide against a proposal, or let it wait again."""
    return knowledge.dismiss(entry_id, payload, reviewer)


@router.get("/knowledge/entries", responses=problems(401, 403, 422, 503))
def entries(knowledge: KnowledgeDep, reader: Reader) -> EntriesOut:
    """Return the accepted entries in their newest versions."""
    return knowledge.entries(reader)


@router.get("/knowledge/entries/{entry_id}", responses={**problems(401, 403, 404), **problems(422, 503)})
def entry(
    entry_id: EntryId,
    knowledge: KnowledgeDep,
    reader: Reader,
    version: Annotated[
        int | None, Query(ge=1, le=1_000_000, description="its newest one where it is not given")
    ] = None,
) -> EntryOut:
    """Return an entry in one of its versions."""
    return knowledge.entry(entry_id, version, reader)


@router.post(
    "/knowledge/entries/{entry_id}/withdraw", responses={**problems(400, 401, 403, 404), **problems(413, 415, 422, 503)}
)
def withdraw(entry_id: EntryId, payload: WithdrawIn, knowledge: KnowledgeDep, reviewer: Reviewer) -> EntryOut:
    """Withdraw an entry: it fits no ticket any more."""
    return knowledge.withdraw(entry_id, payload, reviewer)


@of_tickets.get("/tickets/{ticket_id}/knowledge", responses={**problems(401, 403, 404), **problems(422, 503)})
def fitting(ticket_id: TicketId, knowledge: KnowledgeDep, reader: DeskReader) -> TicketKnowledgeOut:
    """Return the entries that fit a ticket, by the words that their tickets share."""
    return knowledge.fitting(ticket_id, reader)
