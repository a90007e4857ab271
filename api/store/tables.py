"""The tables of the store, as SQLAlchemy models; one shape for SQLite and PostgreSQL."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    DateTime,
    Dialect,
    Float,
    ForeignKey,
    Index,
    Integer,
    String,
    Text,
    UniqueConstraint,
    false,
    text,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship
from sqlalchemy.types import TypeDecorator


class Utc(TypeDecorator[datetime]):
    """A moment in UTC that comes back with its time zone from either database."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Turn a moment into UTC before it is stored."""
        return None if value is None else value.astimezone(UTC)

    def process_result_value(self, value: Any, dialect: Dialect) -> datetime | None:
        """Give a stored moment its time zone back."""
        if not isinstance(value, datetime):
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


Sequence = BigInteger().with_variant(Integer, "sqlite")
"""Type of a running number: SQLite only counts up by itself in an INTEGER."""


_GONE = text("forgotten_at IS NOT NULL")


class Base(DeclarativeBase):
    """Base of all tables."""


class StoredTicket(Base):
    """One revision of a ticket: another text under the same id is another row."""

    __tablename__ = "tickets"
    __table_args__ = (
        UniqueConstraint("source", "ticket_id", "digest", name="uq_tickets_text"),
        UniqueConstraint("source", "ticket_id", "revision", name="uq_tickets_revision"),
        Index("ix_tickets_received", "received_at"),
        Index("ix_tickets_forgotten", "forgotten_at", sqlite_where=_GONE, postgresql_where=_GONE),
    )

    seq: Mapped[int] = mapped_column(Sequence, primary_key=True, autoincrement=True)
    source: Mapped[str] = mapped_column(String(64))
    ticket_id: Mapped[str | None] = mapped_column(Text)
    revision: Mapped[int] = mapped_column(Integer)
    digest: Mapped[str] = mapped_column(String(64))
    subject: Mapped[str] = mapped_column(Text)
    body: Mapped[str] = mapped_column(Text)
    channel: Mapped[str | None] = mapped_column(Text)
    language: Mapped[str | None] = mapped_column(Text)
    requester: Mapped[str | None] = mapped_column(Text)
    attributes: Mapped[str] = mapped_column(Text)
    opened_at: Mapped[datetime | None] = mapped_column(Utc)
    received_at: Mapped[datetime] = mapped_column(Utc)
    forgotten_at: Mapped[datetime | None] = mapped_column(Utc)


class StoredForgotten(Base):
    """A ticket that was forgotten, by its id alone: a backup of before must not bring its words back.

    An empty `source` stands for every helpdesk. A ticket of the history has no other row.
    """

    __tablename__ = "forgotten"

    source: Mapped[str] = mapped_column(String(64), primary_key=True)
    ticket_id: Mapped[str] = mapped_column(Text, primary_key=True)
    forgotten_at: Mapped[datetime] = mapped_column(Utc)


class StoredDecision(Base):
    """What was decided about one revision of a ticket; `document` is a `models.wire.DecisionDocument` as JSON text."""

    __tablename__ = "decisions"
    __table_args__ = (Index("ix_decisions_ticket", "ticket_seq"), Index("ix_decisions_created", "created_at"))

    seq: Mapped[int] = mapped_column(Sequence, primary_key=True, autoincrement=True)
    id: Mapped[str] = mapped_column(String(36), unique=True)
    ticket_seq: Mapped[int] = mapped_column(ForeignKey("tickets.seq", ondelete="CASCADE"))
    key_id: Mapped[str | None] = mapped_column(String(36))
    tier: Mapped[str | None] = mapped_column(Text)
    category: Mapped[str | None] = mapped_column(Text)
    automation: Mapped[str] = mapped_column(String(16))
    reason: Mapped[str] = mapped_column(String(32))
    model_version: Mapped[str | None] = mapped_column(Text)
    sensitive: Mapped[bool]
    clearance: Mapped[int] = mapped_column(Integer)
    document: Mapped[str] = mapped_column("answer", Text)
    created_at: Mapped[datetime] = mapped_column(Utc)

    ticket: Mapped[StoredTicket] = relationship(lazy="joined", innerjoin=True)


