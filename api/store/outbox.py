"""The outbox: updates for helpdesks, queued with what caused them, sent at least once, dead letters when they fail."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import delete, select, update
from sqlalchemy.orm import Session

from api.http.exceptions import NotFound
from api.store.idempotency import IdempotencyKeys
from api.store.rows import dump
from api.store.tables import StoredDelivery, StoredUpdate

PENDING, SENT, DEAD = "pending", "sent", "dead"


@dataclass(frozen=True)
class PendingUpdate:
    """An update that is to be sent: to which helpdesk, about which ticket, and what it says."""

    target: str
    ticket_id: str
    decision_id: str
    payload: Mapping[str, Any]


@dataclass(frozen=True)
class UpdateRow:
    """An update as it stands in the store."""

    seq: int
    target: str
    ticket_id: str
    decision_id: str
    payload: dict[str, Any]
    state: str
    attempts: int
    last_error: str | None
    due_at: datetime
    created_at: datetime

    def document(self) -> dict[str, Any]:
        """Return it as a JSON document."""
        return {**asdict(self), "due_at": self.due_at.isoformat(), "created_at": self.created_at.isoformat()}


class Outbox(IdempotencyKeys):
    """The part of the repository that keeps deliveries from helpdesks and updates to them."""

    def take_delivery(self, source: str, ids: Sequence[str], pending: Sequence[PendingUpdate] = ()) -> bool:
        """Note under all its ids that a delivery was taken, together with the updates that it caused.

        Returns:
            False where the delivery was taken before; nothing is queued then.
        """
        with self.database.writing() as session:
            self.database.serialise(session, *(f"delivery {source} {one}" for one in ids))
            if any(session.get(StoredDelivery, (source, one)) is not None for one in ids):
                return False
            session.add_all(StoredDelivery(source=source, id=one, received_at=datetime.now(UTC)) for one in ids)
            queue_updates(session, pending)
            return True

    def has_delivery(self, source: str, delivery_id: str) -> bool:
        """Say whether a delivery was taken before."""
        with self.database.reading() as session:
            return session.get(StoredDelivery, (source, delivery_id)) is not None

    def claim_updates(self, limit: int, hold: timedelta) -> list[UpdateRow]:
        """Take updates that are due, so that no other worker takes them for a while.

        Args:
            limit: Most updates to take.
            hold: How long they are this worker's: one that dies leaves them to the others after that.
        """
        now = datetime.now(UTC)
        with self.database.writing() as session:
            due = select(StoredUpdate).where(StoredUpdate.state == PENDING, StoredUpdate.due_at <= now)
            rows = list(
                session.scalars(
                    due.order_by(StoredUpdate.due_at, StoredUpdate.seq).limit(limit).with_for_update(skip_locked=True)
                )
            )
            for row in rows:
                row.due_at = now + hold
            session.flush()
            return [_update_row(row) for row in rows]

    def next_due(self) -> datetime | None:
        """Return when the next update is due, or None where nothing is pending."""
        with self.database.reading() as session:
            query = (
                select(StoredUpdate.due_at).where(StoredUpdate.state == PENDING).order_by(StoredUpdate.due_at).limit(1)
            )
            return session.scalar(query)

    def acknowledge_update(self, seq: int, *, error: str | None = None, retry_at: datetime | None = None) -> None:
        """Note how an update went: sent, to be tried again at a time, or dead."""
        values: dict[str, Any] = {"attempts": StoredUpdate.attempts + 1, "last_error": error}
        if error is None:
            values |= {"state": SENT, "sent_at": datetime.now(UTC)}
        elif retry_at is None:
            values |= {"state": DEAD}
        else:
            values |= {"due_at": retry_at}
        with self.database.writing() as session:
            session.execute(
                update(StoredUpdate).where(StoredUpdate.seq == seq, StoredUpdate.state == PENDING).values(**values)
            )

    def updates(self, state: str | None = None, limit: int = 1000) -> list[UpdateRow]:
        """Return updates, oldest first; those in one state, or all that are not sent yet."""
        wanted = StoredUpdate.state == state if state else StoredUpdate.state != SENT
        with self.database.reading() as session:
            return [
                _update_row(row)
                for row in session.scalars(select(StoredUpdate).where(wanted).order_by(StoredUpdate.seq).limit(limit))
            ]

    def retry_updates(self, seqs: Sequence[int] | None = None) -> int:
        """Give dead updates another round of tries, and return their number; all of them where none is named.

        Raises:
            NotFound: One that is named is not dead.
        """
        with self.database.writing() as session:
            query = select(StoredUpdate).where(StoredUpdate.state == DEAD)
            rows = list(session.scalars(query.where(StoredUpdate.seq.in_(seqs)) if seqs is not None else query))
            missing = sorted(set(seqs or ()) - {row.seq for row in rows})
            if missing:
                raise NotFound(
                    "no-such-update", f"no dead update {', '.join(map(str, missing))}: see triage store outbound list"
                )
            for row in rows:
                row.state, row.attempts, row.due_at = PENDING, 0, datetime.now(UTC)
            return len(rows)


def queue_updates(session: Session, pending: Sequence[PendingUpdate]) -> None:
    """Queue updates in a transaction that is open; one that is newer replaces those about the same ticket."""
    now = datetime.now(UTC)
    for one in pending:
        older = StoredUpdate.target == one.target, StoredUpdate.ticket_id == one.ticket_id, StoredUpdate.state != SENT
        session.execute(delete(StoredUpdate).where(*older))  # what is newer says it all; an old one must not come last
        row = StoredUpdate(
            target=one.target,
            ticket_id=one.ticket_id,
            decision_id=one.decision_id,
            payload=dump(dict(one.payload)),
            state=PENDING,
            attempts=0,
            due_at=now,
            created_at=now,
        )
        session.add(row)
    session.flush()


def _update_row(row: StoredUpdate) -> UpdateRow:
    names = ("seq", "target", "ticket_id", "decision_id", "state", "attempts", "last_error", "due_at", "created_at")
    return UpdateRow(payload=json.loads(row.payload), **{name: getattr(row, name) for name in names})
