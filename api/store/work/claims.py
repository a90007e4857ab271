"""Who has taken a ticket, and who looks at it now: so that two people do not do the same work."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from sqlalchemy import ColumnElement, delete, select
from sqlalchemy.orm import Session

from api.http.exceptions import Contradiction, NotFound
from api.store.idempotency import IdempotencyKeys
from api.store.tables import StoredDecision
from api.store.work.tables import StoredEntry, StoredViewer

CLAIM_AGE = timedelta(minutes=30)
"""How long a claim keeps others off: longer than a ticket takes to be triaged, shorter than a lunch."""
SEEN_AGE = timedelta(seconds=40)
"""How long somebody counts as looking after the last sign of it: two missed signs of 15 s, and some delay."""


class Claims(IdempotencyKeys):
    """The part of the repository that keeps claims and viewers."""

    def claim(self, decision_id: str, agent: str) -> None:
        """Take a ticket; taking one's own again renews it.

        Raises:
            NotFound: There is no such decision.
            Contradiction: Somebody else has it.
            StoreUnavailable: Nothing was changed.
        """
        with self.database.writing() as session:
            self.database.serialise(session, f"decision {decision_id}")
            entry = _entry(session, decision_id)
            if entry.claimed_by not in (None, agent) and is_fresh(entry):
                raise Contradiction("claimed", f"{entry.claimed_by} has taken this ticket: ask, or take another one")
            entry.claimed_by, entry.claimed_at = agent, datetime.now(UTC)

    def release(self, decision_id: str, agent: str) -> None:
        """Give a ticket back; one that was not taken stays as it is.

        Raises:
            NotFound: There is no such decision.
            Contradiction: Somebody else has it.
            StoreUnavailable: Nothing was changed.
        """
        with self.database.writing() as session:
            self.database.serialise(session, f"decision {decision_id}")
            entry = _entry(session, decision_id)
            if entry.claimed_by not in (None, agent) and is_fresh(entry):
                raise Contradiction(
                    "claimed", f"{entry.claimed_by} has taken this ticket: only who has it gives it back"
                )
            entry.claimed_by = entry.claimed_at = None

    def claim_of(self, decision_id: str) -> str | None:
        """Return who has taken a ticket, or None; a claim that is too old does not count."""
        with self.database.reading() as session:
            entry = session.scalar(select(StoredEntry).where(StoredEntry.decision_id == decision_id))
            return entry.claimed_by if entry is not None and is_fresh(entry) else None

    def look(self, decision_id: str, agent: str) -> None:
        """Note that somebody has a ticket open; an unknown one is not noted."""
        with self.database.writing() as session:
            if session.scalar(select(StoredDecision.seq).where(StoredDecision.id == decision_id)) is None:
                return
            session.merge(StoredViewer(decision_id=decision_id, agent=agent, seen_at=datetime.now(UTC)))

    def look_away(self, decision_id: str, agent: str) -> None:
        """Note that somebody has closed a ticket, and forget whoever was not seen for long."""
        with self.database.writing() as session:
            mine = (StoredViewer.decision_id == decision_id) & (StoredViewer.agent == agent)
            session.execute(delete(StoredViewer).where(mine | (StoredViewer.seen_at < datetime.now(UTC) - SEEN_AGE)))

    def viewers(self, decision_id: str) -> list[str]:
        """Return who has a ticket open, by name."""
        with self.database.reading() as session:
            fresh = StoredViewer.seen_at >= datetime.now(UTC) - SEEN_AGE
            query = select(StoredViewer.agent).where(StoredViewer.decision_id == decision_id, fresh)
            return sorted(session.scalars(query))

    def viewing(self) -> frozenset[tuple[str, str]]:
        """Return who looks at which decision now."""
        with self.database.reading() as session:
            fresh = StoredViewer.seen_at >= datetime.now(UTC) - SEEN_AGE
            rows = session.execute(select(StoredViewer.decision_id, StoredViewer.agent).where(fresh))
            return frozenset((decision_id, agent) for decision_id, agent in rows)


def still_claimed() -> ColumnElement[bool]:
    """Return the condition that a ticket has been taken, and not too long ago."""
    return StoredEntry.claimed_at > datetime.now(UTC) - CLAIM_AGE


def is_fresh(entry: StoredEntry) -> bool:
    """Say the same of one line of the queue."""
    return entry.claimed_at is not None and datetime.now(UTC) - entry.claimed_at < CLAIM_AGE


def _entry(session: Session, decision_id: str) -> StoredEntry:
    entry = session.scalar(select(StoredEntry).where(StoredEntry.decision_id == decision_id))
    if entry is None:
        raise NotFound(
            "no-such-decision", "there is no decision with that id: it was never made here, or is past its retention"
        )
    return entry