class StoredFeedback(Base):
    """One thing that a person said about a decision; rows are only ever added."""

    __tablename__ = "feedback"
    __table_args__ = (
        Index("ix_feedback_decision", "decision_id"),
        Index("ix_feedback_agent", "agent", "created_at"),
        Index("ix_feedback_key", "key_id", "created_at"),
        UniqueConstraint("undoes", name="uq_feedback_undoes"),
    )

    seq: Mapped[int] = mapped_column(Sequence, primary_key=True, autoincrement=True)
    id: Mapped[str] = mapped_column(String(36), unique=True)
    decision_id: Mapped[str] = mapped_column(ForeignKey("decisions.id", ondelete="CASCADE"))
    verdict: Mapped[str] = mapped_column(String(16))
    tier: Mapped[str | None] = mapped_column(Text)
    category: Mapped[str | None] = mapped_column(Text)
    resolver_group: Mapped[str | None] = mapped_column(Text)
    labels: Mapped[str | None] = mapped_column(Text)
    agent: Mapped[str] = mapped_column(Text)
    key_id: Mapped[str | None] = mapped_column(String(36))
    reason: Mapped[str | None] = mapped_column(Text)
    comment: Mapped[str | None] = mapped_column(Text)
    undoes: Mapped[str | None] = mapped_column(String(36))
    created_at: Mapped[datetime] = mapped_column(Utc)


class StoredForestalled(Base):
    """An id that was answered before it was known that another decision stands: it leads to that one."""

    __tablename__ = "forestalled"

    id: Mapped[str] = mapped_column(String(36), primary_key=True)
    decision_id: Mapped[str] = mapped_column(ForeignKey("decisions.id", ondelete="CASCADE"), index=True)


class StoredIdempotencyKey(Base):
    """A request that carried an idempotency key, and the rows that its answer was made of."""

    __tablename__ = "attempts"
    __table_args__ = (Index("ix_attempts_created", "created_at"),)

    owner: Mapped[str] = mapped_column(String(36), primary_key=True)
    key: Mapped[str] = mapped_column(String(255), primary_key=True)
    digest: Mapped[str] = mapped_column(String(64))
    kind: Mapped[str] = mapped_column(String(16))
    refs: Mapped[str] = mapped_column(Text)
    created_at: Mapped[datetime] = mapped_column(Utc)


class StoredKey(Base):
    """An API key: only its prefix and its SHA-256 are kept."""

    __tablename__ = "keys"

    id: Mapped[str] = mapped_column(String(36), primary_key=True)
    name: Mapped[str] = mapped_column(Text)
    prefix: Mapped[str] = mapped_column(String(16), unique=True)
    digest: Mapped[str] = mapped_column(String(64))
    scopes: Mapped[str] = mapped_column(Text)
    clearance: Mapped[int] = mapped_column(Integer)
    created_at: Mapped[datetime] = mapped_column(Utc)
    expires_at: Mapped[datetime | None] = mapped_column(Utc)
    revoked_at: Mapped[datetime | None] = mapped_column(Utc)


class StoredSession(Base):
    """A session on the page: the SHA-256 of its token, and the account or the key that it was opened with."""

    __tablename__ = "sessions"

    digest: Mapped[str] = mapped_column(String(64), primary_key=True)
    key_id: Mapped[str | None] = mapped_column(ForeignKey("keys.id", ondelete="CASCADE"))
    user_id: Mapped[str | None] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    agent: Mapped[str] = mapped_column(Text)
    created_at: Mapped[datetime] = mapped_column(Utc)
    expires_at: Mapped[datetime] = mapped_column(Utc)


class StoredDelivery(Base):
    """A webhook delivery that was taken, and what it was answered: the same id is never taken twice."""

    __tablename__ = "deliveries"
    __table_args__ = (Index("ix_deliveries_received", "received_at"),)

    source: Mapped[str] = mapped_column(String(64), primary_key=True)
    id: Mapped[str] = mapped_column(String(255), primary_key=True)
    answer: Mapped[str | None] = mapped_column(Text)
    received_at: Mapped[datetime] = mapped_column(Utc)


class StoredPosition(Base):
    """How far a channel was read, such as a mailbox: what lies before it was taken."""

    __tablename__ = "positions"

    source: Mapped[str] = mapped_column(String(64), primary_key=True)
    name: Mapped[str] = mapped_column(String(255), primary_key=True)
    value: Mapped[str] = mapped_column(Text)
    updated_at: Mapped[datetime] = mapped_column(Utc)


