"""Whose eyes a ticket is for: said once for all its texts, so that a new one opens nothing that another one closed."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection, select, true, update
from sqlalchemy.orm import Session

from api.store.tables import StoredDecision, StoredEvent, StoredTicket


def withhold(session: Session, decision: StoredDecision) -> None:
    """Keep the ticket of a decision, with all its texts, from those who may not see sensitive ones."""
    _mark(session.connection(), texts_of(session, decision), sensitive=True)


def review(session: Session, decision: StoredDecision, *, suspected: bool) -> None:
    """Say anew whether the ticket of a decision is sensitive.

    Args:
        session: Of the transaction that changes what speaks for it.
        decision: One of the ticket's.
        suspected: Whether what was decided and said about it speaks for it; what happened to it is looked up here.
    """
    texts = texts_of(session, decision)
    happened = session.scalar(
        select(StoredEvent.seq).where(StoredEvent.ticket_seq.in_(texts), StoredEvent.sensitive == true()).limit(1)
    )
    _mark(session.connection(), texts, sensitive=suspected or happened is not None)


def inherited(connection: Connection, texts: Sequence[int], *, sensitive: bool) -> bool:
    """Return whether a new text of a ticket is sensitive: where it is itself, the earlier ones are from then on.

    Args:
        connection: In the transaction that records the decision about it.
        texts: Running numbers of the ticket's earlier texts.
        sensitive: Whether the new text is, looked at alone.
    """
    if sensitive:
        _mark(connection, texts, sensitive=True)
        return True
    earlier = select(StoredDecision.seq).where(StoredDecision.ticket_seq.in_(texts), StoredDecision.sensitive == true())
    return connection.scalar(earlier.limit(1)) is not None


def texts_of(session: Session, decision: StoredDecision) -> list[int]:
    """Return the running numbers of all texts of a decision's ticket."""
    ticket = decision.ticket
    if ticket.ticket_id is None:
        return [ticket.seq]
    same = (StoredTicket.source == ticket.source, StoredTicket.ticket_id == ticket.ticket_id)
    return list(session.scalars(select(StoredTicket.seq).where(*same)))


def _mark(connection: Connection, texts: Sequence[int], *, sensitive: bool) -> None:
    mine = StoredDecision.ticket_seq.in_(texts)
    connection.execute(update(StoredDecision).where(mine).values(sensitive=sensitive))
