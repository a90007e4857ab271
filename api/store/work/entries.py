"""The line that a decision has in the queue: computed from it and the feedback on it, in their transaction."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, insert, select, update
from sqlalchemy.orm import Session

from api.store.database import Prepared
from api.store.rows import FeedbackRow, disputed_among, last_label, last_word
from api.store.tables import Base, StoredDecision, StoredEvent, StoredTicket
from api.store.work.tables import StoredEntry
from models.wire import DecisionDocument
from triage.decision import Reason

_ROUTE = ("tier", "category", "resolver_group")
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
    needed = document.automation != "automatic" or document.is_audit or bool(attention)
    values = {
        "decision_seq": decision_seq,
        "decision_id": document.decision_id,
        "waiting": needed and not aside,
        "calm": aside or not attention,
        "attention": f" {' '.join(attention)} " if attention else "",
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


def move(session: Session, decision_seq: int, labels: tuple[str | None, str | None, str | None]) -> None:
    """Bring the line of a decision to where an event took its ticket: tier, category and resolver group."""
    parts = dict(zip(_ROUTE, labels, strict=True))
    session.execute(update(StoredEntry).where(StoredEntry.decision_seq == decision_seq).values(**parts))


def follow(session: Session, decision: StoredDecision, said: Sequence[FeedbackRow]) -> None:
    """Bring the line of a decision to what people say of it now; a verdict ends the claim.

    Args:
        session: Of the transaction that keeps what they said.
        decision: The decision.
        said: Everything said about it, oldest first.
    """
    entry = session.get(StoredEntry, decision.seq)
    if entry is None:
        return
    standing, settled = last_word(said), last_label(said)
    corrected = settled if settled is not None and settled.verdict == "corrected" else None
    document = DecisionDocument.model_validate_json(decision.document)
    route = _route_of_events(session, decision) or {}
    for part in _ROUTE:
        setattr(entry, part, getattr(corrected, part, None) or route.get(part) or getattr(document, part))
    needed = entry.automation != "automatic" or entry.audit or bool(entry.attention)
    entry.verdict = standing.verdict if standing is not None else None
    entry.waiting = needed and standing is None and not entry.superseded
    entry.calm = not (entry.attention and entry.waiting)
    entry.disputed = disputed_among(said)
    if standing is not None:
        entry.claimed_by = entry.claimed_at = None


def _route_of_events(session: Session, decision: StoredDecision) -> dict[str, Any] | None:
    """Return where the events of a decision's ticket took it last, or None; only its newest text has moved."""
    query = select(StoredEvent.route).where(
        StoredEvent.ticket_seq == decision.ticket_seq, StoredEvent.route.is_not(None)
    )
    kept = session.scalar(query.order_by(StoredEvent.seq.desc()).limit(1))
    return None if kept is None else dict(json.loads(kept))
