"""What leads look at: decisions counted by route and outcome, by day, and the reviews of one model in their order.

What counts tickets counts each once, by its newest text, and none that is set aside (`ASIDE`), but for those of the
sample day while there are few others: the page of a new service shows that day. What tells how a model does counts
every decision of it.
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import ColumnElement, and_, case, func, or_, select
from sqlalchemy.orm import Session

from api.store.decisions import decision_row, feedback_by_decision
from api.store.idempotency import IdempotencyKeys
from api.store.rows import ASIDE, KEYS, SAMPLE_REQUESTER, DecisionRow
from api.store.tables import StoredDecision, StoredReview, StoredTicket
from api.store.work.tables import StoredEntry


@dataclass(frozen=True)
class Cell:
    """How many tickets share a route, an outcome and what people said of their newest text.

    Drawn for a person to check are those of `audit`; those of `moved` were automatic until an event moved them.
    """

    tier: str | None
    category: str | None
    automation: str
    reason: str
    rule: str | None
    verdict: str | None
    by_model: bool
    count: int
    audit: bool = False
    moved: bool = False


@dataclass(frozen=True)
class Day:
    """How many tickets of one day came out how; `audit` and `moved` are those of `Cell`."""

    day: str
    automation: str
    reason: str
    verdict: str | None
    count: int
    audit: bool = False
    moved: bool = False


@dataclass(frozen=True)
class Served:
    """What one model version decided, how much of it without a person, and what people said."""

    model_version: str | None
    decisions: int = 0
    automatic: int = 0
    accepted: int = 0
    corrected: int = 0


@dataclass(frozen=True)
class Signal:
    """What one decision says of its ticket: characters of its text, confidence, abstention, and category."""

    chars: int
    confidence: float | None
    abstained: bool
    category: str | None


_COUNTS = StoredEntry.superseded.is_(False)
"""No later text took its place, and the ticket is not set aside."""
OWN_ENOUGH = 100
"""Tickets of a desk's own from which on those of the sample day no longer count."""
_MOVED = and_(StoredDecision.automation == "automatic", StoredEntry.automation != "automatic")


def _counting(session: Session) -> ColumnElement[bool]:
    """Return which decisions count: with the sample day's while a desk has fewer than `OWN_ENOUGH` tickets."""
    own = select(StoredEntry.decision_seq).where(_COUNTS).limit(OWN_ENOUGH).subquery()
    if (session.scalar(select(func.count()).select_from(own)) or 0) >= OWN_ENOUGH:
        return _COUNTS
    sample = select(StoredTicket.seq).where(_sent_by(SAMPLE_REQUESTER))
    return or_(_COUNTS, StoredDecision.ticket_seq.in_(sample))


def _sent_by(*requesters: str) -> ColumnElement[bool]:
    """Return the condition of tickets that were sent with a key by one of these: what `is_aside` says of `ASIDE`."""
    return and_(StoredTicket.source == KEYS, func.coalesce(StoredTicket.requester, "").in_(requesters))


class Figures(IdempotencyKeys):
    """The part of the repository that counts."""

    def cells(self) -> list[Cell]:
        """Count tickets by route, outcome, reason, rule and verdict; those drawn for a check and those moved apart."""
        columns = (
            StoredEntry.tier,
            StoredEntry.category,
            StoredEntry.automation,
            StoredEntry.reason,
            StoredEntry.rule,
            StoredEntry.verdict,
            StoredEntry.audit,
            _MOVED.label("moved"),
            StoredEntry.model_version.is_not(None).label("by_model"),
        )
        query = (
            select(*columns, func.count().label("count"))
            .join(StoredDecision, StoredDecision.seq == StoredEntry.decision_seq)
            .group_by(*columns)
        )
        with self.database.reading() as session:
            return [Cell(**row) for row in session.execute(query.where(_counting(session))).mappings()]

    def days(self) -> list[Day]:
        """Count tickets by the day on which they were decided, in UTC, oldest first."""
        day = func.date(StoredDecision.created_at).label("day")
        outcome = (StoredEntry.automation, StoredEntry.reason, StoredEntry.verdict, StoredEntry.audit)
        columns = (day, *outcome, _MOVED.label("moved"))
        query = (
            select(*columns, func.count().label("count"))
            .join(StoredEntry, StoredEntry.decision_seq == StoredDecision.seq)
            .group_by(*columns)
            .order_by(day)
        )
        with self.database.reading() as session:
            rows = session.execute(query.where(_counting(session))).mappings()
            return [Day(**{**row, "day": str(row["day"])}) for row in rows]

    def served(self) -> list[Served]:
        """Count the decisions of each model version, the newest version first."""

        def times(condition: ColumnElement[bool]) -> ColumnElement[int]:
            return func.sum(case((condition, 1), else_=0))

        query = (
            select(
                StoredEntry.model_version,
                func.count(),
                times(StoredEntry.automation == "automatic"),
                times(StoredEntry.verdict == "accepted"),
                times(StoredEntry.verdict == "corrected"),
            )
            .group_by(StoredEntry.model_version)
            .order_by(func.max(StoredEntry.decision_seq).desc())
        )
        with self.database.reading() as session:
            return [Served(row[0], *(int(value or 0) for value in row[1:])) for row in session.execute(query)]

    def audited_errors(self, version: str, target: str, limit: int) -> list[bool]:
        """Return what the audits of a model's automatic decisions found, oldest first: True for an error.

        Args:
            version: Of the model.
            target: Such as ``tier``.
            limit: Most of them; the oldest are kept, as a confidence sequence is read from its beginning.
        """
        mine = (StoredReview.model_version == version, StoredReview.target == target, StoredReview.audited.is_(True))
        query = select(StoredReview.error).where(*mine, StoredReview.error.is_not(None)).order_by(StoredReview.seq)
        with self.database.reading() as session:
            return [bool(error) for error in session.scalars(query.limit(limit))]

    def signals(self, version: str, limit: int) -> list[Signal]:
        """Return what a model's newest decisions say of the tickets, oldest first: of each as it came in first.

        A text that took the place of another is left out, not the other one: how often a ticket will be written anew
        is not known when it comes, and would set the older tickets apart from the newer.

        Args:
            version: Of the model.
            limit: Most of them.
        """
        query = (
            select(
                func.length(StoredTicket.subject) + func.length(StoredTicket.body),
                StoredEntry.confidence,
                StoredEntry.abstained,
                StoredDecision.category,
            )
            .join(StoredDecision, StoredDecision.seq == StoredEntry.decision_seq)
            .join(StoredTicket, StoredTicket.seq == StoredDecision.ticket_seq)
            .where(StoredEntry.model_version == version, StoredTicket.revision == 1)
            .where(~_sent_by(*ASIDE))
            .order_by(StoredEntry.decision_seq.desc())
            .limit(limit)
        )
        with self.database.reading() as session:
            rows = session.execute(query).all()
        return [Signal(int(row[0]), row[1], bool(row[2]), row[3]) for row in reversed(rows)]

    def spoken_about(self, limit: int) -> list[DecisionRow]:
        """Return the newest decisions that people accepted or corrected, with what they said."""
        query = (
            select(StoredDecision)
            .join(StoredEntry, StoredEntry.decision_seq == StoredDecision.seq)
            .where(StoredEntry.verdict.in_(("accepted", "corrected")))
            .order_by(StoredEntry.decision_seq.desc())
            .limit(limit)
        )
        with self.database.reading() as session:
            rows = list(session.scalars(query))
            said = feedback_by_decision(session, [row.id for row in rows])
            return [decision_row(row, said.get(row.id, ())) for row in rows]
