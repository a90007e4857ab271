"""The line that a decision has in the queue: computed from it and the feedback on it, in their transaction."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection, insert, select, update
from sqlalchemy.orm import Session

from api.store.database import Prepared
from api.store.rows import FeedbackRow, disputed_among, last_word
from api.store.tables import Base, StoredDecision, StoredEvent, StoredTicket
from api.store.threads.happened import alarms_in
from api.store.work.tables import StoredEntry, attention_column, needs_person
from models.wire import DecisionDocument, RouteDocument
from triage.decision import Reason
from triage.escalation.thread import Mover, Route
from triage.prediction import ROUTE

_ENTRIES = Base.metadata.tables[StoredEntry.__tablename__]
_NEW_ENTRY = Prepared(insert(_ENTRIES), list(_ENTRIES.c.keys()))
SURE = frozenset({Reason.CONFIDENT, Reason.RULE, Reason.NOT_EARNED})
"""Reasons with which the model or a rule did speak; with any other one it abstained."""


def enter(
    connection: Connection,
    decision_seq: int,
    document: DecisionDocument,
    *,
    about: tuple[str, str] | None = None,
    aside: bool = False,
) -> None:
    """Give a new decision its line, and take the line of an earlier decision about the same ticket out of the queue.

    Args:
        connection: In the transaction that records the decision.
        decision_seq: Its running number.
        document: What was decided.
        about: Source and id of its ticket; None where the store is known to hold no earlier decision about it.
        aside: True for a ticket that nobody is to work on, such as those of the sample day.
    """
    if about is not None:
        earlier = (
            select(StoredDecision.seq)
            .join(StoredTicket, StoredTicket.seq == StoredDecision.ticket_seq)
            .where(StoredTicket.source == about[0], StoredTicket.ticket_id == about[1])
            .where(StoredDecision.seq < decision_seq)
        )
        old = list(connection.scalars(earlier))
        if old:
            change = update(StoredEntry).where(StoredEntry.decision_seq.in_(old))
            connection.execute(change.values(superseded=True, waiting=False, calm=True))
    attention = [one.kind for one in document.attention]
    sure = [target.confidence for target in document.targets.values() if target.confidence is not None]
    needed = needs_person(automation=document.automation, audit=document.is_audit, flagged=bool(attention))
    values = {
        "decision_seq": decision_seq,
        "decision_id": document.decision_id,
        "waiting": needed and not aside,
        "calm": aside or not attention,
        "attention": attention_column(attention),
        "tier": document.tier,
        "category": document.category,
        "resolver_group": document.resolver_group,
        "automation": document.automation,
        "reason": document.reason,
        "rule": document.rule,
        "model_version": document.model_version,
        "abstained": document.reason not in SURE,
        "audit": document.is_audit,
        "verdict": None,
        "disputed": False,
        "superseded": aside,
        "confidence": min(sure, default=None),
        "claimed_by": None,
        "claimed_at": None,
    }
    _NEW_ENTRY.run(connection, values)


def place(session: Session, decision_seq: int, route: RouteDocument) -> None:
    """Bring the line of a decision to where its ticket stands.

    Args:
        session: Of the transaction that changes it.
        decision_seq: Running number of the decision.
        route: Where the ticket stands.
    """
    entry = session.get(StoredEntry, decision_seq)
    if entry is not None:
        for part, label in dict(route).items():
            setattr(entry, part, label)


def move(session: Session, decision_seq: int, route: Route | None, alarms: Sequence[str]) -> None:
    """Bring the line of a decision to where an event took its ticket, and to the front where it must not wait now.

    Args:
        session: Of the transaction that keeps the event.
        decision_seq: Running number of the decision.
        route: Where the ticket went; None where it stayed.
        alarms: Kinds of what must not wait that came up: somebody has to confirm them, whatever was said before.
    """
    entry = session.get(StoredEntry, decision_seq)
    if entry is None:
        return
    if route is not None:
        for part in ROUTE:
            setattr(entry, part, getattr(route, part))
        if route.by is Mover.MACHINE and not route.wholly and entry.automation == "automatic":
            entry.automation = "suggested"
            entry.waiting = entry.verdict is None and not entry.superseded
    if alarms:
        entry.attention = attention_column([*entry.kinds, *alarms])
        entry.waiting = not entry.superseded
        entry.calm = entry.superseded


def is_reopened(session: Session, decision_seq: int) -> bool:
    """Say whether something that must not wait came up after the last word on a decision."""
    entry = session.get(StoredEntry, decision_seq)
    return entry is not None and entry.waiting and entry.verdict is not None


def follow(session: Session, decision: StoredDecision, said: Sequence[FeedbackRow]) -> None:
    """Bring the line of a decision to what people say of it now; a verdict ends the claim. See `place` for its route.

    Args:
        session: Of the transaction that keeps what they said.
        decision: The decision.
        said: Everything said about it, oldest first.
    """
    entry = session.get(StoredEntry, decision.seq)
    if entry is None:
        return
    standing, events = last_word(said), _events_of(session, decision)
    alarm = next((one.created_at for one in reversed(events) if alarms_in(one.event)), None)
    answered = standing is not None and (alarm is None or standing.created_at >= alarm)
    needed = needs_person(automation=entry.automation, audit=entry.audit, flagged=bool(entry.attention))
    entry.verdict = standing.verdict if standing is not None else None
    entry.waiting = needed and not answered and not entry.superseded
    entry.calm = not (entry.attention and entry.waiting)
    entry.disputed = disputed_among(said)
    if standing is not None:
        entry.claimed_by = entry.claimed_at = None


def _events_of(session: Session, decision: StoredDecision) -> list[StoredEvent]:
    """Return the events of a decision's text, oldest first: only the newest text of a ticket has moved."""
    query = select(StoredEvent).where(StoredEvent.ticket_seq == decision.ticket_seq)
    return list(session.scalars(query.order_by(StoredEvent.seq)))
