"""The tables of work: one line for each decision as it stands, who looks at what, and jobs in the background."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from sqlalchemy import ColumnElement, Float, ForeignKey, Index, String, Text, text
from sqlalchemy.orm import Mapped, mapped_column

from api.store.tables import Base, Sequence, Utc
from models.wire import RouteDocument

_WAITS = text("waiting")


def attention_column(kinds: Iterable[str]) -> str:
    """Write kinds of what must not wait as a line has them: each once, with a blank on either side of it.

    Example:
        >>> attention_column(["safety", "outage", "safety"]), attention_column([])
        (' safety outage ', '')
    """
    names = " ".join(dict.fromkeys(kinds))
    return f" {names} " if names else ""


def needs_person(*, automation: str, audit: bool, flagged: bool) -> bool:
    """Say whether a decision is for a person: not automatic, drawn for a check, or about what must not wait."""
    return automation != "automatic" or audit or flagged


class StoredEntry(Base):
    """A decision as it stands now: its route after corrections, whether a person is needed, and who has taken it.

    Everything but the claim follows from the decision and the feedback on it, so that it can be made anew at any time.
    `calm` is false while something that must never wait has had no answer: the order of the queue begins with it.
    """

    __tablename__ = "queue_entries"
    __table_args__ = (
        Index("ix_queue_order", "calm", "decision_seq", sqlite_where=_WAITS, postgresql_where=_WAITS),
        Index("ix_queue_unsure", "confidence", "decision_seq", sqlite_where=_WAITS, postgresql_where=_WAITS),
        Index(
            "ix_queue_counts",
            *("tier", "resolver_group", "automation", "abstained", "audit", "calm"),
            sqlite_where=_WAITS,
            postgresql_where=_WAITS,
        ),
        Index("ix_queue_verdict", "verdict", "decision_seq"),
        Index("ix_queue_disputed", "disputed", "decision_seq"),
        Index("ix_queue_claimed", "claimed_by", "claimed_at"),
    )

    decision_seq: Mapped[int] = mapped_column(
        Sequence, ForeignKey("decisions.seq", ondelete="CASCADE"), primary_key=True, autoincrement=False
    )
    decision_id: Mapped[str] = mapped_column(String(36), unique=True)
    waiting: Mapped[bool]
    calm: Mapped[bool]
    attention: Mapped[str] = mapped_column(Text)
    tier: Mapped[str | None] = mapped_column(Text)
    category: Mapped[str | None] = mapped_column(Text)
    resolver_group: Mapped[str | None] = mapped_column(Text)
    automation: Mapped[str] = mapped_column(String(16))
    reason: Mapped[str] = mapped_column(String(32))
    rule: Mapped[str | None] = mapped_column(Text)
    model_version: Mapped[str | None] = mapped_column(Text)
    abstained: Mapped[bool]
    audit: Mapped[bool]
    verdict: Mapped[str | None] = mapped_column(String(16))
    disputed: Mapped[bool]
    superseded: Mapped[bool]
    confidence: Mapped[float | None] = mapped_column(Float)
    claimed_by: Mapped[str | None] = mapped_column(Text)
    claimed_at: Mapped[datetime | None] = mapped_column(Utc)

    @property
    def kinds(self) -> list[str]:
        """The kinds of what must not wait that were found."""
        return self.attention.split()

    @classmethod
    def has_kind(cls, kind: str) -> ColumnElement[bool]:
        """Return the condition that a kind of what must not wait was found; ``any`` for every kind."""
        if kind == "any":
            return cls.attention != ""
        return cls.attention.contains(attention_column([kind]), autoescape=True)

    @property
    def route(self) -> RouteDocument:
        """Where lists find the decision."""
        return RouteDocument(tier=self.tier, category=self.category, resolver_group=self.resolver_group)


class StoredViewer(Base):
    """Somebody who has a decision open on the page, and when that was last known."""

    __tablename__ = "viewers"

    decision_id: Mapped[str] = mapped_column(ForeignKey("decisions.id", ondelete="CASCADE"), primary_key=True)
    agent: Mapped[str] = mapped_column(Text, primary_key=True)
    seen_at: Mapped[datetime] = mapped_column(Utc)


class StoredJob(Base):
    """A job in the background, such as a training: what was asked, how it went, and what people did with it."""

    __tablename__ = "jobs"

    id: Mapped[str] = mapped_column(String(36), primary_key=True)
    kind: Mapped[str] = mapped_column(String(16))
    title: Mapped[str] = mapped_column(Text)
    state: Mapped[str] = mapped_column(String(16))
    log: Mapped[str] = mapped_column(Text)
    result: Mapped[str | None] = mapped_column(Text)
    verdict: Mapped[str | None] = mapped_column(String(16))
    asked_by: Mapped[str] = mapped_column(Text)
    created_at: Mapped[datetime] = mapped_column(Utc)
    seen_at: Mapped[datetime] = mapped_column(Utc)
    ended_at: Mapped[datetime | None] = mapped_column(Utc)
