"""What events changed about tickets: where they went, and what must not wait that came up with them."""

from __future__ import annotations

import json
from collections.abc import Collection
from datetime import datetime

from sqlalchemy import func, or_, select, tuple_
from sqlalchemy.orm import Session

from api.store.rows import Happened
from api.store.tables import StoredDecision, StoredEvent, StoredTicket
from triage.escalation.standing import Step
from triage.escalation.thread import Mover, Route

ATTENTION = '"attention":'
"""What the document of an event holds only where something that must not wait came up with it: quotes that stand in a
text are escaped."""


def happened_to(session: Session, tickets: Collection[tuple[str, str]]) -> dict[tuple[str, str], list[Happened]]:
    """Return the events that moved tickets or say that they must not wait, oldest first, by source and ticket id."""
    query = (
        select(StoredEvent, StoredTicket.revision, func.max(StoredDecision.seq))
        .join(StoredTicket, StoredTicket.seq == StoredEvent.ticket_seq)
        .join(StoredDecision, StoredDecision.ticket_seq == StoredEvent.ticket_seq)
        .where(tuple_(StoredEvent.source, StoredEvent.ticket_id).in_(list(tickets)))
        .where(or_(StoredEvent.route.is_not(None), StoredEvent.event.contains(ATTENTION, autoescape=True)))
        .group_by(StoredEvent.seq, StoredTicket.revision)
        .order_by(StoredEvent.seq)
    )
    found: dict[tuple[str, str], list[Happened]] = {}
    rows = list(session.execute(query))
    seqs = {seq for _, _, seq in rows}
    names = select(StoredDecision.seq, StoredDecision.id).where(StoredDecision.seq.in_(seqs))
    ids = {row.seq: row.id for row in session.execute(names)} if seqs else {}
    for event, revision, seq in rows:
        found.setdefault((event.source, event.ticket_id), []).append(_happened(event, revision, ids[seq]))
    return found


def places_with_events(session: Session, tickets: Collection[tuple[str, str]]) -> set[tuple[str, str]]:
    """Return those of some tickets to which anything happened, by source and ticket id."""
    if not tickets:
        return set()
    place = (StoredEvent.source, StoredEvent.ticket_id)
    query = select(*place).where(tuple_(*place).in_(list(tickets))).distinct()
    return {(source, ticket) for source, ticket in session.execute(query)}


def alarms_in(document: str) -> tuple[tuple[str, str], ...]:
    """Return what must not wait of an event's document: each kind, with the words that say so."""
    return tuple((kind, evidence) for kind, evidence in json.loads(document).get("attention", ()))


def route_in(document: str | None) -> Route | None:
    """Return the route that an event led to, of its document; None where the ticket stayed."""
    if document is None:
        return None
    values = json.loads(document)
    values.setdefault("wholly", values["automatic"])  # before both were told apart
    return Route(**{**values, "at": datetime.fromisoformat(values["at"]), "by": Mover(values["by"])})


def step_of(event: StoredEvent, decision_id: str) -> Step | None:
    """Return where an event led, under the decision about the ticket's text then; None where the ticket stayed."""
    route = route_in(event.route)
    return None if route is None else Step(event.created_at, decision_id, route)


def _happened(event: StoredEvent, revision: int, decision_id: str) -> Happened:
    return Happened(event.created_at, revision, step_of(event, decision_id), alarms_in(event.event))
