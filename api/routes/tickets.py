"""`/v1/tickets/{id}`: what happens to a ticket after its decision, whether it moves, and its history."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query

from api.deps import Caller, Reader, ThreadsDep
from api.http.openapi import PROBLEMS, problems
from api.http.schemas import MAX_NAME_CHARS, NO_NUL
from api.http.ticket_schemas import AnswersIn, EscalationIn, EscalationOut, EventIn, EventOut, PacketOut, TicketViewOut
from api.http.whole_parts import WholePartsRoute
from api.security.auth import GuardedRoute, Principal


class TicketRoute(WholePartsRoute, GuardedRoute):
    """A route of one ticket, whose id may hold a slash, sent as %2F.

    It knows all its parameters: one of the same id at another desk is another ticket.
    """

    strict = frozenset({"GET", "POST"})


router = APIRouter(prefix="/v1", tags=["tickets"], route_class=TicketRoute)

TicketId = Annotated[
    str,
    Path(
        min_length=1,
        max_length=MAX_NAME_CHARS,
        pattern=NO_NUL,
        description="the helpdesk's own id; a slash in it is sent as %2F",
    ),
]
Desk = Annotated[
    str | None,
    Query(
        min_length=1,
        max_length=MAX_NAME_CHARS,
        pattern=NO_NUL,
        description="name of the helpdesk or mailbox that the ticket came from, as `desk` of its decision says; left "
        "out: the ticket was sent with a key",
    ),
]


async def _reader_at_desk(reader: Reader, desk: Desk = None) -> Principal:
    return reader.at_desk(desk)


async def _caller_at_desk(caller: Caller, desk: Desk = None) -> Principal:
    return caller.at_desk(desk)


DeskReader = Annotated[Principal, Depends(_reader_at_desk)]
DeskCaller = Annotated[Principal, Depends(_caller_at_desk)]


@router.get("/tickets/{ticket_id}", responses={**problems(401, 403, 404), **problems(422, 503)})
async def ticket(ticket_id: TicketId, threads: ThreadsDep, reader: DeskReader) -> TicketViewOut:
    """Return a ticket's routes, everything that happened to it, oldest first, and what goes with it now."""
    return await threads.told(ticket_id, reader)


@router.post("/tickets/{ticket_id}/events", responses={**PROBLEMS, **problems(404, 409, 507)})
async def events(ticket_id: TicketId, payload: EventIn, threads: ThreadsDep, sender: DeskCaller) -> EventOut:
    """Take a comment, an attempt, an answer or a status: the whole thread is decided anew.

    The route changes where that is surer than a first decision need be, and never against what a person chose. An event
    that came before changes nothing; one that is older than the last is refused.
    """
    return await threads.take(ticket_id, payload, sender)


@router.post("/tickets/{ticket_id}/answers", responses={**PROBLEMS, **problems(404, 409, 507)})
async def answers(ticket_id: TicketId, payload: AnswersIn, threads: ThreadsDep, sender: DeskCaller) -> EventOut:
    """Take what the requester answered: the whole thread is decided anew, with the answers as evidence."""
    return await threads.answer(ticket_id, payload, sender)


@router.get("/tickets/{ticket_id}/packet", responses={**problems(401, 403, 404), **problems(422, 503)})
async def packet(
    ticket_id: TicketId,
    threads: ThreadsDep,
    asker: DeskReader,
    to: Annotated[
        str | None,
        Query(min_length=1, max_length=MAX_NAME_CHARS, pattern=NO_NUL, description="the tier that takes over"),
    ] = None,
) -> PacketOut:
    """Return what must go with the ticket: quoted where it says so, asked where not; outsiders see no person."""
    return await threads.packet(ticket_id, asker, to)


@router.post("/tickets/{ticket_id}/escalation", responses={**PROBLEMS, **problems(404)})
async def escalation(
    ticket_id: TicketId, threads: ThreadsDep, asker: DeskCaller, payload: EscalationIn | None = None
) -> EscalationOut:
    """Say whether the ticket stays at its tier or moves, by which criterion, and when to ask again."""
    return await threads.escalation(ticket_id, asker, payload.at if payload else None)