class StoredUpdate(Base):
    """An update for a helpdesk: pending until it is sent, dead once it has failed too often.

    Whoever sends one knows it by its number for as long as a helpdesk takes to answer, and it may be withdrawn
    meanwhile: no other one ever gets that number, as in SQLite the next would.
    """

    __tablename__ = "updates"
    __table_args__ = (Index("ix_updates_due", "state", "due_at"), {"sqlite_autoincrement": True})

    seq: Mapped[int] = mapped_column(Sequence, primary_key=True, autoincrement=True)
    target: Mapped[str] = mapped_column(String(64))
    ticket_id: Mapped[str] = mapped_column(Text)
    decision_id: Mapped[str] = mapped_column(String(36))
    kind: Mapped[str] = mapped_column(String(8))
    payload: Mapped[str] = mapped_column(Text)
    state: Mapped[str] = mapped_column(String(8))
    attempts: Mapped[int] = mapped_column(Integer)
    last_error: Mapped[str | None] = mapped_column(Text)
    due_at: Mapped[datetime] = mapped_column(Utc)
    created_at: Mapped[datetime] = mapped_column(Utc)
    sent_at: Mapped[datetime | None] = mapped_column(Utc)


class StoredAutonomy(Base):
    """How far one model may go for one target: the state before any review here, the state now, and why."""

    __tablename__ = "autonomy"

    model_version: Mapped[str] = mapped_column(String(64), primary_key=True)
    target: Mapped[str] = mapped_column(String(64), primary_key=True)
    base: Mapped[str] = mapped_column(Text)
    state: Mapped[str] = mapped_column(Text)
    mode: Mapped[str] = mapped_column(String(16))
    because: Mapped[str] = mapped_column(Text)
    changed_at: Mapped[datetime] = mapped_column(Utc)
    in_use: Mapped[bool]


class StoredReview(Base):
    """What a person's verdict says of the model's label for one target; it outlives the ticket, and names nobody."""

    __tablename__ = "reviews"
    __table_args__ = (
        UniqueConstraint("decision_id", "target", name="uq_reviews_decision"),
        Index("ix_reviews_model", "model_version", "target", "seq"),
    )

    seq: Mapped[int] = mapped_column(Sequence, primary_key=True, autoincrement=True)
    decision_id: Mapped[str] = mapped_column(String(36))
    target: Mapped[str] = mapped_column(String(64))
    model_version: Mapped[str] = mapped_column(String(64))
    audited: Mapped[bool]
    error: Mapped[bool | None]
    agent: Mapped[str] = mapped_column(String(16))
    created_at: Mapped[datetime] = mapped_column(Utc)


class StoredAutonomyChange(Base):
    """Automation for one target opened or closed, and why; rows are only ever added."""

    __tablename__ = "autonomy_changes"

    seq: Mapped[int] = mapped_column(Sequence, primary_key=True, autoincrement=True)
    target: Mapped[str] = mapped_column(String(64))
    model_version: Mapped[str] = mapped_column(String(64))
    mode: Mapped[str] = mapped_column(String(16))
    because: Mapped[str] = mapped_column(Text)
    reviews: Mapped[int]
    errors: Mapped[int]
    created_at: Mapped[datetime] = mapped_column(Utc)


class StoredEvent(Base):
    """Something that happened to a ticket, and the route that it led to, as JSON text; rows are only ever added."""

    __tablename__ = "ticket_events"
    __table_args__ = (
        UniqueConstraint("source", "ticket_id", "event_id", name="uq_ticket_events_id"),
        Index("ix_ticket_events_ticket", "ticket_seq"),
    )

    seq: Mapped[int] = mapped_column(Sequence, primary_key=True, autoincrement=True)
    ticket_seq: Mapped[int] = mapped_column(ForeignKey("tickets.seq", ondelete="CASCADE"))
    source: Mapped[str] = mapped_column(String(64))
    ticket_id: Mapped[str] = mapped_column(Text)
    event_id: Mapped[str] = mapped_column(String(255))
    event: Mapped[str] = mapped_column(Text)
    route: Mapped[str | None] = mapped_column(Text)
    key_id: Mapped[str | None] = mapped_column(String(36))
    sensitive: Mapped[bool] = mapped_column(server_default=false())
    at: Mapped[datetime] = mapped_column(Utc)
    created_at: Mapped[datetime] = mapped_column(Utc)


class StoredRateWindow(Base):
    """How many calls of a key were counted in the window that ends at a moment, in seconds since 1970."""

    __tablename__ = "rate_windows"

    key: Mapped[str] = mapped_column(Text, primary_key=True)
    calls: Mapped[int]
    ends_at: Mapped[float] = mapped_column(Float)
